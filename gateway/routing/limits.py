"""Limits and budgets: rules, and pure functions over the words that count for them.

Each rule has a cell of WORDS whole numbers in each process's lane of counters, which only
that process writes and all may read; what a rule has counted is the sum over the lanes:

    HEAD      the newest slot of time that the cell has counted in
    RESERVED  what requests under way may still use, or how many there are
    FIRST...  one bucket for each of the last BUCKETS slots; a budget has but one
    SUM       of the buckets

Requests and tokens are counted in windows that slide: a span is cut into SLICES, and a
bucket leaves the count only when all of it is older than the span. So no span of time,
wherever it begins, has more than the limit. Budgets follow the calendar (UTC).

A request is let in while there is room for the most that it may use. Where there is none,
it is let in only if it is alone: the last of a limit can be used up, by one request at a
time, which alone may go over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    Words = MutableSequence[int] | memoryview[int]
What = Literal["requests", "tokens", "concurrency", "usd"]

SLICES = 12
BUCKETS = SLICES + 1
HEAD, RESERVED, FIRST = 0, 1, 2
SUM = FIRST + BUCKETS
WORDS = 16
# Dollars are counted in whole units, so that no sum is rounded.
UNITS = 10**10
_UNITS = Decimal(UNITS)
# The most that fits into a word, with room for sums over lanes.
MOST = 2**53

MINUTE, HOUR, DAY = 60, 3600, 86400
SPANS: dict[str, int] = {"minute": MINUTE, "hour": HOUR, "day": DAY}
CALENDAR = ("day", "week", "month", "total")
# When a request that others keep out should ask again: they may end at any time.
SOON_S = 1.0


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars for a day, a week (from Monday), a month (UTC) and in all; None is no limit.

    `soft_percent` of any of them is where a warning begins; nothing is refused for it.
    """

    total_usd: Decimal | None = None
    day_usd: Decimal | None = None
    week_usd: Decimal | None = None
    month_usd: Decimal | None = None
    soft_percent: int | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much in a time, and at a time; None is no limit."""

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
        owner: whose it is, such as `key:7`: what is counted for it outlives its name.
        label: the same in words for a client.
        what: what is counted.
        span: a key of SPANS, one of CALENDAR for `usd`, empty for `concurrency`.
        most: what must not be passed; UNITS of dollars for `usd`.
        soft: from where on there is a warning.
    """

    owner: str
    label: str
    what: What
    span: str
    most: int
    soft: int | None = None

    @property
    def name(self) -> str:
        """What its counters are known by."""
        return f"{self.owner}/{self.what}/{self.span}"


class Bound(msgspec.Struct, frozen=True):
    """A rule and where its cell is; the rest are the rule's own, at hand.

    `span_s` is that of a sliding window, in seconds; 0 for others. `told` is `most` as
    headers have it.
    """

    rule: Rule
    at: int
    what: What
    most: int
    span_s: int
    told: bytes


# A bound at a time, as plain numbers: what it counts (a place in KINDS), its most, its cell,
# the slot or the calendar's window that is counted in, and of the cell's words the one that
# holds the count, the one of that slot, and the one of what is reserved.
Line = tuple[int, int, int, int, int, int, int]
KINDS: tuple[What, ...] = ("requests", "tokens", "usd", "concurrency")
REQUESTS, TOKENS, USD, CONCURRENCY = range(4)
# So long all lines of a bound are the same, from one multiple of it to the next.
TICK_S = MINUTE / SLICES


class Want(msgspec.Struct, frozen=True):
    """The most that a request may use: tokens, and units of dollars."""

    tokens: int = 0
    units: int = 0


class Moment(msgspec.Struct, frozen=True):
    """When a request is counted: `now`, and in budgets where it began.

    Attributes:
        now: unix seconds.
        windows: the number of the calendar's window, by span.
    """

    now: float
    windows: dict[str, int]


def rules(
    owner: str, label: str, limits: Limits | None = None, budget: Budget | None = None
) -> tuple[Rule, ...]:
    """The rules of one owner."""
    return (*_limits(owner, label, limits or Limits()), *_budgets(owner, label, budget or Budget()))


def _limits(owner: str, label: str, limits: Limits) -> Iterator[Rule]:
    whats: tuple[What, What] = ("requests", "tokens")
    for what in whats:
        for span in SPANS:
            most = getattr(limits, f"{what}_per_{span}")
            if most is not None:
                yield Rule(owner=owner, label=label, what=what, span=span, most=min(most, MOST))
    if limits.concurrency is not None:
        most = min(limits.concurrency, MOST)
        yield Rule(owner=owner, label=label, what="concurrency", span="", most=most)


def _budgets(owner: str, label: str, budget: Budget) -> Iterator[Rule]:
    for span in CALENDAR:
        usd: Decimal | None = getattr(budget, f"{span}_usd")
        if usd is None:
            continue
        most = min(int(usd * UNITS), 2**62)
        soft = most * budget.soft_percent // 100 if budget.soft_percent is not None else None
        yield Rule(owner=owner, label=label, what="usd", span=span, most=most, soft=soft)


def units(usd: Decimal | None) -> int:
    """US dollars as whole units; a cost that nobody knows is counted as nothing."""
    return 0 if usd is None else round(usd * _UNITS)


# --- time ------------------------------------------------------------------------------


def slot(now: float, span_s: int) -> int:
    """The slice of time that `now` (unix seconds) lies in."""
    return int(now * SLICES // span_s)


def calendar(now: float, span: str) -> tuple[int, float | None]:
    """The number of the calendar's window that `now` lies in, and when it ends, if ever."""
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


def began(now: float, span: str) -> datetime | None:
    """When the calendar's window of `now` began; None for one without a beginning."""
    day = datetime.fromtimestamp(now // DAY * DAY, UTC)
    if span == "day":
        return day
    if span == "week":
        return datetime.fromtimestamp(now // DAY * DAY - day.weekday() * DAY, UTC)
    return day.replace(day=1) if span == "month" else None


# --- a sliding window in one lane ------------------------------------------------------


def total(words: Sequence[int], at: int, current: int) -> int:
    """What the cell at `at` has counted in the span that ends with the slot `current`."""
    age = current - words[at]
    if age <= 0:  # a clock that was set back must not hide what was counted
        return words[at + SUM]
    if age >= BUCKETS:
        return 0
    head = words[at]
    slots = range(head - SLICES + age, head + 1)
    return sum(words[at + FIRST + number % BUCKETS] for number in slots)


def add(words: Words, at: int, current: int, amount: int) -> None:
    """Count `amount` in the slot `current`."""
    head = words[at]
    if current > head:
        _turn(words, at, head, current)
    else:
        current = head  # also where the clock was set back
    words[at + FIRST + current % BUCKETS] += amount
    words[at + SUM] += amount


def _turn(words: Words, at: int, head: int, current: int) -> None:
    """Make the cell ready for a later slot. A reader sees the old head until all is done."""
    for number in range(max(head + 1, current - SLICES), current + 1):
        words[at + FIRST + number % BUCKETS] = 0
    left = sum(words[at + FIRST : at + SUM])
    words[at] = current
    words[at + SUM] = left


def by_slot(words: Sequence[int], at: int, current: int) -> list[int]:
    """What was counted in each of the last BUCKETS slots, the oldest first."""
    head = words[at]
    return [
        words[at + FIRST + number % BUCKETS] if head - BUCKETS < number <= head else 0
        for number in range(current - SLICES, current + 1)
    ]


def frees_in(counts: Sequence[int], most: int, now: float, span_s: int) -> float:
    """Seconds until what `by_slot` counted, over all lanes, is below `most`."""
    left = sum(counts)
    oldest = slot(now, span_s) - SLICES
    for number, count in enumerate(counts, oldest):
        left -= count
        if left < most:
            return max(0.0, (number + BUCKETS) * span_s / SLICES - now)
    return float(span_s)


# --- a window of the calendar in one lane ----------------------------------------------


def spent(words: Sequence[int], at: int, window: int) -> int:
    """What the cell has counted in a window of the calendar."""
    return words[at + FIRST] if words[at] == window else 0


def spend(words: Words, at: int, window: int, amount: int) -> None:
    """Count `amount` in a window of the calendar; one that is over is not counted in any more."""
    head = words[at]
    if window < head:
        return
    if window > head:
        words[at + FIRST] = 0
        words[at] = window
    words[at + FIRST] += amount


# --- what is let in --------------------------------------------------------------------


def bound(rule: Rule, at: int) -> Bound:
    """A rule and its cell."""
    span_s = SPANS.get(rule.span, 0) if rule.what != "usd" else 0
    return Bound(rule, at, rule.what, rule.most, span_s, b"%d" % rule.most)


def fits(used: int, reserved: int, want: int, most: int) -> bool:
    """Whether a request that may use up to `want` is let in."""
    if used + reserved + want <= most:
        return True
    return reserved == 0 and used < most


def lines(bounds: Iterable[Bound], moment: Moment) -> tuple[Line, ...]:
    """What is counted where at a moment; the same for all moments of TICK_S and of a day."""
    return tuple(_line(one, moment) for one in bounds)


def _line(one: Bound, moment: Moment) -> Line:
    kind, at = KINDS.index(one.what), one.at
    if one.span_s:
        current = slot(moment.now, one.span_s)
        bucket_at = at + FIRST + current % BUCKETS
        return kind, one.most, at, current, at + SUM, bucket_at, at + RESERVED
    window = moment.windows[one.rule.span] if kind == USD else 0
    return kind, one.most, at, window, at + FIRST, at + FIRST, at + RESERVED


def look(
    found: Iterable[Line],
    mine: Sequence[int] | memoryview[int],
    others: Sequence[Sequence[int] | memoryview[int]],
    want: Want,
) -> tuple[int, list[int]]:
    """The number of the rule that refuses, from 1, or 0; and what was counted before.

    The counts are, of each rule that was looked at, what was used and what is reserved.
    """
    counts: list[int] = []
    for kind, most, at, current, count_at, _, held_at in found:
        used = reserved = 0
        if kind <= TOKENS:
            # Most cells have counted in this slot already: their sum is all there is to read.
            used = mine[count_at] if mine[at] == current else total(mine, at, current)
        elif kind == USD and mine[at] == current:
            used = mine[count_at]
        if kind:
            reserved = mine[held_at]
        if others:
            more = _of_others(others, kind, at, current)
            used, reserved = used + more[0], reserved + more[1]
        counts += (used, reserved)
        if kind == REQUESTS:
            if used < most:
                continue
        elif kind == CONCURRENCY:
            if reserved < most:
                continue
        else:
            asked = want.tokens if kind == TOKENS else want.units
            if used + reserved + asked <= most or fits(used, reserved, asked, most):
                continue
        return len(counts) // 2, counts
    return 0, counts


def _of_others(
    lanes: Iterable[Sequence[int] | memoryview[int]], kind: int, at: int, current: int
) -> tuple[int, int]:
    """What other processes count of a rule: used, and reserved."""
    used = reserved = 0
    for words in lanes:
        if kind <= TOKENS:
            used += words[at + SUM] if words[at] == current else total(words, at, current)
        elif kind == USD:
            used += spent(words, at, current)
        if kind != REQUESTS:
            reserved += words[at + RESERVED]
    return used, reserved


def take(found: Iterable[Line], mine: Words, want: Want) -> None:
    """Count a request, and reserve what it may use."""
    for kind, _, at, current, count_at, bucket_at, held_at in found:
        if kind == TOKENS:
            mine[held_at] += want.tokens
        elif kind != REQUESTS:
            mine[held_at] += want.units if kind == USD else 1
        elif mine[at] == current:
            mine[bucket_at] += 1
            mine[count_at] += 1
        else:
            add(mine, at, current, 1)


def put_back(found: Iterable[Line], mine: Words, want: Want, tokens: int, spent_: int) -> None:
    """End what `take` reserved, and count what was used: tokens, and units of dollars."""
    for kind, _, at, current, count_at, bucket_at, held_at in found:
        if kind == REQUESTS:
            continue
        held = want.tokens if kind == TOKENS else want.units if kind == USD else 1
        left = mine[held_at] - held
        mine[held_at] = left if left > 0 else 0
        if kind == TOKENS and tokens > 0:
            if mine[at] == current:
                mine[bucket_at] += tokens
                mine[count_at] += tokens
            else:
                add(mine, at, current, tokens)
        elif kind == USD and spent_ > 0:
            if mine[at] == current:
                mine[count_at] += spent_
            else:
                spend(mine, at, current, spent_)


def wanted(rule: Rule, want: Want) -> int:
    """What a request may use of a rule."""
    if rule.what == "tokens":
        return want.tokens
    return want.units if rule.what == "usd" else 1


def needs(found: Iterable[Bound]) -> bool:
    """Whether any of the rules asks how much a request may use."""
    return any(one.what in ("tokens", "usd") for one in found)
