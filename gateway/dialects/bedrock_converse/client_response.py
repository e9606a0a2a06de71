"""Responses for clients: complete, and as the events of a stream in AWS's binary framing."""

from __future__ import annotations

import base64
from typing import Any, assert_never
from urllib.parse import urlsplit

import msgspec

from gateway.canon.adaptation import Adaptation, AdaptationReport, approximated_field, dropped_field
from gateway.canon.arguments import NOT_AN_OBJECT, ObjectFragments, parse_arguments
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
from gateway.canon.naming import render_tool_id
from gateway.canon.request import (
    Audio,
    Citation,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.response import Finish, Response, Usage, merge_usage
from gateway.canon.signature import hide_reasoning_text, wrap_signature
from gateway.dialects.base import ResponseContext
from gateway.dialects.bedrock_converse.context import NAME, Json
from gateway.dialects.bedrock_converse.errors import client_message, stream_exception_name
from gateway.dialects.shared.failed_streams import EXPLANATION_DROPPED, malformed_output_error
from gateway.dialects.shared.fields import native_kind
from gateway.framing.eventstream import encode

# --- whole responses ------------------------------------------------------------------------------


def render_response(
    response: Response, context: ResponseContext
) -> tuple[Json, tuple[Adaptation, ...]]:
    """The response's JSON and its adaptations. Raises GatewayError for malformed output."""
    if response.finish.reason == "malformed":
        raise GatewayError(malformed_output_error(response.finish))
    report = AdaptationReport()
    content = [
        block
        for part in response.parts
        if (block := _render_part(part, context, report)) is not None
    ]
    if response.finish.explanation and content:
        report.add(EXPLANATION_DROPPED)
    elif response.finish.explanation:
        content = [{"text": response.finish.explanation}]
    body: Json = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": render_stop_reason(response.finish, report),
        "usage": render_usage(response.usage),
        "metrics": {"latencyMs": context.elapsed_ms()},
        **_bedrock_fields(response.extra.get(NAME, {}), response.service_tier),
    }
    return body, tuple(report)


_SERVICE_TIERS = frozenset({"priority", "default", "flex", "reserved"})


def _bedrock_fields(extra: Json, service_tier: str | None) -> Json:
    """Fields that only Bedrock's responses have, and the service tier."""
    tier = {"serviceTier": {"type": service_tier}} if service_tier in _SERVICE_TIERS else {}
    return {**extra, **tier}


def _render_part(part: Part, context: ResponseContext, report: AdaptationReport) -> Json | None:
    match part:
        case Text():
            return _render_text(part)
        case Refusal():
            return {"text": part.text}
        case Reasoning():
            return _render_reasoning(part, context)
        case ToolCall():
            arguments = part.arguments
            if part.custom:
                arguments = {"input": part.raw_arguments or ""}
            elif arguments is None:
                arguments = _wrap_raw(part.raw_arguments or "", report)
            if part.signature is not None:
                report.add(dropped_call_signature())
            call = {"toolUseId": render_call_id(part.id), "name": part.name, "input": arguments}
            return {"toolUse": call}
        case Native():
            if part.dialect == NAME:
                return part.data
            report.add(_dropped_native(part.data))
            return None
        case Image() | Document() | Audio() | ToolResult():
            kind = type(part).__name__.lower()
            report.add(dropped_field(f"content.{kind}", "no equivalent in a Converse response"))
            return None
        case _:
            assert_never(part)


def _dropped_native(data: Json) -> Adaptation:
    kind = native_kind(data)
    return dropped_field(f"content.{kind}", "no equivalent in Converse")


def dropped_call_signature() -> Adaptation:
    """The adaptation for a call's state, which this dialect cannot carry."""
    return dropped_field(
        "content.toolUse.signature", "tool calls cannot carry the provider's state"
    )


def _wrap_raw(raw_arguments: str, report: AdaptationReport) -> Json:
    _report_arguments(f"{NOT_AN_OBJECT}; shown as `_raw`", report)
    return {"_raw": raw_arguments}


def _report_arguments(reason: str, report: AdaptationReport) -> None:
    """Report arguments that are no JSON object."""
    report.add(approximated_field("content.toolUse.input", reason))


def render_call_id(upstream_id: str) -> str:
    """The id in the characters and the length that the SDKs accept."""
    return render_tool_id("bedrock64", upstream_id)


def _render_text(part: Text) -> Json:
    if not part.citations:
        return {"text": part.text}
    citations = [render_citation(citation) for citation in part.citations]
    return {"citationsContent": {"content": [{"text": part.text}], "citations": citations}}


def render_reasoning_state(signature: Signature, *, redacted: bool) -> Json:
    """The fields of a reasoning block that carry its state; blobs are base64."""
    token = wrap_signature(signature)
    if redacted:
        return {"redactedContent": base64.b64encode(token.encode()).decode()}
    return {"signature": token}


def _render_reasoning(part: Reasoning, context: ResponseContext) -> Json:
    signature = part.signature or Signature(kind="text")
    if part.redacted:
        return {"reasoningContent": render_reasoning_state(signature, redacted=True)}
    text = part.text
    if context.reasoning_display == "none":
        text, signature = "", hide_reasoning_text(part.text, signature)
    state = render_reasoning_state(signature, redacted=False)
    return {"reasoningContent": {"reasoningText": {"text": text, **state}}}


# --- citations ------------------------------------------------------------------------------------

_LOCATIONS = {
    "page": ("documentPage", "documentIndex"),
    "char": ("documentChar", "documentIndex"),
    "block": ("documentChunk", "documentIndex"),
    "search_result": ("searchResultLocation", "searchResultIndex"),
}


def render_citation(citation: Citation) -> Json:
    """A citation as Bedrock writes it."""
    if citation.dialect == NAME and citation.native:
        return citation.native
    out: Json = {}
    if citation.title is not None:
        out["title"] = citation.title
    if citation.url is not None:
        out["source"] = citation.url
        out["location"] = {
            "web": {"url": citation.url, "domain": urlsplit(citation.url).hostname or ""}
        }
    if citation.quote is not None:
        out["sourceContent"] = [{"text": citation.quote}]
    if citation.location is not None:
        name, index_key = _LOCATIONS[citation.location.kind]
        numbers = {"start": citation.location.start, "end": citation.location.end}
        out["location"] = {name: {index_key: citation.location.index, **numbers}}
    return out


# --- finish reasons and usage ---------------------------------------------------------------------

_STOP_REASONS = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "context": "model_context_window_exceeded",
    "tool": "tool_use",
    "filter": "content_filtered",
    "refusal": "content_filtered",
    "pause": "end_turn",
}


def render_stop_reason(finish: Finish, report: AdaptationReport) -> str:
    """The `stopReason`; reports what it cannot express."""
    if finish.reason == "pause":
        report.add(approximated_field("stopReason", "Converse has no pause: shown as end_turn"))
    if finish.reason == "filter" and finish.category == "guardrail_intervened":
        return "guardrail_intervened"
    return _STOP_REASONS.get(finish.reason, "end_turn")


def render_usage(usage: Usage | None) -> Json:
    """The `usage` object. The API requires its counts, so unknown ones are 0."""
    if usage is None:
        return {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
    output = usage.output or 0
    out: Json = {
        "inputTokens": usage.input or 0,
        "outputTokens": output,
        "totalTokens": (usage.prompt_tokens or 0) + output,
        "cacheReadInputTokens": usage.cache_read or 0,
        "cacheWriteInputTokens": usage.cache_write or 0,
    }
    if usage.cache_write_1h is not None:
        out["cacheDetails"] = [
            {"ttl": "5m", "inputTokens": max(0, (usage.cache_write or 0) - usage.cache_write_1h)},
            {"ttl": "1h", "inputTokens": usage.cache_write_1h},
        ]
    return out


# --- streams --------------------------------------------------------------------------------------
#
# messageStart (contentBlockStart? contentBlockDelta* contentBlockStop)* messageStop metadata
#
# Only a call has a start. A block without a delta is not sent, and indexes count those that are.

_encode = msgspec.json.Encoder().encode
_NO_BLOCK = BlockStart(kind="text")


class ConverseStreamRenderer:
    """Renders one stream; `report` collects what it cannot express."""

    def __init__(self, context: ResponseContext) -> None:
        self.report = AdaptationReport()
        self._context = context
        self._usage: Usage | None = None
        self._service_tier: str | None = None
        self._block = _NO_BLOCK
        self._index = 0
        self._is_sent = False  # whether the open block has sent anything
        self._has_content = False
        self._fragments: list[str] = []
        self._arguments = ObjectFragments()
        self._signature: Signature | None = None
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """The bytes of this event; nothing after End or Failed."""
        if self._ended:
            return b""
        match event:
            case Delta():
                return self._render_text_delta(event.text)
            case BlockStart():
                return self._open_block(event)
            case BlockEnd():
                return self._close_block()
            case Start():
                self._usage, self._service_tier = event.usage, event.service_tier
                return _encode_message("messageStart", {"role": "assistant"})
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                self._service_tier = event.service_tier or self._service_tier
                return b""
            case SignatureDelta():
                self._signature = event.signature
                return b""
            case CitationDelta():
                return self._render_delta({"citation": render_citation(event.citation)})
            case NativeDelta():
                return self._render_delta(event.data) if self._block.dialect == NAME else b""
            case End():
                return self._end_message(event.finish)
            case Failed():
                return self._fail_stream(event.error)
            case _:
                assert_never(event)

    # --- blocks ------------------------------------------------------------------------

    def _open_block(self, block: BlockStart) -> bytes:
        self._block, self._fragments, self._signature = block, [], None
        self._arguments = ObjectFragments()
        self._is_sent = False
        if block.kind == "tool_call":
            return self._render_start(
                {"toolUse": {"toolUseId": render_call_id(block.id), "name": block.name}}
            )
        if block.kind != "native":
            return b""
        if block.dialect == NAME:
            return self._render_start(block.native)
        self.report.add(_dropped_native(block.native))
        return b""

    def _render_text_delta(self, text: str) -> bytes:
        match self._block.kind:
            case "text" | "refusal":
                return self._render_delta({"text": text})
            case "reasoning":
                self._fragments.append(text)
                if self._context.reasoning_display == "none":
                    return b""
                return self._render_delta({"reasoningContent": {"text": text}})
            case "tool_call":
                return self._render_arguments(text)
            case _:
                return b""

    def _render_arguments(self, fragment: str) -> bytes:
        """The fragment; arguments that cannot become a JSON object are buffered until their end."""
        self._fragments.append(fragment)
        if self._block.custom:
            escaped = _encode(fragment)[1:-1].decode()
            head = '{"input":"' if len(self._fragments) == 1 else ""
            return self._render_delta({"toolUse": {"input": head + escaped}})
        if not self._fragments[0].lstrip().startswith("{"):
            return b""
        fragment = self._arguments.add(fragment)
        return self._render_delta({"toolUse": {"input": fragment}}) if fragment else b""

    def _close_block(self) -> bytes:
        out = b""
        if self._block.kind == "reasoning":
            out = self._close_reasoning()
        elif self._block.kind == "tool_call":
            out = self._close_call()
        if self._is_sent:
            out += _encode_message("contentBlockStop", {"contentBlockIndex": self._index})
            self._index += 1
        self._block, self._is_sent = _NO_BLOCK, False
        return out

    def _close_reasoning(self) -> bytes:
        text = "".join(self._fragments)
        signature = self._signature or Signature(kind="text")
        if self._context.reasoning_display == "none":
            signature = hide_reasoning_text(text, signature)
        state = render_reasoning_state(signature, redacted=self._block.redacted)
        return self._render_delta({"reasoningContent": state})

    def _close_call(self) -> bytes:
        if self._signature is not None:
            self.report.add(dropped_call_signature())
        if self._block.custom:
            closing_fragment = '"}' if self._fragments else '{"input":""}'
            return self._render_delta({"toolUse": {"input": closing_fragment}})
        if not self._fragments:
            return self._render_delta({"toolUse": {"input": "{}"}})
        arguments, raw_arguments = parse_arguments("".join(self._fragments))
        if self._fragments[0].lstrip().startswith("{"):
            if arguments is None:
                _report_arguments(self._arguments.invalid_reason, self.report)
            return b""
        if arguments is None:
            arguments = _wrap_raw(raw_arguments or "", self.report)
        return self._render_delta({"toolUse": {"input": _encode(arguments).decode()}})

    def _render_start(self, start: Json) -> bytes:
        self._is_sent = self._has_content = True
        return _encode_message(
            "contentBlockStart", {"start": start, "contentBlockIndex": self._index}
        )

    def _render_delta(self, delta: Json) -> bytes:
        self._is_sent = self._has_content = True
        return _encode_message(
            "contentBlockDelta", {"delta": delta, "contentBlockIndex": self._index}
        )

    # --- the end -----------------------------------------------------------------------

    def _end_message(self, finish: Finish) -> bytes:
        if finish.reason == "malformed":
            return self._fail_stream(malformed_output_error(finish))
        out = b""
        if finish.explanation and self._has_content:
            self.report.add(EXPLANATION_DROPPED)
        elif finish.explanation:
            out = self._render_delta({"text": finish.explanation}) + self._close_block()
        self._ended = True
        stop = {"stopReason": render_stop_reason(finish, self.report)}
        metadata: Json = {
            "usage": render_usage(self._usage),
            "metrics": {"latencyMs": self._context.elapsed_ms()},
            **_bedrock_fields({}, self._service_tier),
        }
        return out + _encode_message("messageStop", stop) + _encode_message("metadata", metadata)

    def _fail_stream(self, error: Error) -> bytes:
        self._ended = True
        name = stream_exception_name(error)
        return encode(_encode({"message": client_message(error)}), name, exception=True)


def _encode_message(name: str, data: Any) -> bytes:
    return encode(_encode(data), name)
