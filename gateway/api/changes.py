"""The audit log as JSON: who changed what, before and after."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema

from gateway.api.pages import page_of_rows
from gateway.models import Change
from gateway.store.field_values import in_utc

router = Router(tags=["changes"])


class ChangeFilters(Schema):
    """Filters of the list; empty matches all. `cursor` is the `next` of the previous page."""

    cursor: int | None = None
    limit: int = 50
    kind: str = ""
    name: str = ""
    actor: str = ""
    since: dt.datetime | None = None


class ChangeOut(Schema):
    """One change; `before` and `after` have the fields that differ.

    `via` is `console`, `api`, `command`, `start` or `gateway` (its own housekeeping).
    """

    id: int
    changed_at: dt.datetime
    actor: str
    via: str
    action: str
    kind: str
    row_id: int
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class ChangePage(Schema):
    """Changes, newest first, and the cursor of the next page; None at the end."""

    items: list[ChangeOut]
    next: int | None


@router.get("/changes", response=ChangePage)
def list_changes(request: HttpRequest, filters: Query[ChangeFilters]) -> dict[str, Any]:
    """A page of the audit log."""
    since = filters.since and in_utc(filters.since)
    changes = Change.objects.matching(
        kind=filters.kind, name=filters.name, actor=filters.actor, since=since
    )
    items, next_cursor = page_of_rows(partial(changes.page, filters.cursor), filters.limit)
    return {"items": items, "next": next_cursor}
