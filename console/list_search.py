"""Search of lists by name, and the way back to a list."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse


def filter_by_name(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Rows whose name contains all words of a text; an empty text matches any row."""
    if "\0" in text:
        return rows.none()
    for word in text.split():
        rows = rows.filter(name__icontains=word)
    return rows


def list_url(request: HttpRequest, name: str, **changes: Any) -> str:
    """URL of the list `name`, with the search and page that the URL of an action names."""
    query = {key: request.GET[key] for key in ("q", "page") if key in request.GET} | changes
    return f"{reverse(name)}?{urlencode(query)}" if query else reverse(name)
