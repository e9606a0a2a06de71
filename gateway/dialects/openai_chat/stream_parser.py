"""Streams of providers: chunks to canonical events."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from gateway.canon.alternatives import AlternativeParsers, PassthroughAlternatives
from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    CitationDelta,
    Delta,
    End,
    Event,
    NativeDelta,
    SignatureDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.json_values import decode_or_none
from gateway.canon.logprobs import logprob_tokens
from gateway.canon.request import Citation
from gateway.canon.response import Usage, merge_usage
from gateway.canon.surrogates import SurrogateJoiner
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.openai_chat.parts import (
    FINGERPRINT,
    MODERATION,
    NAME,
    Json,
    parse_citations,
    parse_listed_citations,
    thinking_text,
)
from gateway.dialects.openai_chat.reasoning import ReasoningStateCollector
from gateway.dialects.openai_chat.response import error_in_frame, parse_finish, parse_usage
from gateway.dialects.openai_chat.tool_calls import ToolCallStream
from gateway.dialects.shared.failed_streams import TRUNCATED, events_before_error, failed_events
from gateway.dialects.shared.fields import string_or_none
from gateway.dialects.shared.openai_errors import is_error, parse_error_payload
from gateway.framing.sse import Frame

# Providers differ in every detail that the official reference leaves open; `Chunk` and
# `MessageFields` list the supported fields, and others are ignored. A frame that is no chunk ends
# the stream as Failed: never an exception, never a clean end.
#
# The finish is buffered until the usage or the end of the bytes has arrived, because any
# chunk may carry the usage, before or after the finish.

# What a response id has in addition to the characters of a call id.
_NO_ID_CHARS = re.compile(r"[^\w-]+")
_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError)


class MessageFields(msgspec.Struct):
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
    delta: MessageFields | None = None
    message: MessageFields | None = None
    messages: Any = None
    finish_reason: Any = None
    stop_reason: Any = None
    logprobs: Any = None
    error: Any = None
    usage: Any = None


class _Groq(msgspec.Struct):
    usage: Any = None
    error: Any = None


# In one chunk: each takes time in which the gateway serves nobody else.
_MAX_CHOICES = 10_000


class Chunk(msgspec.Struct):
    """A chunk, or a complete response."""

    id: Any = None
    model: Any = None
    created: Any = None
    choices: Annotated[list[Choice | None], msgspec.Meta(max_length=_MAX_CHOICES)] | None = None
    usage: Any = None
    error: Any = None
    x_groq: _Groq | None = None
    service_tier: Any = None
    citations: Any = None
    search_results: Any = None
    system_fingerprint: Any = None
    moderation: Any = None


_decoder = msgspec.json.Decoder(Chunk)


class ChatStreamParser:
    """One stream of chunks -> events. Further requested choices are emitted at the end."""

    def __init__(self, traits: Traits, rendered_request: RenderedRequest | None) -> None:
        self._others = (
            AlternativeParsers(lambda: ChatStreamParser(traits, rendered_request))
            if wants_multiple_choices(rendered_request)
            else None
        )
        self._passed = PassthroughAlternatives()
        self.alternatives = self._passed if self._others is None else self._others
        self._preset, self._model = traits.preset, traits.model
        self._calls = ToolCallStream(rendered_request)
        self._started = self._ended = False
        self._open_kind = ""
        self._deferred_text: list[tuple[str, str]] = []
        self._reasoning_state = ReasoningStateCollector()
        self._pending_citations: list[Citation] = []
        self._listed_citations: list[Citation] = []
        # Of the next text: tokens whose chunk had none, such as part of a character.
        self._pending_logprobs: list[Json] = []
        self._refused = False
        self._finish: Any = None
        self._stop: Any = None
        self._usage: Usage | None = None
        self._service_tier: str | None = None  # beside the usage
        self._extra: dict[str, Json] = {}
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
            self._service_tier = string_or_none(chunk.service_tier)
        if chunk.citations or chunk.search_results:
            self._listed_citations = parse_listed_citations(chunk.citations, chunk.search_results)
        if chunk.moderation is not None:
            self._extra = response_extra(chunk)
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
            if choice.usage:
                self._add_usage(choice.usage)
            if not choice.index:
                self._read_choice(choice, events)
            elif self._others is not None and type(choice.index) is int:
                parser, other_events = self._others.parser_for(choice.index)
                other_events += parser._read_chunk(_single_choice_chunk(chunk, choice))
            elif type(choice.index) is int and (choice.delta or choice.finish_reason):
                self._passed.update(choice.index, ended=bool(choice.finish_reason))
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
            self._pending_logprobs += logprob_tokens(choice.logprobs)
        delta = choice.delta or choice.message or MessageFields()
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
        if self._pending_logprobs and kind in {"text", "refusal"}:
            events.append(Delta(text, tuple(self._pending_logprobs)))
            self._pending_logprobs = []
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
            reasoning_text = reasoning_text or self._reasoning_state.unsent_text(details)
        else:
            details = []
            self._reasoning_state.note_text(reasoning_text)
        if isinstance(reasoning_text, str) and reasoning_text:
            self._emit_text("reasoning", reasoning_text, events)
        self._reasoning_state.add(details)

    def _read_annotations(self, annotations: Any, events: list[Event]) -> None:
        citations = parse_citations(annotations)
        if self._open_kind == "text":
            events += [CitationDelta(citation) for citation in citations]
        else:
            self._pending_citations += citations

    def _read_media(self, delta: MessageFields, events: list[Event]) -> None:
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

    def _read_call_deltas(self, delta: MessageFields, events: list[Event]) -> None:
        call_deltas = _tool_call_deltas(delta, self._calls.response_id)
        if not call_deltas:
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
            block_start = BlockStart(kind="reasoning", redacted=True)
            events += [block_start, self._take_signature(), BlockEnd()]

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
        """End if the provider signaled the end in any way, else Failed for a truncated stream."""
        is_complete = done_received or (self._finish is not None and not self._passed.any_open)
        if not self._started or not is_complete:
            return self._fail_stream(TRUNCATED)
        events: list[Event] = []
        self._close_all(events)
        if self._pending_citations:
            # Their text ended with a call; only Chat has a place for them after it.
            annotations = [citation.native for citation in self._pending_citations]
            native = {"type": "annotations", "annotations": annotations}
            events += [BlockStart(kind="native", dialect=NAME, native=native), BlockEnd()]
        self._ended = True
        if self._usage is not None:
            events.append(UsageUpdate(self._usage, self._service_tier))
        calls = self._calls.has_calls
        finish = parse_finish(self._finish, calls=calls, has_refusal=self._refused, stop=self._stop)
        try:
            other_parts = (
                self._others.close(lambda each: each._end_stream(done_received=done_received))
                if self._others is not None
                else ()
            )
        except GatewayError as failure:
            return self._fail_stream(failure.error)
        return [*events, End(finish, other_parts, self._extra)]

    def _fail_stream(self, error: Error) -> list[Event]:
        complete = self._finish is not None and not self._passed.any_open and not self._ended
        events = events_before_error(self._end_stream(done_received=False)) if complete else []
        self._ended = True
        return events or failed_events(error, self._usage if self._started else None)


def _tool_call_deltas(delta: MessageFields, response_id: str) -> list[Any]:
    """The deltas of calls in a delta; the legacy form of a call has neither index nor id."""
    function_call = delta.function_call
    if isinstance(function_call, dict):
        call_id = f"call_{response_id or 'g'}_0" if function_call.get("name") else None
        return [{"index": -1, "id": call_id, "function": function_call}]
    call_deltas = delta.tool_calls or []
    call_deltas = [call_deltas] if isinstance(call_deltas, dict) else call_deltas
    return call_deltas if isinstance(call_deltas, list) else []


def _start_event(chunk: Chunk, response_id: str, model: str, usage: Usage | None) -> Start:
    tier = chunk.service_tier
    return Start(
        id=response_id,
        model=model,
        created=chunk.created if type(chunk.created) is int else None,
        service_tier=tier if isinstance(tier, str) else None,
        prompt_tokens=usage.prompt_tokens if usage is not None else None,
        extra=response_extra(chunk),
    )


def response_extra(chunk: Chunk) -> dict[str, Json]:
    """The entry for a response's `extra`; empty if the chunk has no such fields."""
    fields: Json = {}
    if isinstance(chunk.system_fingerprint, str):
        fields[FINGERPRINT] = chunk.system_fingerprint
    if isinstance(chunk.moderation, dict):
        fields[MODERATION] = chunk.moderation
    return {NAME: fields} if fields else {}


def wants_multiple_choices(rendered_request: RenderedRequest | None) -> bool:
    """Whether the request asked for several choices."""
    return rendered_request is not None and rendered_request.body.get("n", 1) > 1


def _single_choice_chunk(chunk: Chunk, choice: Choice) -> Chunk:
    """The chunk with this choice only, at index 0."""
    choice = msgspec.structs.replace(choice, index=0)
    return msgspec.structs.replace(chunk, choices=[choice], usage=None, x_groq=None)
