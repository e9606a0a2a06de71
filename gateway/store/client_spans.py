"""Spans of clients <-> their tables."""

from __future__ import annotations

import time
import zlib
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from django.db import transaction

from gateway.client_spans.span import MAX_NAME_CHARS, ClientSpan, ClientTrace, SpanBatch
from gateway.database.deadline import deadline
from gateway.models import ClientSpan as SpanRow
from gateway.models import ClientTrace as TraceRow
from gateway.models.client_span import IDS_PER_QUERY
from gateway.store import thread
from gateway.store.columns import json_text

# Timeout of one batch, in seconds.
WRITE_TIMEOUT_S = 10.0
ROWS_PER_STATEMENT = 50
SPANS_PER_TRANSACTION = 500
# How far a client's clock may be ahead, in seconds.
MAX_CLOCK_SKEW_S = 86_400.0
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
    with deadline(WRITE_TIMEOUT_S):
        packed_spans = list(zip(batch.spans, batch.packed, strict=True))
        for start in range(0, len(packed_spans), SPANS_PER_TRANSACTION):
            rows = [
                _span_row(span, packed_content, batch.key_id)
                for span, packed_content in packed_spans[start : start + SPANS_PER_TRANSACTION]
            ]
            with transaction.atomic():
                SpanRow.objects.bulk_create(
                    rows, batch_size=ROWS_PER_STATEMENT, ignore_conflicts=True
                )
        # In one order, so that two writers cannot deadlock.
        traces = sorted(batch.traces, key=lambda trace: trace.trace_id)
        summaries = _summaries_by_trace(batch.spans)
        for start in range(0, len(traces), IDS_PER_QUERY):
            with transaction.atomic():
                _write_traces(traces[start : start + IDS_PER_QUERY], summaries, batch)


class _Summary(NamedTuple):
    """What the spans of a batch say about their trace. `has_root` is whether one has no parent."""

    started_at: datetime
    ended_at: datetime
    service: str = ""
    has_root: bool = False
    failed: bool = False


def _write_traces(
    traces: list[ClientTrace], summaries: dict[str, _Summary], batch: SpanBatch
) -> None:
    """Insert traces, or add to those that are stored."""
    now = datetime.now(UTC)
    empty_summary = _Summary(now, now)
    traces_by_id = {trace.trace_id: trace for trace in traces}
    rows = [
        TraceRow(
            trace_id=trace.trace_id,
            key_id=batch.key_id,
            key_prefix=batch.key_prefix,
            name=_storable_text(trace.name),
            session=_storable_text(trace.session),
            source=trace.source,
            started_at=summary.started_at,
            ended_at=summary.ended_at,
            service=summary.service,
            failed=summary.failed,
        )
        for trace in traces
        for summary in [summaries.get(trace.trace_id, empty_summary)]
    ]
    TraceRow.objects.bulk_create(rows, batch_size=ROWS_PER_STATEMENT, ignore_conflicts=True)
    stored_traces = (
        TraceRow.objects.of_key(batch.key_id, traces_by_id).select_for_update().order_by("trace_id")
    )
    changed_rows = [
        row
        for row in stored_traces
        if _merge_trace(row, traces_by_id[row.trace_id], summaries.get(row.trace_id))
    ]
    TraceRow.objects.bulk_update(changed_rows, _MERGED_COLUMNS, batch_size=ROWS_PER_STATEMENT)


_MERGED_COLUMNS = ("name", "session", "started_at", "ended_at", "service", "failed")


def _merge_trace(row: TraceRow, trace: ClientTrace, summary: _Summary | None) -> bool:
    """Add what a request knows of a trace to its row; return whether the row changed."""
    before = [getattr(row, name) for name in _MERGED_COLUMNS]
    row.name = _storable_text(trace.name) or row.name
    row.session = _storable_text(trace.session) or row.session
    if summary is not None:
        row.started_at = min(row.started_at, summary.started_at)
        row.ended_at = max(row.ended_at, summary.ended_at)
        if summary.has_root or not row.service:
            row.service = summary.service or row.service
        row.failed = row.failed or summary.failed
    return before != [getattr(row, name) for name in _MERGED_COLUMNS]


def _summaries_by_trace(spans: list[ClientSpan]) -> dict[str, _Summary]:
    """The summary of each trace's spans."""
    by_trace: dict[str, list[ClientSpan]] = {}
    for span in spans:
        by_trace.setdefault(span.trace_id, []).append(span)
    return {trace_id: _summarize_spans(group) for trace_id, group in by_trace.items()}


def _summarize_spans(spans: list[ClientSpan]) -> _Summary:
    # The root first.
    services = [
        _service_name(span) for span in sorted(spans, key=lambda span: bool(span.parent_id))
    ]
    return _Summary(
        _clamped_time(min(span.started_at for span in spans)),
        _clamped_time(max(max(span.started_at, span.ended_at or 0.0) for span in spans)),
        service=next(filter(None, services), ""),
        has_root=any(not span.parent_id for span in spans),
        failed=any(span.error for span in spans),
    )


def _service_name(span: ClientSpan) -> str:
    name = span.attributes.get("service.name")
    return _storable_text(name)[:MAX_NAME_CHARS] if isinstance(name, str) else ""


def _span_row(span: ClientSpan, packed_content: bytes | None, key_id: int) -> SpanRow:
    omission = "none" if packed_content is None else "" if packed_content else "off"
    content = packed_content or b""
    return SpanRow(
        trace_id=span.trace_id,
        key_id=key_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=_storable_text(span.name),
        kind=span.kind,
        started_at=_clamped_time(span.started_at),
        ended_at=None
        if span.ended_at is None
        else _clamped_time(max(span.started_at, span.ended_at)),
        error=_storable_text(span.error),
        model=_storable_text(span.model),
        response_id=_storable_text(span.response_id),
        input_tokens=span.input_tokens,
        output_tokens=span.output_tokens,
        attributes=msgspec.json.decode(json_text(span.attributes)),
        content_omitted=omission,
        content=zlib.compress(content, 1) if len(content) > MIN_COMPRESS_BYTES else content,
    )


def _storable_text(text: str) -> str:
    """Text without NUL and lone surrogates, which PostgreSQL rejects."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _clamped_time(seconds: float) -> datetime:
    """A time, at most a day ahead: later ones would never expire."""
    return datetime.fromtimestamp(min(seconds, time.time() + MAX_CLOCK_SKEW_S), UTC)


def span_content(row: SpanRow) -> dict[str, Any]:
    """The stored content of a span, by name; empty if there is none or it is damaged."""
    content = bytes(row.content)
    try:
        if content[:1] != b"{":
            content = zlib.decompressobj().decompress(content, MAX_CONTENT_BYTES)
        decoded_content = msgspec.json.decode(content) if content else {}
    except (zlib.error, msgspec.MsgspecError):
        return {}
    return decoded_content if isinstance(decoded_content, dict) else {}
