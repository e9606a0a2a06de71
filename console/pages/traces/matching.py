"""Which requests of the gateway belong to which spans of clients.

A request belongs to the span that its `traceparent` names, else to the span that holds the id of
its response, else, for a generation without such an id (the Agents SDK's Chat model), to the span
of the same key and model that contains it in time.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence

from gateway.models import ClientSpan, ClientTrace, RequestLog

MAX_REQUESTS = 500
# Candidates that are compared by time, at most.
MAX_CANDIDATES = 2000
# How far the clocks of a client and the gateway may differ. Without a difference, a request lies
# within its span, which is looked for first.
CLOCK_SKEW = dt.timedelta(seconds=1)
TOLERANCE = dt.timedelta(milliseconds=20)
# Ids of responses that the gateway creates: the remainder is that of the request id.
_OWN_RESPONSE_ID = re.compile(r"(?:resp_|chatcmpl-|msg_|cmpl-)(.+)")
_HEX_TRACE = re.compile(r"(?:trace_)?([0-9a-f]{32})")


def request_ids(response_id: str) -> list[str]:
    """The request ids that the gateway may have given to the request of a response."""
    match = _OWN_RESPONSE_ID.fullmatch(response_id)
    return [f"req_{match[1]}"] if match else []


def response_ids(row: RequestLog) -> list[str]:
    """The ids under which a client may know the response of a request."""
    suffix = row.request_id.removeprefix("req_")
    ids = [f"{prefix}{suffix}" for prefix in ("resp_", "chatcmpl-", "msg_", "cmpl-")]
    return [*ids, *filter(None, (row.response_id, row.upstream_id))]


def traces_of_requests(rows: Sequence[RequestLog]) -> set[str]:
    """Ids of the client traces that contain any of these requests."""
    hexes = {row.trace_id for row in rows if row.trace_id}
    names = [name for hex_id in hexes for name in (hex_id, f"trace_{hex_id}")]
    stored_ids = (
        set(ClientTrace.objects.with_trace_ids(names).values_list("trace_id", flat=True))
        if names
        else set()
    )
    responses = [name for row in rows for name in response_ids(row)]
    return stored_ids | ClientSpan.objects.traces_of_responses(responses)


def requests_of(
    spans: Sequence[ClientSpan], trace_ids: Iterable[str], *, key_ids: Sequence[int] | None = None
) -> list[RequestLog]:
    """The requests of these spans and traces, oldest first; at most MAX_REQUESTS.

    With `key_ids`, only requests of these keys.
    """
    rows: dict[int, RequestLog] = {}
    log = RequestLog.objects.without_shadows().of_keys(key_ids)
    hexes = [match[1] for name in trace_ids if (match := _HEX_TRACE.fullmatch(name))]
    responses = [span.response_id for span in spans if span.response_id]
    gateway_ids = [request_id for response in responses for request_id in request_ids(response)]
    for column, values in (
        ("trace_id", hexes),
        ("request_id", gateway_ids),
        ("response_id", responses),
    ):
        for start in range(0, len(values), MAX_REQUESTS):
            chunk = values[start : start + MAX_REQUESTS]
            rows |= {r.pk: r for r in log.column_in(column, chunk).newest(MAX_REQUESTS)}
    generations = [span for span in spans if span.kind == "generation"]
    if generations:
        since = min(span.started_at for span in generations) - CLOCK_SKEW
        until = max(span.ended_at or span.started_at for span in generations) + CLOCK_SKEW
        nearby = log.started_between(since, until).first_started(MAX_CANDIDATES)
        unmatched_rows = [row for row in nearby if row.pk not in rows]
        rows |= {row.pk: row for row in unmatched_rows if row.upstream_id in set(responses)}
        matched_requests = match_requests(spans, [*rows.values(), *unmatched_rows])
        rows |= {row.pk: row for row in unmatched_rows if row.pk in matched_requests}
    return sorted(rows.values(), key=lambda row: (row.started_at, row.pk))[-MAX_REQUESTS:]


def match_requests(
    spans: Sequence[ClientSpan], rows: Sequence[RequestLog]
) -> dict[int, ClientSpan]:
    """Row id of a request -> the span to which it belongs."""
    by_id = {(_trace_id_hex(span.trace_id), span.span_id): span for span in spans}
    by_response = {span.response_id: span for span in spans if span.response_id}
    matches: dict[int, ClientSpan] = {}
    unmatched_rows: list[RequestLog] = []
    for row in rows:
        span = by_id.get((row.trace_id, row.parent_span_id)) if row.parent_span_id else None
        ids = response_ids(row)
        span = span or next((by_response[name] for name in ids if name in by_response), None)
        if span is not None:
            matches[row.pk] = span
        else:
            unmatched_rows.append(row)
    matched_pks = {span.pk for span in matches.values()}
    open_spans = [
        s for s in spans if s.kind == "generation" and s.pk not in matched_pks and s.model
    ]
    # Requests of the Responses API have an id that its spans hold; those of a trace name theirs.
    unmatched_rows = [
        row for row in unmatched_rows if not row.response_id and not row.parent_span_id
    ]
    for tolerance in (TOLERANCE, CLOCK_SKEW):
        for row in sorted(unmatched_rows, key=lambda row: row.started_at):
            span = None if row.pk in matches else _span_containing(open_spans, row, tolerance)
            if span is not None:
                matches[row.pk] = span
                open_spans.remove(span)
    return matches


def _span_containing(
    spans: list[ClientSpan], row: RequestLog, tolerance: dt.timedelta
) -> ClientSpan | None:
    """The first span of the row's key and model that contains the request."""
    duration = dt.timedelta(milliseconds=row.duration_ms)
    for span in spans:
        if (row.key_id or 0) != span.key_id or span.model not in (row.requested_model, row.model):
            continue
        ended_at = span.ended_at or span.started_at
        if (
            duration <= ended_at - span.started_at + TOLERANCE
            and span.started_at - tolerance <= row.started_at
            and row.started_at + duration <= ended_at + tolerance
        ):
            return span
    return None


def _trace_id_hex(trace_id: str) -> str:
    match = _HEX_TRACE.fullmatch(trace_id)
    return match[1] if match else trace_id
