"""Named queries on the roll-ups: usage, cost, and the health and latency of targets.

Costs are stored as integers, UNITS to a US dollar, since SQLite would sum decimals as floating
point; here they become exact decimals. Requests of unknown cost are counted separately, never
as 0.

Use `UsageHour.objects.in_range(since, until)` to sum a range: it reads the daily roll-ups of whole
UTC days, and the hourly ones of the other hours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any, Generic, Self, TypeVar

import msgspec
from django.db import models
from django.db.models import Case, F, Q, Sum, Value, When

from gateway.canon.response import sum_prompt_tokens
from gateway.routing.circuit_breaker import HEALTH_CHECK_KEY
from gateway.routing.limits import UNITS

Row = TypeVar("Row", bound=models.Model)
# The values of a dimension's columns.
Name = tuple[Any, ...]

# Part of the `provider` of imported usage; a provider's name has no slash.
IMPORTED_PREFIX = "/"
# Histogram buckets: six per doubling (12 % wide), from one millisecond to twenty minutes.
PER_DOUBLING = 6
LAST_BUCKET = 123
DIMENSIONS: dict[str, tuple[str, ...]] = {
    # All rows in one sum.
    "": (),
    "model": ("provider", "model"),
    "key": ("key_id", "key_prefix"),
    "provider": ("provider",),
    "route": ("route",),
    # Of `EndUserHour` only.
    "end_user": ("end_user",),
}

# Counts of requests, which exclude health checks.
_CLIENT_COUNTS = frozenset({"requests", "errors", "client_closed"})
# Columns of `UsageSums`, in order.
SUMS = (
    "requests",
    "errors",
    "client_closed",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "priced_requests",
    "unpriced_requests",
    "cost_units",
    "charged_units",
)


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over some requests.

    Attributes:
        requests: client requests. Health checks are excluded here and in `errors`, but included
            in tokens and cost.
        errors: requests that failed or broke off.
        client_closed: requests whose client disconnected.
        priced_requests: requests of known cost.
        unpriced_requests: requests that used tokens without a known price. A request that
            failed before any token is in neither count.
        cost_units: the total known cost, in units of 1 / UNITS dollars.
        charged_units: the total charge, with the markups at the time.
    """

    requests: int = 0
    errors: int = 0
    client_closed: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    priced_requests: int = 0
    unpriced_requests: int = 0
    cost_units: int = 0
    charged_units: int = 0

    @property
    def cost(self) -> Decimal | None:
        """US dollars, as far as known; None if there was usage but no known price."""
        return None if self._nothing_priced else dollars(self.cost_units)

    @property
    def charged(self) -> Decimal | None:
        """The cost with markups, as charged to keys and teams and counted by budgets."""
        return None if self._nothing_priced else dollars(self.charged_units)

    @property
    def _nothing_priced(self) -> bool:
        return self.unpriced_requests > 0 and not self.priced_requests

    @property
    def prompt_tokens(self) -> int:
        """All input tokens: uncached, cache reads and cache writes."""
        counts = self.input_tokens, self.cache_read_tokens, self.cache_write_tokens
        return sum_prompt_tokens(*counts) or 0

    @property
    def tokens(self) -> int:
        """Input and output tokens; output includes reasoning."""
        return self.prompt_tokens + self.output_tokens

    @property
    def error_rate(self) -> float | None:
        """The share of requests that failed, 0 to 1; None if there were none."""
        return self.errors / self.requests if self.requests else None


def dollars(units: int) -> Decimal:
    """Units as US dollars."""
    return Decimal(units) / UNITS


def bucket_of(ms: float) -> int:
    """The histogram bucket of a duration in milliseconds."""
    if ms <= 1:
        return 0
    return min(int(math.log2(ms) * PER_DOUBLING), LAST_BUCKET)


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """The duration in milliseconds at the quantile `share` (0 to 1); None without data.

    It is the middle of a bucket, at most 6 % from the true value: where an observation was in its
    bucket is unknown, so observations of one bucket have equal quantiles.
    """
    observation_count = sum(counts.values())
    if not observation_count:
        return None
    rank = share * (observation_count - 1) + 0.5
    for bucket in sorted(counts):
        if rank <= counts[bucket]:
            break
        rank -= counts[bucket]
    return float(2 ** ((bucket + 0.5) / PER_DOUBLING))


class _TruncatedHour(models.Func):
    """The UTC day (`2026-11-21`) or month (`2026-11`) of the column `hour` or `day`.

    Faster than Django's `Trunc`, which calls Python for every row of SQLite.
    """

    output_field = models.CharField()

    def __init__(self, column: str, step: str) -> None:
        super().__init__(F(column))
        self._is_date = column == "day"
        self._length = len("2026-11-21") if step == "day" else len("2026-11")

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """SQLite stores dates and times as text, in UTC."""
        column, params = compiler.compile(self.source_expressions[0])
        return f"substr({column}, 1, {self._length})", params

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """PostgreSQL formats the time."""
        column, params = compiler.compile(self.source_expressions[0])
        form = "YYYY-MM-DD"[: self._length]
        zone = "" if self._is_date else " AT TIME ZONE 'UTC'"
        return f"to_char({column}{zone}, '{form}')", params


class RollupQuerySet(models.QuerySet[Row]):
    """Roll-up rows, each of one hour; of one UTC day if `start` is `day`."""

    # The column of the time when a row begins.
    start = "hour"

    def between(self, since: date | None, until: date | None = None) -> Self:
        """Rows that begin at or after `since` and before `until`: times, or dates for days."""
        rows = self if since is None else self.filter(**{f"{self.start}__gte": since})
        return rows if until is None else rows.filter(**{f"{self.start}__lt": until})


class UsageSumsQuerySet(RollupQuerySet[Row]):
    """Sums of requests, tokens and cost over roll-up rows."""

    # The requests that `requests`, `errors` and `client_closed` count; None for all.
    counted: Q | None = ~Q(key_prefix=HEALTH_CHECK_KEY)

    def _sum_fields(self) -> dict[str, Any]:
        return {
            name: Sum(name, filter=self.counted if name in _CLIENT_COUNTS else None, default=0)
            for name in SUMS
        }

    def of_keys(self, key_ids: Sequence[int] | None) -> Self:
        """Rows of these keys; None is every key."""
        return self if key_ids is None else self.filter(key_id__in=key_ids)

    def totals(self) -> Totals:
        """Totals of all rows."""
        return _row_totals(self.aggregate(**self._sum_fields()))

    def totals_by(self, dimension: str) -> dict[Name, Totals]:
        """Totals by model, key, provider or route (a key of DIMENSIONS)."""
        return self.by_columns(*DIMENSIONS[dimension])

    def by_columns(self, *names: str) -> dict[Name, Totals]:
        """Totals by the values of these columns."""
        rows = self.order_by().values(*names).annotate(**self._sum_fields())
        return {tuple(row[name] for name in names): _row_totals(row) for row in rows}

    def by_step_and(self, step: str, dimension: str) -> Iterator[tuple[datetime, Name, Totals]]:
        """Totals by UTC `day` or `month`, and by model, key, provider or route."""
        return self._by_step_and_columns(step, DIMENSIONS[dimension])

    def by_step_and_condition(
        self, step: str, conditions: Sequence[Q]
    ) -> Iterator[tuple[datetime, int, Totals]]:
        """Totals by `hour`, or UTC `day` or `month`, and by the first condition that rows fulfill.

        Conditions are numbered from 1; 0 is of rows that fulfill none.
        """
        number = Case(
            *(When(condition, then=Value(n)) for n, condition in enumerate(conditions, 1)),
            default=Value(0),
        )
        rows = self.annotate(condition=number)._by_step_and_columns(step, ("condition",))
        return ((start, number, totals) for start, (number,), totals in rows)

    def _by_step_and_columns(
        self, step: str, names: Sequence[str]
    ) -> Iterator[tuple[datetime, Name, Totals]]:
        start = F("hour") if step == "hour" else _TruncatedHour(self.start, step)
        rows = self.order_by().annotate(step=start).values("step", *names)
        for row in rows.annotate(**self._sum_fields()).order_by("step"):
            yield _step_start(row["step"]), tuple(row[name] for name in names), _row_totals(row)

    def units_by(self, column: str, *names: str) -> dict[Name, int]:
        """The sum of `cost_units` or `charged_units` by the values of these columns."""
        rows = self.order_by().values_list(*names).annotate(Sum(column))
        return {tuple(values): int(units) for *values, units in rows}


class UsageHourQuerySet(UsageSumsQuerySet[Row]):
    """Hourly roll-ups of requests, tokens and cost."""

    def in_range(self, since: datetime | None, until: datetime | None = None) -> UsageRange[Row]:
        """Usage of the hours that begin at or after `since` and before `until`."""
        return UsageRange.from_rows(self, since, until)

    def logged(self) -> int:
        """The number of log rows counted, health checks included."""
        return int(self.aggregate(logged=Sum("requests", default=0))["logged"])

    def without_imports(self) -> Self:
        """Rows that were counted here, not imported from another gateway."""
        return self.exclude(provider__contains=IMPORTED_PREFIX)

    def by_hour(self) -> dict[datetime, Totals]:
        """Totals of each hour with usage, oldest first."""
        rows = self.order_by("hour").values("hour").annotate(**self._sum_fields())
        return {row["hour"]: _row_totals(row) for row in rows}

    def by_hour_and(self, dimension: str) -> Iterator[tuple[datetime, Name, Totals]]:
        """Totals by hour and by model, key, provider or route, oldest first."""
        return self._by_step_and_columns("hour", DIMENSIONS[dimension])


class UsageDayQuerySet(UsageSumsQuerySet[Row]):
    """Daily roll-ups of requests, tokens and cost."""

    start = "day"


class EndUserHourQuerySet(UsageHourQuerySet[Row]):
    """Hourly roll-ups of requests that name an end user; health checks name none."""

    counted = None

    def of_end_users(self, names: Sequence[str]) -> Self:
        """Rows of these end users."""
        return self.filter(end_user__in=names)

    def spend_by_end_user(self, key_id: int, limit: int) -> dict[str, Decimal]:
        """US dollars charged to end users of a key (0: of all keys), the highest ones."""
        rows = self.filter(key_id=key_id) if key_id else self
        sums = rows.order_by().values_list("end_user").annotate(usd=Sum("charged_units"))
        rows_with_spend = sums.filter(usd__gt=0).order_by("-usd")[:limit]
        return {end_user: dollars(usd) for end_user, usd in rows_with_spend}


class EndUserDayQuerySet(UsageDayQuerySet[Row]):
    """Daily roll-ups of requests that name an end user; health checks name none."""

    counted = None


@dataclass(frozen=True, slots=True)
class UsageRange(Generic[Row]):
    """Usage of a range of hours: daily roll-ups of its whole UTC days, hourly ones of the rest.

    A day has a twenty-fourth of the rows of its hours, if each hour has the same keys and models.
    """

    parts: tuple[UsageSumsQuerySet[Any], ...]

    @classmethod
    def from_rows(
        cls, hours: UsageHourQuerySet[Row], since: datetime | None, until: datetime | None
    ) -> UsageRange[Row]:
        """The rows of a table of hours, all of it if both times are None."""
        days: UsageDayQuerySet[Any] = hours.model.DAILY.objects.all()  # type: ignore[attr-defined]
        first = None if since is None else _day_start(since + _DAY - _RESOLUTION)
        last_day = None if until is None else _day_start(until)
        if first is not None and last_day is not None and first >= last_day:
            return cls((hours.between(since, until),))
        parts: list[UsageSumsQuerySet[Any]] = [
            days.between(first and first.date(), last_day and last_day.date())
        ]
        if since is not None and since != first:
            parts.append(hours.between(since, first))
        if until is not None and until != last_day:
            parts.append(hours.between(last_day, until))
        return cls(tuple(parts))

    def filter(self, **values: Any) -> UsageRange[Row]:
        """The rows with these values of columns."""
        return UsageRange(tuple(part.filter(**values) for part in self.parts))

    def of_keys(self, key_ids: Sequence[int] | None) -> UsageRange[Row]:
        """The rows of these keys; None is every key."""
        return UsageRange(tuple(part.of_keys(key_ids) for part in self.parts))

    def totals(self) -> Totals:
        """Totals of all rows."""
        return sum_totals(part.totals() for part in self.parts)

    def totals_by(self, dimension: str) -> dict[Name, Totals]:
        """Totals by model, key, provider or route (a key of DIMENSIONS)."""
        return self._by_columns(*DIMENSIONS[dimension])

    def by_step_and(self, step: str, dimension: str) -> Iterator[tuple[datetime, Name, Totals]]:
        """Totals by UTC `day` or `month`, and by model, key, provider or route.

        A step that is not a whole number of days may come several times, with a part of its sums.
        """
        return chain.from_iterable(part.by_step_and(step, dimension) for part in self.parts)

    def by_step_and_condition(
        self, step: str, conditions: Sequence[Q]
    ) -> Iterator[tuple[datetime, int, Totals]]:
        """Totals by UTC `day` or `month`, in parts like `by_step_and`, and by condition."""
        return chain.from_iterable(
            part.by_step_and_condition(step, conditions) for part in self.parts
        )

    def by_target_without_checks(self) -> dict[Name, Totals]:
        """Totals by (requested route, provider, model), without the gateway's health checks."""
        without_checks = (part.exclude(key_prefix=HEALTH_CHECK_KEY) for part in self.parts)
        return UsageRange(tuple(without_checks))._by_columns("route", "provider", "model")

    def rows(self, *names: str) -> Iterator[tuple[date, Name]]:
        """The UTC day of each row, and its values of these columns; a day has several rows."""
        for part in self.parts:
            for start, *values in part.values_list(part.start, *names).iterator():
                yield start.date() if isinstance(start, datetime) else start, tuple(values)

    def cost_by_provider(self) -> dict[str, int]:
        """The cost of each provider, in units."""
        costs = self._units_by("cost_units", "provider")
        return {provider: units for (provider,), units in costs.items() if provider}

    def spend_by_key(self) -> dict[int, Decimal]:
        """US dollars charged to each key (by row id), as far as known."""
        spent_units = self._units_by("charged_units", "key_id")
        return {key_id: dollars(units) for (key_id,), units in spent_units.items() if key_id}

    def spend_by_provider(self) -> dict[str, Decimal]:
        """US dollars charged for responses of each provider, as far as known."""
        spent_units = self._units_by("charged_units", "provider")
        return {provider: dollars(units) for (provider,), units in spent_units.items()}

    def spend_by_target(self) -> dict[Name, Decimal]:
        """US dollars charged, by (requested route, provider, model) of the target that answered."""
        spent_units = self._units_by("charged_units", "route", "provider", "model")
        return {name: dollars(units) for name, units in spent_units.items()}

    def _by_columns(self, *names: str) -> dict[Name, Totals]:
        totals_by_name: dict[Name, Totals] = {}
        for part in self.parts:
            for name, totals in part.by_columns(*names).items():
                totals_by_name[name] = (
                    sum_totals([totals_by_name[name], totals]) if name in totals_by_name else totals
                )
        return totals_by_name

    def _units_by(self, column: str, *names: str) -> dict[Name, int]:
        units_by_name: dict[Name, int] = {}
        for part in self.parts:
            for name, units in part.units_by(column, *names).items():
                units_by_name[name] = units_by_name.get(name, 0) + units
        return units_by_name


_DAY = timedelta(days=1)
# Of times in Python and in both databases.
_RESOLUTION = timedelta(microseconds=1)


def _step_start(step: datetime | str) -> datetime:
    """The start of an hour, or of a day or month as `_TruncatedHour` returns it."""
    if isinstance(step, datetime):
        return step
    return datetime.fromisoformat(f"{step}-01"[:10]).replace(tzinfo=UTC)


def _day_start(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


class TargetHourQuerySet(RollupQuerySet[Row]):
    """Roll-ups of attempts at targets, failed attempts before a fallback included."""

    def by_target(self) -> dict[tuple[str, str], dict[str, int]]:
        """`attempts`, `failures` and `successes` of each provider and model."""
        rows = self.order_by().values("provider", "model").annotate(**_target_sums())
        return {(row.pop("provider"), row.pop("model")): row for row in rows}

    def by_target_and_hour(self) -> dict[tuple[str, str], dict[datetime, dict[str, int]]]:
        """`attempts`, `failures` and `successes` of each provider and model, by hour."""
        rows = self.order_by("hour").values("provider", "model", "hour").annotate(**_target_sums())
        hours_by_target: dict[tuple[str, str], dict[datetime, dict[str, int]]] = {}
        for row in rows:
            hours = hours_by_target.setdefault((row.pop("provider"), row.pop("model")), {})
            hours[row.pop("hour")] = row
        return hours_by_target

    def failed_attempt_costs(self, provider: str) -> tuple[int, Decimal, int]:
        """A provider's failed attempts: those with a cost, their US dollars, and broken responses.

        A broken response began with status 200 and has no cost.
        """
        rows = self.filter(provider=provider)
        names = ("priced_failures", "priced_failure_units", "broken_responses")
        sums = rows.aggregate(**{name: Sum(name, default=0) for name in names})
        priced_failures, units, broken_responses = (int(sums[name]) for name in names)
        return priced_failures, dollars(units), broken_responses


class LatencyHourQuerySet(RollupQuerySet[Row]):
    """Latency histograms."""

    def of_measure(self, measure: str) -> Self:
        """Rows of one measure: `first_token` or `total`."""
        return self.filter(measure=measure)

    def histogram(self) -> dict[int, int]:
        """The number of responses per bucket."""
        rows = self.order_by().values_list("bucket").annotate(Sum("count"))
        return dict(rows)

    def by_target(self) -> dict[tuple[str, str], dict[int, int]]:
        """The histogram of each provider and model."""
        rows = self.order_by().values_list("provider", "model", "bucket").annotate(Sum("count"))
        histograms: dict[tuple[str, str], dict[int, int]] = {}
        for provider, model, bucket, count in rows:
            histograms.setdefault((provider, model), {})[bucket] = count
        return histograms

    def by_hour(self) -> dict[datetime, dict[int, int]]:
        """The histogram of each hour."""
        rows = self.order_by("hour").values_list("hour", "bucket").annotate(Sum("count"))
        histograms: dict[datetime, dict[int, int]] = {}
        for hour, bucket, count in rows:
            histograms.setdefault(hour, {})[bucket] = count
        return histograms


def _target_sums() -> dict[str, Any]:
    return {name: Sum(name, default=0) for name in ("attempts", "failures", "successes")}


def _row_totals(row: Mapping[str, Any]) -> Totals:
    # PostgreSQL sums bigints to numeric.
    return Totals(**{name: int(row[name]) for name in SUMS})


def sum_totals(parts: Iterable[Totals]) -> Totals:
    """The sum of several totals."""
    rows = [msgspec.structs.astuple(part) for part in parts]
    return (
        Totals(**dict(zip(SUMS, map(sum, zip(*rows, strict=True)), strict=True)))
        if rows
        else _NO_TOTALS
    )


_NO_TOTALS = Totals()
