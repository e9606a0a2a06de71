"""Searches the log by any combination of filters, in bounded time on a log of any size.

No database plans such queries well: one filter is rare, another frequent, and only the newest
rows are needed. So a probe of the indexes finds the rarest filter, its row ids are walked newest
first in batches, and each batch is tested for the other filters. A search that runs out of time
before its page is full returns how far it got, and can be continued.
"""

from __future__ import annotations

import datetime as dt
import heapq
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from django.db import connection
from django.db.models import F, Subquery
from django.http import Http404
from django.utils.translation import ngettext

from console.dialects import TITLES
from console.pages.requests.query import AMOUNTS, COLUMNS, Search, Term
from gateway import store
from gateway.fulltext import parse_phrases
from gateway.models import ApiKey, RequestLog, RequestScore, RequestText
from gateway.models.score import RequestScoreQuerySet
from gateway.querysets import RequestLogQuerySet

PAGE_ROWS = 50
BUDGET_S = 0.05
# Sorting reads more rows than a page of the newest.
SORT_BUDGET_S = 0.1
# Usual values of a column: its index excludes them, or would not help.
_COMMON_VALUES = {"status": ("200", "2xx"), "outcome": ("ok",)}
# Columns of filters without an index.
_UNINDEXED_COLUMNS = frozenset({"requested_model", "client_dialect", "tags"})
_PROBE_ROWS = 2000
_FIRST_BATCH, _LAST_BATCH = 200, 1500
# Ids covered by one query if no filter is indexed.
_WINDOW_IDS = 6000
# Ids per query that returns only the rows with the largest numbers.
_SORT_WINDOW_IDS = 10_000
# Smaller for text, since matching it without its index costs more.
_TEXT_WINDOW_IDS = 1200
# A row is written when its request ends, which is within this time of its start.
_MAX_DURATION = dt.timedelta(hours=1)
_EDGE_ROWS = 1000
# PostgreSQL sorts all hits of a word, so the newest rows are tested directly first.
_NEWEST_TEXTS = 400
_FREQUENT = 0.02
# Wide columns that lists never need.
_DEFERRED_COLUMNS = ("adaptations", "user_agent", "client_ip", "upstream_id", "price_source")

Rows = RequestLogQuerySet[RequestLog]


class Page(msgspec.Struct, frozen=True):
    """Rows, newest first; `next` is the cursor of the following page.

    `searched_until` is set if the time ran out before the page was full.
    """

    rows: list[RequestLog]
    next: int | None = None
    searched_until: dt.datetime | None = None


class Bounds(msgspec.Struct, frozen=True):
    """The range of row ids that contains all rows of a time range, ends included."""

    low: int
    high: int


def find_request(request_id: str) -> RequestLog:
    """The row by its id or by the id in the client's response. Raises Http404."""
    row = RequestLog.objects.by_id(request_id)
    if row is None:
        raise missing_request()
    return row


def missing_request() -> Http404:
    """The error of a request that was never logged, or has expired."""
    days = store.load_options().row_days
    message = ngettext(
        "This request is not in the log. Requests are deleted from it after %(days)d day.",
        "This request is not in the log. Requests are deleted from it after %(days)d days.",
        days,
    )
    return Http404(message % {"days": days})


def page(search: Search, cursor: int | None = None, size: int = PAGE_ROWS) -> Page:
    """Return the newest matching rows below `cursor`."""
    if search.id:
        rows = list(_list_rows().with_any_id(search.id).older_than_row(cursor).newest(size))
        return Page(rows)
    until = time.monotonic() + BUDGET_S
    matches: list[RequestLog] = []
    for rows, low in walk(search, cursor):
        matches += rows
        if len(matches) > size:
            return Page(matches[:size], matches[size - 1].pk)
        if time.monotonic() > until:
            return Page(matches, low, start_time_of(low))
    return Page(matches)


def largest(search: Search, sort: str, size: int = PAGE_ROWS) -> Page:
    """Return the matching rows with the largest number of a column of AMOUNTS.

    `searched_until` is set if the time ran out: the rows are the largest since then.
    """
    until = time.monotonic() + SORT_BUDGET_S
    top: list[tuple[float, int]] = []
    searched_until = None
    amounts: Any = RequestLog.objects.with_amount(AMOUNTS[sort])
    batches: Iterator[tuple[Any, int]] = walk(search, None, amounts, largest=size)
    for rows, low in batches:
        candidates_by_amount = (
            (float(row["amount"]), row["pk"]) for row in rows if row["amount"] is not None
        )
        top = heapq.nlargest(size, [*top, *candidates_by_amount])
        if time.monotonic() > until:
            searched_until = start_time_of(low)
            break
    by_pk = _list_rows().in_bulk([pk for _amount, pk in top])
    return Page([by_pk[pk] for _amount, pk in top if pk in by_pk], None, searched_until)


def newer(search: Search, cursor: int, size: int = PAGE_ROWS) -> list[RequestLog]:
    """Return rows newer than `cursor`, newest first, at most `size`."""
    rows = _list_rows().newer_than_row(max(cursor, RequestLog.objects.newest_pk() - _WINDOW_IDS))
    if search.id:
        return list(rows.with_any_id(search.id).newest(size))
    return list(_filter_rows(rows, search).newest(size))


def adjacent_rows(search: Search, pk: int) -> tuple[int | None, int | None]:
    """Return the next newer and the next older row of the same search."""
    older = page(search, pk, 1).rows
    newer_pk = None
    until = time.monotonic() + BUDGET_S
    low, last_pk = pk, RequestLog.objects.newest_pk()
    span = _WINDOW_IDS
    while low < last_pk and time.monotonic() < until and not search.id:
        high = low + span
        rows = _filter_rows(RequestLog.objects.newer_than_row(low).older_than_row(high + 1), search)
        newer_pk = rows.order_by("pk").values_list("pk", flat=True).first()
        if newer_pk is not None:
            break
        low = high
    return newer_pk, older[0].pk if older else None


def walk(
    search: Search, cursor: int | None, base: Rows | None = None, *, largest: int | None = None
) -> Iterator[tuple[list[RequestLog], int]]:
    """Yield matching rows in batches, newest first, each with the lowest id covered so far.

    By default they are rows for the list, limited to a few pages per batch; with `base`, all.
    With `largest`, a batch may leave out rows that are not among its so many largest by `amount`.
    """
    bounds = bounds_of(search)
    high = bounds.high if cursor is None else min(bounds.high, cursor - 1)
    leading_term = _leading_term(search, high)
    walker = _RowWalk(search, base if base is not None else _list_rows(), base is None, largest)
    if leading_term is not None:
        yield from walker.by_ids(leading_term, bounds.low, high)
    elif search.text:
        yield from walker.by_text(bounds.low, high)
    else:
        yield from walker.by_window(bounds.low, high)


def bounds_of(search: Search) -> Bounds:
    """Return the range of ids that contains all rows of the search's time range."""
    first, high = _first_and_last_id()
    low = first
    if search.since is not None:
        edge = RequestLog.objects.started_between(None, search.since - _MAX_DURATION).order_by(
            "-started_at"
        )
        older = list(edge.values_list("pk", flat=True)[:_EDGE_ROWS])
        # A short log is read completely, so rows out of order cost nothing.
        low = min(older) if len(older) == _EDGE_ROWS else first
    if search.until is not None:
        edge = RequestLog.objects.started_between(search.until + _MAX_DURATION, None).order_by(
            "started_at"
        )
        later_pks = list(edge.values_list("pk", flat=True)[:_EDGE_ROWS])
        high = max(later_pks) if len(later_pks) == _EDGE_ROWS else high
    return Bounds(low, high)


def _first_and_last_id() -> tuple[int, int]:
    """Return the ids of the oldest and the newest row in one query; zeros for an empty log."""
    oldest = Subquery(RequestLog.objects.order_by("pk").values("pk")[:1])
    newest = RequestLog.objects.order_by("-pk").annotate(oldest=oldest)
    return newest.values_list("oldest", "pk").first() or (0, 0)


def start_time_of(pk: int) -> dt.datetime | None:
    """Return the start of the row with this id, or of the next one below it."""
    row = (
        RequestLog.objects.older_than_row(pk + 1)
        .order_by("-pk")
        .values_list("started_at", flat=True)
    )
    return row.first()


def _list_rows() -> Rows:
    return RequestLog.objects.defer(*_DEFERRED_COLUMNS)


def _filter_rows(rows: Rows, search: Search) -> Rows:
    """Filter rows by the search; health checks are excluded unless it asks for them."""
    if not search.includes_checks:
        rows = rows.without_health_checks()
    if search.key_ids is not None:
        rows = rows.filter(key_id__in=search.key_ids)
    for term in search.terms:
        rows = _filter_term(rows, term)
    rows = rows.started_between(search.since, search.until)
    return rows.containing(search.text) if search.text else rows


def _filter_term(rows: Rows, term: Term) -> Rows:
    if COLUMNS.get(term.name) == "scores":
        scored_rows = _scores_of_term(term).values("log_id")
        return rows.exclude(pk__in=scored_rows) if term.negated else rows.filter(pk__in=scored_rows)
    if term.op:
        return rows.compare_number(AMOUNTS[term.name], term.op, term.amount)
    if term.name == "tag":
        return rows.with_tag(term.values, negated=term.negated)
    expand = _EXPANDERS.get(term.name)
    values = expand(term.values) if expand is not None else term.values
    return rows.column_in(COLUMNS[term.name], values, negated=term.negated)


def _scores_of_term(term: Term) -> RequestScoreQuerySet:
    """Return the scores that a filter `score:` or `has:` is about."""
    scores = RequestScore.objects.all()
    if term.op:
        return scores.with_value(term.op, term.amount)
    return (
        scores.with_any_kind(term.values) if term.name == "has" else scores.with_names(term.values)
    )


def _expand_keys(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return prefixes of the keys whose names contain one of these values, and the values."""
    prefixes = ApiKey.objects.name_contains(names).values_list("prefix", flat=True)
    return (*names, *prefixes[:_MAX_KEYS])


def _expand_dialects(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return dialects whose name or title contains one of these values: `gemini`, `openai`."""
    fragments = [name.lower() for name in names]
    matches = [
        name
        for name, title in TITLES.items()
        if any(fragment in name or fragment in str(title).lower() for fragment in fragments)
    ]
    return tuple(dict.fromkeys((*names, *matches)))


_MAX_KEYS = 500
_EXPANDERS: dict[str, Callable[[tuple[str, ...]], tuple[str, ...]]] = {
    "key": _expand_keys,
    "dialect": _expand_dialects,
}


# The leading filter


def _leading_term(search: Search, high: int) -> Term | None:
    """Return the indexed filter with the fewest recent rows, if its index is worth using."""
    indexed_terms = [term for term in search.terms if _is_indexed(term)]
    if search.text and indexed_terms:
        # Text leads unless a filter is rare, as it is usually more selective.
        return next((term for term in indexed_terms if _probe_id(term, high) is None), None)
    if not indexed_terms or len(search.terms) == 1:
        return indexed_terms[0] if indexed_terms else None
    probe_ids = {term: _probe_id(term, high) for term in indexed_terms}
    return min(indexed_terms, key=lambda term: probe_ids[term] or 0)


def _is_indexed(term: Term) -> bool:
    column = COLUMNS.get(term.name)
    if column == "scores":
        # Few requests have scores.
        return not term.negated
    if term.op or column is None or column in _UNINDEXED_COLUMNS:
        return False
    if term.negated or len(term.values) > 1:
        return False
    return term.values[0].lower() not in _COMMON_VALUES.get(column, ())


def _probe_id(term: Term, high: int) -> int | None:
    """Return the id of the row after a filter's newest _PROBE_ROWS; None if there are fewer."""
    rows = _filter_term(RequestLog.objects.older_than_row(high + 1), term).order_by("-pk")
    return rows.values_list("pk", flat=True)[_PROBE_ROWS : _PROBE_ROWS + 1].first()


# Three ways to walk the rows

Batches = Iterator[tuple[list[RequestLog], int]]


class _RowWalk:
    """Walks the rows of one search within `base`."""

    def __init__(self, search: Search, base: Rows, paged: bool, largest: int | None) -> None:  # noqa: FBT001
        self.search = search
        self.largest = largest
        self.base = base
        self.max_rows = PAGE_ROWS * 4 if paged else _WINDOW_IDS

    def by_ids(self, driver: Term, low: int, high: int) -> Batches:
        """Walk the index of one filter."""
        batch = _FIRST_BATCH
        while True:
            rows = _filter_term(RequestLog.objects.with_pks_between(low, high), driver)
            ids = list(rows.order_by("-pk").values_list("pk", flat=True)[:batch])
            if ids:
                yield self._load_matching(ids, self.search), ids[-1]
            if len(ids) < batch:
                return
            high, batch = ids[-1] - 1, min(batch * 4, _LAST_BATCH)

    def by_text(self, low: int, high: int) -> Batches:
        """Walk the hits of the full-text index."""
        query = parse_phrases(self.search.text)
        if not query:
            return
        postgresql = connection.vendor == "postgresql"
        if postgresql:
            floor = max(low, high - _NEWEST_TEXTS)
            newest = self.base.with_pks_between(floor, high)
            yield list(_filter_rows(newest, self.search).order_by("-pk")), floor
            is_frequent = newest.containing(self.search.text).count() > _NEWEST_TEXTS * _FREQUENT
            high = floor - 1
            if is_frequent:
                yield from self.by_window(low, high)
                return
        batch = _FIRST_BATCH
        without_text = msgspec.structs.replace(self.search, text="")
        while high >= low:
            matching_rows = RequestText.objects.filter(
                document__matches=query, pk__lte=high, pk__gte=low
            )
            newest_first = matching_rows.order_by((F("pk") + 0).desc() if postgresql else "-pk")
            ids = list(newest_first.values_list("pk", flat=True)[:batch])
            if ids:
                yield self._load_matching(ids, without_text), ids[-1]
            if len(ids) < batch:
                return
            high, batch = ids[-1] - 1, min(batch * 4, _LAST_BATCH)

    def by_window(self, low: int, high: int) -> Batches:
        """Walk the ids."""
        window = _FIRST_BATCH
        widest = _WINDOW_IDS if self.largest is None else _SORT_WINDOW_IDS
        while high >= low:
            floor = max(low, high - window + 1)
            rows = _filter_rows(self.base.with_pks_between(floor, high), self.search)
            yield list(self._order_rows(rows, self.max_rows)), floor
            high = floor - 1
            window = min(window * 4, _TEXT_WINDOW_IDS if self.search.text else widest)

    def _load_matching(self, ids: list[int], search: Search) -> list[RequestLog]:
        if search.text and connection.vendor == "sqlite":
            ids = _ids_containing(ids, search.text)
            search = msgspec.structs.replace(search, text="")
        return list(self._order_rows(_filter_rows(self.base.with_pks(ids), search), None))

    def _order_rows(self, rows: Rows, max_rows: int | None) -> Rows:
        """Return the rows newest first, or with `largest` only so many of the largest."""
        if self.largest is None:
            return rows.order_by("-pk")[:max_rows]
        return rows.order_by(F("amount").desc(nulls_last=True), "-pk")[: self.largest]


def _ids_containing(ids: list[int], text: str) -> list[int]:
    """Return the ids of rows that contain the text; on its own, SQLite would walk all hits."""
    query = " ".join(f'"{phrase}"' for phrase in parse_phrases(text))
    placeholders = ", ".join(["%s"] * len(ids))
    sql = (  # only placeholders are interpolated
        "SELECT log.id FROM gateway_requestlog AS log CROSS JOIN gateway_requesttext AS text "  # noqa: S608
        f"WHERE log.id IN ({placeholders}) AND text.rowid = log.id AND text.document MATCH %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*ids, query])
        return [pk for (pk,) in cursor.fetchall()]
