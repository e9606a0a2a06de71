"""Responses, complete and streamed, to canonical events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

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
    SignatureDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.fold import fold_events
from gateway.canon.logprobs import build_token, logprobs_extra
from gateway.canon.request import Citation, Signature
from gateway.canon.response import Finish, Response, Usage, unknown_reason
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.cohere.context import FAILURE_KINDS, FINISH_REASONS, NAME, Json
from gateway.dialects.cohere.errors import parse_error_message, parse_error_payload
from gateway.dialects.shared.block_order import BlockOrder, Phase
from gateway.dialects.shared.failed_streams import TRUNCATED, decode_event_object, failed_events
from gateway.dialects.shared.fields import non_negative_or_none, string_or_empty, string_or_none
from gateway.dialects.shared.free_text_tools import parse_free_text_input
from gateway.framing.sse import Frame

# --- whole responses ------------------------------------------------------------------------------


def parse_response(body: Any, traits: Traits, rendered_request: RenderedRequest | None) -> Response:
    """The canonical response. Raises GatewayError for a body that is no response."""
    message = body.get("message") if isinstance(body, dict) else None
    if not isinstance(message, dict):
        raise bad_upstream(
            parse_error_message(body) or "the upstream's response contains no message"
        )
    failure = parse_failure(body.get("finish_reason"), body.get("error"))
    if failure is not None:
        raise GatewayError(failure)
    parser = ChatStreamParser(traits, rendered_request)
    events = parser.parse_event({"type": "message-start", "id": body.get("id")})
    for event in _message_events(message):
        events += parser.parse_event(event)
    end = {"finish_reason": body.get("finish_reason"), "usage": body.get("usage")}
    events += parser.parse_event({"type": "message-end", "delta": end})
    return replace(fold_events(events), extra=logprobs_extra(_parse_logprobs(body.get("logprobs"))))


def _parse_logprobs(token_groups: Any) -> list[Json]:
    """The tokens of a response; empty if a group combines several tokens."""
    groups = (
        [group for group in token_groups if isinstance(group, dict)]
        if isinstance(token_groups, list)
        else []
    )
    logprobs_by_group = [group.get("logprobs") for group in groups]
    if not all(
        isinstance(group_logprobs, list) and len(group_logprobs) == 1
        for group_logprobs in logprobs_by_group
    ):
        return []
    return [build_token(group.get("text"), *group["logprobs"]) for group in groups]


def _message_events(message: Json) -> Iterator[Json]:
    """The stream events that are equivalent to a message."""
    content = message.get("content")
    content = content if isinstance(content, list) else [content]
    citations = message.get("citations")
    citation_list = citations if isinstance(citations, list) else []
    plan = message.get("tool_plan")
    for index, item in enumerate([*content, None]):
        # As in a stream, the plan follows the reasoning that led to it.
        if plan and not (isinstance(item, dict) and item.get("type") == "thinking"):
            yield {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": plan}}}
            yield from _citation_events(c for c in citation_list if _cites_plan(c))
            plan = None
        yield {"type": "content-delta", "index": index, "delta": {"message": {"content": item}}}
        yield from _citation_events(
            c for c in citation_list if not _cites_plan(c) and _cited_index(c, content) == index
        )
    calls = message.get("tool_calls")
    for index, call in enumerate(calls if isinstance(calls, list) else []):
        yield {
            "type": "tool-call-start",
            "index": index,
            "delta": {"message": {"tool_calls": call}},
        }
        yield {"type": "tool-call-end", "index": index}


def _cites_plan(citation: Any) -> bool:
    return isinstance(citation, dict) and citation.get("type") == "PLAN"


def _cited_index(citation: Any, content: Any) -> int:
    """The index of the cited content part; the first text if the citation has none."""
    content_index = citation.get("content_index") if isinstance(citation, dict) else None
    if type(content_index) is int:
        return content_index
    kinds = [item.get("type") if isinstance(item, dict) else "text" for item in content]
    return kinds.index("text") if "text" in kinds else 0


def _citation_events(citations: Iterator[Any]) -> Iterator[Json]:
    for citation in citations:
        yield {"type": "citation-start", "delta": {"message": {"citations": citation}}}


# --- streams --------------------------------------------------------------------------------------
#
# The plan of a model that is about to call tools is text beside the calls. Citations come
# while their text is open or just after it, so a text stays open until something else begins.

# Calls are numbered apart from texts.
_CALL_PHASES: dict[str, Phase] = {
    "tool-call-start": "start",
    "tool-call-delta": "delta",
    "tool-call-end": "end",
    "message-end": "stop",
}


# Types of content; a delta has none.
_CONTENT_TYPES = (None, "text", "thinking")


class ChatStreamParser:
    """Parses one stream, or the equivalent events of a non-streaming response."""

    def __init__(self, traits: Traits, rendered_request: RenderedRequest | None) -> None:
        self._traits = traits
        self._client_names = rendered_request.client_names if rendered_request is not None else {}
        self._custom_tools = (
            rendered_request.custom_tools if rendered_request is not None else frozenset[str]()
        )
        self._started = False
        self._ended = False
        self._has_tool_call = False
        self._unused_ids = UnusedIds()
        self._call_order = BlockOrder()
        self._open_kind = ""  # the kind of the open block
        self._open_index: object = None  # the stream's index of the open block
        self._custom_input: list[str] | None = None  # of a free-text tool's JSON

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._ended or frame.data.strip() in {b"[DONE]", b""}:
            return []
        try:
            return self.parse_event(decode_event_object(frame, parse_error_payload))
        except GatewayError as failure:
            return self._fail_stream(failure.error)

    def parse_event(self, data: Json) -> list[Event]:
        """The events of one decoded event. Raises GatewayError."""
        name = string_or_empty(data.get("type"))
        phase = _CALL_PHASES.get(name)
        if phase is None:
            return self._parse_ordered(data)
        ordered = self._call_order.feed(phase, data.get("index"), (name, data))
        return [event for _, each in ordered for event in self._parse_ordered(each)]

    def _parse_ordered(self, data: Json) -> list[Event]:
        name = data.get("type")
        if name == "message-start":
            return self._start_message(string_or_empty(data.get("id")))
        if (name is None or name == "error") and parse_error_message(data):
            raise GatewayError(parse_error_payload(data))
        delta = data.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        message = delta.get("message")
        message = message if isinstance(message, dict) else {}
        if name == "message-end":
            return self._start_message("") + self._end_message(delta)
        events = self._start_message("")
        match name:
            case "content-start" | "content-delta":
                logprobs = tuple(_parse_logprobs([data.get("logprobs")]))
                content = message.get("content")
                return events + self._content_delta(data.get("index"), content, logprobs)
            case "tool-plan-delta":
                plan = {"text": message.get("tool_plan")}
                return events + self._content_delta("plan", plan)
            case "tool-call-start":
                return events + self._start_tool_call(data.get("index"), message.get("tool_calls"))
            case "tool-call-delta":
                return events + self._tool_input_delta(message.get("tool_calls"))
            case "tool-call-end":
                return events + (self._end_block() if self._open_kind == "tool_call" else [])
            case "citation-start":
                return events + self._citation_events(message.get("citations"))
            case _:
                return events

    def close(self) -> list[Event]:
        """The final events: Failed for a truncated stream."""
        return [] if self._ended else self._fail_stream(TRUNCATED)

    # --- the response ------------------------------------------------------------------

    def _start_message(self, id_: str) -> list[Event]:
        if self._started:
            return []
        self._started = True
        return [Start(id=id_)]

    def _end_message(self, delta: Json) -> list[Event]:
        finish_reason = delta.get("finish_reason")
        failure = parse_failure(finish_reason, delta.get("error"))
        usage = parse_usage(delta.get("usage"))
        if failure is not None:
            self._ended = True
            return failed_events(failure, usage)
        events = self._end_block()
        self._ended = True
        if usage is not None:
            events.append(UsageUpdate(usage))
        return [*events, End(parse_finish(finish_reason, has_tool_call=self._has_tool_call))]

    def _fail_stream(self, error: Error) -> list[Event]:
        self._ended = True
        return [Failed(error)]

    # --- blocks ------------------------------------------------------------------------

    def _content_delta(
        self, index: object, content: Any, logprobs: tuple[Json, ...] = ()
    ) -> list[Event]:
        """The events of a text or reasoning delta; the first delta opens the block."""
        if isinstance(content, str):
            content = {"text": content}
        if not isinstance(content, dict):
            return []
        if content.get("type") not in _CONTENT_TYPES:
            native_block = BlockStart(kind="native", dialect=NAME, native=content)
            return [*self._end_block(), native_block, BlockEnd()]
        thinking = string_or_empty(content.get("thinking"))
        kind: Any = "reasoning" if thinking or content.get("type") == "thinking" else "text"
        text = thinking or string_or_empty(content.get("text"))
        if not text:
            return []
        events: list[Event] = []
        if self._open_kind != kind or self._open_index != index:
            events = self._end_block()
            self._open_kind, self._open_index = kind, index
            events.append(BlockStart(kind=kind))
        return [*events, Delta(text, logprobs if kind == "text" else ())]

    def _start_tool_call(self, index: object, call: Any) -> list[Event]:
        call, function = _split_call(call)
        self._has_tool_call = True
        events = self._end_block()
        sent_name = string_or_empty(function.get("name"))
        custom = sent_name in self._custom_tools
        self._open_kind, self._open_index = "tool_call", index
        self._custom_input = [] if custom else None
        name = self._client_names.get(sent_name, sent_name)
        id_ = self._unused_ids.claim(string_or_empty(call.get("id")))
        events.append(BlockStart(kind="tool_call", id=id_, name=name, custom=custom))
        return events + self._tool_input_delta(call)

    def _tool_input_delta(self, call: Any) -> list[Event]:
        _, function = _split_call(call)
        arguments = function.get("arguments")
        if arguments is None or arguments == "":
            return []
        if not isinstance(arguments, str):
            raise bad_upstream("the upstream sent a tool's arguments that are not a string")
        if self._open_kind != "tool_call":
            raise bad_upstream("the upstream sent a tool's arguments without the tool's call")
        if self._custom_input is not None:
            self._custom_input.append(arguments)
            return []
        return [Delta(arguments)]

    def _citation_events(self, citations: Any) -> list[Event]:
        if self._open_kind != "text":
            return []
        citation_list = citations if isinstance(citations, list) else [citations]
        return [
            CitationDelta(citation) for item in citation_list for citation in parse_citations(item)
        ]

    def _end_block(self) -> list[Event]:
        if not self._open_kind:
            return []
        events: list[Event] = []
        if self._open_kind == "reasoning":
            # Cohere sends no signature: the state only says which model created the reasoning.
            signature = Signature(
                provider=self._traits.preset, model=self._traits.model, kind="text"
            )
            events.append(SignatureDelta(signature))
        elif self._custom_input is not None:
            text = parse_free_text_input("".join(self._custom_input))
            events += [Delta(text)] if text else []
        self._open_kind, self._open_index, self._custom_input = "", None, None
        return [*events, BlockEnd()]


def _split_call(call: Any) -> tuple[Json, Json]:
    """A call and its function; `tool_calls` is an object in events, a list in responses."""
    if isinstance(call, list):
        call = call[0] if call else None
    call = call if isinstance(call, dict) else {}
    function = call.get("function")
    return call, function if isinstance(function, dict) else {}


# --- citations ------------------------------------------------------------------------------------


def parse_citations(citation: Any) -> list[Citation]:
    """The sources of a text, and their position in it."""
    if not isinstance(citation, dict):
        return []
    sources = citation.get("sources")
    source_objects = (
        [s for s in sources if isinstance(s, dict)] if isinstance(sources, list) else []
    )
    return [_parse_source(citation, source) for source in source_objects]


def _parse_source(citation: Json, source: Json) -> Citation:
    document = source.get("document", source.get("tool_output"))
    document = document if isinstance(document, dict) else {}
    return Citation(
        url=string_or_none(document.get("url")),
        title=string_or_none(document.get("title")) or string_or_none(source.get("id")),
        quote=string_or_none(citation.get("text")),
        start=non_negative_or_none(citation.get("start")),
        end=non_negative_or_none(citation.get("end")),
        dialect=NAME,
        native={**citation, "sources": [source]},
    )


# --- finish reasons -------------------------------------------------------------------------------


def parse_finish(finish_reason: Any, *, has_tool_call: bool) -> Finish:
    """The canonical reason; `has_tool_call` says whether the response contains a tool call."""
    reason: Any = (
        FINISH_REASONS.get(finish_reason, "stop") if isinstance(finish_reason, str) else "stop"
    )
    if reason in {"stop", "tool"}:
        reason = "tool" if has_tool_call else "stop"
    return Finish(reason=reason, unknown=unknown_reason(finish_reason, FINISH_REASONS))


def parse_failure(finish_reason: Any, message: Any) -> Error | None:
    """The error of a response whose finish reason is a failure."""
    kind = FAILURE_KINDS.get(finish_reason) if isinstance(finish_reason, str) else None
    if kind is None:
        return None
    error_message = message if isinstance(message, str) and message else ""
    return Error(
        kind=kind,
        message=(error_message or f"the model's response ended with {finish_reason}")[:2000],
    )


# --- usage ----------------------------------------------------------------------------------------
#
# `tokens` counts all tokens of the model, `billed_units` those that are billed.


def parse_usage(usage: Any) -> Usage | None:
    """The tokens in a `usage` object; None if it has no counts."""
    if not isinstance(usage, dict) or not usage:
        return None
    input_tokens = _token_count(usage, "input_tokens")
    cached_tokens = _count_or_none(usage.get("cached_tokens"))
    return Usage(
        input=None if input_tokens is None else max(0, input_tokens - (cached_tokens or 0)),
        cache_read=cached_tokens,
        output=_token_count(usage, "output_tokens"),
        native=usage,
    )


def _token_count(usage: dict[str, Any], name: str) -> int | None:
    for counts_name in ("tokens", "billed_units"):
        counts = usage.get(counts_name)
        value = _count_or_none(counts.get(name)) if isinstance(counts, dict) else None
        if value is not None:
            return value
    return None


def _count_or_none(value: Any) -> int | None:
    """The value as a token count, which Cohere's API types as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return max(0, int(value)) if value == value and abs(value) < 2**53 else None
