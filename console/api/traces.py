"""Traces of agents over the API: the list, one trace with its spans and requests, their content."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from functools import partial
from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from ninja.errors import HttpError

from console.pages.traces.waterfall import Line, trace_waterfall
from gateway import store
from gateway.api.auth import BodyReader, Reader
from gateway.api.pages import MAX_ID, page_of_rows
from gateway.models import ClientSpan, ClientTrace
from gateway.store.field_values import in_utc

router = Router(tags=["traces"])

_NO_CONTENT = {
    "none": "the span has no content",
    "off": "the key, the route or the settings disable the storage of bodies",
    "expired": "it was deleted after its retention period",
}


class TraceFilters(Schema):
    """Filters of the list. `cursor` is the `next` of the previous page; `key` is a prefix.

    `failed` is whether a span has an error. `q` is a part of the name, service, session or trace
    id, in either case.
    """

    cursor: int | None = None
    limit: int = 50
    session: str | None = None
    key: str | None = None
    service: str | None = None
    failed: bool | None = None
    q: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None


class TraceOut(Schema):
    """A trace that a key sent. `source` is its format: `agents_sdk` or `otlp`.

    `service` is the `service.name` of the program that sent its root; empty if unknown.
    `errors` is the number of its spans that failed.
    """

    id: int
    trace_id: str
    key_prefix: str
    name: str
    session: str
    source: str
    service: str
    started_at: dt.datetime
    ended_at: dt.datetime
    spans: int
    errors: int


class TracePage(Schema):
    """Traces, those that were added last first, and the cursor of the next page."""

    items: list[TraceOut]
    next: int | None


class TraceLineOut(Schema):
    """A span of the trace, or a request of the gateway below the span to which it belongs.

    `kind` is that of the span (`agent`, `generation`, `tool`, `handoff`, `guardrail`, `custom`), or
    `request`. `id` is the number of the span, which its content is read by, or the request ID.
    `parent` is the index of the parent in `lines`, null for a root. Times are in milliseconds from
    the start of the trace. Cost and tokens are sums of the requests in the subtree; a cost is null
    if none is known. `errors` counts failures in the subtree, itself included.
    """

    kind: str
    id: int | str
    name: str
    parent: int | None
    depth: int
    started_at: dt.datetime
    offset_ms: float
    duration_ms: float
    model: str
    error: str
    attributes: dict[str, Any]
    requests: int
    prompt_tokens: int
    output_tokens: int
    cost_usd: Decimal | None
    errors: int


class TraceDetailOut(Schema):
    """A trace in the order of its tree, with sums. `keys` are the prefixes of those that sent it.

    `is_cut`: it has more than 1,000 spans, and the later ones are left out.
    """

    trace_id: str
    name: str
    session: str
    source: str
    keys: list[str]
    spans: int
    requests: int
    errors: int
    duration_ms: float
    request_ms: float
    tool_ms: float
    prompt_tokens: int
    output_tokens: int
    cost_usd: Decimal | None
    is_cut: bool
    lines: list[TraceLineOut]


class SpanContentOut(Schema):
    """Inputs, outputs and other content of a span; `reason` explains why there is none."""

    stored: bool
    reason: str = ""
    content: dict[str, Any] = {}


@router.get("/traces", auth=Reader(), response=TracePage)
def list_traces(request: HttpRequest, filters: Query[TraceFilters]) -> dict[str, Any]:
    """The traces that agents sent."""
    cursor = min(filters.cursor, MAX_ID) if filters.cursor is not None else None
    matching_traces = ClientTrace.objects.matching(
        session=filters.session,
        key=filters.key,
        service=filters.service,
        failed=filters.failed,
        text=filters.q,
        since=filters.since and in_utc(filters.since),
        until=filters.until and in_utc(filters.until),
    )
    rows, next_cursor = page_of_rows(partial(matching_traces.newest, before=cursor), filters.limit)
    counts = ClientSpan.objects.counts([row.trace_id for row in rows])
    items = [_trace_out(row, counts.get((row.trace_id, row.key_id), (0, 0))) for row in rows]
    return {"items": items, "next": next_cursor}


@router.get("/traces/{trace_id}", auth=Reader(), response=TraceDetailOut)
def get_trace(request: HttpRequest, trace_id: str) -> dict[str, Any]:
    """One trace: its spans and the gateway's requests as one tree, with cost and tokens."""
    rows = list(ClientTrace.objects.with_trace_ids([trace_id]).newest(10))
    if not rows:
        raise HttpError(404, "there is no such trace")
    waterfall = trace_waterfall([trace_id])
    sums = (
        *("spans", "requests", "errors", "duration_ms", "request_ms", "tool_ms"),
        *("prompt_tokens", "output_tokens", "cost_usd", "is_cut"),
    )
    return {
        "trace_id": trace_id,
        "name": rows[0].name,
        "session": next((row.session for row in rows if row.session), ""),
        "source": rows[0].source,
        "keys": [row.key_prefix for row in rows if row.key_prefix],
        "lines": [_line_out(line) for line in waterfall.lines],
        **{name: getattr(waterfall, name) for name in sums},
    }


@router.get(
    "/traces/{trace_id}/spans/{int:number}/content", auth=BodyReader(), response=SpanContentOut
)
def get_span_content(request: HttpRequest, trace_id: str, number: int) -> dict[str, Any]:
    """The content of a span, by the `id` of its line in the trace."""
    row = ClientSpan.objects.filter(pk=min(number, MAX_ID)).first()
    if row is None or row.trace_id != trace_id:
        raise HttpError(404, "the trace has no such span")
    if row.content_omitted:
        return {"stored": False, "reason": _NO_CONTENT[row.content_omitted]}
    return {"stored": True, "content": store.span_content(row)}


def _trace_out(row: ClientTrace, counts: tuple[int, int]) -> dict[str, Any]:
    columns = ("trace_id", "key_prefix", "name", "session", "source", "service", "started_at")
    values = {name: getattr(row, name) for name in columns}
    return {
        "id": row.pk,
        **values,
        "ended_at": row.ended_at,
        "spans": counts[0],
        "errors": counts[1],
    }


def _line_out(line: Line) -> dict[str, Any]:
    field_names = (
        *("kind", "parent", "depth", "started_at", "offset_ms", "duration_ms", "requests"),
        *("prompt_tokens", "output_tokens", "cost_usd", "errors"),
    )
    values = {name: getattr(line, name) for name in field_names}
    if line.span is not None:
        span = line.span
        own_fields = {"id": span.pk, "name": span.name, "model": span.model, "error": span.error}
        return {**values, **own_fields, "attributes": span.attributes}
    row = line.request
    assert row is not None
    own_fields = {"id": row.request_id, "name": row.requested_model, "model": row.model}
    return {**values, **own_fields, "error": row.error, "attributes": {}}
