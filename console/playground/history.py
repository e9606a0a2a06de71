"""The list of runs, without their documents and events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.models import PlaygroundRun
from console.models.playground import PAGE_ROWS
from console.playground.reading import Json


def page(user: Any, before: int | None) -> Callable[[], Json]:
    """A function (it asks the database) that gives a page; `next` is where the rest begins."""

    def read() -> Json:
        found = PlaygroundRun.objects.visible_to(user).listed().before(before)
        rows = list(found.select_related("owner")[: PAGE_ROWS + 1])
        more = len(rows) > PAGE_ROWS
        shown = rows[:PAGE_ROWS]
        return {
            "runs": [_row(row, user) for row in shown],
            "next": shown[-1].pk if more else None,
        }

    return read


def _row(row: PlaygroundRun, user: Any) -> Json:
    columns: list[Json] = row.summary.get("columns") or []
    return {
        "id": str(row.uuid),
        "at": row.pk,
        "title": row.title,
        "created": row.created.isoformat(),
        "ended": row.ended.isoformat() if row.ended else None,
        "mine": row.owner_id == user.pk,
        "owner": str(row.owner),
        "status": _status(row, columns),
        "models": [column["model"] for column in columns] or row.summary.get("models", []),
        "columns": columns,
        "fastest": row.summary.get("fastest"),
        "cheapest": row.summary.get("cheapest"),
        "cost": None if row.cost_usd is None else float(row.cost_usd),
    }


def _status(row: PlaygroundRun, columns: list[Json]) -> str:
    """What is to be said of a run; nothing where all went well."""
    if row.ended is None:
        return _("at work or lost")
    failed = sum(column["failed"] for column in columns)
    stopped = sum(column["stopped"] for column in columns)
    words = []
    if failed:
        words.append(ngettext("%d failed", "%d failed", failed) % failed)
    if stopped:
        words.append(ngettext("%d stopped", "%d stopped", stopped) % stopped)
    return ", ".join(words)
