"""Parses the traces of the OpenAI Agents SDK (`BackendSpanExporter`, `POST /v1/traces/ingest`).

A request is `{"data": [item, ...]}`; an item is a trace or a span:

    {"object": "trace", "id", "workflow_name", "group_id", "metadata"}
    {"object": "trace.span", "id", "trace_id", "parent_id", "started_at", "ended_at",
     "span_data": {"type", ...}, "error": {"message", "data"}}
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

from gateway.client_spans.span import (
    MAX_ERROR_CHARS,
    MAX_ITEMS,
    MAX_NAME_CHARS,
    MAX_SESSION_CHARS,
    ClientSpan,
    InvalidItem,
    Kind,
    MalformedBody,
    ParsedSpans,
    Rejection,
    TooManyItems,
    bounded_attributes,
    check_id,
    token_count,
    truncate_text,
)

SOURCE = "agents_sdk"
# Types of other spans, such as those of later releases, are `custom`.
_KINDS: dict[str, Kind] = {
    "agent": "agent",
    "generation": "generation",
    "response": "generation",
    "transcription": "generation",
    "speech": "generation",
    "function": "tool",
    "mcp_tools": "tool",
    "handoff": "handoff",
    "guardrail": "guardrail",
}
# Fields of `span_data` that describe a span. All others may hold text of users.
_DESCRIPTIONS = frozenset(
    {
        "type",
        "name",
        "handoffs",
        "tools",
        "output_type",
        "model",
        "usage",
        "response_id",
        "from_agent",
        "to_agent",
        "triggered",
        "server",
    }
)


def parse_items(body: Any) -> ParsedSpans:
    """The traces and spans of a decoded request; invalid items are rejections.

    Raises:
        MalformedBody: it has no list `data`.
        TooManyItems: the list is too long.
    """
    items = body.get("data") if isinstance(body, dict) else None
    if not isinstance(items, list):
        raise MalformedBody("data: must be a list of traces and spans")
    if len(items) > MAX_ITEMS:
        raise TooManyItems
    parsed_spans = ParsedSpans()
    for index, item in enumerate(items):
        try:
            _parse_item(item, parsed_spans)
        except InvalidItem as error:
            path = f"data[{index}].{error.path}" if error.path else f"data[{index}]"
            parsed_spans.rejections.append(Rejection(path, str(error)))
    return parsed_spans


def _parse_item(item: Any, parsed_spans: ParsedSpans) -> None:
    if not isinstance(item, dict):
        raise InvalidItem("", "must be an object")
    match item.get("object"):
        case "trace":
            trace = parsed_spans.trace(check_id(item.get("id"), "id"), SOURCE)
            trace.name = truncate_text(item.get("workflow_name"), MAX_NAME_CHARS)
            trace.session = truncate_text(item.get("group_id"), MAX_SESSION_CHARS)
        case "trace.span":
            span = _parse_span(item)
            parsed_spans.trace(span.trace_id, SOURCE)
            parsed_spans.spans.append(span)
        case other:
            raise InvalidItem("object", f"must be `trace` or `trace.span`, not `{str(other)[:40]}`")


def _parse_span(item: dict[str, Any]) -> ClientSpan:
    data = item.get("span_data")
    if not isinstance(data, dict):
        raise InvalidItem("span_data", "must be an object")
    type_ = data.get("type")
    if not isinstance(type_, str) or not type_:
        raise InvalidItem("span_data.type", "must be the type of the span")
    started_at = _parse_time(item.get("started_at"), "started_at")
    if started_at is None:
        raise InvalidItem("started_at", "is required")
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    parent_id = item.get("parent_id")
    error, error_data = _parse_error(item.get("error"))
    descriptions = {name: value for name, value in data.items() if name in _DESCRIPTIONS}
    content = {name: value for name, value in data.items() if name not in _DESCRIPTIONS and value}
    if error_data is not None:
        content["error"] = error_data
    if item.get("metadata"):
        content["metadata"] = item["metadata"]
    model = truncate_text(data.get("model"), MAX_NAME_CHARS)
    return ClientSpan(
        trace_id=check_id(item.get("trace_id"), "trace_id"),
        span_id=check_id(item.get("id"), "id"),
        parent_id=check_id(parent_id, "parent_id") if parent_id else "",
        name=_span_name(type_, data, model),
        kind=_KINDS.get(type_, "custom"),
        started_at=started_at,
        ended_at=_parse_time(item.get("ended_at"), "ended_at"),
        error=error,
        model=model,
        response_id=truncate_text(data.get("response_id"), MAX_SESSION_CHARS),
        input_tokens=token_count(usage.get("input_tokens")),
        output_tokens=token_count(usage.get("output_tokens")),
        attributes=bounded_attributes(
            {n: v for n, v in descriptions.items() if v not in (None, [])}
        ),
        content=content,
    )


def _span_name(type_: str, data: dict[str, Any], model: str) -> str:
    if type_ == "handoff":
        names = (truncate_text(data.get("from_agent"), 90), truncate_text(data.get("to_agent"), 90))
        return " → ".join(filter(None, names)) or type_
    name = truncate_text(data.get("name"), MAX_NAME_CHARS) or model or type_[:MAX_NAME_CHARS]
    details = data.get("data")
    # The SDK's own spans of turns are custom spans whose data has the number.
    number = token_count(details.get("turn")) if isinstance(details, dict) else None
    return name if number is None else f"{name[:150]} {number}"


def _parse_error(error: Any) -> tuple[str, Any]:
    """The message of a span's error, and its data, which may hold text of users."""
    if not error:
        return "", None
    if not isinstance(error, dict):
        return truncate_text(error, MAX_ERROR_CHARS) or "error", None
    return truncate_text(error.get("message"), MAX_ERROR_CHARS) or "error", error.get("data")


def _parse_time(value: Any, path: str) -> float | None:
    """An ISO 8601 time as unix seconds; None without one. Raises InvalidItem."""
    if value is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(value)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds < 2**32:
        raise InvalidItem(path, "must be an ISO 8601 time such as 2026-01-31T12:00:00Z")
    return seconds
