"""Canonical events -> a client's stream.

    created in_progress (item.added (part.added delta* done)* item.done)* completed

It only prints: order is the parser's business. Texts that follow each other are one part of
one message, as clients read the answer there, so a message is closed by what comes after
it. All events carry a number; the last one carries the whole answer.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, approximated
from gateway.canon.errors import Error
from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    Cited,
    Delta,
    End,
    Event,
    Failed,
    NativeDelta,
    Signed,
    Start,
    UsageUpdate,
)
from gateway.canon.fold import newer
from gateway.canon.request import Citation, Signature
from gateway.canon.response import Finish, Usage
from gateway.dialects.base import Exchange
from gateway.dialects.openai_responses.citations import citation_out
from gateway.dialects.openai_responses.errors import failure_out
from gateway.dialects.openai_responses.finish import finish_out, malformed
from gateway.dialects.openai_responses.items import (
    answer,
    call_item,
    call_state_item,
    item_id,
    message_item,
    reasoning_item,
    text_part,
)
from gateway.dialects.openai_responses.names import NAME, Json
from gateway.dialects.openai_responses.response_out import no_item, no_url
from gateway.dialects.openai_responses.usage import usage_out

_encode = msgspec.json.Encoder().encode
_NO_BLOCK = BlockStart(kind="text")


class ResponsesStreamRenderer:
    """Prints one stream. `report` grows as things come that can not be said."""

    def __init__(self, exchange: Exchange) -> None:
        self.report: list[Adaptation] = []
        self._exchange = exchange
        self._number = 0
        self._tier: str | None = None
        self._usage: Usage | None = None
        self._output: list[Json] = []
        self._block = _NO_BLOCK
        self._signature: Signature | None = None
        self._native: Json = {}
        self._words: list[str] = []
        # The head and tail of the delta event of the open block.
        self._delta: tuple[bytes, bytes] | None = None
        self._message: Json | None = None
        self._length = 0
        self._begun_at = 0
        self._cited: list[Citation] = []
        self._refused = False
        self._started = False
        self._over = False

    def feed(self, event: Event) -> bytes:
        """The bytes this event prints; nothing after End or Failed."""
        if type(event) is Delta:
            return self._more(event.text)
        if self._over:
            return b""
        match event:
            case BlockStart():
                return self._open(event)
            case BlockEnd():
                return self._close()
            case Start():
                return self._start(event)
            case UsageUpdate():
                self._usage = newer(self._usage, event.usage)
                return b""
            case Signed():
                self._signature = event.signature
                return b""
            case Cited():
                self._cited.append(event.citation)
                return b""
            case NativeDelta():
                self._native |= event.data
                return b""
            case End():
                return self._end(event.finish)
            case Failed():
                return self._fail(event.error)
            case Delta():
                return self._more(event.text)
            case _:
                assert_never(event)

    # --- events ------------------------------------------------------------------------

    def _event(self, name: str, **fields: object) -> bytes:
        """One event with the next number."""
        data = {"type": name, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {name}\ndata: ".encode() + _encode(data) + b"\n\n"

    def _item_event(self, name: str, **fields: object) -> bytes:
        """An event of the open item."""
        return self._event(name, item_id=self._id, output_index=len(self._output), **fields)

    def _more(self, text: str) -> bytes:
        """A delta of the open block: all of the event but number and words is made once."""
        self._words.append(text)
        if self._delta is None or self._over:
            return b""
        head, tail = self._delta
        number = b"%d" % self._number
        self._number += 1
        return head + number + b',"delta":' + _encode(text) + tail

    def _deltas(self, name: str, **fields: object) -> None:
        """Prepare the delta events of the block that opens."""
        told = {"item_id": self._id, "output_index": len(self._output), **fields}
        head = f'event: {name}\ndata: {{"type":"{name}","sequence_number":'.encode()
        self._delta = head, b"," + _encode(told)[1:-1] + b"}\n\n"

    def _answer(self, status: str, **fields: object) -> Json:
        if self._tier is not None:
            fields["service_tier"] = self._tier
        return answer(self._exchange, status, self._output, **fields)

    @property
    def _id(self) -> str:
        kind = "message" if self._message is not None else _kind(self._block)
        return item_id(self._exchange, kind, len(self._output))

    def _start(self, start: Start) -> bytes:
        self._started = True
        self._usage, self._tier = start.usage, start.service_tier
        told = self._answer("in_progress", usage=None)
        first = self._event("response.created", response=told)
        return first + self._event("response.in_progress", response=told)

    def _added(self, item: Json) -> bytes:
        index = len(self._output)
        return self._event("response.output_item.added", output_index=index, item=item)

    def _done(self, item: Json) -> bytes:
        index = len(self._output)
        self._output.append(item)
        return self._event("response.output_item.done", output_index=index, item=item)

    # --- blocks ------------------------------------------------------------------------

    def _open(self, block: BlockStart) -> bytes:
        out = b""
        if block.kind not in {"text", "refusal"}:
            out = self._close_message()
        before, self._block = self._block.kind, block
        self._signature, self._delta = None, None
        match block.kind:
            case "text" | "refusal":
                return out + self._open_part(block.kind, before)
            case "reasoning":
                self._words = []
                return out + self._open_thought()
            case "tool_call":
                self._words = []
                return out + self._open_call(block)
            case "native":
                self._words, self._native = [], dict(block.native)
                return out
            case _:
                assert_never(block.kind)

    def _open_part(self, kind: str, before: str) -> bytes:
        """A part of the open message; of a new one where none is open."""
        out = b""
        self._begun_at = self._length
        if self._message is not None and kind == before:
            self._delta_of_part(kind)
            return b""
        if self._message is None:
            self._message = message_item("", [], "in_progress")
            self._message["id"] = self._id
            out = self._added({**self._message, "content": []})
        else:
            out = self._close_part(before)
        self._words, self._length, self._begun_at = [], 0, 0
        part: Json = text_part("", []) if kind == "text" else {"type": "refusal", "refusal": ""}
        content: list[Json] = self._message["content"]
        content.append(part)
        self._refused = self._refused or kind == "refusal"
        self._delta_of_part(kind)
        place = len(content) - 1
        shown = {**part, "annotations": []} if kind == "text" else part
        return out + self._item_event("response.content_part.added", content_index=place, part=shown)

    def _delta_of_part(self, kind: str) -> None:
        assert self._message is not None
        place = len(self._message["content"]) - 1
        if kind == "text":
            self._deltas("response.output_text.delta", content_index=place, logprobs=[])
        else:
            self._deltas("response.refusal.delta", content_index=place)

    def _open_thought(self) -> bytes:
        item = {"id": self._id, "type": "reasoning", "summary": []}
        out = self._added(item)
        if self._exchange.thinking == "none" or self._block.redacted:
            return out
        # The summary's part is announced with its first words: a thought may have none.
        return out

    def _open_call(self, block: BlockStart) -> bytes:
        item = call_item(self._id, block.id, block.name, "", custom=block.custom)
        name = "custom_tool_call_input" if block.custom else "function_call_arguments"
        self._deltas(f"response.{name}.delta")
        return self._added({**item, "status": "in_progress"})

    def _close(self) -> bytes:
        block = self._block
        self._delta = None
        match block.kind:
            case "text":
                return self._annotations()
            case "refusal":
                return b""
            case "reasoning":
                return self._close_thought()
            case "tool_call":
                return self._close_call()
            case "native":
                return self._close_native()
            case _:
                assert_never(block.kind)

    def _annotations(self) -> bytes:
        """The sources of the block, whose extent is known only now."""
        assert self._message is not None
        out = b""
        content = self._message["content"]
        for citation in self._cited:
            item = citation_out(citation, self._begun_at, self._length)
            if item is None:
                self._note(no_url())
                continue
            listed: list[Json] = content[-1]["annotations"]
            listed.append(item)
            out += self._item_event(
                "response.output_text.annotation.added",
                content_index=len(content) - 1,
                annotation_index=len(listed) - 1,
                annotation=item,
            )
        self._cited = []
        return out
