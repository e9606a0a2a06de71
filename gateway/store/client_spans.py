"""Spans of clients <-> their tables."""

from __future__ import annotations

import time
import zlib
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.db import transaction

from gateway.client_spans.span import ClientSpan, ClientTrace, SpanBatch
from gateway.database.deadline import deadline
from gateway.models import ClientSpan as SpanRow
from gateway.models import ClientTrace as TraceRow
from gateway.models.client_span import IDS_PER_QUERY
from gateway.store import thread
from gateway.store.columns import json_text

# Timeout of one batch, in seconds.
WRITE_S = 10.0
ROWS_PER_STATEMENT = 50
SPANS_PER_TRANSACTION = 500
# How far a client's clock may be ahead, in seconds.
MAX_AHEAD_S = 86_400.0
MIN_COMPRESS_BYTES = 2048
# Limit on unpacked content, against damaged rows.
MAX_CONTENT_BYTES = 16 * 1024 * 1024


def write_spans(batch: SpanBatch) -> None:
    """Store traces and spans; those that are stored already do not change.

    In transactions of SPANS_PER_TRANSACTION, so that the log writer never waits long.

    Raises:
        Exception: the database is not writable. Some may be stored: write all of them again.
    """
    thread.refresh()
    with deadline(WRITE_S):
        packed_spans = list(zip(batch.spans, batch.packed, strict=True))
        for start in range(0, len(packed_spans), SPANS_PER_TRANSACTION):
            rows = [
                _span_row(span, packed, batch.key_id)
                for span, packed in packed_spans[start : start + SPANS_PER_TRANSACTION]
            ]
            with transaction.atomic():
                SpanRow.objects.bulk_create(
                    rows, batch_size=ROWS_PER_STATEMENT, ignore_conflicts=True
                )
        # In one order, so that two writers cannot deadlock.
        traces = sorted(batch.traces, key=lambda trace: trace.trace_id)
        times = _times_by_trace(batch.spans)
        for start in range(0, len(traces), IDS_PER_QUERY):
            with transaction.atomic():
                _write_traces(traces[start : start + IDS_PER_QUERY], times, batch)


def _write_traces(
    traces: list[ClientTrace], times: dict[str, tuple[datetime, datetime]], batch: SpanBatch
) -> None:
    """Insert traces, or add to those that are stored."""
    now = datetime.now(UTC)
    values = {trace.trace_id: trace for trace in traces}
    rows = [
        TraceRow(
            trace_id=trace.trace_id,
            key_id=batch.key_id,
            key_prefix=batch.key_prefix,
            name=_clean(trace.name),
            session=_clean(trace.session),
            source=trace.source,
            started_at=times.get(trace.trace_id, (now, now))[0],
            ended_at=times.get(trace.trace_id, (now, now))[1],
        )
        for trace in traces
    ]
    TraceRow.objects.bulk_create(rows, batch_size=ROWS_PER_STATEMENT, ignore_conflicts=True)
    stored = TraceRow.objects.of_key(batch.key_id, values).select_for_update().order_by("trace_id")
    changed = [row for row in stored if _merge(row, values[row.trace_id], times)]
    TraceRow.objects.bulk_update(
        changed, ["name", "session", "started_at", "ended_at"], batch_size=ROWS_PER_STATEMENT
    )


def _merge(row: TraceRow, trace: ClientTrace, times: dict[str, tuple[datetime, datetime]]) -> bool:
    """Add what a request knows of a trace to its row; return whether the row changed."""
    before = (row.name, row.session, row.started_at, row.ended_at)
    row.name = _clean(trace.name) or row.name
    row.session = _clean(trace.session) or row.session
    if trace.trace_id in times:
        started_at, ended_at = times[trace.trace_id]
        row.started_at = min(row.started_at, started_at)
        row.ended_at = max(row.ended_at, ended_at)
    return before != (row.name, row.session, row.started_at, row.ended_at)


def _times_by_trace(spans: list[ClientSpan]) -> dict[str, tuple[datetime, datetime]]:
    """The earliest start and the latest end of each trace's spans."""
    seconds: dict[str, tuple[float, float]] = {}
    for span in spans:
        end = max(span.started_at, span.ended_at or 0.0)
        started_at, ended_at = seconds.get(span.trace_id, (span.started_at, end))
        seconds[span.trace_id] = min(started_at, span.started_at), max(ended_at, end)
    return {
        name: (_clamped_time(first), _clamped_time(last)) for name, (first, last) in seconds.items()
    }


def _span_row(span: ClientSpan, packed: bytes | None, key_id: int) -> SpanRow:
    omitted = "none" if packed is None else "" if packed else "off"
    content = packed or b""
    return SpanRow(
        trace_id=span.trace_id,
        key_id=key_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=_clean(span.name),
        kind=span.kind,
        started_at=_clamped_time(span.started_at),
        ended_at=None
        if span.ended_at is None
        else _clamped_time(max(span.started_at, span.ended_at)),
        error=_clean(span.error),
        model=_clean(span.model),
        response_id=_clean(span.response_id),
        input_tokens=span.input_tokens,
        output_tokens=span.output_tokens,
        attributes=msgspec.json.decode(json_text(span.attributes)),
        content_omitted=omitted,
        content=zlib.compress(content, 1) if len(content) > MIN_COMPRESS_BYTES else content,
    )


def _clean(text: str) -> str:
    """Text without NUL and lone surrogates, which PostgreSQL rejects."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _clamped_time(seconds: float) -> datetime:
    """A time, at most a day ahead: later ones would never expire."""
    return datetime.fromtimestamp(min(seconds, time.time() + MAX_AHEAD_S), UTC)


def span_content(row: SpanRow) -> dict[str, Any]:
    """The stored content of a span, by name; empty if there is none or it is damaged."""
    data = bytes(row.content)
    try:
        if data[:1] != b"{":
            data = zlib.decompressobj().decompress(data, MAX_CONTENT_BYTES)
        decoded = msgspec.json.decode(data) if data else {}
    except (zlib.error, msgspec.MsgspecError):
        return {}
    return decoded if isinstance(decoded, dict) else {}
