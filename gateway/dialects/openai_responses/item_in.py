"""One output item of a provider's answer while it is read: what of it was said already.

Servers differ in which of the many events they send. What a `done` says that no delta said
is said then; what was said is counted, not kept.
"""

from __future__ import annotations

from typing import Any

from gateway.canon.arguments import parsed
from gateway.canon.events import BlockEnd, BlockKind, BlockStart, Cited, Delta, Event, Signed
from gateway.canon.request import Signature
from gateway.dialects.openai_responses.citations import citations_in
from gateway.dialects.openai_responses.names import NAME, STATE, WORDS, Json

# item type -> the kind of block it is; a message's parts are blocks of their own.
KINDS: dict[str, BlockKind] = {
    "message": "text",
    "reasoning": "reasoning",
    "function_call": "tool_call",
    "custom_tool_call": "tool_call",
}


class Item:
    """An item: its open block, and events that wait for items before it.

    Attributes:
        native: the item as the wire has it; the last version counts.
        block: the kind of the open block, None where none is open.
        part: the number of the wire's part that the open block stands for.
        unwraps: whether it is a free-text tool's call that was offered as a function.
    """

    __slots__ = ("block", "cited", "closed", "held", "native", "part", "said", "unwraps", "words")

    def __init__(self, native: Json) -> None:
        self.native = native
        self.closed = False
        self.held: list[Event] = []
        self.block: BlockKind | None = None
        self.part: int | None = None
        self.said = 0
        self.cited = 0
        self.unwraps = False
        self.words: list[str] = []

    @property
    def kind(self) -> BlockKind | None:
        """The kind of block it is; None for an item that only this dialect knows."""
        return KINDS.get(text_of(self.native.get("type")))

    def open(self, kind: BlockKind, part: int | None) -> list[Event]:
        """Begin a block."""
        self.block, self.part, self.said, self.cited = kind, part, 0, 0
        return [BlockStart(kind=kind)]

    def turn(self, kind: BlockKind, part: int) -> list[Event]:
        """What it takes to say words of this part: another block, or another paragraph."""
        if kind == "tool_call" or (self.block == kind and self.part == part):
            return []
        if kind == "reasoning" and self.block == "reasoning":
            self.part = part
            return self.say("\n\n") if self.said else []
        return [*self._end(), *self.open(kind, part)]

    def say(self, words: str) -> list[Event]:
        """More words; those of a free text that is wrapped are kept to the end."""
        self.said += len(words)
        if self.unwraps:
            self.words.append(words)
            return []
        return _words(words)

    def more(self, kind: BlockKind, part: int, words: str) -> list[Event]:
        """The words of a delta."""
        return [*self.turn(kind, part), *self.say(words)]

    def whole_part(self, kind: BlockKind, part: int, words: str) -> list[Event]:
        """All words of a part: what of them no delta has said is said."""
        if kind == "reasoning":
            # What was said of a thought is counted over all its parts.
            words = "" if self.said and part <= (self.part or 0) else words
        elif self.part == part or kind == "tool_call":
            words = words[self.said :]
        return self.more(kind, part, words) if words else []

    def cite(self, annotations: Any) -> list[Event]:
        """The sources that an annotation's own event names."""
        found = citations_in(annotations) if self.block == "text" else ()
        self.cited += len(found)
        return [Cited(citation) for citation in found]

    def whole_content(self, part: Json, place: int) -> list[Event]:
        """A part of a message as a whole, with its sources."""
        kind = part_kind(part)
        if kind is None:
            return []
        events = self.turn(kind, place)
        events += self.say(text_of(part.get(WORDS[part["type"]]))[self.said :])
        listed = part.get("annotations")
        return events + self.cite(listed[self.cited :] if isinstance(listed, list) else [])

    def whole(self, given: Json) -> list[Event]:
        """All of the item: what of it was not said yet is said."""
        self.native = given
        match self.kind:
            case "text":
                content = given.get("content")
                listed = enumerate(content if isinstance(content, list) else [])
                parts = [(n, p) for n, p in listed if isinstance(p, dict) and n >= (self.part or 0)]
                return [event for n, p in parts for event in self.whole_content(p, n)]
            case "tool_call":
                field = "input" if given.get("type") == "custom_tool_call" else "arguments"
                return self.say(text_of(given.get(field))[self.said :])
            case "reasoning":
                return self.say(_thought(given)[self.said :])
            case _:
                return []

    def last(self, maker: tuple[str, str]) -> list[Event]:
        """What it says at its end; `maker` is the provider and model of a thought."""
        if self.kind is None:
            return [BlockStart(kind="native", dialect=NAME, native=self.native), BlockEnd()]
        events: list[Event] = []
        if self.block == "reasoning":
            events.append(Signed(self._signature(*maker)))
        elif self.unwraps:
            arguments, raw = parsed("".join(self.words))
            told = arguments.get("input") if arguments is not None else None
            events += _words(told if isinstance(told, str) else raw)
        return [*events, *self._end()]

    def _end(self) -> list[Event]:
        if self.block is None:
            return []
        self.block = None
        return [BlockEnd()]

    def _signature(self, provider: str, model: str) -> Signature:
        """The state of a thought; for plain text only who thought it."""
        value = text_of(self.native.get("encrypted_content"))
        if not value:
            return Signature(provider=provider, model=model, kind="text")
        item = text_of(self.native.get("id"))
        return Signature(provider=provider, model=model, kind=STATE, value=value, item=item)


def part_kind(part: Any) -> BlockKind | None:
    """The kind of block that a part of a message is."""
    told = part.get("type") if isinstance(part, dict) else None
    if told == "output_text":
        return "text"
    return "refusal" if told == "refusal" else None


def text_of(value: Any) -> str:
    """The string, or an empty one for anything else."""
    return value if isinstance(value, str) else ""


def _words(value: Any) -> list[Event]:
    return [Delta(value)] if isinstance(value, str) and value else []


def _thought(given: Json) -> str:
    """The words of a reasoning item, its summary before its own."""
    for field in ("summary", "content"):
        listed = given.get(field)
        parts = listed if isinstance(listed, list) else []
        said = (text_of(part.get("text")) for part in parts if isinstance(part, dict))
        if words := "\n\n".join(said):
            return words
    return ""
