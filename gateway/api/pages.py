"""Pages of lists: of rows by the id of the last one, of lists in memory by offset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from django.db.models import Model

MAX_PAGE = 200
# The largest id of a row that databases accept.
MAX_ID = 2**63 - 1
Item = TypeVar("Item")
Row = TypeVar("Row", bound=Model)


def page_of_rows(
    first_rows: Callable[[int], Iterable[Row]], limit: int
) -> tuple[list[Row], int | None]:
    """At most `limit` rows, and the cursor of the next page: the id of the last; None at the end.

    `first_rows` returns the given number of rows after the cursor.
    """
    size = min(max(limit, 1), MAX_PAGE)
    rows = list(first_rows(size + 1))
    return rows[:size], rows[size - 1].pk if len(rows) > size else None


def page(
    items: Sequence[Item], cursor: int, limit: int, max_limit: int = MAX_PAGE
) -> dict[str, Any]:
    """A page of at most `limit` items from offset `cursor`; `next` is None on the last page."""
    start, size = max(cursor, 0), min(max(limit, 1), max_limit)
    has_more = len(items) > start + size
    return {"items": list(items[start : start + size]), "next": start + size if has_more else None}
