"""Spans of clients and requests of the gateway as one tree on a time axis."""

from __future__ import annotations

import datetime as dt
import itertools
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from console.pages.traces.matching import match_requests, requests_of
from gateway.models import ClientSpan, ClientTrace, RequestLog

MAX_SPANS = 1000
# Classes of the levels of the tree; deeper spans have the last.
INDENTS = (
    *("indent-0", "indent-1", "indent-2", "indent-3", "indent-4", "indent-5", "indent-6"),
    *("indent-7", "indent-8", "indent-9", "indent-10", "indent-11", "indent-12"),
)
# Width of the time axis, the least width of a bar, and the width of a shortened pause.
AXIS, MIN_BAR, PAUSE = 1000.0, 4.0, 20.0
# A pause is shortened if it is longer than this share of the active time.
LONG_PAUSE = 0.25


class Line(msgspec.Struct, kw_only=True):
    """A span or a request in the tree.

    Attributes:
        span, request: one of them is set.
        parent: index of its parent in the lines; None for a root.
        offset_ms: from the first start of the waterfall.
        x, width: of the bar, on an axis of AXIS.
        cost_usd: sum of the requests in its subtree; None if no cost is known.
        prompt_tokens, output_tokens, requests: sums of the requests in its subtree.
        errors: spans and requests in its subtree that failed, itself included.
    """

    span: ClientSpan | None = None
    request: RequestLog | None = None
    parent: int | None = None
    depth: int = 0
    started_at: dt.datetime
    ended_at: dt.datetime
    offset_ms: float = 0.0
    x: float = 0.0
    width: float = MIN_BAR
    cost_usd: Decimal | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    errors: int = 0

    @property
    def kind(self) -> str:
        """The kind of the span, or `request`."""
        return self.span.kind if self.span is not None else "request"

    @property
    def failed(self) -> bool:
        """Whether the span or request itself failed, not only one below it."""
        if self.span is not None:
            return bool(self.span.error)
        return self.request is not None and self.request.outcome != "ok"

    @property
    def duration_ms(self) -> float:
        """Duration of the line in milliseconds."""
        return (self.ended_at - self.started_at).total_seconds() * 1000

    @property
    def indent(self) -> str:
        """The class of its level in the tree."""
        return INDENTS[min(self.depth, len(INDENTS) - 1)]


class Waterfall(msgspec.Struct, kw_only=True):
    """The lines in the order of the tree, and their sums.

    Attributes:
        is_cut: whether spans beyond MAX_SPANS are left out.
        has_pauses: whether pauses are shortened on the axis.
    """

    lines: list[Line] = []
    spans: int = 0
    requests: int = 0
    errors: int = 0
    tool_ms: float = 0.0
    request_ms: float = 0.0
    duration_ms: float = 0.0
    prompt_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal | None = None
    is_cut: bool = False
    has_pauses: bool = False


def trace_waterfall(trace_ids: Iterable[str], *, key_ids: Sequence[int] | None = None) -> Waterfall:
    """The spans of these traces and their requests; with `key_ids`, those of these keys."""
    trace_ids = list(trace_ids)
    rows = ClientSpan.objects.of_keys(key_ids).of_traces(trace_ids)
    spans = list(rows[: MAX_SPANS + 1]) if trace_ids else []
    is_cut = len(spans) > MAX_SPANS
    spans = spans[:MAX_SPANS]
    requests = requests_of(spans, trace_ids, key_ids=key_ids)
    waterfall = build_waterfall(spans, requests)
    waterfall.is_cut = is_cut
    return waterfall


def session_waterfall(session: str, rows: list[RequestLog], trace_ids: set[str]) -> Waterfall:
    """The traces of a session, and its requests `rows`; `trace_ids` are further traces."""
    session_ids = (
        ClientTrace.objects.of_session(session).newest(100).values_list("trace_id", flat=True)
    )
    names = sorted({*session_ids, *trace_ids})
    spans = list(ClientSpan.objects.of_traces(names)[: MAX_SPANS + 1]) if names else []
    requests = {row.pk: row for row in (*rows, *requests_of(spans[:MAX_SPANS], names))}
    waterfall = build_waterfall(spans[:MAX_SPANS], list(requests.values()))
    waterfall.is_cut = len(spans) > MAX_SPANS
    return waterfall


def build_waterfall(spans: list[ClientSpan], rows: list[RequestLog]) -> Waterfall:
    """The tree of spans, with each request below the span to which it belongs."""
    lines = _ordered_lines(spans, rows)
    waterfall = Waterfall(lines=lines, spans=len(spans), requests=len(rows))
    if not lines:
        return waterfall
    _sum_subtrees(lines)
    waterfall.has_pauses = _set_bar_positions(lines)
    waterfall.duration_ms = (
        max(line.ended_at for line in lines) - min(line.started_at for line in lines)
    ).total_seconds() * 1000
    for line in lines:
        waterfall.errors += line.failed
        if line.kind == "tool":
            waterfall.tool_ms += line.duration_ms
        if line.request is not None:
            waterfall.request_ms += line.duration_ms
            waterfall.prompt_tokens += line.prompt_tokens
            waterfall.output_tokens += line.output_tokens
            if line.cost_usd is not None:
                waterfall.cost_usd = (waterfall.cost_usd or Decimal(0)) + line.cost_usd
    return waterfall


def _ordered_lines(spans: list[ClientSpan], rows: list[RequestLog]) -> list[Line]:
    """Spans and requests, each parent before its children, children by start."""
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    by_owner = {(span.trace_id, span.key_id, span.span_id): span for span in spans}
    children: dict[int | None, list[Line]] = {}
    for span in spans:
        parent = by_owner.get((span.trace_id, span.key_id, span.parent_id)) or by_id.get(
            (span.trace_id, span.parent_id)
        )
        line = Line(
            span=span,
            started_at=span.started_at,
            ended_at=span.ended_at or span.started_at,
            errors=int(bool(span.error)),
        )
        children.setdefault(parent.pk if parent else None, []).append(line)
    matches = match_requests(spans, rows)
    for row in rows:
        matched_request = matches.get(row.pk)
        children.setdefault(matched_request.pk if matched_request else None, []).append(
            _request_line(row)
        )
    return _depth_first_lines(children)


def _request_line(row: RequestLog) -> Line:
    return Line(
        request=row,
        started_at=row.started_at,
        ended_at=row.started_at + dt.timedelta(milliseconds=row.duration_ms),
        cost_usd=row.cost_usd,
        prompt_tokens=row.prompt_tokens or 0,
        output_tokens=row.output_tokens or 0,
        requests=1,
        errors=int(row.outcome != "ok"),
    )


def _depth_first_lines(children: dict[int | None, list[Line]]) -> list[Line]:
    """The lines depth first. Spans whose parents form a cycle become roots."""
    lines: list[Line] = []

    def start(item: Line) -> dt.datetime:
        return item.started_at

    roots = sorted(children.pop(None, []), key=start, reverse=True)
    stack: list[tuple[Line, int | None, int]] = [(line, None, 0) for line in roots]
    while stack or children:
        if not stack:
            cycle = children.pop(next(iter(children)))
            stack = [(line, None, 0) for line in sorted(cycle, key=start, reverse=True)]
        line, parent, depth = stack.pop()
        line.parent, line.depth = parent, depth
        lines.append(line)
        if line.span is not None and line.span.pk in children:
            child_rows = sorted(children.pop(line.span.pk), key=start, reverse=True)
            stack += [(child, len(lines) - 1, depth + 1) for child in child_rows]
    return lines


def _sum_subtrees(lines: list[Line]) -> None:
    """Add the sums of each line to its parent."""
    for line in reversed(lines):
        if line.parent is None:
            continue
        parent = lines[line.parent]
        parent.requests += line.requests
        parent.prompt_tokens += line.prompt_tokens
        parent.output_tokens += line.output_tokens
        parent.errors += line.errors
        if line.cost_usd is not None:
            parent.cost_usd = (parent.cost_usd or Decimal(0)) + line.cost_usd


def _set_bar_positions(lines: list[Line]) -> bool:
    """Set the bars; return whether long pauses are shortened."""
    first = min(line.started_at for line in lines)
    intervals = _active_intervals(
        [
            ((line.started_at - first).total_seconds(), (line.ended_at - first).total_seconds())
            for line in lines
        ]
    )
    active = sum(end - start for start, end in intervals) or 1.0
    gaps = [after[0] - before[1] for before, after in itertools.pairwise(intervals)]
    long_gaps = [gap for gap in gaps if gap > LONG_PAUSE * active]
    total = active + sum(gap for gap in gaps if gap <= LONG_PAUSE * active)
    pause = min(PAUSE, AXIS / 2 / len(long_gaps)) if long_gaps else 0.0
    scale = (AXIS - pause * len(long_gaps)) / total
    starts, positions, x = [], [], 0.0
    for index, (start, end) in enumerate(intervals):
        starts.append(start)
        positions.append(x)
        x += (end - start) * scale
        if index < len(gaps):
            x += pause if gaps[index] > LONG_PAUSE * active else gaps[index] * scale
    for line in lines:
        offset = (line.started_at - first).total_seconds()
        index = bisect_right(starts, offset) - 1
        line.offset_ms = offset * 1000
        line.x = round(min(positions[index] + (offset - starts[index]) * scale, AXIS - MIN_BAR), 1)
        width = max(line.duration_ms / 1000 * scale, MIN_BAR)
        line.width = round(min(width, AXIS - line.x), 1)
    return bool(long_gaps)


def _active_intervals(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The union of intervals, in order."""
    merged_intervals: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if merged_intervals and start <= merged_intervals[-1][1]:
            merged_intervals[-1] = merged_intervals[-1][0], max(merged_intervals[-1][1], end)
        else:
            merged_intervals.append((start, end))
    return merged_intervals
