"""Search of lists by name."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet


def filter_by_name(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Rows whose name contains all words of a text; an empty text matches any row."""
    if "\0" in text:
        return rows.none()
    for word in text.split():
        rows = rows.filter(name__icontains=word)
    return rows
