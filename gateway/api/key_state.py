"""State of an API key: its spend, and what remains of its limits and budgets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal

from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router, Schema

from gateway.api.auth import Reader
from gateway.api.resources import not_found_response, reply
from gateway.models import ApiKey, RequestLog, Team, UsageHour
from gateway.models.limits import BUDGETS, LIMITS
from gateway.routing.limits import CALENDAR, SPANS, calendar_window, window_start
from gateway.store.documents import KINDS
from gateway.store.hedge_losers import hedge_losers_of, token_counts

router = Router(tags=["keys"])
_KEYS = KINDS["keys"]
_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")


class BudgetState(Schema):
    """Spend of a key, project or team in a calendar period (UTC), in US dollars.

    `budget` and `remaining` are null without a budget; `ends_at` is null for `total`.
    """

    owner: str
    span: Literal["day", "week", "month", "total"]
    spent: Decimal
    budget: Decimal | None
    remaining: Decimal | None
    ends_at: dt.datetime | None


class LimitState(Schema):
    """A limit of a key, project or team, and its usage in the sliding window.

    Usage comes from the log; the gateway also counts requests in progress.
    `used` and `remaining` are null for `concurrency`, which each process counts on its own.
    """

    owner: str
    metric: Literal["requests", "tokens", "concurrency"]
    span: str
    limit: int
    used: int | None
    remaining: int | None


class KeyStateOut(Schema):
    """State of a key. `usable` is false once it is revoked or expired."""

    name: str
    prefix: str
    usable: bool
    revoked_at: dt.datetime | None
    expires_at: dt.datetime | None
    previous_secret_until: dt.datetime | None
    last_used_at: dt.datetime | None
    budgets: list[BudgetState]
    limits: list[LimitState]


@router.get("/keys/{path:name}/state", auth=Reader(), response=KeyStateOut)
def get_key_state(request: HttpRequest, name: str) -> HttpResponse:
    """Spend of the key, and usage of its limits and budgets and those of its team."""
    row: ApiKey | None = _KEYS.find(name)
    if row is None:
        return not_found_response(_KEYS, name)
    now = timezone.now()
    owners = list(_limit_owners(row))
    state = {
        "name": row.name,
        "prefix": row.prefix,
        "usable": row.revoked_at is None and not row.is_expired,
        "revoked_at": row.revoked_at,
        "expires_at": row.expires_at,
        "previous_secret_until": row.previous_secret_expires_at,
        "last_used_at": row.last_used_at,
        "budgets": [state for owner in owners for state in _budget_states(*owner, now)],
        "limits": [state for owner in owners for state in _limit_states(*owner, now)],
    }
    return reply(200, state)


def _limit_owners(row: ApiKey) -> Iterator[tuple[str, Any, list[int]]]:
    """The key, its project and its team: label, row, and ids of the keys that count for it."""
    yield "key", row, [row.pk]
    team: Team | None = row.team
    members = ApiKey.objects.memberships() if team is not None else {}
    while team is not None:
        yield f"team {team.name}", team, [key for key, teams in members.items() if team.pk in teams]
        team = team.parent


def _budget_states(
    owner: str, row: Any, keys: list[int], now: dt.datetime
) -> Iterator[dict[str, Any]]:
    columns = {span: f"budget_{span}_usd" for span in CALENDAR}
    assert BUDGETS.keys() >= set(columns.values())
    for span, column in columns.items():
        by_key = UsageHour.objects.in_range(window_start(now.timestamp(), span)).spend_by_key()
        spent_usd = sum((by_key.get(key, Decimal(0)) for key in keys), Decimal(0))
        budget: Decimal | None = getattr(row, column)
        window_end = calendar_window(now.timestamp(), span)[1]
        yield {
            "owner": owner,
            "span": span,
            "spent": spent_usd,
            "budget": budget,
            "remaining": None if budget is None else max(budget - spent_usd, Decimal(0)),
            "ends_at": None
            if window_end is None
            else dt.datetime.fromtimestamp(window_end, dt.UTC),
        }


def _limit_states(
    owner: str, row: Any, keys: list[int], now: dt.datetime
) -> Iterator[dict[str, Any]]:
    for column, name in LIMITS.items():
        limit: int | None = getattr(row, column)
        if limit is None:
            continue
        metric, _, span = name.partition("_per_")
        used_units = (
            None if not span else _count_used(metric, keys, now - dt.timedelta(seconds=SPANS[span]))
        )
        yield {
            "owner": owner,
            "metric": metric,
            "span": span,
            "limit": limit,
            "used": used_units,
            "remaining": None if used_units is None else max(limit - used_units, 0),
        }


def _count_used(metric: str, keys: list[int], since: dt.datetime) -> int:
    """The requests or tokens of these keys since a time, hedge losers included.

    The log is read up to the end of the first hour only; later hours come from the roll-ups.
    """
    end = since.replace(minute=0, second=0, microsecond=0) + dt.timedelta(hours=1)
    rows = RequestLog.objects.started_between(since, end).filter(key_id__in=keys)
    totals = UsageHour.objects.in_range(end).of_keys(keys).totals()
    if metric == "requests":
        return totals.requests + int(rows.aggregate(requests=Count("pk"))["requests"])
    sums = rows.aggregate(**{name: Sum(name) for name in _TOKENS})
    hedge_loser_tokens = sum(sum(token_counts(attempt)) for attempt in hedge_losers_of(rows))
    return totals.tokens + hedge_loser_tokens + sum(tokens or 0 for tokens in sums.values())
