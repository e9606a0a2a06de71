"""Canonical events -> a client's lines, of a chat or of a bare prompt.

Calls go out in one piece when they are whole. An error is the last line.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from gateway.canon.adaptation import AdaptationReport, dropped
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
from gateway.canon.response import Finish, Usage, merge_usage
from gateway.dialects.base import ResponseContext
from gateway.dialects.ollama.errors import render_error_body
from gateway.dialects.ollama.names import GENERATE_PATH, Json, format_timestamp
from gateway.dialects.ollama.response_out import render_done_reason, render_tool_call
from gateway.dialects.ollama.usage import render_usage
from gateway.dialects.shared.responses import malformed_output_error
from gateway.framing.ndjson import encode

_encode = msgspec.json.encode


class OllamaStreamRenderer:
    """Renders one response as lines."""

    def __init__(self, context: ResponseContext) -> None:
        self.report = AdaptationReport()
        self._is_generate = context.endpoint == GENERATE_PATH
        self._hides_reasoning = context.reasoning_display == "none"
        self._common_fields: Json = {
            "model": context.model,
            "created_at": format_timestamp(context.created),
        }
        self._usage: Usage | None = None
        self._block = BlockStart(kind="text")
        self._argument_fragments: list[str] = []
        self._call_count = 0
        self._has_text = False
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """The bytes this event prints."""
        if self._ended:
            return b""
        match event:
            case Delta():
                return self._render_delta(event.text)
            case BlockStart():
                return self._open_block(event)
            case BlockEnd():
                return self._close_block()
            case Start():
                self._usage = event.usage
                return b""
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                return b""
            case CitationDelta():
                self.report.add(dropped("citations", "no equivalent in Ollama"))
                return b""
            case SignatureDelta() | NativeDelta():
                return b""
            case End():
                return self._end_message(event.finish)
            case Failed():
                return self._fail(event.error)
            case _:
                assert_never(event)

    def _render_line(self, **message_fields: object) -> bytes:
        """Renders one line with more of the message."""
        if self._is_generate:
            fields = {"response": message_fields.pop("content", ""), **message_fields}
        else:
            fields = {"message": {"role": "assistant", "content": "", **message_fields}}
        return encode(_encode({**self._common_fields, **fields, "done": False}))

    def _render_delta(self, text: str) -> bytes:
        match self._block.kind:
            case "text" | "refusal":
                self._has_text = True
                return self._render_line(content=text)
            case "reasoning":
                return b"" if self._hides_reasoning else self._render_line(thinking=text)
            case "tool_call":
                self._argument_fragments.append(text)
                return b""
            case _:
                return b""

    def _open_block(self, block: BlockStart) -> bytes:
        self._block, self._argument_fragments = block, []
        if block.kind == "native":
            kind = block.native.get("type", "unknown")
            self.report.add(dropped(f"content.{kind}", "no equivalent in Ollama"))
        return b""

    def _close_block(self) -> bytes:
        if self._block.kind != "tool_call":
            return b""
        call = render_tool_call(
            self._block, "".join(self._argument_fragments), self._call_count, self.report
        )
        self._call_count += 1
        return self._render_line(tool_calls=[call])

    def _end_message(self, finish: Finish) -> bytes:
        if finish.reason == "malformed":
            return self._fail(malformed_output_error(finish))
        out = b""
        if finish.explanation and not self._has_text and finish.reason in {"filter", "refusal"}:
            out = self._render_line(content=finish.explanation)
        self._ended = True
        message = {"role": "assistant", "content": ""}
        last = {
            **self._common_fields,
            **({"response": ""} if self._is_generate else {"message": message}),
            "done": True,
            "done_reason": render_done_reason(finish, self.report),
            **render_usage(self._usage),
        }
        return out + encode(_encode(last))

    def _fail(self, error: Error) -> bytes:
        self._ended = True
        return encode(_encode(render_error_body(error)))
