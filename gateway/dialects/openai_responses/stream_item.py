"""One output item of a provider's stream, and how much of it was emitted.

Servers differ in which of the many events they send. Text of a `done` event that no delta
contained is emitted then; emitted text is counted, not stored.
"""

from __future__ import annotations

from typing import Any

from gateway.canon.arguments import parse_arguments
from gateway.canon.events import (
    BlockEnd,
    BlockKind,
    BlockStart,
    CitationDelta,
    Delta,
    Event,
    SignatureDelta,
)
from gateway.canon.request import Signature
from gateway.dialects.openai_responses.citations import citations_in
from gateway.dialects.openai_responses.names import NAME, STATE_KIND, TEXT_FIELDS, Json

# item type -> kind of block; each part of a message is a separate block.
KINDS: dict[str, BlockKind] = {
    "message": "text",
    "reasoning": "reasoning",
    "function_call": "tool_call",
    "custom_tool_call": "tool_call",
}


class StreamItem:
    """An item: its open block, and the events pending until earlier items end.

    Attributes:
        native: the item's JSON; the last version counts.
        block_kind: the kind of the open block; None if none is open.
        part_index: the index of the part that the open block stands for.
        is_wrapped_custom: whether it calls a free-text tool that was sent as a function.
    """

    __slots__ = (
        "block_kind",
        "buffered_texts",
        "citation_count",
        "closed",
        "emitted_length",
        "is_wrapped_custom",
        "native",
        "part_index",
        "pending_events",
    )

    def __init__(self, native: Json) -> None:
        self.native = native
        self.closed = False
        self.pending_events: list[Event] = []
        self.block_kind: BlockKind | None = None
        self.part_index: int | None = None
        self.emitted_length = 0
        self.citation_count = 0
        self.is_wrapped_custom = False
        self.buffered_texts: list[str] = []

    @property
    def kind(self) -> BlockKind | None:
        """The kind of block; None for an item that exists in this dialect only."""
        return KINDS.get(text_of(self.native.get("type")))

    def open(self, kind: BlockKind, part_index: int | None) -> list[Event]:
        """Begin a block."""
        self.block_kind, self.part_index, self.emitted_length, self.citation_count = (
            kind,
            part_index,
            0,
            0,
        )
        return [BlockStart(kind=kind)]

    def switch_block(self, kind: BlockKind, part_index: int) -> list[Event]:
        """The events before text of this part: a new block, or a paragraph break."""
        if kind == "tool_call" or (self.block_kind == kind and self.part_index == part_index):
            return []
        if kind == "reasoning" and self.block_kind == "reasoning":
            self.part_index = part_index
            return self.emit_text("\n\n") if self.emitted_length else []
        return [*self._end(), *self.open(kind, part_index)]

    def emit_text(self, text: str) -> list[Event]:
        """Text deltas; the text of a wrapped free-text call is buffered until its end."""
        self.emitted_length += len(text)
        if self.is_wrapped_custom:
            self.buffered_texts.append(text)
            return []
        return _text_deltas(text)

    def emit_delta(self, kind: BlockKind, part_index: int, text: str) -> list[Event]:
        """The events for a delta."""
        return [*self.switch_block(kind, part_index), *self.emit_text(text)]

    def emit_unsent_text(self, kind: BlockKind, part_index: int, text: str) -> list[Event]:
        """The text of a complete part that no delta has emitted."""
        if kind == "reasoning":
            # The emitted length of reasoning counts all its parts.
            text = "" if self.emitted_length and part_index <= (self.part_index or 0) else text
        elif self.part_index == part_index or kind == "tool_call":
            text = text[self.emitted_length :]
        return self.emit_delta(kind, part_index, text) if text else []

    def emit_citations(self, annotations: Any) -> list[Event]:
        """The citations in a list of annotations."""
        citations = citations_in(annotations) if self.block_kind == "text" else ()
        self.citation_count += len(citations)
        return [CitationDelta(citation) for citation in citations]

    def emit_content_part(self, part: Json, index: int) -> list[Event]:
        """The remaining text of a complete message part, with its citations."""
        kind = part_kind(part)
        if kind is None:
            return []
        events = self.switch_block(kind, index)
        events += self.emit_text(
            text_of(part.get(TEXT_FIELDS[part["type"]]))[self.emitted_length :]
        )
        annotations = part.get("annotations")
        return events + self.emit_citations(
            annotations[self.citation_count :] if isinstance(annotations, list) else []
        )

    def emit_remaining(self, item: Json) -> list[Event]:
        """The content of a complete item that was not emitted yet."""
        self.native = item
        match self.kind:
            case "text":
                content = item.get("content")
                numbered_parts = enumerate(content if isinstance(content, list) else [])
                parts = [
                    (n, p)
                    for n, p in numbered_parts
                    if isinstance(p, dict) and n >= (self.part_index or 0)
                ]
                return [event for n, p in parts for event in self.emit_content_part(p, n)]
            case "tool_call":
                field = "input" if item.get("type") == "custom_tool_call" else "arguments"
                return self.emit_text(text_of(item.get(field))[self.emitted_length :])
            case "reasoning":
                return self.emit_text(_reasoning_text(item)[self.emitted_length :])
            case _:
                return []

    def emit_end(self, creator: tuple[str, str]) -> list[Event]:
        """The last events of the item; `creator` is the provider and model of reasoning."""
        if self.kind is None:
            return [BlockStart(kind="native", dialect=NAME, native=self.native), BlockEnd()]
        events: list[Event] = []
        if self.block_kind == "reasoning":
            events.append(SignatureDelta(self._signature(*creator)))
        elif self.is_wrapped_custom:
            arguments, raw = parse_arguments("".join(self.buffered_texts))
            free_text = arguments.get("input") if arguments is not None else None
            events += _text_deltas(free_text if isinstance(free_text, str) else raw)
        return [*events, *self._end()]

    def _end(self) -> list[Event]:
        if self.block_kind is None:
            return []
        self.block_kind = None
        return [BlockEnd()]

    def _signature(self, provider: str, model: str) -> Signature:
        """The state of a reasoning item; without state, only the model that created it."""
        value = text_of(self.native.get("encrypted_content"))
        if not value:
            return Signature(provider=provider, model=model, kind="text")
        item = text_of(self.native.get("id"))
        return Signature(provider=provider, model=model, kind=STATE_KIND, value=value, item_id=item)


def part_kind(part: Any) -> BlockKind | None:
    """The kind of block that a part of a message is."""
    part_type = part.get("type") if isinstance(part, dict) else None
    if part_type == "output_text":
        return "text"
    return "refusal" if part_type == "refusal" else None


def text_of(value: Any) -> str:
    """The string, or an empty one for anything else."""
    return value if isinstance(value, str) else ""


def _text_deltas(value: Any) -> list[Event]:
    return [Delta(value)] if isinstance(value, str) and value else []


def _reasoning_text(item: Json) -> str:
    """The text of a reasoning item: its summary, or else its content."""
    for field in ("summary", "content"):
        field_parts = item.get(field)
        parts = field_parts if isinstance(field_parts, list) else []
        texts = (text_of(part.get("text")) for part in parts if isinstance(part, dict))
        if joined_text := "\n\n".join(texts):
            return joined_text
    return ""
