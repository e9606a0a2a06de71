"""Spend over a period, grouped by day, team, project, key, model, provider, ...

    spend(since, until, ("day", "team"))  -> [{"day": "2026-11-21", "team": "search", ...}]
    render_csv(rows, by)                      -> the rows as CSV

Computed from the roll-ups, which are kept longer than the log; grouping by tag or end user
uses the log itself, as far back as it reaches. Costs are exact decimals; requests without a
known price are counted separately.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from gateway.csv_cells import csv_line
from gateway.models import ApiKey, RequestLog, Team, UsageHour
from gateway.routing import limits
from gateway.store.hedge_losers import hedge_losers_in, token_counts
from gateway.usage_querysets import dollars

DIMENSIONS = ("day", "team", "project", "key", "provider", "model", "route", "tag", "end_user")
_COUNTS = (
    "requests",
    "errors",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "unpriced_requests",
)
COLUMNS = (*_COUNTS[:-1], "cost_usd", "charged_usd", "requests_without_price")
_COLUMNS = (
    "started_at",
    "key_id",
    "key_prefix",
    "provider",
    "model",
    "route",
    "outcome",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "charged_usd",
    "end_user",
    "tags",
    "attempts",
)

Row = dict[str, Any]


class _UsageItem(msgspec.Struct):
    """Usage of one roll-up or log row: its dimensions, counts, and cost in units of dollars."""

    dimensions: Row
    counts: tuple[int, ...]
    cost: int
    charged: int
    tags: Sequence[str] = ("",)


def spend(
    since: dt.datetime,
    until: dt.datetime,
    by: Sequence[str],
    key_ids: Sequence[int] | None = None,
) -> list[Row]:
    """Usage and cost of whole hours (UTC) from `since` to before `until`, sorted by `by`.

    A key's team and project are its current ones; a team's line includes its projects, as its
    budget does. A request with several tags counts for each of them, so that totals over tags may
    exceed the whole; a request without tags has the tag "". The cost of a hedge loser is in the
    line of its own target, without a request. `key_ids` limits it to these keys; None is all.

    Raises:
        ValueError: `by` is empty or has an unknown dimension.
    """
    unknown_dimensions = [name for name in by if name not in DIMENSIONS]
    if unknown_dimensions or not by:
        raise ValueError(f"by: must be one or more of {', '.join(DIMENSIONS)}, separated by commas")
    sums: dict[tuple[Any, ...], list[int]] = {}
    from_log = not {"tag", "end_user"}.isdisjoint(by)
    items = _from_log(since, until, key_ids) if from_log else _from_rollups(since, until, key_ids)
    for usage_item in items:
        for tag in usage_item.tags:
            line_sums = sums.setdefault(
                tuple(tag if name == "tag" else usage_item.dimensions[name] for name in by),
                [0] * (len(_COUNTS) + 2),
            )
            for index, amount in enumerate(
                (*usage_item.counts, usage_item.cost, usage_item.charged)
            ):
                line_sums[index] += amount
    return [_spend_row(by, name, sums[name]) for name in sorted(sums)]


def _spend_row(by: Sequence[str], name: tuple[Any, ...], sums: list[int]) -> Row:
    *counts, unpriced_requests, cost, charge = sums
    return {
        **dict(zip(by, name, strict=True)),
        **dict(zip(_COUNTS[:-1], counts, strict=True)),
        "cost_usd": dollars(cost),
        "charged_usd": dollars(charge),
        "requests_without_price": unpriced_requests,
    }


def _from_rollups(
    since: dt.datetime, until: dt.datetime, key_ids: Sequence[int] | None
) -> Iterator[_UsageItem]:
    names = _Names()
    columns = (*UsageHour.KEYS[1:], *_COUNTS, "cost_units", "charged_units")
    rows = UsageHour.objects.in_range(since, until).of_keys(key_ids).rows(*columns)
    for day, (key_id, prefix, route, provider, model, *counts, cost, charge) in rows:
        dimensions = names.dimensions_of(day, key_id, prefix, route, provider, model)
        yield _UsageItem(dimensions, tuple(counts), cost, charge)


def _from_log(
    since: dt.datetime, until: dt.datetime, key_ids: Sequence[int] | None
) -> Iterator[_UsageItem]:
    names = _Names()
    rows = RequestLog.objects.started_between(since, until).of_keys(key_ids).values_list(*_COLUMNS)
    for row in rows.iterator():
        started_at, key_id, prefix, provider, model, route, outcome, *tokens, cost, charge_usd = (
            row[:-3]
        )
        end_user, tags, attempts = row[-3], tuple(row[-2]) or ("",), row[-1]
        day = started_at.astimezone(dt.UTC).date()
        counted_tokens = [token or 0 for token in tokens]
        unpriced_requests = int(cost is None and (any(counted_tokens) or outcome == "ok"))
        counts = (1, int(outcome in ("error", "cut")), *counted_tokens, unpriced_requests)
        dimensions = names.dimensions_of(day, key_id or 0, prefix, route, provider, model, end_user)
        cost_units = limits.units(cost)
        charged_units = cost_units if charge_usd is None else limits.units(charge_usd)
        yield _UsageItem(dimensions, counts, cost_units, charged_units, tags)
        for loser in hedge_losers_in(attempts):
            dimensions = names.dimensions_of(
                day, key_id or 0, prefix, route, loser.provider, loser.model, end_user
            )
            input_tokens, cache_read, cache_write, output_tokens = token_counts(loser)
            counts = (
                0,
                0,
                input_tokens,
                cache_read,
                cache_write,
                output_tokens,
                0,
                int(loser.cost_usd is None),
            )
            cost_units = limits.units(loser.cost_usd)
            charged_units = (
                cost_units if loser.charged_usd is None else limits.units(loser.charged_usd)
            )
            yield _UsageItem(dimensions, counts, cost_units, charged_units, tags)


class _Names:
    """Current names of keys and teams."""

    def __init__(self) -> None:
        rows = ApiKey.objects.select_related("team__parent")
        self.keys = {row.pk: row for row in rows}

    def dimensions_of(
        self,
        day: dt.date,
        key_id: int,
        prefix: str,
        route: str,
        provider: str,
        model: str,
        end_user: str = "",
    ) -> Row:
        """The dimensions of one row, except for its tags."""
        key = self.keys.get(key_id)
        project, team = project_and_team_names(key.team) if key is not None else ("", "")
        return {
            "day": day.isoformat(),
            "team": team,
            "project": project,
            "key": key.name if key is not None else prefix,
            "provider": provider,
            "model": f"{provider}/{model}" if model else "",
            "route": route,
            "end_user": end_user,
        }


def project_and_team_names(team: Team | None) -> tuple[str, str]:
    """The names of a key's project and team; empty for none."""
    if team is None:
        return "", ""
    return ("", team.name) if team.parent is None else (team.name, team.parent.name)


def render_csv(rows: Iterable[Row], by: Sequence[str]) -> str:
    """The rows as CSV with a header."""
    names = (*by, *COLUMNS)
    return "".join(map(csv_line, [names, *([row[name] for name in names] for row in rows)]))


def parse_period(since: str, until: str, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """The start of the first day and the end of the last, from dates as YYYY-MM-DD (UTC).

    Empty means the first day of this month, and today. Raises ValueError.
    """
    today = now.astimezone(dt.UTC).date()
    first_day = _parse_day(since, "since") if since else today.replace(day=1)
    last_day = _parse_day(until, "until") if until else max(today, first_day)
    if last_day < first_day:
        raise ValueError("until: must not be before `since`")
    start = dt.datetime.combine(first_day, dt.time(), tzinfo=dt.UTC)
    end = dt.datetime.combine(last_day, dt.time(), tzinfo=dt.UTC) + dt.timedelta(days=1)
    return start, end


def _parse_day(text: str, name: str) -> dt.date:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name}: must be a date such as 2026-11-21") from None
    if not 2000 <= day.year <= 2200:
        raise ValueError(f"{name}: the year is out of range")
    return day
