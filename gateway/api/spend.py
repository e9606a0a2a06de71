"""Spend over a period, grouped by chosen dimensions; JSON or CSV."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router, Schema
from ninja.errors import HttpError

from gateway.accounting.spend import parse_period, render_csv, spend

router = Router(tags=["spend"])


class SpendOut(Schema):
    """Totals of the days from `since` to `until` (UTC, inclusive); amounts are decimal strings."""

    since: str
    until: str
    by: list[str]
    items: list[dict[str, Any]]


@router.get("/spend", response=SpendOut)
def get_spend(
    request: HttpRequest,
    since: str = "",
    until: str = "",
    by: str = "day",
    format: Literal["json", "csv"] = "json",  # noqa: A002 - the parameter's usual name
) -> Any:
    """Spend of a period, by day, team, project, key, provider, model, route, tag or end user.

    `by` can name several, separated by commas. The default period is the current month.
    `cost_usd` is what providers charge, as far as known; `charged_usd` includes markups
    and counts toward budgets. A request with several tags counts for each of them.
    """
    names = [name.strip() for name in by.split(",") if name.strip()]
    try:
        start, end = parse_period(since, until, timezone.now())
        rows = spend(start, end, names)
    except ValueError as error:
        raise HttpError(422, str(error)) from None
    days = _period_days(start, end)
    if format == "csv":
        response = HttpResponse(render_csv(rows, names), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="spend-{days[0]}-{days[1]}.csv"'
        return response
    return spend_items(start, end, names, rows)


def spend_items(
    start: dt.datetime, end: dt.datetime, names: list[str], rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """Rows of `spend` as SpendOut."""
    days = _period_days(start, end)
    items = [
        {**row, "cost_usd": f"{row['cost_usd']:f}", "charged_usd": f"{row['charged_usd']:f}"}
        for row in rows
    ]
    return {"since": days[0], "until": days[1], "by": names, "items": items}


def _period_days(start: dt.datetime, end: dt.datetime) -> tuple[str, str]:
    """The first and the last day of a period."""
    return start.date().isoformat(), (end - dt.timedelta(days=1)).date().isoformat()
