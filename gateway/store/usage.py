"""Roll-ups of the log: updated in the rows' own transaction, or rebuilt from the log.

Both use `Tally`, so that they agree. A batch touches few hours and targets, hence few rows: the
sums are computed here, and the database only adds. Whatever changes an hour of usage changes its
day in the same transaction: a daily row is always the sum of its hourly rows.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any

import msgspec
from django.db import connection, transaction

from gateway.models import (
    EndUserDay,
    EndUserHour,
    LatencyHour,
    RequestLog,
    TargetHour,
    UsageDay,
    UsageHour,
)
from gateway.relay.exchange.log_record import Attempt
from gateway.routing.circuit_breaker import FAULTS, HEALTH_CHECK_KEY
from gateway.routing.limits import UNITS
from gateway.store.columns import Row, columns
from gateway.store.hedge_losers import hedge_losers, token_counts
from gateway.usage_querysets import bucket_of

Hour = datetime | str
Sums = dict[tuple[Any, ...], list[int]]

# Maximum that one request adds. Larger values are bogus and would overflow the sums.
MAX_TOKENS = 10**9
MAX_UNITS = 100_000 * UNITS
_UNITS = Decimal(UNITS)

_COLUMNS = (
    "started_at",
    "key_id",
    "key_prefix",
    "route",
    "provider",
    "model",
    "outcome",
    "end_user",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "charged_usd",
    "first_token_ms",
    "duration_ms",
)
Table = type[UsageHour | UsageDay | EndUserHour | EndUserDay | TargetHour | LatencyHour]
# In the order in which transactions write and lock them.
_TABLES: tuple[Table, ...] = (
    UsageHour,
    UsageDay,
    EndUserHour,
    EndUserDay,
    TargetHour,
    LatencyHour,
)
_HOUR = timedelta(hours=1)


class Tally:
    """Sums over some rows, by the key columns of the roll-up tables."""

    def __init__(self) -> None:
        self.usage: Sums = _zero_sums(UsageHour)
        self.end_users: Sums = _zero_sums(EndUserHour)
        self.targets: Sums = _zero_sums(TargetHour)
        self.latency: Sums = _zero_sums(LatencyHour)

    def add(self, values: tuple[Any, ...], attempts: Sequence[Attempt]) -> None:
        """Count one row: its columns in the order of _COLUMNS, and its attempts."""
        started, key_id, prefix, route, provider, model, outcome, end_user, *numbers = values
        *counts, cost, charge, first_token_ms, duration_ms = numbers
        hour = _hour_of(started)
        group_key = (hour, key_id or 0, prefix, route)
        sums = self.usage[*group_key, provider, model]
        _add_request(sums, outcome, counts, cost, charge)
        of_end_user: list[int] | None = None
        if end_user:
            of_end_user = self.end_users[hour, end_user, key_id or 0]
            _add_request(of_end_user, outcome, counts, cost, charge)
        for attempt in hedge_losers(attempts):
            key = (
                *group_key,
                _storable_text(attempt.provider, 63),
                _storable_text(attempt.model, 200),
            )
            sums = self.usage[key]
            _add_tokens_and_cost(sums, token_counts(attempt), attempt.cost_usd, attempt.charged_usd)
            if of_end_user is not None:
                _add_tokens_and_cost(
                    of_end_user, token_counts(attempt), attempt.cost_usd, attempt.charged_usd
                )
        # Health checks are one-token requests: they would distort latency.
        if prefix == HEALTH_CHECK_KEY:
            first_token_ms = duration_ms = None
        self._add_target(hour, provider, model, outcome, first_token_ms, duration_ms, attempts)

    def _add_target(
        self,
        hour: Hour,
        provider: str,
        model: str,
        outcome: str,
        first_token_ms: float | None,
        duration_ms: float | None,
        attempts: Iterable[Attempt],
    ) -> None:
        started_ms, is_called = 0.0, False
        for attempt in attempts:
            if attempt.skipped is None:
                is_called = True
                key = (
                    hour,
                    _storable_text(attempt.provider, 63),
                    _storable_text(attempt.model, 200),
                )
                sums = self.targets[key]
                sums[0] += 1
                sums[1] += attempt.error_kind in FAULTS
                if attempt.error_kind is not None:
                    _add_failure(sums, attempt)
                started_ms = attempt.started_ms
        # A cached response says nothing about a target.
        if outcome != "ok" or not is_called or not provider:
            return
        self.targets[hour, provider, model][2] += 1
        # The target's own latency, without the time of earlier attempts.
        for measure, ms in (("first_token", first_token_ms), ("total", duration_ms)):
            if ms is not None and isfinite(ms):
                bucket = bucket_of(ms - started_ms)
                self.latency[hour, provider, model, measure, bucket][0] += 1


def _zero_sums(model: Table) -> Sums:
    """Sums by the key columns of a table, which start at zero."""
    length = len(model.SUMS)
    return defaultdict(lambda: [0] * length)


def _add_request(
    sums: list[int],
    outcome: str,
    counts: Iterable[int | None],
    cost: Decimal | str | None,
    charge: Decimal | str | None,
) -> None:
    """Add one request with its outcome, tokens and cost."""
    sums[0] += 1
    if outcome in ("error", "cut"):
        sums[1] += 1
    elif outcome == "client_closed":
        sums[2] += 1
    _add_tokens_and_cost(sums, counts, cost, charge, used=outcome == "ok")


def _add_tokens_and_cost(
    sums: list[int],
    counts: Iterable[int | None],
    cost: Decimal | str | None,
    charge: Decimal | str | None,
    *,
    used: bool = False,
) -> None:
    """Add tokens and cost; `used` marks a request without cost as unpriced, even with no tokens."""
    for index, count in enumerate(counts, 3):
        if count and 0 < count <= MAX_TOKENS:
            sums[index] += count
            used = True
    units = _cost_units(cost)
    if units is not None:
        sums[8] += 1
        sums[10] += units
        # Most targets have no markup. Rows from before markups existed have no charge.
        added_units = None if charge == cost else _cost_units(charge)
        sums[11] += units if added_units is None else added_units
    elif used:
        sums[9] += 1


def _add_failure(sums: list[int], attempt: Attempt) -> None:
    """Add what a failed attempt may have cost to the sums of its target."""
    units = _cost_units(attempt.cost_usd)
    if units is not None:
        sums[3] += 1
        sums[4] += units
    elif attempt.first_byte_ms is not None and attempt.status == 200:
        sums[5] += 1


def _hour_of(started: datetime | str) -> Hour:
    if isinstance(started, str):  # as SQLite stores it
        return started[:13] + ":00:00"
    return started.replace(minute=0, second=0, microsecond=0)


def _cost_units(cost: Decimal | str | None) -> int | None:
    if cost is None:
        return None
    units = int((Decimal(cost) * _UNITS).to_integral_value())
    return units if abs(units) <= MAX_UNITS else None


@lru_cache(maxsize=4096)
def _storable_text(text: str, max_length: int) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:max_length]


# -- with the rows --------------------------------------------------------------------


@lru_cache(maxsize=1)
def _column_getter() -> Any:
    names = columns().names
    return operator.itemgetter(*(names.index(name) for name in _COLUMNS))


def count(cursor: Any, rows: Iterable[tuple[Row, list[Attempt]]]) -> None:
    """Add rows that were just inserted, in the same transaction."""
    tally, get_values = Tally(), _column_getter()
    for row, attempts in rows:
        tally.add(get_values(row), attempts)
    _save(cursor, tally)


def add(cursor: Any, usage: Sums) -> None:
    """Add sums by `UsageHour.KEYS`, in the order of its SUMS; negative numbers subtract."""
    tally = Tally()
    tally.usage = usage
    _save(cursor, tally)


def _save(cursor: Any, tally: Tally) -> None:
    tables: tuple[tuple[Table, Sums], ...] = (
        (UsageHour, tally.usage),
        (UsageDay, _by_day(tally.usage)),
        (EndUserHour, tally.end_users),
        (EndUserDay, _by_day(tally.end_users)),
        (TargetHour, tally.targets),
        (LatencyHour, tally.latency),
    )
    for model, sums in tables:
        if sums:  # sorted, so that two writers cannot deadlock
            rows = [(_database_hour(name[0]), *name[1:], *sums[name]) for name in sorted(sums)]
            cursor.executemany(_add_sql(model), rows)


def _by_day(hourly: Sums) -> Sums:
    daily: Sums = {}
    for (hour, *name), sums in hourly.items():
        day = hour[:10] if isinstance(hour, str) else hour.astimezone(UTC).date()
        other_totals = daily.get((day, *name))
        daily[day, *name] = (
            sums if other_totals is None else list(map(operator.add, other_totals, sums))
        )
    return daily


def _database_hour(start: Hour | date) -> Any:
    if isinstance(start, str):
        return start
    if isinstance(start, datetime):
        return connection.ops.adapt_datetimefield_value(start)
    return connection.ops.adapt_datefield_value(start)


@lru_cache(maxsize=len(_TABLES))
def _add_sql(model: Table) -> str:
    table, names = model._meta.db_table, (*model.KEYS, *model.SUMS)
    column_list = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join(["%s"] * len(names))
    key_columns = ", ".join(f'"{name}"' for name in model.KEYS)
    increments = ", ".join(
        f'"{name}" = {table}."{name}" + excluded."{name}"' for name in model.SUMS
    )
    return (
        f"INSERT INTO {table} ({column_list}) VALUES ({marks}) "  # noqa: S608
        f"ON CONFLICT ({key_columns}) DO UPDATE SET {increments}"
    )


# -- from the log ---------------------------------------------------------------------


def rebuild() -> tuple[int, int]:
    """Rebuild every hour from the log; return the numbers of hours rebuilt and left unchanged.

    An hour with fewer requests in the log than were counted is left unchanged: its rows have
    been pruned. Each day is summed from its hours again.
    """
    first = RequestLog.objects.earliest_start()
    rebuilt = unchanged = 0
    for hour in _hours_since(first) if first else ():
        if _rebuild_hour(hour):
            rebuilt += 1
        else:
            unchanged += 1
    return rebuilt, unchanged


def _hours_since(start: datetime) -> Iterator[datetime]:
    hour, now = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0), datetime.now(UTC)
    while hour <= now:
        yield hour
        hour += _HOUR


def _rebuild_hour(hour: datetime) -> bool:
    """Rebuild one hour in one transaction; False if the log no longer has all its rows."""
    until = hour + _HOUR
    logged_rows = RequestLog.objects.started_between(hour, until)
    if not logged_rows.exists() and not UsageHour.objects.between(hour, until).exists():
        return True
    with transaction.atomic(), connection.cursor() as cursor:
        lock_tables(cursor)
        complete = _rebuild_hourly(cursor, hour)
        day = hour.replace(hour=0)
        _rebuild_day(cursor, UsageHour, UsageDay, day)
        _rebuild_day(cursor, EndUserHour, EndUserDay, day)
    return complete


def _rebuild_hourly(cursor: Any, hour: datetime) -> bool:
    until = hour + _HOUR
    tally = Tally()
    rows = RequestLog.objects.started_between(hour, until).values_list(*_COLUMNS, "attempts")
    for *values, attempts in rows.iterator():
        tally.add(tuple(values), msgspec.convert(attempts, list[Attempt]))
    logged_count = sum(sums[0] for sums in tally.usage.values())
    usage_rows = UsageHour.objects.without_imports().between(hour, until)
    if logged_count < usage_rows.logged():
        return False
    for model in (EndUserHour, TargetHour, LatencyHour):
        model.objects.between(hour, until).delete()
    usage_rows.delete()
    _save(cursor, tally)
    return True


def _rebuild_day(
    cursor: Any,
    hourly: type[UsageHour | EndUserHour],
    daily: type[UsageDay | EndUserDay],
    start: datetime,
) -> None:
    """Replace the rows of a UTC day by the sums of its hours."""
    daily.objects.filter(day=start.date()).delete()
    keys = ", ".join(f'"{name}"' for name in hourly.KEYS[1:])
    names = ", ".join(f'"{name}"' for name in daily.SUMS)
    sums = ", ".join(f'SUM("{name}")' for name in hourly.SUMS)
    cursor.execute(
        f'INSERT INTO {daily._meta.db_table} ("day", {keys}, {names}) '  # noqa: S608
        f"SELECT %s, {keys}, {sums} FROM {hourly._meta.db_table} "
        f'WHERE "hour" >= %s AND "hour" < %s GROUP BY {keys}',
        [*map(_database_hour, (start.date(), start, start + timedelta(days=1)))],
    )


def lock_tables(cursor: Any) -> None:
    """Let no other transaction write roll-ups until this one ends."""
    # SQLite's transaction is the only writer anyway. A writer on PostgreSQL adds its sums last:
    # one that waits for this lock has rows that are not visible here yet.
    if connection.vendor == "postgresql":
        names = ", ".join(model._meta.db_table for model in _TABLES)
        cursor.execute(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")
