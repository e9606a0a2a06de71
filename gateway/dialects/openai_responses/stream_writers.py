"""Writers for the items of a client's stream, each with its sequence of events.

    message    item.added (part.added delta* annotation* text.done part.done)* item.done
    reasoning  item.added [part.added delta* text.done part.done] item.done
    call       item.added delta* arguments.done item.done

Consecutive texts form one part of one message, where clients expect the response.
"""

from __future__ import annotations

import msgspec

from gateway.canon.events import BlockStart
from gateway.canon.request import Citation, Signature
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_responses.citations import citation_out
from gateway.dialects.openai_responses.names import Json
from gateway.dialects.openai_responses.output_items import (
    call_item,
    item_id,
    message_item,
    reasoning_item,
    state_item,
    text_part,
)

_encode = msgspec.json.Encoder().encode


class OutputEvents:
    """Renders numbered events, and collects the finished items."""

    def __init__(self, context: ResponseContext) -> None:
        self.context = context
        self.output: list[Json] = []
        self._sequence_number = 0

    def event(self, name: str, **fields: object) -> bytes:
        """One event with the next number."""
        data = {"type": name, "sequence_number": self._sequence_number, **fields}
        self._sequence_number += 1
        return f"event: {name}\ndata: ".encode() + _encode(data) + b"\n\n"

    def new_id(self, kind: str) -> str:
        """The id of the current item."""
        return item_id(self.context, kind, len(self.output))

    def item_added(self, item: Json) -> bytes:
        """The event that starts an item."""
        index = len(self.output)
        return self.event("response.output_item.added", output_index=index, item=item)

    def item_done(self, item: Json) -> bytes:
        """The event with the complete item."""
        index = len(self.output)
        self.output.append(item)
        return self.event("response.output_item.done", output_index=index, item=item)

    def item_event(self, name: str, item_id: str, **fields: object) -> bytes:
        """An event of the current item."""
        return self.event(name, item_id=item_id, output_index=len(self.output), **fields)

    def delta_writer(self, name: str, item_id: str, **fields: object) -> DeltaWriter:
        """A writer for delta events of the current item."""
        common_fields = {"item_id": item_id, "output_index": len(self.output), **fields}
        head = f'event: {name}\ndata: {{"type":"{name}","sequence_number":'.encode()
        return DeltaWriter(self, head, b"," + _encode(common_fields)[1:-1] + b"}\n\n")

    def next_number(self) -> int:
        """The next number."""
        self._sequence_number += 1
        return self._sequence_number - 1


class DeltaWriter:
    """Writes delta events that differ in number and text only; the other bytes are cached."""

    def __init__(self, events: OutputEvents, head: bytes, tail: bytes) -> None:
        self._events, self._head, self._tail = events, head, tail
        self.texts: list[str] = []
        self.length = 0

    def write(self, text: str) -> bytes:
        """One delta."""
        self.texts.append(text)
        self.length += len(text)
        number = b"%d" % self._events.next_number()
        return self._head + number + b',"delta":' + _encode(text) + self._tail

    @property
    def text(self) -> str:
        """The text written so far."""
        return "".join(self.texts)


class MessageWriter:
    """A message: parts of text and refusal."""

    def __init__(self, events: OutputEvents) -> None:
        self._events = events
        self._id = events.new_id("message")
        self._content: list[Json] = []
        self._deltas: DeltaWriter | None = None
        self._kind = ""
        self._citations: list[Citation] = []
        self._block_start = 0

    def open(self, kind: str) -> bytes:
        """Start a block: it continues the open part, or starts one."""
        out = b""
        if self._deltas is not None and self._kind == kind:
            self._block_start = self._deltas.length
            return out
        if self._deltas is None:
            out = self._events.item_added(message_item(self._id, [], "in_progress"))
        else:
            out = self._end_part()
        self._kind, self._block_start = kind, 0
        content_index = len(self._content)
        part: Json = text_part("", []) if kind == "text" else {"type": "refusal", "refusal": ""}
        self._content.append(part)
        delta_fields: Json = {"content_index": content_index}
        name = "response.refusal.delta"
        if kind == "text":
            name, delta_fields["logprobs"] = "response.output_text.delta", []
        self._deltas = self._events.delta_writer(name, self._id, **delta_fields)
        added = "response.content_part.added"
        return out + self._events.item_event(
            added, self._id, content_index=content_index, part=part
        )

    def write(self, text: str) -> bytes:
        """A delta of the open part."""
        return self._deltas.write(text) if self._deltas is not None else b""

    def add_citation(self, citation: Citation) -> None:
        """Add a source of the open block, whose end position is known at its end."""
        self._citations.append(citation)

    def end_block(self) -> tuple[bytes, bool]:
        """The sources of the block, and whether all of them could be rendered."""
        citations, self._citations = self._citations, []
        if not citations or self._deltas is None or self._kind != "text":
            return b"", not citations
        out: list[bytes] = []
        content_index, end = len(self._content) - 1, self._deltas.length
        annotations: list[Json] = self._content[-1]["annotations"]
        rendered = [citation_out(citation, self._block_start, end) for citation in citations]
        for annotation in rendered:
            if annotation is not None:
                annotations.append(annotation)
                added = self._events.item_event(
                    "response.output_text.annotation.added",
                    self._id,
                    content_index=content_index,
                    annotation_index=len(annotations) - 1,
                    annotation=annotation,
                )
                out.append(added)
        return b"".join(out), None not in rendered

    def close(self, status: str) -> bytes:
        """End the message."""
        return self._end_part() + self._events.item_done(
            message_item(self._id, self._content, status)
        )

    def _end_part(self) -> bytes:
        if self._deltas is None:
            return b""
        content_index, text, part = len(self._content) - 1, self._deltas.text, self._content[-1]
        if self._kind == "text":
            part["text"] = text
            name, text_fields = "response.output_text.done", {"text": text, "logprobs": []}
        else:
            part["refusal"] = text
            name, text_fields = "response.refusal.done", {"refusal": text}
        out = self._events.item_event(name, self._id, content_index=content_index, **text_fields)
        done = "response.content_part.done"
        return out + self._events.item_event(done, self._id, content_index=content_index, part=part)


class ReasoningWriter:
    """Reasoning: a summary, if its text is visible, and its state."""

    def __init__(self, events: OutputEvents) -> None:
        self._events = events
        self._visible = events.context.reasoning_display != "none"
        self._id = events.new_id("reasoning")
        self._deltas: DeltaWriter | None = None
        self._hidden_texts: list[str] = []

    def open(self) -> bytes:
        """Start the item."""
        return self._events.item_added({"id": self._id, "type": "reasoning", "summary": []})

    def write(self, text: str) -> bytes:
        """A delta; the first one starts the summary."""
        if not self._visible:
            self._hidden_texts.append(text)
            return b""
        out = b""
        if self._deltas is None:
            part = {"type": "summary_text", "text": ""}
            added, delta = "summary_part.added", "summary_text.delta"
            out = self._events.item_event(
                f"response.reasoning_{added}", self._id, summary_index=0, part=part
            )
            name = f"response.reasoning_{delta}"
            self._deltas = self._events.delta_writer(name, self._id, summary_index=0)
        return out + self._deltas.write(text)

    def close(self, signature: Signature | None) -> bytes:
        """End the item with its state."""
        out, text = b"", ""
        if self._deltas is not None:
            text = self._deltas.text
            part = {"type": "summary_text", "text": text}
            name = "response.reasoning_summary_text.done"
            out = self._events.item_event(name, self._id, summary_index=0, text=text)
            name = "response.reasoning_summary_part.done"
            out += self._events.item_event(name, self._id, summary_index=0, part=part)
        text = text or "".join(self._hidden_texts)
        item = reasoning_item(self._id, text, signature, visible=self._visible)
        return out + self._events.item_done(item)


class ToolCallWriter:
    """A call of a function or of a free-text tool."""

    def __init__(self, events: OutputEvents, block: BlockStart) -> None:
        self._events, self._block = events, block
        self._event_stem, self._field = "function_call_arguments", "arguments"
        if block.custom:
            self._event_stem, self._field = "custom_tool_call_input", "input"
        self._id = events.new_id("custom_tool_call" if block.custom else "function_call")
        self._deltas = events.delta_writer(f"response.{self._event_stem}.delta", self._id)

    def open(self) -> bytes:
        """Start the item."""
        return self._events.item_added({**self._item(""), "status": "in_progress"})

    def write(self, text: str) -> bytes:
        """A delta of the arguments or the free text."""
        return self._deltas.write(text)

    def close(self, signature: Signature | None) -> bytes:
        """End the item; its state becomes a separate item."""
        out = b""
        if not self._deltas.texts and not self._block.custom:
            out = self._deltas.write("{}")
        arguments = self._deltas.text
        argument_fields = {self._field: arguments}
        out += self._events.item_event(
            f"response.{self._event_stem}.done", self._id, **argument_fields
        )
        out += self._events.item_done(self._item(arguments))
        if signature is not None:
            state = state_item(self._events.new_id("reasoning"), self._block.id, signature)
            out += self._events.item_added(state) + self._events.item_done(state)
        return out

    def _item(self, arguments: str) -> Json:
        block = self._block
        return call_item(self._id, block.id, block.name, arguments, custom=block.custom)
