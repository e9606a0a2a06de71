"""Lists past runs, without their documents and events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.models import PlaygroundRun
from console.models.playground import PAGE_ROWS
from console.playground.validation import Json


def page(user: Any, before: int | None, text: str = "") -> Callable[[], Json]:
    """Function that queries one page of runs; `next` is the cursor of the next page.

    With `text`, only runs whose name, prompt or models contain its words.
    """

    def read() -> Json:
        runs = PlaygroundRun.objects.visible_to(user).search(text).listed().before(before)
        rows = list(runs.select_related("owner")[: PAGE_ROWS + 1])
        has_more = len(rows) > PAGE_ROWS
        displayed_rows = rows[:PAGE_ROWS]
        return {
            "runs": [_run_row(row, user) for row in displayed_rows],
            "next": displayed_rows[-1].pk if has_more else None,
        }

    return read


def _run_row(row: PlaygroundRun, user: Any) -> Json:
    columns: list[Json] = row.summary.get("columns") or []
    return {
        "id": str(row.uuid),
        "at": row.pk,
        "title": row.title,
        "name": row.name,
        "created_at": row.created_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "mine": row.owner_id == user.pk,
        "owner": str(row.owner),
        "status": _status_label(row, columns),
        "models": [column["model"] for column in columns] or row.summary.get("models", []),
        "columns": columns,
        "fastest": row.summary.get("fastest"),
        "cheapest": row.summary.get("cheapest"),
        "cost": None if row.cost_usd is None else float(row.cost_usd),
    }


def _status_label(row: PlaygroundRun, columns: list[Json]) -> str:
    """Status label of a run; empty if all responses succeeded."""
    if row.ended_at is None:
        return _("Interrupted") if row.interrupted else _("Running")
    # A response without an error can also fail its checks; the page does not call that failed.
    failed_count = sum(column["runs"] - column["ok"] - column["stopped"] for column in columns)
    stopped = sum(column["stopped"] for column in columns)
    labels = []
    if failed_count:
        labels.append(ngettext("%d failed", "%d failed", failed_count) % failed_count)
    if stopped:
        labels.append(ngettext("%d stopped", "%d stopped", stopped) % stopped)
    return ", ".join(labels)
