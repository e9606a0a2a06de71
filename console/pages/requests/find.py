"""A page of the log for any mix of filters, in bounded time on a log of any size.

No database plans such a mix well: one filter is rare, another frequent, and the newest
rows are wanted. So the rarest filter is found by a glance at its index, its row ids are
walked newest first in batches, and each batch is tested for the rest. A search that has
not filled its page when its time is up says how far back it came and can be carried on.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator

import msgspec
from django.db import connection
from django.db.models import F
from django.http import Http404
from django.utils.translation import gettext as _

from console.pages.requests.query import COLUMNS, Search, Term
from gateway.fulltext import phrases
from gateway.models import ApiKey, RequestLog, RequestText
from gateway.querysets import RequestLogQuerySet

PAGE = 50
BUDGET_S = 0.05
# The usual value of a column: no index holds it, or it would be no help.
_USUAL = {"status": ("200", "2xx"), "outcome": ("ok",)}
_PROBE = 2000
_FIRST_BATCH, _LAST_BATCH = 200, 1500
# Ids looked at in one query where nothing is indexed.
_WINDOW = 6000
# Testing a row for words without their index costs more.
_TEXTS = 1200
# A row is written when its request ends, and ends within this time of its start.
_LATENESS = dt.timedelta(hours=1)
_EDGE_ROWS = 1000
# PostgreSQL sorts all hits of a word; of one that is in the newest rows it need not.
_NEWEST_TEXTS = 400
_FREQUENT = 0.02
# Never fetched with a list: they are wide.
_DEFERRED = ("adaptations", "user_agent", "client_ip", "upstream_id", "price_source")

Rows = RequestLogQuerySet[RequestLog]


class Page(msgspec.Struct, frozen=True):
    """Rows, newest first; `next` is where the following page begins.

    `reached` is set if the time was up before the page was full.
    """

    rows: list[RequestLog]
    next: int | None = None
    reached: dt.datetime | None = None


class Bounds(msgspec.Struct, frozen=True):
    """Row ids between which all rows of a time range are, ends included."""

    low: int
    high: int


def row_of(request_id: str) -> RequestLog:
    """The row by its own id or by the one its client was told. Raises Http404."""
    row = RequestLog.objects.identified(request_id).newest(1).first()
    if row is None:
        raise Http404(_("There is no such request in the log."))
    return row


def page(search: Search, cursor: int | None = None, size: int = PAGE) -> Page:
    """The newest rows that the search finds, older than `cursor`."""
    if search.id:
        rows = list(_listed().identified(search.id).before(cursor).newest(size))
        return Page(rows)
    until = time.monotonic() + BUDGET_S
    found: list[RequestLog] = []
    for rows, low in walk(search, cursor):
        found += rows
        if len(found) > size:
            return Page(found[:size], found[size - 1].pk)
        if time.monotonic() > until:
            return Page(found, low, moment_of(low))
    return Page(found)


def newer(search: Search, cursor: int, size: int = PAGE) -> list[RequestLog]:
    """Rows that came after `cursor`, newest first, at most `size` of them."""
    rows = _listed().after(max(cursor, _last_id() - _WINDOW))
    if search.id:
        return list(rows.identified(search.id).newest(size))
    return list(_narrowed(rows, search).newest(size))


def neighbours(search: Search, pk: int) -> tuple[int | None, int | None]:
    """The next newer and the next older row of the same search."""
    older = page(search, pk, 1).rows
    newer_pk = None
    until = time.monotonic() + BUDGET_S
    low, last = pk, _last_id()
    span = _WINDOW
    while low < last and time.monotonic() < until and not search.id:
        high = low + span
        rows = _narrowed(RequestLog.objects.after(low).before(high + 1), search)
        newer_pk = rows.order_by("pk").values_list("pk", flat=True).first()
        if newer_pk is not None:
            break
        low = high
    return newer_pk, older[0].pk if older else None


def walk(
    search: Search, cursor: int | None, base: Rows | None = None
) -> Iterator[tuple[list[RequestLog], int]]:
    """Found rows batch by batch, newest first, each with the lowest id that was looked at.

    Without a `base` they are rows of the list, and more than a page of them may be left out.
    """
    bounds = bounds_of(search)
    high = bounds.high if cursor is None else min(bounds.high, cursor - 1)
    driver = _driver(search, high)
    path = _Path(search, base if base is not None else _listed(), base is None)
    if driver is not None:
        yield from path.by_ids(driver, bounds.low, high)
    elif search.text:
        yield from path.by_text(bounds.low, high)
    else:
        yield from path.by_window(bounds.low, high)


def bounds_of(search: Search) -> Bounds:
    """The ids between which the rows of the search's time range must be."""
    low, high = 0, _last_id()
    if search.since is not None:
        edge = RequestLog.objects.started(None, search.since - _LATENESS).order_by("-started_at")
        older = list(edge.values_list("pk", flat=True)[:_EDGE_ROWS])
        # A short log is read whole: there an odd row out of order costs nothing to find.
        low = min(older) if len(older) == _EDGE_ROWS else 0
    if search.until is not None:
        edge = RequestLog.objects.started(search.until + _LATENESS, None).order_by("started_at")
        later = list(edge.values_list("pk", flat=True)[:_EDGE_ROWS])
        high = max(later) if len(later) == _EDGE_ROWS else high
    return Bounds(low, high)


def _last_id() -> int:
    return RequestLog.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def moment_of(pk: int) -> dt.datetime | None:
    """When the row with this id, or the next below it, started."""
    row = RequestLog.objects.before(pk + 1).order_by("-pk").values_list("started_at", flat=True)
    return row.first()


def _listed() -> Rows:
    return RequestLog.objects.defer(*_DEFERRED)


def _narrowed(rows: Rows, search: Search) -> Rows:
    """The rows for which all that the search says holds; checks only if it asks for them."""
    if not search.checks:
        rows = rows.asked()
    for term in search.terms:
        rows = _having(rows, term)
    rows = rows.started(search.since, search.until)
    return rows.containing(search.text) if search.text else rows


def _having(rows: Rows, term: Term) -> Rows:
    column = COLUMNS[term.name]
    values = _prefixes(term.values) if term.name == "key" else term.values
    return rows.having(column, values, negated=term.negated)


def _prefixes(names: tuple[str, ...]) -> tuple[str, ...]:
    """Public prefixes of keys, which may also be given by their names."""
    known = ApiKey.objects.named(names).values_list("prefix", flat=True)
    return (*names, *known)


# Which filter leads


def _driver(search: Search, high: int) -> Term | None:
    """The filter with the fewest rows among the newest, if one is worth its index."""
    indexed = [term for term in search.terms if _indexed(term)]
    if search.text and indexed:
        # Words lead unless a filter is rare: they are the narrower of two in most searches.
        return next((term for term in indexed if _reach(term, high) is None), None)
    if not indexed or (len(indexed) == 1 and not _others(search)):
        return indexed[0] if indexed else None
    reach = {term: _reach(term, high) for term in indexed}
    return min(indexed, key=lambda term: reach[term] or 0)


def _others(search: Search) -> bool:
    return len(search.terms) > 1 or bool(search.text)


def _indexed(term: Term) -> bool:
    column = COLUMNS[term.name]
    if term.negated or column == "requested_model" or len(term.values) > 1:
        return False
    return term.values[0].lower() not in _USUAL.get(column, ())


def _reach(term: Term, high: int) -> int | None:
    """How far back the newest _PROBE rows of a filter go; None if there are fewer."""
    rows = _having(RequestLog.objects.before(high + 1), term).order_by("-pk")
    return rows.values_list("pk", flat=True)[_PROBE : _PROBE + 1].first()


# Three ways to walk

Batches = Iterator[tuple[list[RequestLog], int]]


class _Path:
    """The walks of one search over the rows of `base`."""

    def __init__(self, search: Search, base: Rows, paged: bool) -> None:  # noqa: FBT001
        self.search = search
        self.base = base
        self.most = PAGE * 4 if paged else _WINDOW

    def by_ids(self, driver: Term, low: int, high: int) -> Batches:
        """Along the index of one filter."""
        batch = _FIRST_BATCH
        while True:
            rows = _having(RequestLog.objects.of_range(low, high), driver)
            ids = list(rows.order_by("-pk").values_list("pk", flat=True)[:batch])
            if ids:
                yield self._tested(ids, self.search), ids[-1]
            if len(ids) < batch:
                return
            high, batch = ids[-1] - 1, min(batch * 4, _LAST_BATCH)

    def by_text(self, low: int, high: int) -> Batches:
        """Along the hits of the full-text index."""
        wanted = phrases(self.search.text)
        if not wanted:
            return
        postgresql = connection.vendor == "postgresql"
        if postgresql:
            floor = max(low, high - _NEWEST_TEXTS)
            newest = self.base.of_range(floor, high)
            yield list(_narrowed(newest, self.search).order_by("-pk")), floor
            frequent = newest.containing(self.search.text).count() > _NEWEST_TEXTS * _FREQUENT
            high = floor - 1
            if frequent:
                yield from self.by_window(low, high)
                return
        batch = _FIRST_BATCH
        rest = msgspec.structs.replace(self.search, text="")
        while high >= low:
            hits = RequestText.objects.filter(document__matches=wanted, pk__lte=high, pk__gte=low)
            newest_first = hits.order_by((F("pk") + 0).desc() if postgresql else "-pk")
            ids = list(newest_first.values_list("pk", flat=True)[:batch])
            if ids:
                yield self._tested(ids, rest), ids[-1]
            if len(ids) < batch:
                return
            high, batch = ids[-1] - 1, min(batch * 4, _LAST_BATCH)

    def by_window(self, low: int, high: int) -> Batches:
        """Along the ids themselves."""
        window = _FIRST_BATCH
        while high >= low:
            floor = max(low, high - window + 1)
            rows = _narrowed(self.base.of_range(floor, high), self.search)
            yield list(rows.order_by("-pk")[: self.most]), floor
            high, window = floor - 1, min(window * 4, _TEXTS if self.search.text else _WINDOW)

    def _tested(self, ids: list[int], search: Search) -> list[RequestLog]:
        if search.text and connection.vendor == "sqlite":
            ids = _with_words(ids, search.text)
            search = msgspec.structs.replace(search, text="")
        return list(_narrowed(self.base.of(ids), search).order_by("-pk"))


def _with_words(ids: list[int], text: str) -> list[int]:
    """Those of the rows that hold the words; SQLite by itself would walk all hits instead."""
    wanted = " ".join(f'"{phrase}"' for phrase in phrases(text))
    marks = ", ".join(["%s"] * len(ids))
    sql = (  # only marks are put in
        "SELECT log.id FROM gateway_requestlog AS log CROSS JOIN gateway_requesttext AS text "  # noqa: S608
        f"WHERE log.id IN ({marks}) AND text.rowid = log.id AND text.document MATCH %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*ids, wanted])
        return [pk for (pk,) in cursor.fetchall()]
