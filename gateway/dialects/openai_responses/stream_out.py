"""Canonical events -> a client's stream.

    created in_progress (the events of an item)* completed

It only prints: order is the parser's business. A message is closed by what comes after it.
The last event carries the whole answer.
"""

from __future__ import annotations

from typing import assert_never

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
from gateway.canon.request import Signature
from gateway.canon.response import Finish, Usage
from gateway.dialects.base import Exchange
from gateway.dialects.openai_responses.errors import failure_out
from gateway.dialects.openai_responses.finish import finish_out, malformed
from gateway.dialects.openai_responses.items import answer
from gateway.dialects.openai_responses.names import NAME, Json
from gateway.dialects.openai_responses.response_out import no_item, no_url
from gateway.dialects.openai_responses.usage import usage_out
from gateway.dialects.openai_responses.writers import Call, Message, Page, Thought


class ResponsesStreamRenderer:
    """Prints one stream. `report` grows as things come that can not be said."""

    def __init__(self, exchange: Exchange) -> None:
        self.report: list[Adaptation] = []
        self._page = Page(exchange)
        self._own: Json = {}
        self._usage: Usage | None = None
        self._message: Message | None = None
        self._item: Message | Thought | Call | None = None
        self._signature: Signature | None = None
        self._refused = False
        self._over = False

    def feed(self, event: Event) -> bytes:
        """The bytes this event prints; nothing after End or Failed."""
        if type(event) is Delta:
            return self._item.more(event.text) if self._item is not None else b""
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
                if self._message is not None:
                    self._message.cite(event.citation)
                return b""
            case NativeDelta():
                return b""
            case End():
                return self._end(event.finish)
            case Failed():
                return self._fail(event.error)
            case Delta():
                return b""
            case _:
                assert_never(event)

    def _start(self, start: Start) -> bytes:
        self._usage = start.usage
        self._own = dict(start.extra.get(NAME, {}))
        if start.service_tier is not None:
            self._own["service_tier"] = start.service_tier
        told = self._answer("in_progress", usage=None)
        first = self._page.event("response.created", response=told)
        return first + self._page.event("response.in_progress", response=told)

    def _answer(self, status: str, **fields: object) -> Json:
        page = self._page
        return answer(page.exchange, status, page.output, **self._own | fields)

    # --- blocks ------------------------------------------------------------------------

    def _open(self, block: BlockStart) -> bytes:
        self._signature = None
        match block.kind:
            case "text" | "refusal":
                return self._speak(block.kind)
            case "reasoning":
                out = self._end_message()
                thought = self._item = Thought(self._page)
                return out + thought.open()
            case "tool_call":
                out = self._end_message()
                call = self._item = Call(self._page, block)
                return out + call.open()
            case "native":
                return self._end_message() + self._native(block)
            case _:
                assert_never(block.kind)

    def _speak(self, kind: str) -> bytes:
        if self._message is None:
            self._message = Message(self._page)
        self._item = self._message
        self._refused = self._refused or kind == "refusal"
        return self._message.open(kind)

    def _native(self, block: BlockStart) -> bytes:
        self._item = None
        if block.dialect == NAME:
            return self._page.added(block.native) + self._page.done(block.native)
        self._note(no_item(block.native))
        return b""

    def _close(self) -> bytes:
        item, self._item = self._item, None
        if item is None:
            return b""
        if not isinstance(item, Message):
            return item.close(self._signature)
        out, told = item.end_block()
        if not told:
            self._note(no_url())
        return out

    def _end_message(self, status: str = "completed") -> bytes:
        message, self._message = self._message, None
        return message.close(status) if message is not None else b""

    # --- the end -----------------------------------------------------------------------

    def _end(self, finish: Finish) -> bytes:
        if finish.reason == "malformed":
            return self._fail(malformed(finish))
        out = b""
        if not self._refused and finish.explanation and finish.reason in {"filter", "refusal"}:
            out = self._speak("refusal") + self._more(finish.explanation)
        if finish.reason == "pause":
            self._note(approximated("status", "a paused turn is shown as completed"))
        ended = finish_out(finish, refused=self._refused)
        status = ended.pop("status")
        out += self._end_message(status)
        told = self._answer(status, **ended, usage=usage_out(self._usage))
        self._over, self._item = True, None
        return out + self._page.event(f"response.{status}", response=told)

    def _more(self, text: str) -> bytes:
        return self._item.more(text) if self._item is not None else b""

    def _fail(self, error: Error) -> bytes:
        self._over, self._item = True, None
        usage = usage_out(self._usage)
        told = self._answer("failed", error=failure_out(error), usage=usage)
        return self._page.event("response.failed", response=told)

    def _note(self, item: Adaptation) -> None:
        if item not in self.report:
            self.report.append(item)
