"""Requests and failures over a time range, in a fixed number of slices, in bounded time.

A short range is counted row by row. A long one without filters is estimated from the row ids at
the slices' edges (ids are sequential), one index lookup each. With filters, the newest rows are
counted until the time budget is used up; the remaining slices are marked as unknown.
"""

from __future__ import annotations

import bisect
import datetime as dt
import itertools
import time
from typing import Any

import msgspec
from django.db import connection

from console.pages.requests.log_search import bounds_of, start_time_of, walk
from console.pages.requests.query import Search
from gateway.models import RequestLog
from gateway.routing.circuit_breaker import HEALTH_CHECK_KEY

SLICES = 60
BUDGET_S = 0.05
_MAX_COUNTED_ROWS = 5_000
_MAX_FAILED_ROWS = 50_000


class Slice(msgspec.Struct):
    """A slice of the range. `count` is None if it was not counted."""

    since: dt.datetime
    until: dt.datetime
    count: int | None = 0
    failed: int = 0


class Histogram(msgspec.Struct, frozen=True):
    """Slices, oldest first, and the highest count among them."""

    slices: list[Slice]
    max_count: int

    @property
    def total(self) -> int:
        """Requests in all slices that were counted."""
        return sum(part.count or 0 for part in self.slices)

    @property
    def failed(self) -> int:
        """Failures in all slices that were counted."""
        return sum(part.failed for part in self.slices)

    @property
    def partial(self) -> bool:
        """Whether some slices were not counted."""
        return any(part.count is None for part in self.slices)


def histogram(search: Search, now: dt.datetime) -> Histogram | None:
    """Return the slices for a search; None for a search by id, and for an empty log."""
    if search.id:
        return None
    until = min(search.until or now, now)
    since = search.since or RequestLog.objects.started_between(None, until).earliest_start()
    if since is None or since >= until:
        return None
    slices = _empty_slices(since, until)
    edges = [part.since for part in slices]
    if not search.empty:
        _count_newest(search, slices, edges)
    elif _is_short_range(search):
        _count_rows(slices, edges)
    else:
        _count_by_ids(slices)
    return Histogram(slices, max((part.count or 0 for part in slices), default=0))


def _empty_slices(since: dt.datetime, until: dt.datetime) -> list[Slice]:
    step = (until - since) / SLICES
    return [Slice(since + step * n, since + step * (n + 1)) for n in range(SLICES)]


def _is_short_range(search: Search) -> bool:
    bounds = bounds_of(search)
    return bounds.high - bounds.low <= _MAX_COUNTED_ROWS


def _slice_index(edges: list[dt.datetime], moment: dt.datetime) -> int:
    return bisect.bisect_right(edges, moment) - 1


def _count_rows(slices: list[Slice], edges: list[dt.datetime]) -> None:
    rows = RequestLog.objects.without_health_checks().started_between(
        slices[0].since, slices[-1].until
    )
    for moment, outcome in rows.values_list("started_at", "outcome")[: 2 * _MAX_COUNTED_ROWS]:
        _add_row(slices, edges, moment, outcome)


def _add_row(
    slices: list[Slice], edges: list[dt.datetime], moment: dt.datetime, outcome: str
) -> None:
    index = _slice_index(edges, moment)
    if 0 <= index < len(slices):
        part = slices[index]
        part.count = (part.count or 0) + 1
        part.failed += outcome != "ok"


def _count_by_ids(slices: list[Slice]) -> None:
    """Count by the row ids at the edges: rows that started later mostly have higher ids."""
    query = "(SELECT id FROM {log} WHERE started_at >= %s ORDER BY started_at LIMIT 1)"
    adapt = connection.ops.adapt_datetimefield_value
    moments = [part.since for part in slices] + [slices[-1].until]
    last_pk = RequestLog.objects.newest_pk()
    edge_ids = _run_scalars(query, [[adapt(moment)] for moment in moments])
    edges = [last_pk + 1 if pk is None else pk for pk in edge_ids]
    pairs = list(itertools.pairwise(edges))
    has_checks = RequestLog.objects.column_in("key_prefix", [HEALTH_CHECK_KEY]).exists()
    checks = _count_checks(pairs) if has_checks else [0] * len(pairs)
    for part, (low, high), check_count in zip(slices, pairs, checks, strict=True):
        part.count = max(0, high - low - check_count)
    if not has_checks:
        # From the index of failures alone, without reading the rows.
        failure_count_sql = (
            "(SELECT count(*) FROM {log} WHERE outcome IN ('error', 'cut', 'client_closed') "
            "AND NOT (outcome = 'ok') AND id >= %s AND id < %s)"
        )
        counts = _run_scalars(failure_count_sql, [list(pair) for pair in pairs])
        for part, count in zip(slices, counts, strict=True):
            part.failed = count
        return
    rows = (
        RequestLog.objects.without_health_checks()
        .failed()
        .with_pks_between(edges[0], edges[-1])
        .order_by("-pk")
    )
    for pk in rows.values_list("pk", flat=True)[:_MAX_FAILED_ROWS]:
        index = bisect.bisect_right(edges, pk) - 1
        if 0 <= index < len(slices):
            slices[index].failed += 1


def _count_checks(pairs: list[tuple[int, int]]) -> list[int]:
    """Count the health checks in each id range, end excluded, by an index."""
    query = "(SELECT count(*) FROM {log} WHERE key_prefix = %s AND id >= %s AND id < %s)"
    return _run_scalars(query, [[HEALTH_CHECK_KEY, low, high] for low, high in pairs])


def _run_scalars(query: str, parameters: list[list[Any]]) -> list[Any]:
    """Run one small query per list of parameters, in a single statement."""
    subquery = query.format(log=connection.ops.quote_name(RequestLog._meta.db_table))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join([subquery] * len(parameters))}",
            [value for values in parameters for value in values],
        )
        return list(cursor.fetchone())


def _count_newest(search: Search, slices: list[Slice], edges: list[dt.datetime]) -> None:
    stop = time.monotonic() + BUDGET_S
    counted_rows: Any = RequestLog.objects.values_list("started_at", "outcome", named=True)
    for rows, low in walk(search, None, counted_rows):
        for row in rows:
            _add_row(slices, edges, row.started_at, row.outcome)
        if time.monotonic() > stop:
            reached_at = start_time_of(low) or slices[-1].until
            for part in slices[: max(0, _slice_index(edges, reached_at) + 1)]:
                part.count = None
            return
