"""The registry's warnings: rows that are omitted from the snapshot, and why."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema

from gateway import store
from gateway.api.auth import Reader
from gateway.api.pages import page

router = Router(tags=["registry"])


class WarningOut(Schema):
    """A row that was omitted from the active registry, and the reason."""

    row: str
    reason: str


class WarningPage(Schema):
    """Rows that were omitted, and the cursor of the next page; null at the end."""

    items: list[WarningOut]
    next: int | None


@router.get("/warnings", auth=Reader(), response=WarningPage)
def list_warnings(request: HttpRequest, cursor: int = 0, limit: int = 50) -> Any:
    """Rows that were omitted from the active registry, and why."""
    warnings = [{"row": w.row, "reason": w.reason} for w in store.current_snapshot().warnings]
    return page(warnings, cursor, limit)
