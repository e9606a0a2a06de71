"""Responses, complete and streamed, to canonical events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
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
from gateway.canon.json_values import decode_or_none
from gateway.canon.request import Citation, QuoteLocation, Signature
from gateway.canon.response import Finish, Response, Usage, unknown_reason
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.bedrock_converse.context import FINISH_REASONS, NAME, Json
from gateway.dialects.bedrock_converse.errors import parse_error_payload
from gateway.dialects.shared.block_order import BlockOrder, Phase
from gateway.dialects.shared.failed_streams import TRUNCATED, events_before_error
from gateway.dialects.shared.fields import string_or_empty, token_count
from gateway.dialects.shared.free_text_tools import parse_free_text_input
from gateway.framing.sse import Frame

# --- whole responses ------------------------------------------------------------------------------

_EXTRA_FIELDS = ("trace", "additionalModelResponseFields", "performanceConfig")


def parse_response(body: Any, traits: Traits, rendered_request: RenderedRequest | None) -> Response:
    """The canonical response. Raises GatewayError for a body that is no response."""
    output = body.get("output") if isinstance(body, dict) else None
    message = output.get("message") if isinstance(output, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        if isinstance(body, dict) and isinstance(body.get("message"), str):
            raise GatewayError(parse_error_payload("", body))
        raise bad_upstream("the upstream's response contains no message with a content list")
    parser = ConverseStreamParser(traits, rendered_request)
    events = parser.parse_event("messageStart", {"role": "assistant"})
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            raise bad_upstream(
                "the upstream's response contains a content block that is not an object"
            )
        for name, data in _block_events(block):
            events += parser.parse_event(name, {**data, "contentBlockIndex": index})
    events += parser.parse_event("messageStop", body)
    events += parser.parse_event("metadata", body)
    extra = {key: body[key] for key in _EXTRA_FIELDS if body.get(key) is not None}
    response = fold_events([*events, *parser.close()])
    return replace(response, extra={NAME: extra}) if extra else response


def _block_events(block: Json) -> Iterator[tuple[str, Json]]:
    """The stream events that are equivalent to a block."""
    if isinstance(tool_use := block.get("toolUse"), dict):
        yield "contentBlockStart", {"start": {"toolUse": tool_use}}
        yield "contentBlockDelta", {"delta": {"toolUse": {"input": tool_use.get("input")}}}
    elif isinstance(reasoning := block.get("reasoningContent"), dict):
        reasoning_text = reasoning.get("reasoningText")
        for key, value in (
            reasoning_text if isinstance(reasoning_text, dict) else reasoning
        ).items():
            yield "contentBlockDelta", {"delta": {"reasoningContent": {key: value}}}
    elif isinstance(citations_content := block.get("citationsContent"), dict):
        yield from _citation_events(citations_content)
    elif "text" in block:
        yield "contentBlockDelta", {"delta": {"text": block["text"]}}
    else:
        yield "contentBlockStart", {"start": block}
    yield "contentBlockStop", {}


def _citation_events(citations_content: Json) -> Iterator[tuple[str, Json]]:
    for key, wrapper_key in (("content", None), ("citations", "citation")):
        items = citations_content.get(key)
        for item in items if isinstance(items, list) else []:
            if isinstance(item, dict):
                yield (
                    "contentBlockDelta",
                    {"delta": item if wrapper_key is None else {wrapper_key: item}},
                )


# --- streams --------------------------------------------------------------------------------------
#
# The name of an event is the frame's; a frame without a name contains one event under its
# name, as the SDKs show it. Text and reasoning begin with their first delta. The usage comes
# after `messageStop`, so the response ends with `metadata`, or with the stream.

_decode = msgspec.json.Decoder().decode
_PHASES: dict[str, Phase] = {
    "contentBlockStart": "start",
    "contentBlockDelta": "delta",
    "contentBlockStop": "end",
    "messageStop": "stop",
    "metadata": "stop",
}


class ConverseStreamParser:
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
        self._stop_fields: Json | None = None
        self._block_order = BlockOrder()
        self._open_kind = ""  # the kind of the open block
        self._open_index: int | None = None
        # Fragments of the open reasoning block's signature, and its kind.
        self._signature_fragments: tuple[list[str], str] | None = None
        self._custom_input: list[str] | None = None  # of a free-text tool's JSON

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._ended:
            return []
        try:
            name, data = _decode_event(frame)
            return self.parse_event(name, data)
        except GatewayError as failure:
            return self._fail_stream(failure.error)

    def parse_event(self, name: str, data: Json) -> list[Event]:
        """The canonical events of one stream event. Raises GatewayError."""
        phase = _PHASES.get(name)
        if phase is None:
            return self._parse_ordered(name, data)
        ordered = self._block_order.feed(phase, _block_index(data), (name, data))
        return [event for named in ordered for event in self._parse_ordered(*named)]

    def _parse_ordered(self, name: str, data: Json) -> list[Event]:
        match name:
            case "contentBlockDelta":
                return self._start_message() + self._block_delta(data)
            case "contentBlockStart":
                return self._start_message() + self._start_block(data)
            case "contentBlockStop":
                return self._end_block()
            case "messageStart":
                return self._start_message()
            case "messageStop":
                self._stop_fields = data
                return self._start_message() + self._end_block()
            case "metadata":
                return self._end_message(data)
            case _ if _is_exception(name):
                return self._fail_stream(parse_error_payload(name, data))
            case _:
                return []

    def close(self) -> list[Event]:
        """The final events: End, or Failed for a truncated stream."""
        if self._ended:
            return []
        if self._stop_fields is None:
            return self._fail_stream(TRUNCATED)
        return self._end_message({})

    # --- the response ------------------------------------------------------------------

    def _start_message(self) -> list[Event]:
        if self._started:
            return []
        self._started = True
        return [Start()]

    def _end_message(self, data: Json) -> list[Event]:
        """The last events; some servers send the usage before the stop reason."""
        events: list[Event] = []
        usage = parse_usage(data.get("usage"))
        if usage is not None:
            events = [
                *self._start_message(),
                *self._end_block(),
                UsageUpdate(usage, _parse_service_tier(data.get("serviceTier"))),
            ]
        if self._stop_fields is None:
            return events
        self._ended = True
        stop_reason, model_fields = (
            self._stop_fields.get("stopReason"),
            self._stop_fields.get("additionalModelResponseFields"),
        )
        events += self._end_block()
        return [
            *events,
            End(parse_finish(stop_reason, model_fields, has_tool_call=self._has_tool_call)),
        ]

    def _fail_stream(self, error: Error) -> list[Event]:
        """Failed, or End if the response was complete before the error."""
        events: list[Event] = []
        if self._stop_fields is not None and not self._ended:
            events = events_before_error(self._end_message({}))
        self._ended = True
        return events or [Failed(error)]

    # --- blocks ------------------------------------------------------------------------

    def _start_block(self, data: Json) -> list[Event]:
        start = data.get("start")
        if not isinstance(start, dict):
            raise bad_upstream("the upstream began a content block that is not an object")
        events = self._end_block()
        self._open_index = _block_index(data)
        call = start.get("toolUse")
        if isinstance(call, dict) and call.get("type") in (None, "tool_use"):
            return [*events, self._start_tool_call(call)]
        if not start:
            return events
        self._open_kind = "native"
        return [*events, BlockStart(kind="native", dialect=NAME, native=start)]

    def _start_tool_call(self, call: Json) -> Event:
        self._has_tool_call = True
        self._open_kind = "tool_call"
        sent_name = string_or_empty(call.get("name"))
        custom = sent_name in self._custom_tools
        self._custom_input = [] if custom else None
        name = self._client_names.get(sent_name, sent_name)
        id_ = self._unused_ids.claim(string_or_empty(call.get("toolUseId")))
        return BlockStart(kind="tool_call", id=id_, name=name, custom=custom)

    def _block_delta(self, data: Json) -> list[Event]:
        delta = data.get("delta")
        if not isinstance(delta, dict):
            raise bad_upstream("the upstream sent a delta that is not an object")
        index = _block_index(data)
        if "toolUse" in delta:
            if self._open_kind == "native":
                return []
            if self._open_kind != "tool_call":
                raise bad_upstream("the upstream sent a tool's input without the tool's block")
            return self._tool_input_delta(delta["toolUse"])
        if "reasoningContent" in delta:
            return self._reasoning_delta(delta["reasoningContent"], index)
        if "citation" in delta:
            citation = parse_citation(delta["citation"])
            events = self._ensure_open_block("text", index)
            return [*events, CitationDelta(citation)] if citation is not None else events
        text = delta.get("text")
        if text is not None:
            if not isinstance(text, str):
                raise bad_upstream("the upstream sent a delta whose text is not a string")
            return [*self._ensure_open_block("text", index), Delta(text)] if text else []
        return []

    def _tool_input_delta(self, tool_use: Any) -> list[Event]:
        """The events of a call's input: a JSON fragment, or a complete object."""
        fragment = tool_use.get("input") if isinstance(tool_use, dict) else None
        if isinstance(fragment, dict):
            fragment = msgspec.json.encode(fragment).decode() if fragment else ""
        if not isinstance(fragment, str):
            return []
        if self._custom_input is not None:
            self._custom_input.append(fragment)
            return []
        return [Delta(fragment)] if fragment else []

    def _reasoning_delta(self, reasoning: Any, index: int | None) -> list[Event]:
        if not isinstance(reasoning, dict):
            raise bad_upstream("the upstream sent reasoning that is not an object")
        redacted_content = reasoning.get("redactedContent")
        events = self._ensure_open_block("reasoning", index, redacted=redacted_content is not None)
        if isinstance(redacted_content, str):
            fragments = self._signature_fragments[0] if self._signature_fragments else []
            fragments.append(redacted_content)
            self._signature_fragments = (fragments, "redacted")
        if isinstance(reasoning.get("signature"), str):
            self._signature_fragments = ([reasoning["signature"]], "signature")
        text = string_or_empty(reasoning.get("text"))
        return [*events, Delta(text)] if text else events

    def _ensure_open_block(
        self, kind: Any, index: int | None, *, redacted: bool = False
    ) -> list[Event]:
        """The events that open a block of this kind; none if it is open already."""
        if self._open_kind == kind and index == self._open_index:
            return []
        events = self._end_block()
        self._open_kind, self._open_index = kind, index
        return [*events, BlockStart(kind=kind, redacted=redacted)]

    def _end_block(self) -> list[Event]:
        if not self._open_kind:
            return []
        events: list[Event] = []
        if self._open_kind == "reasoning":
            fragments, kind = self._signature_fragments or ([], "signature")
            signature = Signature(
                provider=self._traits.preset,
                model=self._traits.model,
                kind=kind,
                value="".join(fragments),
            )
            events.append(SignatureDelta(signature))
        elif self._custom_input is not None:
            text = parse_free_text_input("".join(self._custom_input))
            events += [Delta(text)] if text else []
        self._open_kind, self._open_index, self._signature_fragments, self._custom_input = (
            "",
            None,
            None,
            None,
        )
        return [*events, BlockEnd()]


def _decode_event(frame: Frame) -> tuple[str, Json]:
    """The name and fields of an event. Raises GatewayError for an invalid event."""
    if frame.event not in _PHASES and _is_exception(frame.event):
        fields = decode_or_none(frame.data)
        fields = fields if isinstance(fields, dict) else {}
        raise GatewayError(parse_error_payload(frame.event, fields, body=frame.data))
    try:
        data = _decode(frame.data) if frame.data else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise bad_upstream("the upstream sent an event that is not JSON") from None
    if not isinstance(data, dict):
        raise bad_upstream("the upstream sent an event that is not an object")
    if frame.event:
        return frame.event, data
    name, inner = next(iter(data.items()), ("", {}))
    return name, inner if isinstance(inner, dict) else {}


def _is_exception(name: str) -> bool:
    return name.lower().endswith("exception") or name == "error"


def _block_index(data: Json) -> int | None:
    value = data.get("contentBlockIndex")
    return value if type(value) is int else None


# --- citations ------------------------------------------------------------------------------------

_LOCATIONS: tuple[tuple[str, str, Literal["page", "char", "block", "search_result"]], ...] = (
    ("documentPage", "documentIndex", "page"),
    ("documentChar", "documentIndex", "char"),
    ("documentChunk", "documentIndex", "block"),
    ("searchResultLocation", "searchResultIndex", "search_result"),
)


def parse_citation(citation: Any) -> Citation | None:
    """The canonical citation, from a response or a stream; None if it is not an object."""
    if not isinstance(citation, dict):
        return None
    location = citation.get("location")
    location = location if isinstance(location, dict) else {}
    web = location.get("web")
    url = web.get("url") if isinstance(web, dict) else None
    source = citation.get("source")
    if url is None and isinstance(source, str) and source.startswith(("https://", "http://")):
        url = source
    return Citation(
        url=url if isinstance(url, str) else None,
        title=citation["title"] if isinstance(citation.get("title"), str) else None,
        quote=_join_quote(citation.get("sourceContent")),
        location=_parse_location(location),
        dialect=NAME,
        native=citation,
    )


def _parse_location(location: dict[str, Any]) -> QuoteLocation | None:
    """The location in a document; None unless all of its numbers are present."""
    for location_name, index_key, location_type in _LOCATIONS:
        location_fields = location.get(location_name)
        if isinstance(location_fields, dict):
            numbers = [location_fields.get(key) for key in (index_key, "start", "end")]
            if all(type(number) is int for number in numbers):
                document_index, start, end = numbers
                return QuoteLocation(kind=location_type, index=document_index, start=start, end=end)  # type: ignore[arg-type]
    return None


def _join_quote(content: Any) -> str | None:
    rows = content if isinstance(content, list) else []
    values = (row.get("text") for row in rows if isinstance(row, dict))
    return "".join(value for value in values if isinstance(value, str)) or None


# --- finish reasons -------------------------------------------------------------------------------


def parse_finish(stop_reason: Any, model_fields: Any, *, has_tool_call: bool) -> Finish:
    """The canonical reason; `model_fields` are the model-specific fields of the response.

    A tool call takes precedence over the reported reason.
    """
    reason: Any = (
        FINISH_REASONS.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"
    )
    if reason in {"stop", "tool"}:
        reason = "tool" if has_tool_call else "stop"
    stop_sequence = model_fields.get("stop_sequence") if isinstance(model_fields, dict) else None
    explanation = None
    if reason == "malformed":
        explanation = f"the model's response ended with {stop_reason}"
    return Finish(
        reason=reason,
        stop_sequence=stop_sequence
        if isinstance(stop_sequence, str) and reason == "stop_sequence"
        else None,
        explanation=explanation,
        category=stop_reason if reason == "filter" else None,
        unknown=unknown_reason(stop_reason, FINISH_REASONS),
    )


# --- usage ----------------------------------------------------------------------------------------


def parse_usage(usage: Any) -> Usage | None:
    """The tokens in a `usage` object; None if it has no counts."""
    if not isinstance(usage, dict) or not usage:
        return None
    return Usage(
        input=token_count(usage, "inputTokens"),
        cache_read=token_count(usage, "cacheReadInputTokens"),
        cache_write=token_count(usage, "cacheWriteInputTokens"),
        cache_write_1h=_count_written_1h(usage.get("cacheDetails")),
        output=token_count(usage, "outputTokens"),
        native=usage,
    )


def _count_written_1h(details: Any) -> int | None:
    """The tokens written to the cache with a lifetime of an hour."""
    details_rows = details if isinstance(details, list) else []
    counts = [
        token_count(row, "inputTokens") or 0
        for row in details_rows
        if isinstance(row, dict) and row.get("ttl") == "1h"
    ]
    return sum(counts) if counts else None


def _parse_service_tier(service_tier: Any) -> str | None:
    """The canonical service tier in a response."""
    kind = service_tier.get("type") if isinstance(service_tier, dict) else None
    return kind if isinstance(kind, str) else None
