"""Sums of ranges equal those of the log's rows, whichever roll-ups are used."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from console.insight import series, time_ranges
from gateway import store
from gateway.accounting.bills import reconcile
from gateway.accounting.spend import spend
from gateway.compat.import_report import ImportReport
from gateway.compat.imported_usage import imported_provider_prefix, write_usage
from gateway.models import (
    ApiKey,
    EndUserDay,
    EndUserHour,
    RequestLog,
    Team,
    UsageDay,
    UsageHour,
)
from gateway.relay.exchange.log_record import HEDGE_LOSER, Attempt, LogRecord
from gateway.store import usage
from gateway.usage_querysets import UNITS, Totals, sum_totals
from tests.store.factories import make_record

pytestmark = pytest.mark.django_db

SEEDS = range(4)
# Clocks in Berlin and New York are set back within the days before it.
NOW = dt.datetime(2026, 11, 3, 10, 20, tzinfo=dt.UTC)
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland")
# Offsets from midnight, in seconds.
NEAR_MIDNIGHT = (-3600, -1, -0.25, 0, 0.25, 1, 3599.5)


def random_requests(
    rng: random.Random, count: int, days: float, *, first: int = 0, now: dt.datetime = NOW
) -> list[LogRecord]:
    """Return random requests of the days before `now`, half of them near midnight, unordered."""
    return [
        request_of(rng, f"req_{number}", now - DAY * rng.uniform(0, days))
        for number in range(first, first + count)
    ]


def request_of(rng: random.Random, id: str, started: dt.datetime) -> LogRecord:
    if rng.random() < 0.5:
        midnight = started.replace(hour=0, minute=0, second=0, microsecond=0)
        started = midnight + dt.timedelta(seconds=rng.choice(NEAR_MIDNIGHT))
    is_check = rng.random() < 0.1
    return make_record(
        id,
        started_at=started.timestamp(),
        key_id=0 if is_check else rng.choice((None, 1, 2)),
        key_prefix="check" if is_check else rng.choice(("sk-dgm-a", "sk-dgm-b")),
        route=rng.choice(("fast", "good")),
        provider=rng.choice(("openai", "anthropic", "")),
        model=rng.choice(("m1", "m2", "m3")),
        outcome=rng.choice(("ok", "ok", "ok", "error", "cut", "client_closed")),
        end_user="" if is_check else rng.choice(("", "ann", "bob")),
        input_tokens=rng.choice((None, 0, 7, 4000)),
        cache_read_tokens=rng.choice((None, 100)),
        output_tokens=rng.randrange(900),
        cost_usd=rng.choice((None, Decimal("0.0012345678"), Decimal("0.25"))),
        charged_usd=rng.choice((None, Decimal("0.5"))),
        attempts=rng.choice(([], [HEDGED])),
    )


HEDGED = Attempt(
    target="slow/m9",
    provider="slow",
    model="m9",
    dialect="openai_chat",
    error_kind=HEDGE_LOSER,
    input_tokens=30,
    cost_usd=Decimal("0.001"),
)

Use = tuple[dt.datetime, RequestLog, tuple[str, str], Totals]


def log_usage() -> list[Use]:
    """Return for each log row and hedge loser: start of the hour, target and totals."""
    uses: list[Use] = []
    for row in RequestLog.objects.all():
        hour = row.started_at.replace(minute=0, second=0, microsecond=0)
        uses.append((hour, row, (row.provider, row.model), totals_of(row)))
        for attempt in row.attempts:
            units = int(Decimal(attempt["cost_usd"]) * UNITS)
            totals = Totals(
                input_tokens=attempt["input_tokens"],
                priced_requests=1,
                cost_units=units,
                charged_units=units,
            )
            uses.append((hour, row, (attempt["provider"], attempt["model"]), totals))
    return uses


def totals_of(row: RequestLog) -> Totals:
    is_request = row.key_prefix != "check"
    tokens = {
        name: getattr(row, name) or 0
        for name in ("input_tokens", "cache_read_tokens", "output_tokens")
    }
    cost, charged = row.cost_usd, row.charged_usd
    return Totals(
        requests=int(is_request),
        errors=int(is_request and row.outcome in ("error", "cut")),
        client_closed=int(is_request and row.outcome == "client_closed"),
        priced_requests=int(cost is not None),
        unpriced_requests=int(cost is None and (any(tokens.values()) or row.outcome == "ok")),
        cost_units=0 if cost is None else int(cost * UNITS),
        charged_units=0 if cost is None else int((cost if charged is None else charged) * UNITS),
        **tokens,
    )


def grouped(uses: list[Use], name_of: Callable[[Use], Any]) -> dict[Any, Totals]:
    totals: dict[Any, list[Totals]] = {}
    for use in uses:
        totals.setdefault(name_of(use), []).append(use[-1])
    return {name: sum_totals(parts) for name, parts in totals.items()}


def days_from_hours() -> Iterator[tuple[Any, Any]]:
    """Return the daily roll-ups, and their expected values."""
    for hourly, daily in ((UsageHour, UsageDay), (EndUserHour, EndUserDay)):
        sums: dict[Any, list[int]] = {}
        for hour, *values in hourly.objects.values_list(*hourly.KEYS, *hourly.SUMS):
            name = (hour.date(), *values[: len(hourly.KEYS) - 1])
            counts = values[len(hourly.KEYS) - 1 :]
            sums[name] = [a + b for a, b in zip(sums.get(name, [0] * 12), counts, strict=True)]
        rows = daily.objects.values_list(*daily.KEYS, *daily.SUMS)
        stored = {row[: len(daily.KEYS)]: list(row[len(daily.KEYS) :]) for row in rows}
        yield stored, sums


def assert_days_are_their_hours() -> None:
    for stored, expected in days_from_hours():
        assert stored == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_a_range_has_the_sums_of_its_rows(seed: int) -> None:
    rng = random.Random(seed)
    store.write(random_requests(rng, 300, days=4))
    uses = log_usage()
    for _ in range(40):
        until = NOW - DAY * rng.uniform(-0.5, 4)
        since = until - DAY * rng.choice((0.01, 0.2, 1, rng.uniform(0, 4)))
        if rng.random() < 0.5:
            since = since.replace(hour=0, minute=0, second=0, microsecond=0)
        if rng.random() < 0.5:
            until = until.replace(hour=0, minute=0, second=0, microsecond=0)
        first, last = rng.choice(((since, until), (since, None), (None, until), (None, None)))
        rows = UsageHour.objects.in_range(first, last)
        expected = [
            use
            for use in uses
            if (first is None or use[0] >= first) and (last is None or use[0] < last)
        ]
        assert rows.totals() == sum_totals(use[-1] for use in expected)
        assert rows.totals_by("model") == grouped(expected, lambda use: use[2])
        assert rows.totals_by("route") == grouped(expected, lambda use: (use[1].route,))
        of_key = [use for use in expected if use[1].key_id == 1]
        assert rows.of_keys([1]).totals() == sum_totals(use[-1] for use in of_key)
        by_end_user = EndUserHour.objects.in_range(first, last).totals_by("end_user")
        named = [use for use in expected if use[1].end_user]
        assert by_end_user == grouped(named, lambda use: (use[1].end_user,))


@pytest.fixture
def named_keys() -> dict[int | None, dict[str, str]]:
    """Return team, project and user of the requests' keys, by row id."""
    search = Team.objects.create(name="search")
    api = Team.objects.create(name="api", parent=search)
    ApiKey.objects.create(pk=1, name="one", prefix="sk-dgm-1", digest=b"1", team=api, user="ann")
    ApiKey.objects.create(pk=2, name="two", prefix="sk-dgm-2", digest=b"2", team=search)
    return {
        1: {"team": "search", "project": "api", "user": "ann"},
        2: {"team": "search", "project": "", "user": ""},
    }


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("span_name", ["24h", "7d", "30d", "12m"])
def test_the_usage_page_has_the_sums_of_the_rows(
    zone: str,
    span_name: str,
    named_keys: dict[int | None, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    span = time_ranges.TIME_RANGES[span_name]
    days = {"24h": 2, "7d": 14}.get(span_name, 64)
    store.write(random_requests(random.Random(f"{zone} {span_name}"), 200, days=days))
    uses = log_usage()
    with timezone.override(zone):
        for dimension, max_series in itertools.product(PAGE_DIMENSIONS, (2, 3, 7)):
            monkeypatch.setattr(series, "MAX_SERIES", max_series)
            monkeypatch.setattr(series, "MAX_ROWS", max_series + 1)
            check_usage(span, dimension, uses, named_keys)


PAGE_DIMENSIONS = ("model", "provider", "route", "team", "project", "user")


def check_usage(
    span: time_ranges.TimeRange,
    dimension: str,
    uses: list[Use],
    named_keys: dict[int | None, dict[str, str]],
) -> None:
    """Assert that rows, series and totals of the page equal the usage in the log."""

    def name_of(use: Use) -> str:
        _hour, row, target, _totals = use
        if dimension in ("team", "project", "user"):
            return named_keys.get(row.key_id, {}).get(dimension, "") or f"no {dimension}"
        if dimension == "route":
            return row.route
        return "/".join(filter(None, target if dimension == "model" else target[:1])) or (
            "no provider was called"
        )

    page = series.usage(span, dimension, NOW)
    steps = list(series.every_step(span, dimension, NOW))
    first = time_ranges.previous_start(span, page.starts[0])
    before = [use for use in uses if first <= use[0] < page.starts[0]]
    uses = [use for use in uses if use[0] >= page.starts[0]]
    by_step = grouped(uses, lambda use: (name_of(use), time_ranges.step_start(span.step, use[0])))
    by_name = grouped(uses, name_of)
    assert {(name, start): totals for name, start, totals in steps} == by_step
    assert page.total == sum_totals(use[-1] for use in uses)
    assert page.previous_totals == sum_totals(use[-1] for use in before)
    assert sum_totals(row.totals for row in page.rows) == page.total
    assert len(page.rows) == min(len(by_name), series.MAX_ROWS)
    assert len(page.series) == min(len(by_name), series.MAX_SERIES)
    for row in page.rows if len(by_name) <= series.MAX_ROWS else page.rows[:-1]:
        assert row.totals == by_name[row.name]
    for line in page.series:
        if line.color:
            expected = [by_step.get((line.name, start), Totals()) for start in page.starts]
            assert list(line.totals) == expected
    by_start = grouped(uses, lambda use: time_ranges.step_start(span.step, use[0]))
    assert page.by_step == [by_start.get(start, Totals()) for start in page.starts]


@pytest.mark.parametrize("seed", SEEDS)
def test_bills_and_spend_have_the_sums_of_the_rows(seed: int) -> None:
    rng = random.Random(seed)
    store.write(random_requests(rng, 300, days=8))
    since = NOW.replace(hour=0, minute=0) - DAY * 5
    until = since + DAY * rng.randrange(1, 6)
    uses = [use for use in log_usage() if since <= use[0] < until]
    at_openai = [use for use in uses if use[2][0] == "openai"]
    days = {(day.day, day.model): day.totals for day in reconcile("openai", since, until).days}
    assert days == grouped(at_openai, lambda use: (use[0].date(), use[2][1]))
    rows = spend(since, until, ["day", "route"])
    assert {(row["day"], row["route"]): int(row["charged_usd"] * UNITS) for row in rows} == {
        name: totals.charged_units
        for name, totals in grouped(
            uses, lambda use: (use[0].date().isoformat(), use[1].route)
        ).items()
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_days_are_the_sums_of_their_hours_whatever_is_written(seed: int) -> None:
    rng, now = random.Random(seed), timezone.now()
    written: list[LogRecord] = []

    def write() -> None:
        count = rng.randrange(1, 40)
        batch = random_requests(rng, count, 3, first=len(written), now=now)
        written.extend(batch)
        store.write(batch)

    def write_again() -> None:
        store.write(rng.sample(written, min(5, len(written))))

    def import_usage() -> None:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        names = [
            (midnight - DAY * rng.randrange(3), 1, "sk-x", "fast", "litellm/openai", model)
            for model in "ab"
        ]
        sums = {name: [rng.randrange(100) for _ in UsageHour.SUMS] for name in names}
        write_usage(sums, imported_provider_prefix("litellm"), ImportReport())

    def prune() -> None:
        RequestLog.objects.prune(now - DAY * rng.uniform(1, 3))

    def rebuild() -> None:
        usage.rebuild()

    for step in rng.choices((write, write, write_again, import_usage, prune, rebuild), k=12):
        step()
        assert_days_are_their_hours()


def test_a_rebuild_corrects_daily_sums() -> None:
    store.write(random_requests(random.Random(1), 50, days=3, now=timezone.now()))
    UsageDay.objects.all().update(requests=99)
    EndUserDay.objects.all().delete()
    usage.rebuild()
    assert_days_are_their_hours()


def test_a_day_that_is_omitted_from_the_sums_is_detected() -> None:
    """The check itself can fail."""
    store.write(random_requests(random.Random(1), 50, days=3))
    UsageDay.objects.filter(day=NOW.date()).delete()
    with pytest.raises(AssertionError):
        assert_days_are_their_hours()
