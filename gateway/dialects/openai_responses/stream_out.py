"""Canonical events -> a client's stream.

    created in_progress (the events of an item)* completed

It only renders: the parser defines the order. A message is closed by the block after it.
The last event contains the complete response.
"""

from __future__ import annotations

from typing import assert_never

from gateway.canon.adaptation import Adaptation, AdaptationReport, approximated
from gateway.canon.errors import Error
from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    CitationDelta,
    Delta,
    End,
    Event,
    Failed,
    NativeDelta,
    SignatureDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.request import Signature
from gateway.canon.response import Finish, Usage, merge_usage
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_responses.errors import failure_out
from gateway.dialects.openai_responses.finish import finish_out
from gateway.dialects.openai_responses.names import NAME, Json
from gateway.dialects.openai_responses.output_items import response_object
from gateway.dialects.openai_responses.response_out import (
    unlinked_source_drop,
    unsupported_part_drop,
)
from gateway.dialects.openai_responses.stream_writers import (
    MessageWriter,
    OutputEvents,
    ReasoningWriter,
    ToolCallWriter,
)
from gateway.dialects.openai_responses.usage import usage_out
from gateway.dialects.openai_responses.web_searches import SearchWriter, page_contents_drop
from gateway.dialects.shared.responses import malformed_output_error
from gateway.dialects.shared.web_search import read_call, read_result


class ResponsesStreamRenderer:
    """Renders one stream. `report` collects what it could not express."""

    def __init__(self, context: ResponseContext) -> None:
        self.report = AdaptationReport()
        self._events = OutputEvents(context)
        self._response_fields: Json = {}
        self._usage: Usage | None = None
        self._message: MessageWriter | None = None
        self._item: MessageWriter | ReasoningWriter | ToolCallWriter | None = None
        self._search: SearchWriter | None = None
        self._signature: Signature | None = None
        self._refused = False
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """The bytes for this event; empty after End or Failed."""
        if type(event) is Delta:
            return self._item.write(event.text) if self._item is not None else b""
        if self._ended:
            return b""
        match event:
            case BlockStart():
                return self._open_block(event)
            case BlockEnd():
                return self._close_block()
            case Start():
                return self._start(event)
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                return b""
            case SignatureDelta():
                self._signature = event.signature
                return b""
            case CitationDelta():
                if self._message is not None:
                    self._message.add_citation(event.citation)
                return b""
            case NativeDelta():
                if self._search is not None and not self._search.announced:
                    self._search.add(event.data)
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
        self._response_fields = dict(start.extra.get(NAME, {}))
        if start.service_tier is not None:
            self._response_fields["service_tier"] = start.service_tier
        response = self._response("in_progress", usage=None)
        created = self._events.event("response.created", response=response)
        return created + self._events.event("response.in_progress", response=response)

    def _response(self, status: str, **fields: object) -> Json:
        events = self._events
        return response_object(
            events.context, status, events.output, **self._response_fields | fields
        )

    # --- blocks ------------------------------------------------------------------------

    def _open_block(self, block: BlockStart) -> bytes:
        self._signature = None
        if self._search is not None:
            return self._after_search(self._search, block)
        match block.kind:
            case "text" | "refusal":
                return self._open_message(block.kind)
            case "reasoning":
                out = self._end_message()
                reasoning = self._item = ReasoningWriter(self._events)
                return out + reasoning.open()
            case "tool_call":
                out = self._end_message()
                call = self._item = ToolCallWriter(self._events, block)
                return out + call.open()
            case "native":
                return self._end_message() + self._native(block)
            case _:
                assert_never(block.kind)

    def _open_message(self, kind: str) -> bytes:
        if self._message is None:
            self._message = MessageWriter(self._events)
        self._item = self._message
        self._refused = self._refused or kind == "refusal"
        return self._message.open(kind)

    def _native(self, block: BlockStart) -> bytes:
        self._item = None
        if block.dialect == NAME:
            return self._events.item_added(block.native) + self._events.item_done(block.native)
        if read_call(block.native) is not None:
            self._search = SearchWriter(self._events, block.native)
            return b""
        self._record_loss(unsupported_part_drop(block.native))
        return b""

    def _after_search(self, search: SearchWriter, block: BlockStart) -> bytes:
        """End a search with the block that follows it, which may be its result."""
        self._search, self._item = None, None
        if not search.is_answered_by(block.native):
            return search.close(None) + self._open_block(block)
        result = read_result(block.native)
        if result is not None and not result.failed:
            self._record_loss(page_contents_drop(block.native))
        return search.close(block.native)

    def _close_block(self) -> bytes:
        item, self._item = self._item, None
        if item is None:
            search = self._search
            return search.announce() if search is not None and not search.announced else b""
        if not isinstance(item, MessageWriter):
            return item.close(self._signature)
        out, all_cited = item.end_block()
        if not all_cited:
            self._record_loss(unlinked_source_drop())
        return out

    def _end_message(self, status: str = "completed") -> bytes:
        message, self._message = self._message, None
        return message.close(status) if message is not None else b""

    # --- the end -----------------------------------------------------------------------

    def _end(self, finish: Finish) -> bytes:
        if finish.reason == "malformed":
            return self._fail(malformed_output_error(finish))
        search, self._search = self._search, None
        out = search.close(None) if search is not None else b""
        if not self._refused and finish.explanation and finish.reason in {"filter", "refusal"}:
            out += self._open_message("refusal") + self._write_text(finish.explanation)
        if finish.reason == "pause":
            self._record_loss(approximated("status", "a paused turn is shown as completed"))
        finish_fields = finish_out(finish, refused=self._refused)
        status = finish_fields.pop("status")
        out += self._end_message(status)
        response = self._response(status, **finish_fields, usage=usage_out(self._usage))
        self._ended, self._item = True, None
        return out + self._events.event(f"response.{status}", response=response)

    def _write_text(self, text: str) -> bytes:
        return self._item.write(text) if self._item is not None else b""

    def _fail(self, error: Error) -> bytes:
        self._ended, self._item = True, None
        usage = usage_out(self._usage)
        response = self._response("failed", error=failure_out(error), usage=usage)
        return self._events.event("response.failed", response=response)

    def _record_loss(self, adaptation: Adaptation) -> None:
        self.report.add(adaptation)
