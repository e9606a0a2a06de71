"""The numbered events of a client's stream, and the output items finished so far."""

from __future__ import annotations

import msgspec

from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_responses.context import Json
from gateway.dialects.openai_responses.response import item_id

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

    def count(self, text: str) -> None:
        """Count a delta that is written elsewhere."""
        self.texts.append(text)
        self.length += len(text)

    def write(self, text: str) -> bytes:
        """One delta."""
        self.count(text)
        number = b"%d" % self._events.next_number()
        return self._head + number + b',"delta":' + _encode(text) + self._tail

    @property
    def text(self) -> str:
        """The text written so far."""
        return "".join(self.texts)
