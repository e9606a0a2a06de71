"""Reads OpenTelemetry spans by the GenAI semantic conventions, OpenInference and OpenLLMetry.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ (2026-10); the attributes of
OpenInference (Arize) begin with `llm.` and `openinference.`, those of OpenLLMetry with
`traceloop.`. Spans without any of these attributes are `custom`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.client_spans.span import (
    MAX_ERROR_CHARS,
    MAX_NAME_CHARS,
    MAX_SESSION_CHARS,
    ClientSpan,
    InvalidItem,
    Kind,
    bounded_attributes,
    token_count,
    truncate_text,
)

# Values of `gen_ai.operation.name`, `openinference.span.kind` and `traceloop.span.kind`.
_KINDS: dict[str, Kind] = {
    "chat": "generation",
    "text_completion": "generation",
    "generate_content": "generation",
    "embeddings": "generation",
    "execute_tool": "tool",
    "invoke_agent": "agent",
    "create_agent": "agent",
    "invoke_workflow": "agent",
    "llm": "generation",
    "embedding": "generation",
    "tool": "tool",
    "retriever": "tool",
    "agent": "agent",
    "workflow": "agent",
    "guardrail": "guardrail",
}
_KIND_ATTRIBUTES = ("gen_ai.operation.name", "openinference.span.kind", "traceloop.span.kind")
_MODELS = ("gen_ai.request.model", "llm.model_name", "gen_ai.response.model")
_INPUT_TOKENS = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
)
_OUTPUT_TOKENS = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
)
_SESSIONS = (
    "session.id",
    "gen_ai.conversation.id",
    "langfuse.session.id",
    "traceloop.association.properties.session_id",
)
# Attributes that describe a span. All others may hold text of users.
_DESCRIPTION = re.compile(
    r"gen_ai\.(?:operation\.name|system|provider\.name|output\.type|conversation\.id"
    r"|request\.[a-z_.]+|response\.(?:id|model|finish_reasons)|usage\.[a-z_.]+"
    r"|agent\.(?:id|name|version)|tool\.(?:name|type|call\.id)|workflow\.name)"
    r"|openinference\.span\.kind|llm\.(?:model_name|provider|system|token_count\.[a-z_.]+)"
    r"|traceloop\.(?:span\.kind|entity\.name|workflow\.name)"
    r"|service\.(?:name|version)|session\.id|error\.type"
    r"|server\.(?:address|port)|http\.(?:request\.method|response\.status_code)"
)
_ERROR_STATUSES = frozenset({2, "2", "STATUS_CODE_ERROR"})
_NS_PER_S = 1_000_000_000


class OtelSpan(msgspec.Struct, kw_only=True):
    """A span as OTLP has it, from either encoding.

    Attributes:
        trace_id, span_id, parent_id: lower-case hex; `parent_id` may be empty.
        started_ns, ended_ns: unix nanoseconds; 0 means none.
        events: name and attributes of each.
        service: `service.name` of the resource.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    started_ns: int
    ended_ns: int
    status: int | str
    status_message: str
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    service: str


def client_span(span: OtelSpan) -> ClientSpan:
    """The span as it is stored. Raises InvalidItem."""
    _check_hex(span.trace_id, 32, "traceId")
    _check_hex(span.span_id, 16, "spanId")
    if span.parent_id:
        _check_hex(span.parent_id, 16, "parentSpanId")
    if not 0 < span.started_ns < 2**32 * _NS_PER_S:
        raise InvalidItem("startTimeUnixNano", "must be the start in nanoseconds since 1970")
    if not 0 <= span.ended_ns < 2**32 * _NS_PER_S:
        raise InvalidItem("endTimeUnixNano", "must be the end in nanoseconds since 1970")
    attributes = span.attributes
    descriptions = {n: v for n, v in attributes.items() if _DESCRIPTION.fullmatch(n)}
    content = {n: v for n, v in attributes.items() if n not in descriptions}
    for name, values in span.events:
        if values:
            content.setdefault("events", []).append({"name": name, **values})
    if span.service:
        descriptions.setdefault("service.name", span.service)
    return ClientSpan(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=truncate_text(span.name, MAX_NAME_CHARS) or "span",
        kind=_span_kind(attributes),
        started_at=span.started_ns / _NS_PER_S,
        ended_at=span.ended_ns / _NS_PER_S if span.ended_ns else None,
        error=_span_error(span),
        model=_first_text(attributes, _MODELS, MAX_NAME_CHARS),
        response_id=truncate_text(attributes.get("gen_ai.response.id"), MAX_SESSION_CHARS),
        input_tokens=_first_count(attributes, _INPUT_TOKENS),
        output_tokens=_first_count(attributes, _OUTPUT_TOKENS),
        session=_first_text(attributes, _SESSIONS, MAX_SESSION_CHARS),
        attributes=bounded_attributes(descriptions),
        content=content,
    )


def _check_hex(value: str, length: int, path: str) -> None:
    if len(value) != length or not value.strip("0") or set(value) - set("0123456789abcdef"):
        raise InvalidItem(path, f"must be {length // 2} bytes, not all zero")


def _span_kind(attributes: dict[str, Any]) -> Kind:
    for name in _KIND_ATTRIBUTES:
        value = attributes.get(name)
        if isinstance(value, str) and (kind := _KINDS.get(value.lower())):
            return kind
    return "custom"


def _span_error(span: OtelSpan) -> str:
    """The error of a failed span: its message, else the exception's, else its type."""
    if span.status not in _ERROR_STATUSES:
        return ""
    messages: list[Any] = [span.status_message]
    messages += [values.get("exception.message") for name, values in span.events]
    messages += [span.attributes.get("error.type")]
    return next(
        (truncate_text(m, MAX_ERROR_CHARS) for m in messages if m and isinstance(m, str)), "error"
    )


def _first_text(attributes: dict[str, Any], names: tuple[str, ...], limit: int) -> str:
    return next(
        (value for name in names if (value := truncate_text(attributes.get(name), limit))), ""
    )


def _first_count(attributes: dict[str, Any], names: tuple[str, ...]) -> int | None:
    counts = (token_count(attributes.get(name)) for name in names)
    return next((count for count in counts if count is not None), None)
