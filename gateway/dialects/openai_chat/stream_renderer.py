"""Streams for clients: canonical events to chunks."""

from __future__ import annotations

from typing import assert_never

import msgspec

from gateway.canon.adaptation import AdaptationReport, approximated_field, dropped_field
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
from gateway.canon.json_values import dict_items
from gateway.canon.request import Citation
from gateway.canon.response import Finish, Response, Usage, merge_usage
from gateway.dialects.base import WHOLE_CALL_FRAMINGS, ErrorReply, ResponseContext
from gateway.dialects.openai_chat.parts import NAME, Json, render_citation
from gateway.dialects.openai_chat.reasoning import (
    DETAILS,
    THINKING_CHUNKS,
    reasoning_fields,
    render_reasoning_detail,
    thinking_chunk,
)
from gateway.dialects.openai_chat.response import (
    render_finish,
    render_logprobs,
    render_moderation,
    render_origin,
)
from gateway.dialects.openai_chat.tool_calls import wrap_extra_content
from gateway.dialects.openai_chat.tools import FUNCTION_CALL, ONLY_FIRST_CALL, uses_functions
from gateway.dialects.shared.failed_streams import malformed_output_error
from gateway.dialects.shared.fields import native_kind
from gateway.dialects.shared.image_generation import render_chat_images
from gateway.dialects.shared.openai_errors import client_message, render_error, render_error_body
from gateway.dialects.shared.openai_response import render_completion_usage

# All chunks of a response start with the same bytes, encoded once. An error is the last
# event and no `[DONE]` follows it, or clients would treat the response as successful.

_encode = msgspec.json.encode
_CHUNK_END = b',"finish_reason":null}]}\n\n'
_DONE_EVENT = b"data: [DONE]\n\n"


class ChatStreamRenderer:
    """Renders one response as chunks."""

    def __init__(self, context: ResponseContext, index: int = 0) -> None:
        self.report = AdaptationReport()
        self._context = context
        self._index = index
        self._head_fields: Json = {
            "id": f"chatcmpl-{context.id}",
            "object": "chat.completion.chunk",
            "created": context.created,
            "model": context.model,
        }
        self._add_to_head({})
        self._include_usage = context.include_usage or context.framing == "api_v1"
        self._reasoning_fields = reasoning_fields(context)
        self._with_details = context.reasoning_field == DETAILS and bool(self._reasoning_fields)
        self._reasoning_texts: list[str] = []
        self._detail_count = 0
        self._uses_functions = uses_functions(context)
        self._usage: Usage | None = None
        self._moderation: Json | None = None
        self._block = BlockStart(kind="text")
        self._call_count = 0
        self._call_is_empty = True
        self._sends_whole_calls = context.framing in WHOLE_CALL_FRAMINGS
        self._whole_calls: list[Json] = []
        self._whole_call_texts: list[str] = []
        self._refused = False
        self._text_length = 0
        self._block_start = 0
        self._pending_citations: list[Citation] = []
        self._list_lengths: dict[str, int] = {}
        self._ended = False

    def _add_to_head(self, fields: Json) -> None:
        """Add fields to the bytes with which every further chunk starts."""
        self._head_fields |= fields
        self._head = b"data: " + _encode(self._head_fields)[:-1]
        self._prefix = self._head + b',"choices":[{"index":%d,"delta":' % self._index
        self._text = self._prefix + b'{"content":'

    def feed(self, event: Event) -> bytes:
        """The bytes for this event."""
        if self._ended:
            return b""
        if type(event) is Delta:
            if event.logprobs and self._block.kind in {"text", "refusal"}:
                return self._render_delta_with_logprobs(event)
            return self._render_delta(event.text)
        match event:
            case Start():
                self._usage = event.usage
                self._moderation = render_moderation(event.extra)
                if origin := render_origin(event.service_tier, event.extra, self.report):
                    self._add_to_head(origin)
                return self._render_chunk({"role": "assistant", "content": ""})
            case BlockStart():
                return self._open_block(event)
            case BlockEnd():
                return self._close_block()
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                if event.service_tier is not None:
                    self._add_to_head(render_origin(event.service_tier, {}, self.report))
                return b""
            case CitationDelta():
                self._pending_citations.append(event.citation)
                return b""
            case SignatureDelta():
                return self._render_signature(event)
            case NativeDelta():
                return self._render_native(event.data)
            case End():
                return self._end_stream(event)
            case Failed():
                return self._fail_stream(event.error)
            case Delta():
                return self._render_delta(event.text)
            case _:
                assert_never(event)

    def _render_chunk(self, delta: Json) -> bytes:
        return self._prefix + _encode(delta) + _CHUNK_END

    def _render_delta(self, text: str) -> bytes:
        kind = self._block.kind
        if kind == "text":
            self._text_length += len(text)
            return self._text + _encode(text) + b"}" + _CHUNK_END
        if kind == "tool_call":
            self._call_is_empty = False
            return self._render_call_arguments(text)
        if kind == "refusal":
            return self._render_refusal(text)
        if kind == "reasoning" and self._reasoning_fields:
            self._reasoning_texts.append(text)
            if self._reasoning_fields == THINKING_CHUNKS:
                return self._render_chunk({"content": [thinking_chunk(text)]})
            return self._render_chunk(dict.fromkeys(self._reasoning_fields, text))
        return b""

    def _render_delta_with_logprobs(self, event: Delta) -> bytes:
        chunk = self._render_delta(event.text).removesuffix(_CHUNK_END)
        logprobs = render_logprobs(event.logprobs, is_refusal=self._block.kind == "refusal")
        return chunk + b',"logprobs":' + _encode(logprobs) + _CHUNK_END

    def _open_block(self, block: BlockStart) -> bytes:
        self._block = block
        self._block_start = self._text_length
        if block.kind == "native":
            if block.dialect != NAME and (images := render_chat_images(block.native)):
                return self._render_list("images", images)
            return self._render_native(block.native)
        if block.kind != "tool_call":
            return b""
        self._call_count += 1
        self._call_is_empty = True
        if self._uses_functions:
            return self._render_function_call({"name": block.name, "arguments": ""})
        call: Json = {"index": self._call_count - 1, "id": block.id}
        if block.custom:
            call |= {"type": "custom", "custom": {"name": block.name, "input": ""}}
        else:
            call |= {"type": "function", "function": {"name": block.name, "arguments": ""}}
        if self._sends_whole_calls:
            self._whole_calls.append(call)
            self._whole_call_texts = []
            return b""
        return self._render_chunk({"tool_calls": [call]})

    def _render_function_call(self, call: Json) -> bytes:
        """A call or a fragment of one in the legacy form, which has only the first call."""
        if self._call_count > 1:
            self.report.add(ONLY_FIRST_CALL)
            return b""
        return self._render_chunk({FUNCTION_CALL: call})

    def _render_call_arguments(self, text: str) -> bytes:
        if self._uses_functions:
            return self._render_function_call({"arguments": text})
        if self._sends_whole_calls:
            self._whole_call_texts.append(text)
            return b""
        inner = (
            {"custom": {"input": text}} if self._block.custom else {"function": {"arguments": text}}
        )
        return self._render_chunk({"tool_calls": [{"index": self._call_count - 1, **inner}]})

    def _close_block(self) -> bytes:
        block = self._block
        if block.kind == "tool_call":
            is_empty = self._call_is_empty and not block.custom
            out = self._render_call_arguments("{}") if is_empty else b""
            if self._sends_whole_calls:
                self._complete_whole_call()
            return out
        if block.kind == "text" and self._pending_citations:
            return self._render_annotations()
        return b""

    def _complete_whole_call(self) -> None:
        """Give the open call its arguments, for a client that requires all calls in one chunk."""
        kind, field = ("custom", "input") if self._block.custom else ("function", "arguments")
        self._whole_calls[-1][kind][field] = "".join(self._whole_call_texts)

    def _render_annotations(self) -> bytes:
        """The sources of the block, whose end position is known only now."""
        citations, self._pending_citations = self._pending_citations, []
        rendered_citations = [
            render_citation(source, self._block_start, self._text_length) for source in citations
        ]
        annotations = [annotation for annotation in rendered_citations if annotation is not None]
        if len(annotations) < len(rendered_citations):
            self.report.add(
                dropped_field("annotations", "OpenAI Chat does not support sources without a URL")
            )
        return self._render_list("annotations", annotations) if annotations else b""

    def _render_list(self, field: str, entries: list[Json]) -> bytes:
        """Entries of a list; the openai SDK fails on later ones without their index."""
        count = self._list_lengths.get(field, 0)
        self._list_lengths[field] = count + len(entries)
        if count:
            entries = [{**entry, "index": index} for index, entry in enumerate(entries, count)]
        return self._render_chunk({field: entries})

    def _render_signature(self, event: SignatureDelta) -> bytes:
        """The state of a call; that of reasoning only if the route shows details."""
        if self._block.kind != "tool_call":
            if not self._with_details:
                return b""
            reasoning_text, self._reasoning_texts = "".join(self._reasoning_texts), []
            detail = render_reasoning_detail(
                reasoning_text, event.signature, self._detail_count, redacted=self._block.redacted
            )
            self._detail_count += 1
            return self._render_chunk({DETAILS: [detail]})
        if self._uses_functions:
            return b""
        if self._sends_whole_calls:
            self._whole_calls[-1]["extra_content"] = wrap_extra_content(event.signature)
            return b""
        # The openai SDK's stream helper fails on a delta of a call without its content.
        inner = {"custom": {"input": ""}} if self._block.custom else {"function": {"arguments": ""}}
        call_delta = {
            "index": self._call_count - 1,
            **inner,
            "extra_content": wrap_extra_content(event.signature),
        }
        return self._render_chunk({"tool_calls": [call_delta]})

    def _render_native(self, data: Json) -> bytes:
        if self._block.dialect != NAME:
            kind = native_kind(self._block.native)
            self.report.add(dropped_field(f"content.{kind}", "no equivalent in OpenAI Chat"))
            return b""
        field = self._block.native.get("type", "")
        fields = {key: value for key, value in data.items() if key != "type"}
        if not fields:
            return b""
        if field in {"images", "annotations"}:
            return self._render_list(field, dict_items(fields.get(field)))
        return self._render_chunk({field: fields})

    def _render_refusal(self, text: str) -> bytes:
        self._refused = True
        return self._render_chunk({"refusal": text})

    def _end_stream(self, event: End) -> bytes:
        if event.finish.reason == "malformed":
            return self._fail_stream(malformed_output_error(event.finish))
        other_choices = [
            self._render_complete_choice(response, index)
            for index, response in enumerate(event.alternatives, 1)
        ]
        out = b"".join((self._render_finish(event.finish), *other_choices))
        moderation = render_moderation(event.extra) or self._moderation
        if moderation is not None:
            out += self._head + b',"choices":[],"moderation":' + _encode(moderation) + b"}\n\n"
        usage = render_completion_usage(self._usage) if self._include_usage else None
        if usage is not None:
            out += self._head + b',"choices":[],"usage":' + _encode(usage) + b"}\n\n"
        self._ended = True
        return out + _DONE_EVENT

    def _render_complete_choice(self, response: Response, index: int) -> bytes:
        """All chunks of a further choice, which is complete."""
        renderer = ChatStreamRenderer(self._context, index)
        renderer._add_to_head(self._head_fields)
        events = unfold_response(response)
        out = b"".join(renderer.feed(event) for event in events[:-1])
        for adaptation in renderer.report:
            self.report.add(adaptation)
        return out + renderer._render_finish(response.finish)

    def _render_finish(self, finish: Finish) -> bytes:
        """The last chunk of a choice."""
        if finish.reason == "pause":
            self.report.add(
                approximated_field("finish_reason", "a paused turn is shown as stopped")
            )
        out = b""
        has_refusal = self._refused
        if not has_refusal and finish.explanation and finish.reason in {"filter", "refusal"}:
            out = self._render_refusal(finish.explanation)
        if self._whole_calls:
            out += self._render_chunk({"tool_calls": self._whole_calls})
        reason = render_finish(finish, has_refusal=has_refusal, functions=self._uses_functions)
        out += self._prefix + b'{},"finish_reason":' + _encode(reason) + b"}]"
        usage = render_completion_usage(self._usage) if self._sends_whole_calls else None
        return out + (b',"usage":' + _encode(usage) if usage is not None else b"") + b"}\n\n"

    def _fail_stream(self, error: Error) -> bytes:
        self._ended = True
        if self._context.framing == "api_v1":
            fields = {"code": render_error(error, "").status, "message": client_message(error)}
            return (
                self._prefix + b'{},"finish_reason":"error"}],"error":' + _encode(fields) + b"}\n\n"
            )
        return b"data: " + _encode(render_error_body(error)) + b"\n\n"


class ChatChoiceRenderer(ChatStreamRenderer):
    """Renders one of several choices of a stream: its end has neither usage nor terminator."""

    def _end_stream(self, event: End) -> bytes:
        self._ended = True
        return self._render_finish(event.finish)


def render_api_v1_error(error: Error, request_id: str) -> ErrorReply:
    """The error response to a client of OpenRouter: the code of an error is its status."""
    reply = render_error(error, request_id)
    reply.body["error"]["code"] = reply.status
    return reply
