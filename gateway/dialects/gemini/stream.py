"""Streams: a provider's chunks to canonical events, and back for a client."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation
from gateway.canon.alternatives import AlternativeParsers, PassthroughAlternatives
from gateway.canon.call_ids import UnusedIds
from gateway.canon.errors import Error, GatewayError, bad_upstream
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
from gateway.canon.fold import ResponseBuilder, fold_events
from gateway.canon.json_values import dict_items, list_or_empty
from gateway.canon.logprobs import attach_logprobs, logprobs_extra
from gateway.canon.request import Reasoning, Refusal, Signature, Text
from gateway.canon.response import Finish, Response, Usage, merge_usage
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.dialects.gemini.context import (
    GENERATION_CONFIG,
    NAME,
    NEXT_PART_SIGNATURE,
    SAME_PART_SIGNATURE,
    SIGNATURE_FIELDS,
    TRAFFIC_TIERS,
    Json,
)
from gateway.dialects.gemini.errors import (
    is_error,
    parse_error_payload,
    render_blocked_prompt,
    render_error_body,
)
from gateway.dialects.gemini.google_fields import (
    PROMPT_FEEDBACK,
    GoogleFields,
    google_fields,
    prompt_feedback,
)
from gateway.dialects.gemini.partial_calls import PartialCalls
from gateway.dialects.gemini.response import (
    GroundedText,
    GroundingSearches,
    extract_sources,
    parse_finish,
    parse_logprobs,
    parse_usage,
    render_candidate,
    render_candidate_end,
    render_identifiers,
    render_logprobs,
    render_part,
    render_reasoning,
    render_usage,
    report_pause,
    report_unlinked_sources,
    search_query,
    utf8_length,
)
from gateway.dialects.gemini.text_sources import TextSources, may_cite_sources
from gateway.dialects.shared.code_execution import GEMINI_CODE
from gateway.dialects.shared.failed_streams import (
    TRUNCATED,
    decode_event,
    events_before_error,
    failed_events,
    malformed_output_error,
)
from gateway.dialects.shared.fields import integer_or_none, string_or_empty
from gateway.framing.sse import Frame

# --- a provider's stream --------------------------------------------------------------------------
#
# Text arrives in fragments, calls arrive complete, and a part ends when the next one begins.
# A call whose arguments are streamed in fragments is collected until it is complete.
# A signature on a call belongs to the reasoning before it: that block stays open for it, or
# an empty one is created. There is no final frame, so the response ends with the stream.

_BLOCKED_PREFIX = "Blocked by provider: "


class GeminiStreamParser:
    """Parses one stream, or a non-streaming response as a stream of one frame."""

    def __init__(self, traits: Traits, request: RenderedRequest | None) -> None:
        self._traits = traits
        self._others = (
            AlternativeParsers(lambda: GeminiStreamParser(traits, request))
            if _requests_several_candidates(request)
            else None
        )
        self._passed = PassthroughAlternatives()
        self.alternatives = self._passed if self._others is None else self._others
        self._client_names = request.client_names if request is not None else {}
        self._custom_tools = request.custom_tools if request is not None else frozenset[str]()
        # The position of the response among the contents.
        self._content_index = len(request.body.get("contents", ())) if request is not None else 0
        self._started = self._ended = False
        self._response_id = ""
        self._model = traits.model
        self._call_count = 0
        self._unused_ids = UnusedIds()
        self._has_content = False
        self._open_kind = ""  # the kind of the open block
        self._pending_signature: Signature | None = None
        self._partial_calls = PartialCalls()
        self._text_sources = TextSources(expected=may_cite_sources(request))
        self._searches = GroundingSearches()
        self._google_fields = GoogleFields()
        self._usage: Json = {}
        self._finish_reason = ""
        self._finish_message: Any = None
        self._block_reason = ""  # why the prompt was refused

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._ended or frame.data.strip() in {b"[DONE]", b""}:
            return []
        was_started, was_finished = self._started, bool(self._finish_reason)
        try:
            return self.parse_event(decode_event(frame, parse_error_payload))
        except GatewayError as failure:
            if was_finished and (events := events_before_error(self.close())):
                return events
            self._started = was_started  # the events of this chunk are discarded
            return self._fail_stream(failure.error)

    def parse_event(self, data: Any) -> list[Event]:
        """The events of one decoded chunk. Raises GatewayError for any other shape."""
        if is_error(data):
            raise GatewayError(parse_error_payload(data))
        if not isinstance(data, dict):
            raise bad_upstream("the upstream sent an event that is not an object")
        if isinstance(usage := data.get("usageMetadata"), dict):
            self._usage |= usage
        feedback = data.get(PROMPT_FEEDBACK)
        if isinstance(feedback, dict) and isinstance(feedback.get("blockReason"), str):
            self._block_reason = feedback["blockReason"]
            self._finish_message = feedback.get("blockReasonMessage")
        events = self._start_message(data)
        for candidate in list_or_empty(data.get("candidates")):
            index = (candidate.get("index") or 0) if isinstance(candidate, dict) else None
            if index == 0:
                events += self._read_candidate(candidate)
                self._google_fields.add(data, candidate)
            elif self._others is not None and type(index) is int:
                parser, candidate_events = self._others.parser_for(index)
                candidate_events += parser.parse_event(
                    {**data, "candidates": [{**candidate, "index": 0}]}
                )
            elif type(index) is int:
                self._passed.update(index, ended=bool(candidate.get("finishReason")))
        return events

    def close(self) -> list[Event]:
        """The final events: End, or Failed for a truncated stream."""
        if self._ended:
            return []
        if not self._finish_reason and self._block_reason:
            return self._end_with_refusal()
        if not self._finish_reason or self._passed.any_open:
            return self._fail_stream(TRUNCATED)
        try:
            extra = self._others
            extra_responses = extra.close(GeminiStreamParser.close) if extra is not None else ()
        except GatewayError as failure:
            return self._fail_stream(failure.error)
        events = self._text_sources.take() + self._end_partial_call() + self._end_block()
        self._ended = True
        for data in self._searches.items(self._response_id):
            events += [BlockStart(kind="native", dialect=NAME, native=data), BlockEnd()]
        usage = parse_usage(self._usage)
        if usage is not None:
            tier = TRAFFIC_TIERS.get(string_or_empty(self._usage.get("trafficType")))
            events.append(UsageUpdate(usage, tier))
        finish = parse_finish(
            self._finish_reason,
            self._finish_message,
            has_tool_call=bool(self._call_count),
            is_empty=not self._has_content,
        )
        return [*events, End(finish, extra_responses, self._google_fields.extra())]

    # --- the response ------------------------------------------------------------------

    def _start_message(self, data: Json) -> list[Event]:
        if self._started:
            return []
        self._started = True
        self._response_id = string_or_empty(data.get("responseId"))
        model = string_or_empty(data.get("modelVersion"))
        self._model = self._traits.model or model
        usage = parse_usage(self._usage)
        prompt_tokens = usage.prompt_tokens if usage is not None else None
        extra = prompt_feedback(data) if self._block_reason else {}
        return [Start(id=self._response_id, model=model, prompt_tokens=prompt_tokens, extra=extra)]

    def _fail_stream(self, error: Error) -> list[Event]:
        self._ended = True
        usage = parse_usage(self._usage) if self._started else None
        return [*self._text_sources.take(), *failed_events(error, usage)]

    def _end_with_refusal(self) -> list[Event]:
        """End with a refusal block, as an empty response would look like a success.

        Usage is reported only after content: Google bills nothing for a refused prompt alone.
        """
        self._ended = True
        finish = Finish(
            reason="filter",
            explanation=string_or_empty(self._finish_message) or None,
            category=self._block_reason,
        )
        usage = parse_usage(self._usage) if self._has_content else None
        events = self._text_sources.take() + self._end_block()
        events += _refusal_events(self._block_reason)
        if usage is not None:
            events.append(UsageUpdate(usage))
        return [*events, End(finish)]

    def _read_candidate(self, candidate: Json) -> list[Event]:
        content = candidate.get("content")
        parts = list_or_empty(content.get("parts")) if isinstance(content, dict) else []
        if not all(isinstance(part, dict) for part in parts):
            raise bad_upstream("the upstream sent a part that is not an object")
        sources = extract_sources(candidate)
        self._searches.add(candidate.get("groundingMetadata"))
        # Sources belong to the last text, which a signature next to it or after it may end.
        last_text_index = max(
            (n for n, part in enumerate(parts) if _is_response_text(part)), default=-1
        )
        events: list[Event] = []
        open_kind = self._open_kind
        if last_text_index < 0 and (open_kind == "text" or self._text_sources.has_ended):
            self._text_sources.unsent_sources = sources
            events = self._text_sources.citation_events()
        elif last_text_index < 0 and sources is not None:
            self._text_sources.early_sources = sources
        for index, part in enumerate(parts):
            if index == last_text_index:
                self._text_sources.unsent_sources = sources
            events += self._read_part(part)
        if "logprobsResult" in candidate:
            tokens = parse_logprobs(candidate["logprobsResult"])
            events = attach_logprobs(events, tokens, open_kind)
        if self._text_sources.has_ended:
            events = self._text_sources.hold_back(events, open_kind)
        if self._open_kind == "text":
            events += self._text_sources.citation_events()
        reason = candidate.get("finishReason")
        if isinstance(reason, str) and reason != "FINISH_REASON_UNSPECIFIED":
            self._finish_reason = reason
            self._finish_message = candidate.get("finishMessage")
        return events

    def _read_part(self, part: Json) -> list[Event]:
        signature_value = _signature_value(part)
        call = part.get("functionCall")
        if isinstance(call, dict):
            complete_calls = self._partial_calls.add(call, signature_value)
            return [event for each in complete_calls for event in self._tool_call_events(*each)]
        events = self._end_partial_call()
        if isinstance(part.get("text"), str):
            if part.get("thought") is True:
                return events + self._reasoning_events(part["text"], signature_value)
            return events + self._text_events(part["text"], signature_value)
        if signature_value and part.keys() <= {*SIGNATURE_FIELDS, "thought"}:
            return events + self._trailing_signature_events(signature_value)
        return events + self._native_events(part, signature_value)

    def _end_partial_call(self) -> list[Event]:
        return [
            event for each in self._partial_calls.close() for event in self._tool_call_events(*each)
        ]

    # --- blocks ------------------------------------------------------------------------

    def _end_block(self) -> list[Event]:
        if not self._open_kind:
            return []
        events: list[Event] = []
        if self._open_kind == "text":
            events = self._text_sources.end()
        if self._open_kind == "reasoning":
            events.append(
                SignatureDelta(self._pending_signature or self._new_signature("", "text"))
            )
        self._open_kind, self._pending_signature = "", None
        return [*events, BlockEnd()]

    def _ensure_open_block(self, kind: Any) -> list[Event]:
        """The events that open a block of this kind; none if it is open already."""
        if self._open_kind == kind:
            return []
        events = self._end_block()
        self._open_kind = kind
        return [*events, BlockStart(kind=kind)]

    def _new_signature(self, value: str, kind: str) -> Signature:
        return Signature(provider=self._traits.preset, model=self._model, kind=kind, value=value)

    def _reasoning_events(self, text: str, signature_value: str) -> list[Event]:
        if not text and not signature_value:
            return []
        events = self._ensure_open_block("reasoning")
        if signature_value:
            self._pending_signature = self._new_signature(signature_value, SAME_PART_SIGNATURE)
        return [*events, Delta(text)] if text else events

    def _text_events(self, text: str, signature_value: str) -> list[Event]:
        if not text:
            return self._trailing_signature_events(signature_value) if signature_value else []
        self._has_content = True
        if self._open_kind != "text":
            self._text_sources.begin()
        self._text_sources.add(text)
        events = [*self._ensure_open_block("text"), Delta(text)]
        return (
            events + self._trailing_signature_events(signature_value) if signature_value else events
        )

    def _trailing_signature_events(self, signature_value: str) -> list[Event]:
        """The events of a signature on a text part: an empty reasoning block carries it."""
        events = self._end_block() if self._open_kind != "reasoning" else []
        events += self._ensure_open_block("reasoning")
        self._pending_signature = self._new_signature(signature_value, SAME_PART_SIGNATURE)
        return events + self._end_block()

    def _tool_call_events(self, call: Json, signature_value: str) -> list[Event]:
        sent_name = string_or_empty(call.get("name"))
        self._has_content = True
        events: list[Event] = []
        if signature_value:
            events += self._ensure_open_block("reasoning")
            self._pending_signature = self._new_signature(signature_value, NEXT_PART_SIGNATURE)
        events += self._end_block()
        generated_id = f"call_{self._response_id or self._content_index}_{self._call_count}"
        call_id = self._unused_ids.claim(string_or_empty(call.get("id")) or generated_id)
        self._call_count += 1
        custom = sent_name in self._custom_tools
        name = self._client_names.get(sent_name, sent_name)
        signed = bool(signature_value)
        events.append(
            BlockStart(kind="tool_call", id=call_id, name=name, custom=custom, signed=signed)
        )
        if signed:
            # Before the arguments: for some clients of Chat a call is complete with them.
            events.append(SignatureDelta(self._new_signature(signature_value, SAME_PART_SIGNATURE)))
        events += _argument_events(call.get("args"), custom=custom)
        return [*events, BlockEnd()]

    def _native_events(self, part: Json, signature_value: str) -> list[Event]:
        """A part of this dialect; an empty reasoning block carries the state of code to others."""
        if not any(value is not None for value in part.values()):
            return []
        self._has_content = True
        events: list[Event] = []
        if signature_value and GEMINI_CODE in part:
            events += self._ensure_open_block("reasoning")
            self._pending_signature = self._new_signature(signature_value, NEXT_PART_SIGNATURE)
        start = BlockStart(kind="native", dialect=NAME, native=part)
        return [*events, *self._end_block(), start, BlockEnd()]


def _refusal_events(block_reason: str) -> list[Event]:
    return [BlockStart(kind="refusal"), Delta(_BLOCKED_PREFIX + block_reason), BlockEnd()]


def _signature_value(part: Json) -> str:
    """The signature of a part, in either spelling; empty if it has none."""
    values = (part.get(name) for name in SIGNATURE_FIELDS)
    return next((value for value in values if isinstance(value, str)), "")


def _requests_several_candidates(rendered_request: RenderedRequest | None) -> bool:
    config = (
        rendered_request.body.get(GENERATION_CONFIG, {}) if rendered_request is not None else {}
    )
    return bool(config.get("candidateCount", 1) > 1)


def _argument_events(args: Any, *, custom: bool) -> list[Event]:
    args = args if isinstance(args, dict) else {}
    if custom:
        input_value = args.get("input")
        arguments_json = input_value if isinstance(input_value, str) else ""
    else:
        arguments_json = msgspec.json.encode(args).decode() if args else ""
    return [Delta(arguments_json)] if arguments_json else []


def _is_response_text(part: Json) -> bool:
    """Whether the part is text of the response itself."""
    return bool(string_or_empty(part.get("text"))) and part.get("thought") is not True


# --- a whole response -----------------------------------------------------------------------------


def parse_response(body: Any, traits: Traits, rendered_request: RenderedRequest | None) -> Response:
    """The canonical response. Raises GatewayError for a body that is no response."""
    if is_error(body):
        raise GatewayError(parse_error_payload(body))
    if not isinstance(body, dict) or not ("candidates" in body or "promptFeedback" in body):
        raise bad_upstream("the upstream's response contains no candidates")
    parser = GeminiStreamParser(traits, rendered_request)
    response = fold_events([*parser.parse_event(body), *parser.close()])
    candidates = {
        integer_or_none(candidate.get("index")) or 0: candidate
        for candidate in reversed(dict_items(body.get("candidates")))
    }
    responses_with_index = zip(response.alternatives, sorted(candidates.keys() - {0}), strict=False)
    alternatives = tuple(
        _with_logprobs(alternative, candidates[index])
        for alternative, index in responses_with_index
    )
    response = _with_logprobs(response, candidates.get(0, {}))
    return replace(response, alternatives=alternatives)


def _with_logprobs(response: Response, candidate: Json) -> Response:
    """The response with all log probabilities, also those of tokens that are no text."""
    logprobs = logprobs_extra(parse_logprobs(candidate.get("logprobsResult")))
    return replace(response, extra=response.extra | logprobs)


# --- a client's stream ----------------------------------------------------------------------------
#
# Each chunk is a complete GenerateContentResponse with the new parts. Text is sent as it
# arrives, a call when it is complete, and the last chunk has the reason and the usage.
# With `alt=sse` chunks are events; without it, they are the elements of one JSON array.
# A prompt refused by a provider's policy is a response without candidates, as in `errors`.

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
        self._extra: dict[str, Json] = {}
        self._grounded_texts: list[GroundedText] = []
        self._queries: list[str] = []
        self._text_bytes = 0
        self._part_count = 0
        self._is_blocked_prompt = False

    def feed(self, event: Event) -> bytes:
        """The bytes for this event; empty after End or Failed."""
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
                self._usage, self._extra = event.usage, event.extra
                self._is_blocked_prompt = PROMPT_FEEDBACK in google_fields(event.extra, "response")
                return b""
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                return b""
            case End():
                return self._end_message(event)
            case Failed():
                return self._fail_stream(event.error)
            case _:
                assert_never(event)

    # --- blocks ------------------------------------------------------------------------

    def _render_delta(self, event: Delta) -> bytes:
        self._folder.feed(event)
        if self._block_kind == "refusal" and self._is_blocked_prompt:
            return b""
        if self._block_kind in _TEXT_KINDS:
            logprobs = event.logprobs
            fields = {"logprobsResult": render_logprobs([*logprobs])} if logprobs else {}
            return self._render_chunk([{"text": event.text}], **fields)
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
        if query := search_query(part):
            self._queries.append(query)
            return b""
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
        finish, extra = event.finish, self._extra | event.extra
        if finish.reason == "malformed":
            return self._fail_stream(malformed_output_error(finish))
        report_pause(finish, 0, self.report)
        report_unlinked_sources(self._grounded_texts, 0, self.report)
        candidate: Json = {"content": {"role": "model", "parts": [{"text": ""}]}}
        end = Response(finish=finish, extra=extra)
        candidate |= render_candidate_end(end, self._grounded_texts, self._queries)
        candidate |= {"index": 0, **google_fields(extra, "candidate")}
        candidate.pop("logprobsResult", None)  # already sent with the text
        body: Json = {**google_fields(extra, "response"), "candidates": [candidate]}
        if self._is_blocked_prompt and not self._started:
            del body["candidates"]
        for index, response in enumerate(event.alternatives, 1):
            body["candidates"].append(render_candidate(response, index, self._context, self.report))
        if (usage := render_usage(self._usage)) is not None:
            body["usageMetadata"] = usage
        return self._render_last({**body, **self._identifiers})

    def _fail_stream(self, error: Error) -> bytes:
        if error.kind == "content_policy" and not self._started:
            return self._render_last({**render_blocked_prompt(error.message), **self._identifiers})
        return self._render_last(render_error_body(error))
