"""Limits and budgets: never exceeded, never blocked forever, and exact in money."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import usage_querysets
from gateway.routing import limits
from gateway.routing.limits import (
    BUCKETS,
    COUNTER_SIZE,
    DAY,
    FIRST_BUCKET,
    HOUR,
    LATEST_SLOT,
    MINUTE,
    RESERVED,
    SLICES,
    UNITS,
    Budget,
    CounterWindow,
    CountTime,
    Estimate,
    Limits,
    Rule,
    add_spend,
    add_to_slot,
    build_rules,
    calendar_window,
    check_limits,
    counts_by_slot,
    current_windows,
    discard_future_spend,
    is_within_limit,
    new_rule_counter,
    reserve,
    seconds_until_below,
    settle,
    sliding_total,
    slot_number,
    units,
    window_spend,
    window_start,
)

NOW = 1_800_000_000.0
SPANS = [MINUTE, HOUR, DAY]


def slot() -> list[int]:
    """Return the fields of one counter of one process."""
    return [0] * COUNTER_SIZE


class SimulatedRule:
    """A rule over the slots of several processes, with a simulated clock."""

    def __init__(self, rule: Rule, slots: int = 1) -> None:
        self.rule = rule
        self.rule_counters = [new_rule_counter(rule, 0)]
        self.slots = [slot() for _ in range(slots)]
        self.span_s = self.rule_counters[0].span_s

    def check(self, now: float, amount: int = 0, process: int = 0) -> tuple[int, list[int]]:
        others = [counters for number, counters in enumerate(self.slots) if number != process]
        return check_limits(self.at(now), self.slots[process], others, Estimate(amount, amount))

    def at(self, now: float, started_s: float = 0.0) -> tuple[CounterWindow, ...]:
        """Return the rule at a time, for a request that started then or earlier."""
        return current_windows(self.rule_counters, CountTime(now, moment(started_s or now).windows))

    def usage(self, now: float) -> int:
        return self.check(now)[1][0]

    @property
    def reserved(self) -> int:
        return sum(counters[RESERVED] for counters in self.slots)

    def reserve(self, now: float, amount: int, process: int = 0) -> bool:
        refusal, _ = self.check(now, amount, process)
        if not refusal:
            reserve(self.at(now), self.slots[process], Estimate(amount, amount))
        return not refusal

    def settle(
        self, now: float, amount: int, usage: int, process: int = 0, started_s: float = 0.0
    ) -> None:
        settle(self.at(now, started_s), self.slots[process], Estimate(amount, amount), usage, usage)

    def counts(self, now: float) -> list[int]:
        rows = [
            counts_by_slot(counters, 0, slot_number(now, self.span_s)) for counters in self.slots
        ]
        return [sum(column) for column in zip(*rows, strict=True)]


def moment(now: float) -> CountTime:
    """Return a moment for a request that starts then."""
    return CountTime(now, {span: calendar_window(now, span)[0] for span in limits.CALENDAR})


def rule(metric: str, span: str, maximum: int) -> Rule:
    return Rule(owner="key:1", label="this API key", metric=metric, span=span, limit=maximum)  # type: ignore[arg-type]


def busiest_span_count(events: list[tuple[float, int]], span_s: int) -> int:
    """Return the highest count of any span of this length."""
    maximum, low, number = 0, 0, 0
    for time, amount in events:
        number += amount
        while events[low][0] <= time - span_s:
            number -= events[low][1]
            low += 1
        maximum = max(maximum, number)
    return maximum


# Seconds until the next request: bursts, and waits around the window's ends.
gaps = st.one_of(
    st.just(0.0),
    st.floats(0, 0.5),
    st.floats(0, 30),
    st.sampled_from([4.999, 5.0, 5.001, 59.9, 60.0, 60.1, 299.9, 3600.0, 7200.0, 90_000.0]),
)


@settings(max_examples=1500, deadline=None)
@given(
    maximum=st.integers(1, 12),
    span=st.sampled_from(["minute", "hour", "day"]),
    slots=st.integers(1, 4),
    start=st.floats(NOW, NOW + DAY),
    asks=st.lists(st.tuples(gaps, st.integers(0, 3)), max_size=80),
)
def test_no_span_of_time_ever_has_more_requests_than_the_limit(
    maximum: int, span: str, slots: int, start: float, asks: list[tuple[float, int]]
) -> None:
    simulated = SimulatedRule(rule("requests", span, maximum), slots)
    now, let_in = start, []
    for gap, process in asks:
        now += gap
        if simulated.reserve(now, 0, process % slots):
            let_in.append((now, 1))
        else:
            wait = seconds_until_below(simulated.counts(now), maximum, now, simulated.span_s)
            assert 0 < wait <= simulated.span_s * BUCKETS / SLICES
            # Whoever waits as long as told is let in, if nobody else was.
            assert total_after(simulated, now + wait + 0.001) < maximum
    assert busiest_span_count(let_in, simulated.span_s) <= maximum


def total_after(simulated: SimulatedRule, now: float) -> int:
    return simulated.usage(now)


requests = st.lists(
    st.tuples(
        gaps,
        st.integers(0, 3),  # the process
        st.integers(1, 60),  # what it may use at most
        st.floats(0, 1),  # the part of that which it uses
        st.integers(0, 6),  # how many requests later it ends
    ),
    max_size=60,
)


@settings(max_examples=1500, deadline=None)
@given(maximum=st.integers(1, 100), slots=st.integers(1, 3), asks=requests)
def test_tokens_pass_a_limit_by_no_more_than_one_request(
    maximum: int, slots: int, asks: list[tuple[float, int, int, float, int]]
) -> None:
    simulated = SimulatedRule(rule("tokens", "minute", maximum), slots)
    now, running, ended = NOW, [], []
    for number, (gap, process, amount, part, later) in enumerate(asks):
        now += gap
        for finish_at, *usage in [r for r in running if r[0] <= number]:
            running.remove((finish_at, *usage))
            end(simulated, now, usage, ended)
        if simulated.reserve(now, amount, process % slots):
            running.append((number + later, process % slots, amount, int(amount * part)))
        # What is counted and what may still come never pass the limit by more than the
        # one request that was alone when it came.
        excess = simulated.usage(now) + simulated.reserved - maximum
        assert excess <= max([r[2] for r in running] + [u for _, u in ended] + [0])
    for _, *usage in running:
        end(simulated, now, usage, ended)
    assert simulated.reserved == 0
    largest = max((amount_used for _, amount_used in ended), default=0)
    assert busiest_span_count(ended, MINUTE) <= maximum + largest


def end(
    simulated: SimulatedRule, now: float, running: list[int], ended: list[tuple[float, int]]
) -> None:
    process, amount, usage = running
    simulated.settle(now, amount, usage, process)
    ended.append((now, usage))


@settings(max_examples=1500, deadline=None)
@given(
    maximum=st.integers(0, 200),
    span=st.sampled_from(["day", "week", "month", "total"]),
    asks=requests,
)
def test_a_budget_is_exact_and_passed_by_no_more_than_one_request(
    maximum: int, span: str, asks: list[tuple[float, int, int, float, int]]
) -> None:
    simulated = SimulatedRule(rule("usd", span, maximum), 3)
    now, running = NOW, []
    used_by_window: dict[int, int] = {}
    costs: dict[int, list[int]] = {}
    for number, (gap, process, amount, part, later) in enumerate(asks):
        now += gap * 700
        for request in [r for r in running if r[0] <= number]:
            running.remove(request)
            _, who_, want_, usage, began_ = request
            simulated.settle(now, want_, usage, who_, began_)
            window = calendar_window(began_, span)[0]
            if all(
                w <= window for w in used_by_window
            ):  # one that ends late counts in no later window
                used_by_window[window] = used_by_window.get(window, 0) + usage
                costs.setdefault(window, []).append(usage)
        window = calendar_window(now, span)[0]
        if window in used_by_window or not used_by_window:
            assert simulated.usage(now) <= used_by_window.get(window, 0)
        if simulated.reserve(now, amount, process % 3):
            running.append((number + later, process % 3, amount, int(amount * part), now))
    for window, sum_ in used_by_window.items():
        assert sum_ <= maximum + max(costs[window])


def test_one_request_always_enters_an_unused_limit() -> None:
    """A request that runs alone is admitted, even above the limit."""
    simulated = SimulatedRule(rule("tokens", "minute", 10))
    assert simulated.reserve(NOW, 1_000_000)
    assert not simulated.reserve(NOW, 1)
    simulated.settle(NOW, 1_000_000, 4)
    assert simulated.reserve(NOW, 1_000_000)


@pytest.mark.parametrize("metric", ["tokens", "usd"])
def test_every_request_is_admitted_on_retry(metric: str) -> None:
    simulated = SimulatedRule(rule(metric, "minute" if metric == "tokens" else "day", 100))
    waiting = [7, 150, 90, 12, 60, 3, 99]
    now, rounds = NOW, 0
    while waiting:
        rounds += 1
        amount = waiting.pop(0)
        if simulated.reserve(now, amount):
            simulated.settle(now, amount, amount // 2, started_s=now)
        else:
            waiting.append(amount)
        now += DAY / 20
        assert rounds < 200


def test_concurrency_counts_requests_in_flight() -> None:
    simulated = SimulatedRule(rule("concurrency", "", 2), 2)
    assert simulated.reserve(NOW, 0, 0)
    assert simulated.reserve(NOW, 0, 1)
    assert not simulated.reserve(NOW, 0, 0)
    simulated.settle(NOW, 0, 0, 1)
    assert simulated.reserve(NOW, 0, 0)


def test_counts_survive_a_clock_that_is_set_back() -> None:
    counters = slot()
    add_to_slot(counters, 0, slot_number(NOW, MINUTE), 5)
    assert sliding_total(counters, 0, slot_number(NOW - 50, MINUTE)) == 5
    add_to_slot(counters, 0, slot_number(NOW - 50, MINUTE), 2)
    assert sliding_total(counters, 0, slot_number(NOW, MINUTE)) == 7


def test_counts_of_a_clock_that_was_far_ahead_do_not_block_until_then() -> None:
    simulated = SimulatedRule(rule("requests", "minute", 2), 2)
    for now in (NOW + DAY, NOW):
        assert [simulated.reserve(now, 0) for _ in range(3)] == [True, True, False], now
    # Another process, possibly a dead one, still has counts of that time.
    add_to_slot(simulated.slots[1], 0, slot_number(NOW + DAY, MINUTE), 5)
    assert simulated.reserve(NOW + 2 * MINUTE, 0)


def test_counts_older_than_the_window_expire() -> None:
    counters = slot()
    add_to_slot(counters, 0, slot_number(NOW, MINUTE), 5)
    assert sliding_total(counters, 0, slot_number(NOW + MINUTE, MINUTE)) == 5
    assert sliding_total(counters, 0, slot_number(NOW + MINUTE + 5, MINUTE)) == 0
    add_to_slot(counters, 0, slot_number(NOW + 10 * MINUTE, MINUTE), 1)
    assert counters[FIRST_BUCKET : FIRST_BUCKET + BUCKETS].count(0) == BUCKETS - 1


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=40), st.integers(0, 30))
def test_the_buckets_add_up_to_the_total(adds: list[tuple[int, int]], later: int) -> None:
    counters, now = slot(), 1000
    for gap, amount in adds:
        now += gap
        add_to_slot(counters, 0, now, amount)
    assert sum(counts_by_slot(counters, 0, now + later)) == sliding_total(counters, 0, now + later)


@pytest.mark.parametrize(
    ("span", "first", "last", "later"),
    [
        ("day", "2026-03-01T00:00:00", "2026-03-01T23:59:59", "2026-03-02T00:00:00"),
        ("week", "2026-03-02T00:00:00", "2026-03-08T23:59:59", "2026-03-09T00:00:00"),
        ("month", "2026-12-01T00:00:00", "2026-12-31T23:59:59", "2027-01-01T00:00:00"),
    ],
)
def test_calendar_windows_are_in_utc(span: str, first: str, last: str, later: str) -> None:
    times = {name: datetime.fromisoformat(f"{text}+00:00").timestamp() for name, text in
          (("first", first), ("last", last), ("later", later))}  # fmt: skip
    window, window_end = calendar_window(times["first"], span)
    assert calendar_window(times["last"], span) == (window, window_end)
    assert window_end == times["later"]
    assert calendar_window(times["later"], span)[0] == window + 1
    assert window_start(times["last"], span) == datetime.fromtimestamp(times["first"], UTC)


def test_a_total_limit_never_resets() -> None:
    assert calendar_window(NOW, "total") == calendar_window(NOW + 1000 * DAY, "total") == (1, None)
    assert window_start(NOW, "total") is None


def test_a_late_request_is_not_counted_in_the_next_window() -> None:
    counters = slot()
    add_spend(counters, 0, 10, 5)
    add_spend(counters, 0, 11, 1)
    add_spend(counters, 0, 10, 7)
    assert (window_spend(counters, 0, 11), counters[LATEST_SLOT]) == (1, 11)


def test_spend_of_a_window_that_has_not_begun_is_discarded() -> None:
    counters = slot()
    today, _ = calendar_window(NOW, "day")
    add_spend(counters, 0, today + 1, 5)
    discard_future_spend(counters, 0, "day", NOW + DAY)
    assert window_spend(counters, 0, today + 1) == 5
    discard_future_spend(counters, 0, "day", NOW)
    add_spend(counters, 0, today, 7)
    assert window_spend(counters, 0, today) == 7


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50), st.integers(0, 50))
def test_only_a_single_request_may_exceed_a_limit(
    usage: int, number: int, amount: int, maximum: int
) -> None:
    if is_within_limit(usage, number, amount, maximum):
        assert usage + number + amount <= maximum or (number == 0 and usage < maximum)
    elif number == 0:
        assert usage >= maximum


def test_limit_rules_contain_only_configured_limits() -> None:
    rules = build_rules(
        "key:7",
        "this API key",
        Limits(requests_per_minute=60, tokens_per_day=9, concurrency=3),
        Budget(day_usd=Decimal("0.5"), total_usd=Decimal(10), soft_percent=80),
    )
    assert [(r.name, r.limit, r.soft) for r in rules] == [
        ("key:7/requests/minute", 60, None),
        ("key:7/tokens/day", 9, None),
        ("key:7/concurrency/", 3, None),
        ("key:7/usd/day", UNITS // 2, UNITS // 2 * 80 // 100),
        ("key:7/usd/total", 10 * UNITS, 8 * UNITS),
    ]


def test_spend_is_counted_in_the_units_of_the_rollups() -> None:
    assert usage_querysets.dollars(UNITS) == 1
    assert units(Decimal("0.0000000001")) == 1
    assert units(None) == 0


def test_a_budget_of_zero_admits_only_what_costs_nothing() -> None:
    assert is_within_limit(0, 0, 0, 0)
    assert not is_within_limit(0, 0, 1, 0)
