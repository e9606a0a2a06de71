"""Usage and cost by hour or day, in total or by key, team, route and so on.

The data are the hourly (UTC) roll-ups that the console's Usage page shows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema

from gateway.api.auth import Reader
from gateway.api.failures import failure
from gateway.api.pages import page
from gateway.models import ApiKey, EndUserHour, Team, UsageHour
from gateway.usage_querysets import Totals, sum_totals

router = Router(tags=["usage"])

MAX_LINES = 1000
# The longest range per step, to bound the rows that one response has to add up.
MAX_DAYS = {"hour": 31, "day": 366, "all": 366}
_HOUR = dt.timedelta(hours=1)


class UsageFilters(Schema):
    """The period from `since` (default: 30 days ago) to `until` (default: now), and its grouping.

    `step` is `hour`, `day` (of UTC), or `all` for one sum of the range. `by` splits each
    step. A key of a project counts in the line of its team too. By `end_user` there are only
    requests that name one.
    """

    since: dt.datetime | None = None
    until: dt.datetime | None = None
    step: Literal["hour", "day", "all"] = "day"
    by: Literal["", "key", "team", "route", "model", "provider", "end_user"] = ""
    cursor: int = 0
    limit: int = 200


class UsageOut(Schema):
    """Usage in one step. Costs are in US dollars.

    Attributes:
        name: of the key, team, route, provider or `provider/model`; empty for the total,
            and for requests without one.
        id: the row of the key or team; null for others, and for requests without a key.
        cost: what providers charge, as far as known; null if no price is known.
        charged: the cost including margins, which counts toward budgets.
        unpriced_requests: requests that used tokens without a known price.
    """

    start: dt.datetime
    name: str
    id: int | None
    requests: int
    errors: int
    client_closed: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost: Decimal | None
    charged: Decimal | None
    unpriced_requests: int


class UsagePage(Schema):
    """Totals by start, then by name; `since` and `until` are the whole hours covered."""

    since: dt.datetime
    until: dt.datetime
    items: list[UsageOut]
    next: int | None


Line = tuple[str, int | None]


@router.get("/usage", auth=Reader(), response=UsagePage)
def list_usage(request: HttpRequest, filters: Query[UsageFilters]) -> Any:
    """Totals of requests, tokens and cost; `cursor` is the `next` of the previous page."""
    until = _hour(_aware(filters.until) or timezone.now(), up=True)
    since = _hour(_aware(filters.since) or until - dt.timedelta(days=30))
    if (refusal := _range_error(since, until, filters.step)) is not None:
        return refusal
    sums: dict[tuple[dt.datetime, Line], list[Totals]] = {}
    table = EndUserHour if filters.by == "end_user" else UsageHour
    rows = table.objects.between(since, until)
    for hour, line, totals in _lines(rows, filters.by):
        sums.setdefault((_start(hour, filters.step, since), line), []).append(totals)
    lines = sorted(sums.items(), key=lambda item: (item[0][0], item[0][1][0], item[0][1][1] or 0))
    lines_page = page(lines, filters.cursor, filters.limit, MAX_LINES)
    items = [
        _usage_item(start, line, sum_totals(totals))
        for (start, line), totals in lines_page["items"]
    ]
    return {"since": since, "until": until, "items": items, "next": lines_page["next"]}


def _range_error(since: dt.datetime, until: dt.datetime, step: str) -> HttpResponse | None:
    if since >= until:
        return failure(422, "must be before `until`", "since")
    if until - since > dt.timedelta(days=MAX_DAYS[step]):
        message = f"with the step `{step}` a range has at most {MAX_DAYS[step]} days"
        return failure(422, message, "since")
    return None


def _lines(rows: Any, by: str) -> Iterator[tuple[dt.datetime, Line, Totals]]:
    if not by:
        for hour, totals in rows.by_hour().items():
            yield hour, ("", None), totals
        return
    keys = dict(ApiKey.objects.values_list("pk", "name")) if by == "key" else {}
    teams = dict(Team.objects.values_list("pk", "name")) if by == "team" else {}
    members = ApiKey.objects.memberships() if by == "team" else {}
    for hour, name, totals in rows.by_hour_and("key" if by == "team" else by):
        if by == "key":
            yield hour, (keys.get(name[0], name[1]), name[0] or None), totals
        elif by == "team":
            for pk in members.get(name[0], ()) or (None,):
                yield hour, (teams.get(pk, "") if pk is not None else "", pk), totals
        else:
            yield hour, ("/".join(str(part) for part in name if part), None), totals


def _start(hour: dt.datetime, step: str, since: dt.datetime) -> dt.datetime:
    if step == "all":
        return since
    moment = hour.astimezone(dt.UTC)
    return moment if step == "hour" else moment.replace(hour=0)


def _usage_item(start: dt.datetime, line: Line, totals: Totals) -> dict[str, Any]:
    counts = {
        name: getattr(totals, name) for name in UsageOut.model_fields if hasattr(totals, name)
    }
    return {"start": start, "name": line[0], "id": line[1], **counts}


def _hour(moment: dt.datetime, *, up: bool = False) -> dt.datetime:
    floor = moment.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    return floor + _HOUR if up and floor != moment else floor


def _aware(moment: dt.datetime | None) -> dt.datetime | None:
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=dt.UTC)
