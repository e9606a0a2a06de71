"""Pagination of lists that are built in memory; the cursor is an offset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

MAX_PAGE = 200
Item = TypeVar("Item")


def page(
    items: Sequence[Item], cursor: int, limit: int, max_limit: int = MAX_PAGE
) -> dict[str, Any]:
    """A page of at most `limit` items from offset `cursor`; `next` is None on the last page."""
    start, size = max(cursor, 0), min(max(limit, 1), max_limit)
    has_more = len(items) > start + size
    return {"items": list(items[start : start + size]), "next": start + size if has_more else None}
