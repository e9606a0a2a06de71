"""Canonical events -> the bytes of a client's stream.

Each chunk is a complete GenerateContentResponse with the new parts. Text is sent as it
arrives, a call when it is complete, and the last chunk has the reason and the usage.
With `alt=sse` chunks are events; without it, they are the elements of one JSON array.
A prompt refused by a provider's policy is a response without candidates, as in `errors`.
"""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from gateway.canon.adaptation import Adaptation
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
from gateway.canon.fold import ResponseBuilder
from gateway.canon.request import Reasoning, Refusal, Text
from gateway.canon.response import Finish, Response, Usage, merge_usage
from gateway.dialects.base import ResponseContext
from gateway.dialects.gemini.citations import GroundedText, utf8_length
from gateway.dialects.gemini.errors import render_blocked_prompt, render_error_body
from gateway.dialects.gemini.names import Json
from gateway.dialects.gemini.response import (
    render_candidate,
    render_candidate_end,
    render_identifiers,
    render_part,
    render_reasoning,
    report_pause,
)
from gateway.dialects.gemini.usage import render_usage
from gateway.dialects.shared.responses import malformed_output_error

_encode = msgspec.json.Encoder().encode
_TEXT_KINDS = frozenset({"text", "refusal"})


class GeminiStreamRenderer:
    """Renders one stream; `report` collects what it cannot express."""

    def __init__(self, context: ResponseContext) -> None:
        self.report: list[Adaptation] = []
        self._context = context
        self._identifiers = render_identifiers(context)
        self._is_array = context.framing == "array"
        self._started = False
        self._ended = False
        self._block_kind = ""
        self._folder = ResponseBuilder()
        self._usage: Usage | None = None
        self._grounded_texts: list[GroundedText] = []
        self._text_bytes = 0
        self._part_count = 0

    def feed(self, event: Event) -> bytes:
        """The bytes this event prints; nothing after End or Failed."""
        if self._ended:
            return b""
        match event:
            case Delta():
                return self._render_delta(event)
            case BlockStart():
                self._block_kind = event.kind
                self._folder = ResponseBuilder()
                self._folder.feed(event)
                return b""
            case BlockEnd():
                return self._close_block(event)
            case CitationDelta() | SignatureDelta() | NativeDelta():
                self._folder.feed(event)
                return b""
            case Start():
                self._usage = event.usage
                return b""
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                return b""
            case End():
                return self._end_message(event)
            case Failed():
                return self._fail(event.error)
            case _:
                assert_never(event)

    # --- blocks ------------------------------------------------------------------------

    def _render_delta(self, event: Delta) -> bytes:
        self._folder.feed(event)
        if self._block_kind in _TEXT_KINDS:
            return self._render_chunk([{"text": event.text}])
        if self._block_kind == "reasoning" and self._context.reasoning_display != "none":
            return self._render_chunk([{"text": event.text, "thought": True}])
        return b""

    def _close_block(self, event: BlockEnd) -> bytes:
        self._folder.feed(event)
        self._folder.feed(End(Finish(reason="stop")))
        [part] = self._folder.close().parts
        path = f"candidates[0].content.parts[{self._part_count}]"
        self._part_count += 1
        if isinstance(part, Text):
            self._grounded_texts += [
                GroundedText(citation, part.text, self._text_bytes) for citation in part.citations
            ]
        if isinstance(part, Text | Refusal):
            self._text_bytes += utf8_length(part.text)
        if self._block_kind in _TEXT_KINDS:
            return b""
        if isinstance(part, Reasoning):
            return self._render_reasoning_signature(part)
        rendered_parts = render_part(part, path, self._context, self.report)
        return self._render_chunk(rendered_parts) if rendered_parts else b""

    def _render_reasoning_signature(self, part: Reasoning) -> bytes:
        """The signature of a reasoning block whose text is already sent."""
        rendered_parts = render_reasoning(part, self._context)
        if not rendered_parts or "thoughtSignature" not in rendered_parts[0]:
            return b""
        return self._render_chunk([{**rendered_parts[0], "text": ""}])

    # --- chunks ------------------------------------------------------------------------

    def _render_chunk(self, parts: list[Json], **candidate_fields: Any) -> bytes:
        content = {"role": "model", "parts": parts}
        candidate = {"content": content, **candidate_fields, "index": 0}
        return self._frame_body({"candidates": [candidate], **self._identifiers})

    def _frame_body(self, body: Json) -> bytes:
        head = b",\r\n" if self._started else b"["
        self._started = True
        if self._is_array:
            return head + _encode(body)
        return b"data: " + _encode(body) + b"\r\n\r\n"

    def _render_last(self, body: Json) -> bytes:
        self._ended = True
        return self._frame_body(body) + (b"]" if self._is_array else b"")

    def _end_message(self, event: End) -> bytes:
        finish = event.finish
        if finish.reason == "malformed":
            return self._fail(malformed_output_error(finish))
        report_pause(finish, 0, self.report)
        candidate: Json = {"content": {"role": "model", "parts": [{"text": ""}]}}
        candidate |= {
            **render_candidate_end(Response(finish=finish), self._grounded_texts),
            "index": 0,
        }
        body: Json = {"candidates": [candidate]}
        for index, response in enumerate(event.alternatives, 1):
            body["candidates"].append(render_candidate(response, index, self._context, self.report))
        if (usage := render_usage(self._usage)) is not None:
            body["usageMetadata"] = usage
        return self._render_last({**body, **self._identifiers})

    def _fail(self, error: Error) -> bytes:
        if error.kind == "content_policy" and not self._started:
            return self._render_last({**render_blocked_prompt(error.message), **self._identifiers})
        return self._render_last(render_error_body(error))
