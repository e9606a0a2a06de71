"""Responses, complete and streamed: a provider's to canonical, and back for a client."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, AdaptationReport, dropped_field
from gateway.canon.alternatives import PassthroughAlternatives
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
from gateway.canon.fold import fold_events
from gateway.canon.json_values import list_or_empty
from gateway.canon.logprobs import build_token, token_logprobs
from gateway.canon.request import Reasoning, Refusal, Text
from gateway.canon.response import Finish, Response, Usage, merge_usage, unknown_reason
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.dialects.openai_completions.request import NAME, Json
from gateway.dialects.shared.failed_streams import (
    TRUNCATED,
    decode_event,
    events_before_error,
    failed_events,
    malformed_output_error,
)
from gateway.dialects.shared.fields import object_or_empty, token_count
from gateway.dialects.shared.openai_errors import is_error, parse_error_payload, render_error_body
from gateway.dialects.shared.openai_response import render_completion_usage
from gateway.dialects.shared.reported_cost import COST_FIELDS, parse_reported_cost
from gateway.framing.sse import Frame

# --- a provider's response ------------------------------------------------------------------------


class CompletionStreamParser:
    """One stream of chunks -> events."""

    def __init__(self, traits: Traits, rendered_request: RenderedRequest | None) -> None:
        self._started = False
        self._open = False
        self._ended = False
        # Of the next text: tokens whose chunk had none.
        self._logprobs: tuple[Json, ...] = ()
        self._finish: Any = None
        self.alternatives = PassthroughAlternatives()
        self._usage: Usage | None = None

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._ended:
            return []
        if frame.data[:6] == b"[DONE]":
            return self._end_stream(done_received=True)
        if not frame.data.strip():
            return []
        try:
            chunk = decode_event(frame, parse_error_payload)
        except GatewayError as failure:
            return self._fail_stream(failure.error)
        if is_error(chunk):
            return self._fail_stream(parse_error_payload(chunk))
        return self.feed_chunk(chunk) if isinstance(chunk, dict) else []

    def close(self) -> list[Event]:
        """End if the finish reason was received, else Failed."""
        return [] if self._ended else self._end_stream(done_received=False)

    def feed_chunk(self, chunk: Json) -> list[Event]:
        """The events of one chunk."""
        usage = parse_usage(chunk.get("usage"))
        if usage is not None:
            self._usage = merge_usage(self._usage, usage)
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return []
        events: list[Event] = []
        if not self._started:
            self._started = True
            events.append(_start_event(chunk, self._usage))
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            index = choice.get("index")
            if not index:
                self._read_choice(choice, events)
            elif type(index) is int:
                self.alternatives.update(index, ended=bool(choice.get("finish_reason")))
        return events

    def _read_choice(self, choice: Json, events: list[Event]) -> None:
        text = _choice_text(choice)
        if choice.get("logprobs") is not None:
            self._logprobs += _parse_logprobs(choice["logprobs"])
        if isinstance(text, str) and text:
            if not self._open:
                self._open = True
                events.append(BlockStart(kind="text"))
            events.append(Delta(text, self._logprobs))
            self._logprobs = ()
        if choice.get("finish_reason"):
            self._finish = choice["finish_reason"]

    def _end_stream(self, *, done_received: bool) -> list[Event]:
        is_complete = done_received or (self._finish is not None and not self.alternatives.any_open)
        if not self._started or not is_complete:
            return self._fail_stream(TRUNCATED)
        self._ended = True
        events: list[Event] = [BlockEnd()] if self._open else []
        if self._usage is not None:
            events.append(UsageUpdate(self._usage))
        return [*events, End(parse_finish(self._finish))]

    def _fail_stream(self, error: Error) -> list[Event]:
        """Failed, or End if the response was complete before the error."""
        events: list[Event] = []
        if self._finish is not None and not self.alternatives.any_open and not self._ended:
            events = events_before_error(self._end_stream(done_received=False))
        self._ended = True
        return events or failed_events(error, self._usage if self._started else None)


def _parse_logprobs(logprobs: Any) -> tuple[Json, ...]:
    """The tokens in the lists of a choice; empty if the lists do not match.

    Source: `CompletionChoice.logprobs` of the openai SDK.
    """
    if not isinstance(logprobs, dict):
        return ()
    texts, numbers = (list_or_empty(logprobs.get(key)) for key in ("tokens", "token_logprobs"))
    if len(texts) != len(numbers):
        return ()
    tops = list_or_empty(logprobs.get("top_logprobs"))
    return tuple(
        build_token(
            text,
            number,
            [build_token(*item) for item in top.items()] if isinstance(top, dict) else (),
        )
        for text, number, top in itertools.zip_longest(texts, numbers, tops[: len(texts)])
    )


def _choice_text(choice: Json) -> str | None:
    """The text of a choice. Mistral's fill-in-the-middle returns a chat message."""
    for holder in (choice, choice.get("delta"), choice.get("message")):
        name = "text" if holder is choice else "content"
        if isinstance(holder, dict) and isinstance(text := holder.get(name), str):
            return text
    return None


def _start_event(chunk: Json, usage: Usage | None) -> Start:
    response_id, model, created = chunk.get("id"), chunk.get("model"), chunk.get("created")
    fingerprint = chunk.get(_FINGERPRINT)
    return Start(
        id=response_id if isinstance(response_id, str) else "",
        model=model if isinstance(model, str) else "",
        created=created if type(created) is int else None,
        prompt_tokens=usage.prompt_tokens if usage is not None else None,
        extra={_CHAT: {_FINGERPRINT: fingerprint}} if isinstance(fingerprint, str) else {},
    )


def parse_response(body: Any, traits: Traits, rendered_request: RenderedRequest | None) -> Response:
    """The canonical response. Raises GatewayError for a body that is no response."""
    if is_error(body):
        raise GatewayError(parse_error_payload(body))
    choices = body.get("choices") if isinstance(body, dict) else None
    first_choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first_choice, dict) or _choice_text(first_choice) is None:
        raise bad_upstream("the upstream's response is not a text completion")
    parser = CompletionStreamParser(traits, rendered_request)
    choice = {
        **first_choice,
        "index": 0,
        "finish_reason": first_choice.get("finish_reason") or "stop",
    }
    response = fold_events([*parser.feed_chunk({**body, "choices": [choice]}), *parser.close()])
    logprobs = first_choice.get("logprobs")
    if logprobs is None:
        return response
    # Clients of the same dialect get the lists unchanged.
    extra = response.extra | {NAME: {"logprobs": logprobs}}
    return msgspec.structs.replace(response, extra=extra)


# --- a client's response --------------------------------------------------------------------------

_encode = msgspec.json.encode
_DONE_EVENT = b"data: [DONE]\n\n"
_REASON = "a completion can only contain text"
_SOURCES_DROPPED = dropped_field("citations", _REASON)
# The dialect and name of a field of a response's `extra` that Chat has too.
_CHAT, _FINGERPRINT = "openai_chat", "system_fingerprint"


def _chunk_head(context: ResponseContext) -> Json:
    return {
        "id": f"cmpl-{context.id}",
        "object": "text_completion",
        "created": context.created,
        "model": context.model,
    }


def render_response(
    response: Response, context: ResponseContext
) -> tuple[Json, tuple[Adaptation, ...]]:
    """The response's JSON and what it could not express.

    Raises GatewayError for a response that the model malformed.
    """
    if response.finish.reason == "malformed":
        raise GatewayError(malformed_output_error(response.finish))
    report = AdaptationReport()
    responses = (response, *response.alternatives)
    choices = [
        _render_choice(choice_response, index, report)
        for index, choice_response in enumerate(responses)
    ]
    body = {**_chunk_head(context), "choices": choices}
    if (usage := render_completion_usage(response.usage)) is not None:
        body["usage"] = usage
    return body | _render_fingerprint(response.extra), tuple(report)


def _render_fingerprint(extra: dict[str, Json]) -> Json:
    fingerprint = extra.get(_CHAT, {}).get(_FINGERPRINT)
    return {} if fingerprint is None else {_FINGERPRINT: fingerprint}


def _render_choice(response: Response, index: int, report: AdaptationReport) -> Json:
    text, has_refusal = "", False
    for part in response.parts:
        match part:
            case Text():
                text += part.text
                if part.citations:
                    report.add(_SOURCES_DROPPED)
            case Refusal():
                text, has_refusal = text + part.text, True
            case Reasoning() if not part.text:
                pass
            case _:
                adaptation = dropped_field(f"content.{type(part).__name__.lower()}", _REASON)
                report.add(adaptation)
    return {
        "index": index,
        "text": text,
        "logprobs": response.extra.get(NAME, {}).get("logprobs")
        or _render_logprobs(token_logprobs(response)),
        "finish_reason": render_finish(response.finish, has_refusal_text=has_refusal),
    }


def _render_logprobs(tokens: Sequence[Json], offset: int = 0) -> Json | None:
    """The log probabilities in the four lists of this dialect; `offset` is that of the text."""
    if not tokens:
        return None
    texts = [str(token.get("token")) for token in tokens]
    token_ends = list(itertools.accumulate(map(len, texts), initial=offset))
    alternatives = [token.get("top_logprobs") or [] for token in tokens]
    return {
        "tokens": texts,
        "token_logprobs": [token.get("logprob") for token in tokens],
        "top_logprobs": [
            {o.get("token"): o.get("logprob") for o in token_alternatives}
            for token_alternatives in alternatives
        ],
        "text_offset": token_ends[:-1],
    }


class CompletionStreamRenderer:
    """Renders one response as chunks; an error is the last and no `[DONE]` follows it."""

    def __init__(self, context: ResponseContext) -> None:
        self.report = AdaptationReport()
        self._head_fields = _chunk_head(context)
        self._head = b"data: " + _encode(self._head_fields)[:-1]
        self._include_usage = context.include_usage
        self._usage: Usage | None = None
        self._kind = "text"
        self._text_length = 0
        self._refused = False
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """The bytes for this event."""
        if self._ended:
            return b""
        match event:
            case Delta():
                return self._render_delta(event)
            case BlockStart():
                return self._open_block(event)
            case Start():
                self._usage = event.usage
                head_fields = self._head_fields | _render_fingerprint(event.extra)
                self._head = b"data: " + _encode(head_fields)[:-1]
                return b""
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                return b""
            case End():
                return self._end_stream(event)
            case Failed():
                return self._fail_stream(event.error)
            case CitationDelta():
                self.report.add(_SOURCES_DROPPED)
                return b""
            case BlockEnd() | SignatureDelta() | NativeDelta():
                return b""
            case _:
                assert_never(event)

    def _open_block(self, block: BlockStart) -> bytes:
        self._kind = block.kind
        if block.kind in {"tool_call", "native"}:
            adaptation = dropped_field(f"content.{block.kind.replace('_', '')}", _REASON)
            self.report.add(adaptation)
        return b""

    def _render_delta(self, event: Delta) -> bytes:
        if self._kind == "reasoning":
            self.report.add(dropped_field("content.reasoning", _REASON))
        if self._kind not in {"text", "refusal"}:
            return b""
        self._refused = self._refused or self._kind == "refusal"
        logprobs = _render_logprobs(event.logprobs, self._text_length)
        self._text_length += len(event.text)
        return self._render_chunk(event.text, None, logprobs)

    def _render_chunk(self, text: str, finish: str | None, logprobs: Json | None = None) -> bytes:
        return self._render_choice_chunk(
            {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish}
        )

    def _render_choice_chunk(self, choice: Json) -> bytes:
        return self._head + b',"choices":[' + _encode(choice) + b"]}\n\n"

    def _end_stream(self, event: End) -> bytes:
        finish = event.finish
        if finish.reason == "malformed":
            return self._fail_stream(malformed_output_error(finish))
        other_choices = (
            _render_choice(response, i, self.report)
            for i, response in enumerate(event.alternatives, 1)
        )
        first = self._render_chunk("", render_finish(finish, has_refusal_text=self._refused))
        out = b"".join((first, *map(self._render_choice_chunk, other_choices)))
        usage = render_completion_usage(self._usage) if self._include_usage else None
        if usage is not None:
            out += self._head + b',"choices":[],"usage":' + _encode(usage) + b"}\n\n"
        self._ended = True
        return out + _DONE_EVENT

    def _fail_stream(self, error: Error) -> bytes:
        self._ended = True
        return b"data: " + _encode(render_error_body(error, "prompt")) + b"\n\n"


# --- finish reasons -------------------------------------------------------------------------------


def parse_finish(finish_reason: Any) -> Finish:
    """The canonical finish."""
    match finish_reason:
        case "length" | "max_tokens":
            return Finish(reason="length")
        case "content_filter":
            return Finish(reason="filter")
        case "error":
            return Finish(reason="malformed")
        case _:
            unknown = unknown_reason(finish_reason, {"stop", "eos"})
            return Finish(reason="stop", unknown=unknown)


def render_finish(finish: Finish, *, has_refusal_text: bool) -> str:
    """The `finish_reason` for a client; `has_refusal_text` if it contains a refusal."""
    if finish.reason in {"length", "context"}:
        return "length"
    if finish.reason == "filter" or (finish.reason == "refusal" and not has_refusal_text):
        return "content_filter"
    return "stop"


# --- usage ----------------------------------------------------------------------------------------


def parse_usage(usage: Any) -> Usage | None:
    """The counts in a `usage` object; None if it contains none."""
    if not isinstance(usage, dict):
        return None
    prompt, output = token_count(usage, "prompt_tokens"), token_count(usage, "completion_tokens")
    if prompt is None and output is None:
        return None
    details = object_or_empty(usage.get("prompt_tokens_details"))
    cache_read = token_count(details, "cached_tokens")
    cache_write = token_count(details, "cache_write_tokens")
    cached_tokens = (cache_read or 0) + (cache_write or 0)
    output_details = object_or_empty(usage.get("completion_tokens_details"))
    return Usage(
        input=None if prompt is None else max(0, prompt - cached_tokens),
        cache_read=cache_read,
        cache_write=cache_write,
        output=output,
        reasoning=token_count(output_details, "reasoning_tokens"),
        provider_cost=None if COST_FIELDS.isdisjoint(usage) else parse_reported_cost(usage),
        native=usage,
    )
