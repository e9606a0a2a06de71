"""Canonical events -> a client's Chat stream.

All chunks of a response start with the same bytes, encoded once. An error is the last
event and no `[DONE]` follows it, or clients would treat the response as successful.
"""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, AdaptationReport, approximated, dropped
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
from gateway.canon.fold import unfold_response
from gateway.canon.request import Citation
from gateway.canon.response import Finish, Response, Usage, merge_usage
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_chat.citations import citation_out
from gateway.dialects.openai_chat.finish import finish_out
from gateway.dialects.openai_chat.legacy_functions import (
    FUNCTION_CALL,
    ONLY_FIRST_CALL,
    uses_functions,
)
from gateway.dialects.openai_chat.parts import NAME
from gateway.dialects.openai_chat.reasoning import DETAILS, detail_out, reasoning_fields
from gateway.dialects.openai_chat.tool_calls import wrapped_extra_content
from gateway.dialects.openai_chat.usage import render_usage
from gateway.dialects.shared.openai_errors import error_body
from gateway.dialects.shared.responses import malformed_output_error

Json = dict[str, Any]
_encode = msgspec.json.encode
_CHUNK_END = b',"finish_reason":null}]}\n\n'
_DONE = b"data: [DONE]\n\n"


class ChatStreamRenderer:
    """Renders one response as chunks."""

    def __init__(self, context: ResponseContext, index: int = 0) -> None:
        self.report = AdaptationReport()
        self._context = context
        head = {
            "id": f"chatcmpl-{context.id}",
            "object": "chat.completion.chunk",
            "created": context.created,
            "model": context.model,
        }
        self._head = b"data: " + _encode(head)[:-1]
        self._prefix = self._head + b',"choices":[{"index":%d,"delta":' % index
        self._text = self._prefix + b'{"content":'
        self._include_usage = context.include_usage
        self._reasoning_fields = reasoning_fields(context)
        self._with_details = context.reasoning_field == DETAILS and bool(self._reasoning_fields)
        self._reasoning_texts: list[str] = []
        self._detail_count = 0
        self._uses_functions = uses_functions(context)
        self._usage: Usage | None = None
        self._block = BlockStart(kind="text")
        self._call_count = 0
        self._call_is_empty = True
        self._refused = False
        self._text_length = 0
        self._block_start = 0
        self._pending_citations: list[Citation] = []
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """The bytes for this event."""
        if self._ended:
            return b""
        if type(event) is Delta:
            return self._delta(event.text)
        match event:
            case Start():
                self._usage = event.usage
                return self._chunk({"role": "assistant", "content": ""})
            case BlockStart():
                return self._block_start_event(event)
            case BlockEnd():
                return self._block_end()
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                return b""
            case CitationDelta():
                self._pending_citations.append(event.citation)
                return b""
            case SignatureDelta():
                return self._signed(event)
            case NativeDelta():
                return self._native(event.data)
            case End():
                return self._end(event)
            case Failed():
                return self._fail(event.error)
            case Delta():
                return self._delta(event.text)
            case _:
                assert_never(event)

    def _chunk(self, delta: Json) -> bytes:
        return self._prefix + _encode(delta) + _CHUNK_END

    def _delta(self, text: str) -> bytes:
        kind = self._block.kind
        if kind == "text":
            self._text_length += len(text)
            return self._text + _encode(text) + b"}" + _CHUNK_END
        if kind == "tool_call":
            self._call_is_empty = False
            return self._call_arguments(text)
        if kind == "refusal":
            return self._refusal(text)
        if kind == "reasoning" and self._reasoning_fields:
            self._reasoning_texts.append(text)
            return self._chunk(dict.fromkeys(self._reasoning_fields, text))
        return b""

    def _block_start_event(self, block: BlockStart) -> bytes:
        self._block = block
        self._block_start = self._text_length
        if block.kind == "native":
            return self._native(block.native)
        if block.kind != "tool_call":
            return b""
        self._call_count += 1
        self._call_is_empty = True
        if self._uses_functions:
            return self._function_call({"name": block.name, "arguments": ""})
        call: Json = {"index": self._call_count - 1, "id": block.id}
        if block.custom:
            call |= {"type": "custom", "custom": {"name": block.name, "input": ""}}
        else:
            call |= {
                "type": "function",
                "function": {"name": block.name, "arguments": ""},
            }
        return self._chunk({"tool_calls": [call]})

    def _function_call(self, call: Json) -> bytes:
        """A call or a fragment of one in the legacy form, which holds the first call only."""
        if self._call_count > 1:
            self._record_loss(ONLY_FIRST_CALL)
            return b""
        return self._chunk({FUNCTION_CALL: call})

    def _call_arguments(self, text: str) -> bytes:
        if self._uses_functions:
            return self._function_call({"arguments": text})
        inner = (
            {"custom": {"input": text}} if self._block.custom else {"function": {"arguments": text}}
        )
        return self._chunk({"tool_calls": [{"index": self._call_count - 1, **inner}]})

    def _block_end(self) -> bytes:
        block = self._block
        if block.kind == "tool_call" and self._call_is_empty and not block.custom:
            return self._call_arguments("{}")
        if block.kind == "text" and self._pending_citations:
            return self._annotations()
        return b""

    def _annotations(self) -> bytes:
        """The sources of the block, whose end position is known only now."""
        citations, self._pending_citations = self._pending_citations, []
        rendered = [
            citation_out(citation, self._block_start, self._text_length) for citation in citations
        ]
        annotations = [annotation for annotation in rendered if annotation is not None]
        if len(annotations) < len(rendered):
            self._record_loss(dropped("citations", "OpenAI Chat has no sources without a URL"))
        return self._chunk({"annotations": annotations}) if annotations else b""

    def _signed(self, event: SignatureDelta) -> bytes:
        """The state of a call; that of reasoning only if the route shows details."""
        if self._block.kind != "tool_call":
            if not self._with_details:
                return b""
            reasoning_text, self._reasoning_texts = "".join(self._reasoning_texts), []
            detail = detail_out(
                reasoning_text, event.signature, self._detail_count, redacted=self._block.redacted
            )
            self._detail_count += 1
            return self._chunk({DETAILS: [detail]})
        if self._uses_functions:
            return b""
        # The openai SDK's stream helper fails on a delta of a call without its content.
        inner = {"custom": {"input": ""}} if self._block.custom else {"function": {"arguments": ""}}
        call_delta = {
            "index": self._call_count - 1,
            **inner,
            "extra_content": wrapped_extra_content(event.signature),
        }
        return self._chunk({"tool_calls": [call_delta]})

    def _native(self, data: Json) -> bytes:
        if self._block.dialect != NAME:
            kind = self._block.native.get("type", "unknown")
            self._record_loss(dropped(f"content.{kind}", "no equivalent in OpenAI Chat"))
            return b""
        field = self._block.native.get("type", "")
        fields = {key: value for key, value in data.items() if key != "type"}
        if not fields:
            return b""
        return self._chunk(fields if field == "images" else {field: fields})

    def _refusal(self, text: str) -> bytes:
        self._refused = True
        return self._chunk({"refusal": text})

    def _end(self, event: End) -> bytes:
        if event.finish.reason == "malformed":
            return self._fail(malformed_output_error(event.finish))
        other_choices = [
            self._complete_choice(response, index)
            for index, response in enumerate(event.alternatives, 1)
        ]
        out = b"".join((self._finish_chunk(event.finish), *other_choices))
        usage = render_usage(self._usage) if self._include_usage else None
        if usage is not None:
            out += self._head + b',"choices":[],"usage":' + _encode(usage) + b"}\n\n"
        self._ended = True
        return out + _DONE

    def _complete_choice(self, response: Response, index: int) -> bytes:
        """All chunks of a further choice, which is complete."""
        renderer = ChatStreamRenderer(self._context, index)
        events = unfold_response(response)
        out = b"".join(renderer.feed(event) for event in events[:-1])
        for adaptation in renderer.report:
            self.report.add(adaptation)
        return out + renderer._finish_chunk(response.finish)

    def _finish_chunk(self, finish: Finish) -> bytes:
        """The last chunk of a choice."""
        if finish.reason == "pause":
            self._record_loss(approximated("finish_reason", "a paused turn is shown as stopped"))
        out = b""
        refused = self._refused
        if not refused and finish.explanation and finish.reason in {"filter", "refusal"}:
            out = self._refusal(finish.explanation)
        finish_reason = _encode(finish_out(finish, refused=refused, functions=self._uses_functions))
        return out + self._prefix + b'{},"finish_reason":' + finish_reason + b"}]}\n\n"

    def _fail(self, error: Error) -> bytes:
        self._ended = True
        return b"data: " + _encode(error_body(error)) + b"\n\n"

    def _record_loss(self, adaptation: Adaptation) -> None:
        self.report.add(adaptation)
