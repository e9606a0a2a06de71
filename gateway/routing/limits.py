"""Limits and budgets: rules, and pure functions over their counters.

Each rule has a counter of COUNTER_SIZE integers in the slot of each process, which only
that process writes and all may read; the count of a rule is the sum over the processes:

    LATEST_SLOT   the latest time slot with a count
    RESERVED      the estimated use of requests in progress, or how many there are
    FIRST_BUCKET  the first of BUCKETS buckets, one for each of the last slots; a budget has one
    SUM           of the buckets

Requests and tokens are counted in sliding windows: a span is divided into SLICES, and a
bucket leaves the count only when all of it is older than the span. So no interval of that
length, wherever it begins, exceeds the limit. Budgets follow the calendar (UTC).

A request is admitted if its estimate fits within the limit. Otherwise it is admitted only if
no other request holds a reservation: the remainder of a limit can be used up by one request
at a time, and only that request may exceed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    CounterArray = MutableSequence[int] | memoryview[int]
Metric = Literal["requests", "tokens", "concurrency", "usd"]

SLICES = 12
BUCKETS = SLICES + 1
LATEST_SLOT, RESERVED, FIRST_BUCKET = 0, 1, 2
SUM = FIRST_BUCKET + BUCKETS
COUNTER_SIZE = 16
# Dollars are counted in integer units, so that no sum is rounded.
UNITS = 10**10
_UNITS = Decimal(UNITS)
# The largest count, with room for sums over processes.
MAX_COUNT = 2**53

MINUTE, HOUR, DAY = 60, 3600, 86400
SPANS: dict[str, int] = {"minute": MINUTE, "hour": HOUR, "day": DAY}
CALENDAR = ("day", "week", "month", "total")
# Retry-After of a request that is blocked by others in progress: they may end at any time.
RETRY_SOON_S = 1.0


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per day, week (from Monday), month (UTC) and in total; None means no limit.

    `soft_percent` of a budget is a warning threshold; it rejects no requests.
    """

    total_usd: Decimal | None = None
    day_usd: Decimal | None = None
    week_usd: Decimal | None = None
    month_usd: Decimal | None = None
    soft_percent: int | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Rate and concurrency limits; None means no limit."""

    requests_per_minute: int | None = None
    requests_per_hour: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_hour: int | None = None
    tokens_per_day: int | None = None
    concurrency: int | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of one owner.

    Attributes:
        owner: a stable id, such as `key:7`: the counters survive a change of name.
        label: the owner in messages to clients.
        metric: what is counted.
        span: a key of SPANS, one of CALENDAR for `usd`, empty for `concurrency`.
        limit: the maximum; in UNITS of dollars for `usd`.
        soft: the threshold of a warning; None is no warning.
    """

    owner: str
    label: str
    metric: Metric
    span: str
    limit: int
    soft: int | None = None

    @property
    def name(self) -> str:
        """The name of its counters."""
        return f"{self.owner}/{self.metric}/{self.span}"


class RuleCounter(msgspec.Struct, frozen=True):
    """A rule with the offset of its counter; the other fields repeat the rule's.

    `span_s` is the length of a sliding window in seconds; 0 for other rules. `limit_text` is
    `limit` as response headers show it.
    """

    rule: Rule
    offset: int
    metric: Metric
    limit: int
    span_s: int
    limit_text: bytes


# The current window of a rule counter as integers: its metric (an index of METRICS), its limit, the
# offset of its counter, the current slot or calendar window, and the indexes of the count, of
# the current slot's bucket, and of what is reserved.
CounterWindow = tuple[int, int, int, int, int, int, int]
METRICS: tuple[Metric, ...] = ("requests", "tokens", "usd", "concurrency")
REQUESTS, TOKENS, USD, CONCURRENCY = range(4)
# The current windows of a rule counter change only at multiples of this.
TICK_S = MINUTE / SLICES


class Estimate(msgspec.Struct, frozen=True):
    """The estimated maximum use of a request: tokens, and units of dollars."""

    tokens: int = 0
    units: int = 0


class CountTime(msgspec.Struct, frozen=True):
    """When a request is counted: the current time and, for budgets, its calendar windows.

    Attributes:
        now: unix seconds.
        windows: the number of the calendar window, by span.
    """

    now: float
    windows: dict[str, int]


def build_rules(
    owner: str, label: str, limits: Limits | None = None, budget: Budget | None = None
) -> tuple[Rule, ...]:
    """The rules of one owner."""
    return (
        *_limit_rules(owner, label, limits or Limits()),
        *_budget_rules(owner, label, budget or Budget()),
    )


def _limit_rules(owner: str, label: str, limits: Limits) -> Iterator[Rule]:
    metrics: tuple[Metric, Metric] = ("requests", "tokens")
    for metric in metrics:
        for span in SPANS:
            limit = getattr(limits, f"{metric}_per_{span}")
            if limit is not None:
                yield Rule(
                    owner=owner, label=label, metric=metric, span=span, limit=min(limit, MAX_COUNT)
                )
    if limits.concurrency is not None:
        limit = min(limits.concurrency, MAX_COUNT)
        yield Rule(owner=owner, label=label, metric="concurrency", span="", limit=limit)


def _budget_rules(owner: str, label: str, budget: Budget) -> Iterator[Rule]:
    for span in CALENDAR:
        usd: Decimal | None = getattr(budget, f"{span}_usd")
        if usd is None:
            continue
        limit = min(int(usd * UNITS), 2**62)
        soft = limit * budget.soft_percent // 100 if budget.soft_percent is not None else None
        yield Rule(owner=owner, label=label, metric="usd", span=span, limit=limit, soft=soft)


def units(usd: Decimal | None) -> int:
    """US dollars as integer units; an unknown cost counts as 0."""
    return 0 if usd is None else round(usd * _UNITS)


# --- time ------------------------------------------------------------------------------


def slot_number(now: float, span_s: int) -> int:
    """The time slot that contains `now` (unix seconds)."""
    return int(now * SLICES // span_s)


def calendar_window(now: float, span: str) -> tuple[int, float | None]:
    """The number of the calendar window that contains `now`, and its end, if it has one."""
    days = int(now // DAY)
    if span == "day":
        return days, (days + 1) * float(DAY)
    if span == "week":  # the first of January 1970 was a Thursday
        week = (days + 3) // 7
        return week, ((week + 1) * 7 - 3) * float(DAY)
    if span == "month":
        day = datetime.fromtimestamp(now, UTC)
        month = day.year * 12 + day.month - 1
        year, index = divmod(month + 1, 12)
        return month, datetime(year, index + 1, 1, tzinfo=UTC).timestamp()
    return 1, None


def window_start(now: float, span: str) -> datetime | None:
    """The start of the calendar window that contains `now`; None for `total`."""
    day = datetime.fromtimestamp(now // DAY * DAY, UTC)
    if span == "day":
        return day
    if span == "week":
        return datetime.fromtimestamp(now // DAY * DAY - day.weekday() * DAY, UTC)
    return day.replace(day=1) if span == "month" else None


# --- a sliding window of one process ------------------------------------------------------


def sliding_total(counters: Sequence[int], offset: int, current_slot: int) -> int:
    """The count of the span that ends with the slot `current_slot`."""
    age = current_slot - counters[offset]
    if abs(age) >= BUCKETS:  # too old, or of a clock that was far ahead
        return 0
    if age <= 0:  # the clock may have been set back: earlier counts still apply
        return counters[offset + SUM]
    latest_slot = counters[offset]
    slots = range(latest_slot - SLICES + age, latest_slot + 1)
    return sum(counters[offset + FIRST_BUCKET + number % BUCKETS] for number in slots)


def add_to_slot(counters: CounterArray, offset: int, current_slot: int, amount: int) -> None:
    """Count `amount` in the slot `current_slot`."""
    latest_slot = counters[offset]
    if current_slot > latest_slot:
        _advance_slot(counters, offset, latest_slot, current_slot)
    elif latest_slot - current_slot >= BUCKETS:  # the clock was far ahead
        _advance_slot(counters, offset, current_slot - BUCKETS, current_slot)
    else:
        current_slot = latest_slot  # also if the clock was set back
    counters[offset + FIRST_BUCKET + current_slot % BUCKETS] += amount
    counters[offset + SUM] += amount


def _advance_slot(counters: CounterArray, offset: int, latest_slot: int, current_slot: int) -> None:
    """Advance the counter to a later slot; readers see the old one until the sum is computed."""
    for number in range(max(latest_slot + 1, current_slot - SLICES), current_slot + 1):
        counters[offset + FIRST_BUCKET + number % BUCKETS] = 0
    remaining_count = sum(counters[offset + FIRST_BUCKET : offset + SUM])
    counters[offset] = current_slot
    counters[offset + SUM] = remaining_count


def counts_by_slot(counters: Sequence[int], offset: int, current_slot: int) -> list[int]:
    """The count of each of the last BUCKETS slots, the oldest first."""
    latest_slot = counters[offset]
    return [
        counters[offset + FIRST_BUCKET + number % BUCKETS]
        if latest_slot - BUCKETS < number <= latest_slot
        else 0
        for number in range(current_slot - SLICES, current_slot + 1)
    ]


def seconds_until_below(counts: Sequence[int], limit: int, now: float, span_s: int) -> float:
    """Seconds until the sum of `counts_by_slot`, over all processes, is below `limit`."""
    remaining_count = sum(counts)
    oldest_slot = slot_number(now, span_s) - SLICES
    for number, count in enumerate(counts, oldest_slot):
        remaining_count -= count
        if remaining_count < limit:
            return max(0.0, (number + BUCKETS) * span_s / SLICES - now)
    return float(span_s)


# --- a calendar window of one process -----------------------------------------------------


def window_spend(counters: Sequence[int], offset: int, window: int) -> int:
    """The spending in a calendar window."""
    return counters[offset + FIRST_BUCKET] if counters[offset] == window else 0


def add_spend(counters: CounterArray, offset: int, window: int, amount: int) -> None:
    """Count `amount` in a calendar window, unless a later window has begun."""
    latest_window = counters[offset]
    if window < latest_window:
        return
    if window > latest_window:
        counters[offset + FIRST_BUCKET] = 0
        counters[offset] = window
    counters[offset + FIRST_BUCKET] += amount


def discard_future_spend(counters: CounterArray, offset: int, span: str, now: float) -> None:
    """Discard the spending in a window that has not begun: the clock was ahead.

    Otherwise nothing would be counted until that window begins.
    """
    current_window, _ = calendar_window(now, span)
    if counters[offset] > current_window:
        counters[offset + FIRST_BUCKET] = 0
        counters[offset] = current_window


# --- admission -------------------------------------------------------------------------


def new_rule_counter(rule: Rule, offset: int) -> RuleCounter:
    """The rule with the offset of its counter."""
    span_s = SPANS.get(rule.span, 0) if rule.metric != "usd" else 0
    return RuleCounter(rule, offset, rule.metric, rule.limit, span_s, b"%d" % rule.limit)


def is_within_limit(used_units: int, reserved_units: int, estimated_units: int, limit: int) -> bool:
    """Whether a request with the use `estimated_units` is admitted."""
    if used_units + reserved_units + estimated_units <= limit:
        return True
    return reserved_units == 0 and used_units < limit


def current_windows(
    rule_counters: Iterable[RuleCounter], moment: CountTime
) -> tuple[CounterWindow, ...]:
    """The windows of rule counters at a moment; constant within TICK_S of the same day."""
    return tuple(_current_window(counter, moment) for counter in rule_counters)


def _current_window(counter: RuleCounter, moment: CountTime) -> CounterWindow:
    metric, offset = METRICS.index(counter.metric), counter.offset
    if counter.span_s:
        current_slot = slot_number(moment.now, counter.span_s)
        bucket_index = offset + FIRST_BUCKET + current_slot % BUCKETS
        return (
            metric,
            counter.limit,
            offset,
            current_slot,
            offset + SUM,
            bucket_index,
            offset + RESERVED,
        )
    window = moment.windows[counter.rule.span] if metric == USD else 0
    bucket_index = offset + FIRST_BUCKET
    return metric, counter.limit, offset, window, bucket_index, bucket_index, offset + RESERVED


def check_limits(
    windows: Iterable[CounterWindow],
    local: Sequence[int] | memoryview[int],
    peers: Sequence[Sequence[int] | memoryview[int]],
    estimate: Estimate,
) -> tuple[int, list[int]]:
    """The number of the first exceeded rule (from 1; 0 if none), and the counts read so far.

    The counts are a flat list: for each rule checked, the amount used and the amount reserved.
    """
    counts: list[int] = []
    for metric, limit, offset, current_slot, count_index, _, reserved_index in windows:
        used_units = reserved_units = 0
        if metric <= TOKENS:
            # Usually the counter is already in this slot, and its sum is current.
            used_units = (
                local[count_index]
                if local[offset] == current_slot
                else sliding_total(local, offset, current_slot)
            )
        elif metric == USD and local[offset] == current_slot:
            used_units = local[count_index]
        if metric:
            reserved_units = local[reserved_index]
        if peers:
            peer_counts = _peer_counts(peers, metric, offset, current_slot)
            used_units, reserved_units = (
                used_units + peer_counts[0],
                reserved_units + peer_counts[1],
            )
        counts += (used_units, reserved_units)
        if metric == REQUESTS:
            if used_units < limit:
                continue
        elif metric == CONCURRENCY:
            if reserved_units < limit:
                continue
        else:
            estimated_units = estimate.tokens if metric == TOKENS else estimate.units
            if used_units + reserved_units + estimated_units <= limit or is_within_limit(
                used_units, reserved_units, estimated_units, limit
            ):
                continue
        return len(counts) // 2, counts
    return 0, counts


def _peer_counts(
    peers: Iterable[Sequence[int] | memoryview[int]], metric: int, offset: int, current_slot: int
) -> tuple[int, int]:
    """Counts of a rule in other processes: used, and reserved."""
    used_units = reserved_units = 0
    for counters in peers:
        if metric <= TOKENS:
            used_units += (
                counters[offset + SUM]
                if counters[offset] == current_slot
                else sliding_total(counters, offset, current_slot)
            )
        elif metric == USD:
            used_units += window_spend(counters, offset, current_slot)
        if metric != REQUESTS:
            reserved_units += counters[offset + RESERVED]
    return used_units, reserved_units


def reserve(windows: Iterable[CounterWindow], local: CounterArray, estimate: Estimate) -> None:
    """Count a request, and reserve its estimated use."""
    for metric, _, offset, current_slot, count_index, bucket_index, reserved_index in windows:
        if metric == TOKENS:
            local[reserved_index] += estimate.tokens
        elif metric != REQUESTS:
            local[reserved_index] += estimate.units if metric == USD else 1
        elif local[offset] == current_slot:
            local[bucket_index] += 1
            local[count_index] += 1
        else:
            add_to_slot(local, offset, current_slot, 1)


def settle(
    windows: Iterable[CounterWindow],
    local: CounterArray,
    estimate: Estimate,
    tokens: int,
    spent_units: int,
) -> None:
    """Release what `reserve` reserved, and count the actual tokens and units of dollars."""
    for metric, _, offset, current_slot, count_index, bucket_index, reserved_index in windows:
        if metric == REQUESTS:
            continue
        estimated_units = (
            estimate.tokens if metric == TOKENS else estimate.units if metric == USD else 1
        )
        remaining_reservation = local[reserved_index] - estimated_units
        local[reserved_index] = remaining_reservation if remaining_reservation > 0 else 0
        if metric == TOKENS and tokens > 0:
            if local[offset] == current_slot:
                local[bucket_index] += tokens
                local[count_index] += tokens
            else:
                add_to_slot(local, offset, current_slot, tokens)
        elif metric == USD and spent_units > 0:
            if local[offset] == current_slot:
                local[count_index] += spent_units
            else:
                add_spend(local, offset, current_slot, spent_units)


def estimated_use(rule: Rule, estimate: Estimate) -> int:
    """The estimated use of a request under a rule."""
    if rule.metric == "tokens":
        return estimate.tokens
    return estimate.units if rule.metric == "usd" else 1


def needs_estimate(rule_counters: Iterable[RuleCounter]) -> bool:
    """Whether any of the rules needs an estimate of a request's use."""
    return any(counter.metric in ("tokens", "usd") for counter in rule_counters)
