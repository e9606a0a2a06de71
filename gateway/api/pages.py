"""Pages of lists that are put together in memory: a cursor is the place to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

MAX_PAGE = 200
Item = TypeVar("Item")


def page(
    items: Sequence[Item], cursor: int, limit: int, max_limit: int = MAX_PAGE
) -> dict[str, Any]:
    """`limit` of them from the place `cursor` on; `next` is None at the end."""
    start, size = max(cursor, 0), min(max(limit, 1), max_limit)
    more = len(items) > start + size
    return {"items": list(items[start : start + size]), "next": start + size if more else None}
