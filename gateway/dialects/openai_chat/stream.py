"""Streams: a provider's chunks to canonical events, and back for a client."""

from __future__ import annotations

import re
from typing import Any, assert_never

import msgspec

from gateway.canon.adaptation import AdaptationReport, approximated_field, dropped_field
from gateway.canon.alternatives import AlternativeParsers
from gateway.canon.errors import Error, GatewayError
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
from gateway.canon.json_values import decode_or_none
from gateway.canon.logprobs import logprob_tokens
from gateway.canon.request import Citation
from gateway.canon.response import Finish, Response, Usage, merge_usage
from gateway.canon.surrogates import SurrogateJoiner
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.dialects.openai_chat.parts import (
    NAME,
    parse_citations,
    parse_listed_citations,
    render_citation,
    thinking_text,
)
from gateway.dialects.openai_chat.reasoning import (
    DETAILS,
    ReasoningStateCollector,
    details_text,
    reasoning_fields,
    render_reasoning_detail,
)
from gateway.dialects.openai_chat.response import (
    error_in_frame,
    parse_finish,
    parse_usage,
    render_finish,
    render_usage,
)
from gateway.dialects.openai_chat.tool_calls import ToolCallStream, wrap_extra_content
from gateway.dialects.openai_chat.tools import FUNCTION_CALL, ONLY_FIRST_CALL, uses_functions
from gateway.dialects.shared.failed_streams import (
    TRUNCATED,
    failed_events,
    malformed_output_error,
)
from gateway.dialects.shared.fields import native_kind
from gateway.dialects.shared.openai_errors import is_error, parse_error_payload, render_error_body
from gateway.framing.sse import Frame

# --- a provider's stream --------------------------------------------------------------------------
#
# Providers differ in every detail that the official reference leaves open; `Chunk` and
# `_Delta` list the supported fields, and others are ignored. A frame that is no chunk ends
# the stream as Failed: never an exception, never a clean end.
#
# The finish is buffered until the usage or the end of the bytes has arrived, because any
# chunk may carry the usage, before or after the finish.

# What a response id has in addition to the characters of a call id.
_NO_ID_CHARS = re.compile(r"[^\w-]+")
_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Delta(msgspec.Struct):
    """A delta, or the message of a complete response."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    annotations: Any = None
    audio: Any = None
    images: Any = None


class Choice(msgspec.Struct):
    """A choice of a chunk or of a complete response."""

    index: Any = None
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: Any = None
    stop_reason: Any = None
    logprobs: Any = None
    error: Any = None


class _Groq(msgspec.Struct):
    usage: Any = None
    error: Any = None


class Chunk(msgspec.Struct):
    """A chunk, or a complete response."""

    id: Any = None
    model: Any = None
    created: Any = None
    choices: list[Choice | None] | None = None
    usage: Any = None
    error: Any = None
    x_groq: _Groq | None = None
    service_tier: Any = None
    citations: Any = None
    search_results: Any = None
    system_fingerprint: Any = None


_decoder = msgspec.json.Decoder(Chunk)


class ChatStreamParser:
    """One stream of chunks -> events. Further requested choices are emitted at the end."""

    def __init__(self, traits: Traits, rendered_request: RenderedRequest | None) -> None:
        wants_choices = wants_multiple_choices(rendered_request)
        self._others = (
            AlternativeParsers(lambda: ChatStreamParser(traits, rendered_request))
            if wants_choices
            else None
        )
        self._preset, self._model = traits.preset, traits.model
        self._calls = ToolCallStream(rendered_request)
        self._started = False
        self._ended = False
        self._open_kind = ""
        self._deferred_text: list[tuple[str, str]] = []
        self._reasoning_state = ReasoningStateCollector()
        self._pending_citations: list[Citation] = []
        self._listed_citations: list[Citation] = []
        # Of the next text: tokens whose chunk had none, such as part of a character.
        self._pending_logprobs: tuple[Json, ...] = ()
        self._refused = False
        self._finish: Any = None
        self._stop: Any = None
        self._usage: Usage | None = None
        self._surrogates = SurrogateJoiner()

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._ended:
            return []
        data = frame.data
        if frame.event == "error":
            return self._fail_stream(parse_error_payload(decode_or_none(data), body=data))
        try:
            chunk = _decoder.decode(data)
        except _DECODE_ERRORS:
            # The terminator is no JSON: only a frame that is none is compared with it.
            if data.startswith(b"[DONE]"):
                return self._end_stream(done_received=True)
            if (joined := self._surrogates.join(data)) != data:
                return self.feed(Frame(frame.event, joined))
            error = error_in_frame(data)
            return self._fail_stream(error) if error is not None else []
        if not chunk.choices and chunk.error is None and chunk.usage is None:
            # A keep-alive, Azure's prompt filter results, or an error in another shape.
            value = decode_or_none(data)
            if is_error(value):
                return self._fail_stream(parse_error_payload(value))
        return self._read_chunk(chunk)

    def close(self) -> list[Event]:
        """End if the finish reason was received, else Failed."""
        return [] if self._ended else self._end_stream(done_received=False)

    def feed_complete(self, chunk: Chunk) -> list[Event]:
        """The events of a complete response."""
        return self._read_chunk(chunk) + self.close()

    # --- chunks ----------------------------------------------------------------------

    def _read_chunk(self, chunk: Chunk) -> list[Event]:
        error, usage, groq = chunk.error, chunk.usage, chunk.x_groq
        if groq is not None:
            error, usage = error or groq.error, usage or groq.usage
        if error:
            return self._fail_stream(parse_error_payload({"error": error}))
        if usage:
            self._add_usage(usage)
        if chunk.citations or chunk.search_results:
            self._listed_citations = parse_listed_citations(chunk.citations, chunk.search_results)
        choices = chunk.choices
        if not choices:
            return []
        events: list[Event] = []
        if not self._started:
            self._emit_start(chunk, events)
        for choice in choices:
            if choice is None:
                continue
            if choice.error:
                return events + self._fail_stream(parse_error_payload({"error": choice.error}))
            if not choice.index:
                self._read_choice(choice, events)
            elif self._others is not None and type(choice.index) is int:
                parser, other_events = self._others.parser_for(choice.index)
                other_events += parser._read_chunk(_single_choice_chunk(chunk, choice))
        return events

    def _add_usage(self, usage: Any) -> None:
        chunk_usage = parse_usage(usage)
        if chunk_usage is not None:
            self._usage = merge_usage(self._usage, chunk_usage)

    def _emit_start(self, chunk: Chunk, events: list[Event]) -> None:
        self._started = True
        response_id = chunk.id if isinstance(chunk.id, str) else ""
        model = chunk.model if isinstance(chunk.model, str) else ""
        self._model = self._model or model
        self._calls.response_id = _NO_ID_CHARS.sub("", response_id)
        self._calls.state_origin = (self._preset, self._model)
        events.append(_start_event(chunk, response_id, model, self._usage))

    def _read_choice(self, choice: Choice, events: list[Event]) -> None:
        if choice.logprobs is not None:
            self._pending_logprobs += tuple(logprob_tokens(choice.logprobs))
        delta = choice.delta or choice.message or _Delta()
        reasoning_text = delta.reasoning_content or delta.reasoning
        if reasoning_text or delta.reasoning_details:
            self._read_reasoning(reasoning_text, delta.reasoning_details, events)
        content = delta.content
        if content:
            if type(content) is not str:
                self._read_content_list(content, events)
            elif self._open_kind == "text" and not self._pending_logprobs:
                events.append(Delta(content))
            else:
                self._emit_text("text", content, events)
        if delta.refusal and isinstance(delta.refusal, str):
            self._refused = True
            self._emit_text("refusal", delta.refusal, events)
        if delta.annotations:
            self._read_annotations(delta.annotations, events)
        if delta.audio or delta.images:
            self._read_media(delta, events)
        if delta.tool_calls or delta.function_call:
            self._read_call_deltas(delta, events)
        if choice.finish_reason:
            self._finish, self._stop = choice.finish_reason, choice.stop_reason
            # The sources of a text may come after the finish.
            if self._open_kind != "text" or self._calls.has_open_call:
                self._close_all(events)

    # --- text ------------------------------------------------------------------------

    def _emit_text(self, kind: Any, text: str, events: list[Event]) -> None:
        """Emit text; defer it while calls are open, as their arguments may continue."""
        if self._open_kind != kind:
            if self._calls.has_open_call:
                self._deferred_text.append((kind, text))
                return
            self._close_block(events)
            events.append(BlockStart(kind=kind))
            self._open_kind = kind
            if kind == "text" and self._pending_citations:
                events += [CitationDelta(citation) for citation in self._pending_citations]
                self._pending_citations = []
        if self._pending_logprobs and kind == "text":
            events.append(Delta(text, self._pending_logprobs))
            self._pending_logprobs = ()
        else:
            events.append(Delta(text))

    def _read_content_list(self, content: Any, events: list[Event]) -> None:
        """Mistral's content: a list of text and thinking chunks."""
        for part in content if isinstance(content, list) else []:
            if not isinstance(part, dict):
                continue
            if part.get("type") == "thinking":
                self._reasoning_state.set_signature(part.get("signature"))
                if thinking := thinking_text(part.get("thinking")):
                    self._emit_text("reasoning", thinking, events)
            elif isinstance(part.get("text"), str) and part["text"]:
                self._emit_text("text", part["text"], events)

    def _read_reasoning(self, reasoning_text: Any, details: Any, events: list[Event]) -> None:
        if isinstance(details, list):
            details = [detail for detail in details if isinstance(detail, dict)]
            reasoning_text = reasoning_text or details_text(details)
        else:
            details = []
        if isinstance(reasoning_text, str) and reasoning_text:
            self._emit_text("reasoning", reasoning_text, events)
        self._reasoning_state.add(details)

    def _read_annotations(self, annotations: Any, events: list[Event]) -> None:
        citations = parse_citations(annotations)
        if self._open_kind == "text":
            events += [CitationDelta(citation) for citation in citations]
        else:
            self._pending_citations += citations

    def _read_media(self, delta: _Delta, events: list[Event]) -> None:
        """Audio and images, which have no canonical form in a response."""
        if self._calls.has_open_call:
            return
        if isinstance(delta.images, list):
            self._close_block(events)
            native = {"type": "images", "images": delta.images}
            events += [
                BlockStart(kind="native", dialect=NAME, native=native),
                BlockEnd(),
            ]
        if isinstance(delta.audio, dict):
            if self._open_kind != "native":
                self._close_block(events)
                native = {"type": "audio"}
                events.append(BlockStart(kind="native", dialect=NAME, native=native))
                self._open_kind = "native"
            events.append(NativeDelta(delta.audio))

    # --- calls and block ends ----------------------------------------------------------

    def _read_call_deltas(self, delta: _Delta, events: list[Event]) -> None:
        call_deltas = delta.tool_calls or []
        call_deltas = [call_deltas] if isinstance(call_deltas, dict) else call_deltas
        function_call = delta.function_call
        if isinstance(function_call, dict):
            name = function_call.get("name")
            call_id = f"call_{self._calls.response_id or 'g'}_0" if name else None
            call_deltas = [{"index": -1, "id": call_id, "function": function_call}]
        if not isinstance(call_deltas, list) or not call_deltas:
            return
        self._close_block(events)
        for call_delta in call_deltas:
            self._calls.feed(call_delta, events)

    def _close_block(self, events: list[Event]) -> None:
        if self._open_kind == "reasoning":
            events.append(self._take_signature())
        if self._open_kind == "text":
            events += [CitationDelta(citation) for citation in self._listed_citations]
            self._listed_citations = []
        if self._open_kind:
            events.append(BlockEnd())
            self._open_kind = ""
        if self._reasoning_state.has_state and not self._calls.has_open_call:
            # State without text, or state that arrived after the text.
            redacted = BlockStart(kind="reasoning", redacted=True)
            events += [redacted, self._take_signature(), BlockEnd()]

    def _take_signature(self) -> SignatureDelta:
        return SignatureDelta(self._reasoning_state.take_signature(self._preset, self._model))

    def _close_all(self, events: list[Event]) -> None:
        """Close all open blocks; text that was deferred by calls follows them."""
        self._close_block(events)
        self._calls.close(events)
        deferred_text, self._deferred_text = self._deferred_text, []
        for kind, text in deferred_text:
            self._emit_text(kind, text, events)
        self._close_block(events)

    # --- ends ------------------------------------------------------------------------

    def _end_stream(self, *, done_received: bool) -> list[Event]:
        """End if the provider signalled the end in any way, else Failed for a truncated stream."""
        if not self._started or (self._finish is None and not done_received):
            return self._fail_stream(TRUNCATED)
        events: list[Event] = []
        self._close_all(events)
        self._ended = True
        if self._usage is not None:
            events.append(UsageUpdate(self._usage))
        calls = self._calls.has_calls
        finish = parse_finish(self._finish, calls=calls, has_refusal=self._refused, stop=self._stop)
        try:
            other_parts = (
                self._others.close(lambda each: each._end_stream(done_received=done_received))
                if self._others
                else ()
            )
        except GatewayError as failure:
            return self._fail_stream(failure.error)
        return [*events, End(finish, other_parts)]

    def _fail_stream(self, error: Error) -> list[Event]:
        self._ended = True
        return failed_events(error, self._usage if self._started else None)


def _start_event(chunk: Chunk, response_id: str, model: str, usage: Usage | None) -> Start:
    tier = chunk.service_tier
    return Start(
        id=response_id,
        model=model,
        created=chunk.created if type(chunk.created) is int else None,
        service_tier=tier if isinstance(tier, str) else None,
        prompt_tokens=usage.prompt_tokens if usage is not None else None,
    )


def wants_multiple_choices(rendered_request: RenderedRequest | None) -> bool:
    """Whether the request asked for several choices."""
    return rendered_request is not None and rendered_request.body.get("n", 1) > 1


def _single_choice_chunk(chunk: Chunk, choice: Choice) -> Chunk:
    """The chunk with this choice only, at index 0."""
    choice = msgspec.structs.replace(choice, index=0)
    return msgspec.structs.replace(chunk, choices=[choice], usage=None, x_groq=None)


# --- a client's stream ----------------------------------------------------------------------------
#
# All chunks of a response start with the same bytes, encoded once. An error is the last
# event and no `[DONE]` follows it, or clients would treat the response as successful.

Json = dict[str, Any]
_encode = msgspec.json.encode
_CHUNK_END = b',"finish_reason":null}]}\n\n'
_DONE_EVENT = b"data: [DONE]\n\n"


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
        self._sends_whole_calls = context.framing == "whole_calls"
        self._whole_call: Json = {}
        self._whole_call_texts: list[str] = []
        self._refused = False
        self._text_length = 0
        self._block_start = 0
        self._pending_citations: list[Citation] = []
        self._list_lengths: dict[str, int] = {}
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """The bytes for this event."""
        if self._ended:
            return b""
        if type(event) is Delta:
            if event.logprobs and self._block.kind == "text":
                return self._render_delta_with_logprobs(event)
            return self._render_delta(event.text)
        match event:
            case Start():
                self._usage = event.usage
                return self._render_chunk({"role": "assistant", "content": ""})
            case BlockStart():
                return self._open_block(event)
            case BlockEnd():
                return self._close_block()
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
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
            return self._render_chunk(dict.fromkeys(self._reasoning_fields, text))
        return b""

    def _render_delta_with_logprobs(self, event: Delta) -> bytes:
        self._text_length += len(event.text)
        logprobs = {"content": event.logprobs, "refusal": None}
        head = self._text + _encode(event.text) + b'},"logprobs":' + _encode(logprobs)
        return head + _CHUNK_END

    def _open_block(self, block: BlockStart) -> bytes:
        self._block = block
        self._block_start = self._text_length
        if block.kind == "native":
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
            call |= {
                "type": "function",
                "function": {"name": block.name, "arguments": ""},
            }
        if self._sends_whole_calls:
            self._whole_call, self._whole_call_texts = call, []
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
            return out + self._render_whole_call() if self._whole_call else out
        if block.kind == "text" and self._pending_citations:
            return self._render_annotations()
        return b""

    def _render_whole_call(self) -> bytes:
        """The collected call, for a client that requires it in one chunk."""
        call, self._whole_call = self._whole_call, {}
        kind, field = ("custom", "input") if self._block.custom else ("function", "arguments")
        call[kind][field] = "".join(self._whole_call_texts)
        return self._render_chunk({"tool_calls": [call]})

    def _render_annotations(self) -> bytes:
        """The sources of the block, whose end position is known only now."""
        citations, self._pending_citations = self._pending_citations, []
        rendered_citations = [
            render_citation(source, self._block_start, self._text_length) for source in citations
        ]
        annotations = [annotation for annotation in rendered_citations if annotation is not None]
        if len(annotations) < len(rendered_citations):
            self.report.add(
                dropped_field("citations", "OpenAI Chat does not support sources without a URL")
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
            self._whole_call["extra_content"] = wrap_extra_content(event.signature)
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
        if field == "images":
            images = [image for image in fields.get(field, []) if isinstance(image, dict)]
            return self._render_list(field, images)
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
        usage = render_usage(self._usage) if self._include_usage else None
        if usage is not None:
            out += self._head + b',"choices":[],"usage":' + _encode(usage) + b"}\n\n"
        self._ended = True
        return out + _DONE_EVENT

    def _render_complete_choice(self, response: Response, index: int) -> bytes:
        """All chunks of a further choice, which is complete."""
        renderer = ChatStreamRenderer(self._context, index)
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
        reason = render_finish(finish, has_refusal=has_refusal, functions=self._uses_functions)
        out += self._prefix + b'{},"finish_reason":' + _encode(reason) + b"}]"
        usage = render_usage(self._usage) if self._sends_whole_calls else None
        return out + (b',"usage":' + _encode(usage) if usage is not None else b"") + b"}\n\n"

    def _fail_stream(self, error: Error) -> bytes:
        self._ended = True
        return b"data: " + _encode(render_error_body(error)) + b"\n\n"


class ChatChoiceRenderer(ChatStreamRenderer):
    """Renders one of several choices of a stream: its end has neither usage nor terminator."""

    def _end_stream(self, event: End) -> bytes:
        self._ended = True
        return self._render_finish(event.finish)
