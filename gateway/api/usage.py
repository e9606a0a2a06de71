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

from gateway.accounting.what_if import MAX_CANDIDATES, find_candidate, what_if
from gateway.accounting.what_if import WhatIfLine as WhatIfLine
from gateway.api.auth import Reader
from gateway.api.failures import failure
from gateway.api.pages import page
from gateway.models import ApiKey, EndUserHour, Team, UsageHour
from gateway.store import current_snapshot
from gateway.store.field_values import in_utc, split_names
from gateway.usage_querysets import Totals, sum_totals

router = Router(tags=["usage"])

MAX_LINES = 1000
# The longest range per step, to bound the rows that one response has to add up.
MAX_DAYS = {"hour": 31, "day": 366, "all": 366}
_FIRST, _LAST = dt.datetime(2000, 1, 1, tzinfo=dt.UTC), dt.datetime(9000, 1, 1, tzinfo=dt.UTC)
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
        charged: the cost including markups, which counts toward budgets.
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


class WhatIfFilters(Schema):
    """The period, as of `/usage`, and `models`: one to five `provider/model` separated by commas.

    A model need not be registered: one in the price list of a provider or preset will do.
    """

    models: str
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    cursor: int = 0
    limit: int = 200


class WhatIfModel(Schema):
    """A model to compare with, and what all usage of the period would have cost on it.

    Attributes:
        cost: US dollars; null if a price is unknown.
        difference: compared with the actual cost; null if either is not known completely.
        price_source: origin of the price; empty if it is unknown.
    """

    name: str
    cost: Decimal | None
    difference: Decimal | None
    price_source: str


class WhatIfOut(Schema):
    """Usage of a route and a model. Costs are in US dollars, without markups.

    Attributes:
        model: `provider/model`; empty for requests that no target answered.
        cost: the actual cost, as far as known; null if no price is known.
        estimates: by the name of the other model; null if a price is unknown.
    """

    route: str
    model: str
    requests: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost: Decimal | None
    unpriced_requests: int
    estimates: dict[str, Decimal | None]


class WhatIfPage(Schema):
    """Lines, most expensive first; `cost` and `models` are totals of all lines, not of the page."""

    since: dt.datetime
    until: dt.datetime
    cost: Decimal | None
    unpriced_requests: int
    models: list[WhatIfModel]
    items: list[WhatIfOut]
    next: int | None


Line = tuple[str, int | None]


@router.get("/usage", auth=Reader(), response=UsagePage)
def list_usage(request: HttpRequest, filters: Query[UsageFilters]) -> Any:
    """Totals of requests, tokens and cost; `cursor` is the `next` of the previous page."""
    until = _round_to_hour(_bounded_time(filters.until) or timezone.now(), round_up=True)
    since = _round_to_hour(_bounded_time(filters.since) or until - dt.timedelta(days=30))
    if (refusal := _range_error(since, until, filters.step)) is not None:
        return refusal
    sums: dict[tuple[dt.datetime, Line], list[Totals]] = {}
    for start, line, totals in _totals_lines(since, until, filters.step, filters.by):
        step = since if filters.step == "all" else start
        sums.setdefault((step, line), []).append(totals)
    lines = sorted(sums.items(), key=lambda item: (item[0][0], item[0][1][0], item[0][1][1] or 0))
    lines_page = page(lines, filters.cursor, filters.limit, MAX_LINES)
    items = [
        _usage_item(start, line, sum_totals(totals))
        for (start, line), totals in lines_page["items"]
    ]
    return {"since": since, "until": until, "items": items, "next": lines_page["next"]}


@router.get("/usage/what-if", auth=Reader(), response=WhatIfPage)
def get_what_if(request: HttpRequest, filters: Query[WhatIfFilters]) -> Any:
    """What the usage of a period would have cost on other models, by route and model.

    Assumes the same number of tokens, although tokenizers and responses differ, and the same share
    of cached tokens; a model without a price for cached input is billed for it as input.
    """
    until = _round_to_hour(_bounded_time(filters.until) or timezone.now(), round_up=True)
    since = _round_to_hour(_bounded_time(filters.since) or until - dt.timedelta(days=30))
    if (refusal := _range_error(since, until, "all")) is not None:
        return refusal
    names = split_names(filters.models)
    if not 0 < len(names) <= MAX_CANDIDATES:
        return failure(422, f"name one to {MAX_CANDIDATES} models as provider/model", "models")
    snapshot = current_snapshot()
    candidates = []
    for name in names:
        model = find_candidate(name, snapshot)
        if model is None:
            return failure(422, f"there is no model or list price `{name[:200]}`", "models")
        candidates.append(model)
    comparison = what_if(since, until, candidates)
    lines_page = page(comparison.lines, filters.cursor, filters.limit, MAX_LINES)
    comparisons = zip(candidates, comparison.estimates, comparison.differences, strict=True)
    return {
        "since": since,
        "until": until,
        "cost": comparison.totals.cost,
        "unpriced_requests": comparison.totals.unpriced_requests,
        "models": [
            {
                "name": each.name,
                "cost": usd,
                "difference": difference,
                "price_source": each.price.source if each.has_prices else "",
            }
            for each, usd, difference in comparisons
        ],
        "items": [_what_if_item(line, names) for line in lines_page["items"]],
        "next": lines_page["next"],
    }


def _what_if_item(line: WhatIfLine, names: list[str]) -> dict[str, Any]:
    fields = [name for name in WhatIfOut.model_fields if hasattr(line.totals, name)]
    return {
        "route": line.route,
        "model": line.label,
        "estimates": dict(zip(names, line.estimates, strict=True)),
        **{name: getattr(line.totals, name) for name in fields},
    }


def _range_error(since: dt.datetime, until: dt.datetime, step: str) -> HttpResponse | None:
    if since >= until:
        return failure(422, "must be before `until`", "since")
    if until - since > dt.timedelta(days=MAX_DAYS[step]):
        message = f"with the step `{step}` a range has at most {MAX_DAYS[step]} days"
        return failure(422, message, "since")
    return None


def _totals_lines(
    since: dt.datetime, until: dt.datetime, step: str, by: str
) -> Iterator[tuple[dt.datetime, Line, Totals]]:
    """Totals by hour, or else by UTC day; a day or a line may come several times."""
    table = EndUserHour if by == "end_user" else UsageHour
    columns = "key" if by == "team" else by
    rows = (
        table.objects.between(since, until).by_hour_and(columns)
        if step == "hour"
        else table.objects.in_range(since, until).by_step_and("day", columns)
    )
    keys = dict(ApiKey.objects.values_list("pk", "name")) if by == "key" else {}
    teams = dict(Team.objects.values_list("pk", "name")) if by == "team" else {}
    members = ApiKey.objects.memberships() if by == "team" else {}
    for start, name, totals in rows:
        if by == "key":
            key_id, prefix = name
            yield start, (str(keys.get(key_id, prefix)), key_id or None), totals
        elif by == "team":
            for pk in members.get(name[0], ()) or (None,):
                yield start, (teams.get(pk, "") if pk is not None else "", pk), totals
        else:
            yield start, ("/".join(str(part) for part in name if part), None), totals


def _usage_item(start: dt.datetime, line: Line, totals: Totals) -> dict[str, Any]:
    counts = {
        name: getattr(totals, name) for name in UsageOut.model_fields if hasattr(totals, name)
    }
    return {"start": start, "name": line[0], "id": line[1], **counts}


def _round_to_hour(moment: dt.datetime, *, round_up: bool = False) -> dt.datetime:
    hour_start = moment.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    return hour_start + _HOUR if round_up and hour_start != moment else hour_start


def _bounded_time(time: dt.datetime | None) -> dt.datetime | None:
    # No zone and no period leaves the range of `datetime` from there.
    return time and min(max(in_utc(time), _FIRST), _LAST)
