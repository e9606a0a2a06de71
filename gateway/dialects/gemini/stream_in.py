"""A provider's stream -> canonical events.

Text arrives in fragments, calls arrive complete, and a part ends when the next one begins.
A signature on a call belongs to the reasoning before it: that block stays open for it, or
an empty one is created. There is no final frame, so the response ends with the stream.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.alternatives import AlternativeParsers
from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    CitationDelta,
    Delta,
    End,
    Event,
    Failed,
    SignatureDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.request import Signature
from gateway.canon.response import Finish
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.gemini.citations import extract_sources, parse_citations
from gateway.dialects.gemini.errors import is_error, parse_error_payload
from gateway.dialects.gemini.finish import parse_finish
from gateway.dialects.gemini.names import (
    GENERATION_CONFIG,
    NAME,
    NEXT_PART_SIGNATURE,
    SAME_PART_SIGNATURE,
    Json,
)
from gateway.dialects.gemini.usage import parse_usage
from gateway.dialects.shared.responses import TRUNCATED_STREAM
from gateway.framing.sse import Frame

_BLOCKED_PREFIX = "Blocked by provider: "
_decode = msgspec.json.Decoder().decode
_SIGNATURE_FIELDS = ("thoughtSignature", "thought_signature")


class GeminiStreamParser:
    """Parses one stream, or a non-streaming response as a stream of one frame."""

    def __init__(self, traits: Traits, rendered: RenderedRequest | None) -> None:
        self._traits = traits
        requests_several = _requests_several_candidates(rendered)
        self._extra_candidates = (
            AlternativeParsers(lambda: GeminiStreamParser(traits, rendered))
            if requests_several
            else None
        )
        self._client_names = rendered.client_names if rendered is not None else {}
        self._custom_tools = rendered.custom_tools if rendered is not None else frozenset[str]()
        # The position of the response among the contents.
        self._content_index = len(rendered.body.get("contents", ())) if rendered is not None else 0
        self._started = False
        self._ended = False
        self._response_id = ""
        self._model = traits.model
        self._call_count = 0
        self._has_content = False
        self._open_kind = ""  # the kind of the open block
        self._open_text: list[str] = []
        self._pending_signature: Signature | None = None
        self._sources: Any = None  # sources of the open text, emitted when it ends
        self._usage: Json = {}
        self._finish_reason = ""
        self._finish_message: Any = None
        self._block_reason = ""  # why the prompt was refused

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._ended or frame.data.strip() in {b"[DONE]", b""}:
            return []
        try:
            data = _decode(frame.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._fail(bad_upstream("the upstream sent an event that is not JSON").error)
        try:
            return self.parse_event(data)
        except GatewayError as failure:
            return self._fail(failure.error)

    def parse_event(self, data: Any) -> list[Event]:
        """The events of one decoded answer. Raises GatewayError for what is none."""
        if is_error(data):
            raise GatewayError(parse_error_payload(data))
        if not isinstance(data, dict):
            raise bad_upstream("the upstream sent an event that is no object")
        usage = data.get("usageMetadata")
        if isinstance(usage, dict):
            self._usage |= usage
        events = self._start_message(data)
        feedback = data.get("promptFeedback")
        if isinstance(feedback, dict) and isinstance(feedback.get("blockReason"), str):
            self._block_reason = feedback["blockReason"]
            self._finish_message = feedback.get("blockReasonMessage")
        for candidate in _list_or_empty(data.get("candidates")):
            index = candidate.get("index", 0) if isinstance(candidate, dict) else None
            if index == 0:
                events += self._read_candidate(candidate)
            elif self._extra_candidates is not None and type(index) is int:
                parser, candidate_events = self._extra_candidates.parser_for(index)
                candidate_events += parser.parse_event(
                    {**data, "candidates": [{**candidate, "index": 0}]}
                )
        return events

    def close(self) -> list[Event]:
        """The final events: End, or Failed for a truncated stream."""
        if self._ended:
            return []
        if self._block_reason and not self._finish_reason:
            return self._end_with_refusal()
        if not self._finish_reason:
            return self._fail(Error(kind="upstream_error", message=TRUNCATED_STREAM))
        try:
            extra_responses = (
                self._extra_candidates.close(GeminiStreamParser.close)
                if self._extra_candidates
                else ()
            )
        except GatewayError as failure:
            return self._fail(failure.error)
        events = self._end_block()
        self._ended = True
        usage = parse_usage(self._usage)
        if usage is not None:
            events.append(UsageUpdate(usage))
        finish = parse_finish(
            self._finish_reason,
            self._finish_message,
            has_tool_call=bool(self._call_count),
            is_empty=not self._has_content,
        )
        return [*events, End(finish, extra_responses)]

    # --- the answer --------------------------------------------------------------------

    def _start_message(self, data: Json) -> list[Event]:
        if self._started:
            return []
        self._started = True
        self._response_id = _string_or_empty(data.get("responseId"))
        model = _string_or_empty(data.get("modelVersion"))
        self._model = self._traits.model or model
        usage = parse_usage(self._usage)
        prompt_tokens = usage.prompt_tokens if usage is not None else None
        return [Start(id=self._response_id, model=model, prompt_tokens=prompt_tokens)]

    def _fail(self, error: Error) -> list[Event]:
        self._ended = True
        return [Failed(error)]

    def _end_with_refusal(self) -> list[Event]:
        """Ends with a refusal block, as an empty response would look like a success.

        Usage is reported only if content came first: otherwise nothing was generated, and
        Google bills nothing.
        """
        self._ended = True
        finish = Finish(
            reason="filter",
            explanation=_string_or_empty(self._finish_message) or None,
            category=self._block_reason,
        )
        usage = parse_usage(self._usage) if self._has_content else None
        events = [
            *self._end_block(),
            BlockStart(kind="refusal"),
            Delta(_BLOCKED_PREFIX + self._block_reason),
        ]
        events.append(BlockEnd())
        if usage is not None:
            events.append(UsageUpdate(usage))
        return [*events, End(finish)]

    def _read_candidate(self, candidate: Json) -> list[Event]:
        content = candidate.get("content")
        parts = _list_or_empty(content.get("parts")) if isinstance(content, dict) else []
        if not all(isinstance(part, dict) for part in parts):
            raise bad_upstream("the upstream sent a part that is no object")
        sources = extract_sources(candidate)
        # Sources belong to the last text, which a signature next to it or after it may end.
        last_text_index = max(
            (n for n, part in enumerate(parts) if _is_answer_text(part)), default=-1
        )
        if last_text_index < 0 and self._open_kind == "text":
            self._sources = sources
        events: list[Event] = []
        for index, part in enumerate(parts):
            if index == last_text_index:
                self._sources = sources
            events += self._read_part(part)
        events += self._citation_events()
        reason = candidate.get("finishReason")
        if isinstance(reason, str) and reason != "FINISH_REASON_UNSPECIFIED":
            self._finish_reason = reason
            self._finish_message = candidate.get("finishMessage")
        return events

    def _read_part(self, part: Json) -> list[Event]:
        signature_value = next(
            (part[name] for name in _SIGNATURE_FIELDS if isinstance(part.get(name), str)), ""
        )
        call = part.get("functionCall")
        if isinstance(call, dict):
            return self._tool_call_events(call, signature_value)
        if isinstance(part.get("text"), str):
            if part.get("thought") is True:
                return self._reasoning_events(part["text"], signature_value)
            return self._text_events(part["text"], signature_value)
        if signature_value and part.keys() <= {*_SIGNATURE_FIELDS, "thought"}:
            return self._trailing_signature_events(signature_value)
        return self._native_events(part)

    # --- blocks ------------------------------------------------------------------------

    def _citation_events(self) -> list[Event]:
        """The sources of the text that is open."""
        sources, self._sources = self._sources, None
        if sources is None or self._open_kind != "text":
            return []
        return [
            CitationDelta(citation)
            for citation in parse_citations(sources, "".join(self._open_text))
        ]

    def _end_block(self) -> list[Event]:
        if not self._open_kind:
            return []
        events = self._citation_events() if self._open_kind == "text" else []
        if self._open_kind == "reasoning":
            events.append(
                SignatureDelta(self._pending_signature or self._new_signature("", "text"))
            )
        self._open_kind, self._pending_signature, self._open_text = "", None, []
        return [*events, BlockEnd()]

    def _ensure_open_block(self, kind: Any) -> list[Event]:
        """The events that open a block of this kind; none if it is open already."""
        if self._open_kind == kind:
            return []
        events = self._end_block()
        self._open_kind = kind
        return [*events, BlockStart(kind=kind)]

    def _new_signature(self, value: str, kind: str) -> Signature:
        return Signature(provider=self._traits.kind, model=self._model, kind=kind, value=value)

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
        events = self._ensure_open_block("text")
        self._open_text.append(text)
        events.append(Delta(text))
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
        sent_name = _string_or_empty(call.get("name"))
        if not sent_name:
            return []  # an argument fragment, which the gateway does not request
        self._has_content = True
        events: list[Event] = []
        if signature_value:
            events += self._ensure_open_block("reasoning")
            self._pending_signature = self._new_signature(signature_value, NEXT_PART_SIGNATURE)
        events += self._end_block()
        call_id = _string_or_empty(call.get("id")) or self._generate_call_id()
        self._call_count += 1
        custom = sent_name in self._custom_tools
        name = self._client_names.get(sent_name, sent_name)
        events.append(BlockStart(kind="tool_call", id=call_id, name=name, custom=custom))
        events += _argument_events(call.get("args"), custom=custom)
        if signature_value:
            events.append(SignatureDelta(self._new_signature(signature_value, SAME_PART_SIGNATURE)))
        return [*events, BlockEnd()]

    def _generate_call_id(self) -> str:
        """A call id made of the response's id, or its position, and the call's number."""
        return f"call_{self._response_id or self._content_index}_{self._call_count}"

    def _native_events(self, part: Json) -> list[Event]:
        if not any(value is not None for value in part.values()):
            return []
        self._has_content = True
        start = BlockStart(kind="native", dialect=NAME, native=part)
        return [*self._end_block(), start, BlockEnd()]


def _requests_several_candidates(rendered: RenderedRequest | None) -> bool:
    config = rendered.body.get(GENERATION_CONFIG, {}) if rendered is not None else {}
    return bool(config.get("candidateCount", 1) > 1)


def _argument_events(args: Any, *, custom: bool) -> list[Event]:
    args = args if isinstance(args, dict) else {}
    if custom:
        input_value = args.get("input")
        arguments_json = input_value if isinstance(input_value, str) else ""
    else:
        arguments_json = msgspec.json.encode(args).decode() if args else ""
    return [Delta(arguments_json)] if arguments_json else []


def _is_answer_text(part: Json) -> bool:
    """Whether the part is text of the answer itself."""
    return bool(_string_or_empty(part.get("text"))) and part.get("thought") is not True


def _string_or_empty(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list_or_empty(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
