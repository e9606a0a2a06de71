"""Property tests of strategies, breakers and retries, over thousands of random schedules."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.canon.errors import KINDS, Error
from gateway.routing import circuit_breaker
from gateway.routing.active_hours import parse_active_hours
from gateway.routing.candidates import (
    CLASS_BY_KIND,
    ERROR_CLASSES,
    RequestFeatures,
    RetryPlan,
    select_candidates,
)
from gateway.routing.circuit_breaker import MAX_COOLDOWN_S, CircuitState
from gateway.routing.latency import LatencyStats
from gateway.routing.snapshot import Model, Provider, Route, RouteStep, Target
from gateway.routing.strategies import STRATEGIES, StrategyContext, order_targets

PROVIDER = Provider(id=1, name="p", preset="custom", dialect="openai_chat", base_url="http://x")
SESSIONS = 6000


def target(name: str, weight: float = 1.0, order: int = 1, **more: Any) -> Target:
    model = Model(id=1, provider=PROVIDER, name=name)
    return Target(id=1, model=model, weight=weight, order=order, **more)


def first(strategy: str, targets: Any, **latency: Any) -> str:
    context = StrategyContext(0.0, random.Random(1).random, **latency)
    return str(order_targets(strategy, targets, context)[0].model.name)


# Sticky and split

weights = st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0]), min_size=2, max_size=5)


@settings(max_examples=15)
@given(chosen_targets=weights)
def test_sessions_are_shared_by_weight(chosen_targets: list[float]) -> None:
    targets = [target(f"m{n}", weight) for n, weight in enumerate(chosen_targets)]
    counted = Counter(first("sticky", targets, session=f"s{n}") for n in range(SESSIONS))
    for n, weight in enumerate(chosen_targets):
        assert counted[f"m{n}"] / SESSIONS == pytest.approx(weight / sum(chosen_targets), abs=0.035)


@given(
    chosen_targets=weights,
    session=st.text(min_size=1, max_size=20),
    removed_index=st.integers(0, 4),
)
def test_removing_a_target_moves_only_its_sessions(
    chosen_targets: list[float], session: str, removed_index: int
) -> None:
    targets = [target(f"m{n}", weight) for n, weight in enumerate(chosen_targets)]
    home = first("sticky", targets, session=session)
    remaining_targets = [
        t for t in targets if t.model.name != f"m{removed_index % len(chosen_targets)}"
    ]
    moved = first("sticky", remaining_targets, session=session)
    assert moved == home or home == f"m{removed_index % len(chosen_targets)}"
    order = order_targets("sticky", targets, StrategyContext(0.0, random.random, session=session))
    follower = next(t.model.name for t in order if t in remaining_targets)
    assert moved == follower, (
        "the fallback is the target that gets the session while its own is out"
    )


@given(
    chosen_targets=weights,
    session=st.text(min_size=1),
    seeds=st.tuples(st.integers(), st.integers()),
)
def test_workers_choose_the_same_target_for_a_session(
    chosen_targets: list[float], session: str, seeds: tuple[int, int]
) -> None:
    targets = [target(f"m{n}", weight) for n, weight in enumerate(chosen_targets)]
    orders = [
        [t.model.name for t in order_targets("sticky", input_targets, context)]
        for input_targets, seed in zip((targets, targets[::-1]), seeds, strict=True)
        for draw in [random.Random(seed).random]
        for context in [
            StrategyContext(float(seed % 9), draw, session=session, busy={"p/m0": seed % 5})
        ]
    ]
    assert orders[0] == orders[1]


def test_routes_do_not_split_the_same_sessions_alike() -> None:
    pair = [target("a"), target("b")]
    differ = sum(
        first("split", pair, session=f"s{n}", route="one")
        != first("split", pair, session=f"s{n}", route="two")
        for n in range(2000)
    )
    assert 850 < differ < 1150


def test_a_split_without_a_session_uses_the_key() -> None:
    pair = [target("a"), target("b")]
    assert {first("split", pair, caller="key:7") for _ in range(20)} <= {"a"} or {
        first("split", pair, caller="key:7") for _ in range(20)
    } <= {"b"}
    assert len({first("split", pair, caller=f"key:{n}") for n in range(50)}) == 2


def test_two_variants_of_one_model_are_distinct_targets() -> None:
    pair = [target("same", 1.0, variant="a"), target("same", 1.0, variant="b")]
    targets = {
        order_targets("split", pair, StrategyContext(0.0, random.random, session=f"s{n}"))[
            0
        ].variant
        for n in range(50)
    }
    assert targets == {"a", "b"}


# Least busy and least used: no starvation, whatever the schedule

schedules = st.lists(st.integers(0, 9), min_size=50, max_size=400)


@settings(max_examples=60)
@given(chosen_targets=weights, end_order=schedules, seed=st.integers(0, 999))
def test_every_target_gets_its_share(
    chosen_targets: list[float], end_order: list[int], seed: int
) -> None:
    """Requests are sequential; each schedule says which running ones end."""
    draw = random.Random(seed).random
    targets = [target(f"m{n}", weight) for n, weight in enumerate(chosen_targets)]
    busy: dict[str, int] = {}
    running: list[str] = []
    for end in end_order:
        before = {t.model.name: busy.get(t.model.label, 0) / t.weight for t in targets}
        chosen = order_targets("least_busy", targets, StrategyContext(0.0, draw, busy=busy))[0]
        assert before[chosen.model.name] == min(before.values())
        busy[chosen.model.label] = busy.get(chosen.model.label, 0) + 1
        running.append(chosen.model.label)
        if end < 5 and running:
            busy[running.pop(end % len(running))] -= 1
    # With all still running, everybody has some.
    for _ in range(40):
        chosen = order_targets("least_busy", targets, StrategyContext(0.0, draw, busy=busy))[0]
        busy[chosen.model.label] = busy.get(chosen.model.label, 0) + 1
    assert all(busy.get(t.model.label, 0) > 0 for t in targets)


@settings(max_examples=40)
@given(chosen_targets=weights, sizes=st.lists(st.integers(1, 5000), min_size=300, max_size=300))
def test_tokens_are_shared_by_weight(chosen_targets: list[float], sizes: list[int]) -> None:
    targets = [target(f"m{n}", weight) for n, weight in enumerate(chosen_targets)]
    latency_by_target: dict[str, LatencyStats] = {}
    for size in sizes:
        label = order_targets(
            "least_used", targets, StrategyContext(0.0, random.random, latency_by_target)
        )[0].model.label
        latency = latency_by_target.get(label, LatencyStats(1.0))
        latency_by_target[label] = LatencyStats(1.0, tokens=latency.tokens + size)
    loads = [latency_by_target[t.model.label].tokens / t.weight for t in targets]
    assert max(loads) - min(loads) <= 5000 / min(chosen_targets)


def test_token_usage_decays_over_time() -> None:
    pair = [target("a"), target("b")]
    latency_by_target = {
        "p/a": LatencyStats(1.0, measured_at=0.0, tokens=100_000),
        "p/b": LatencyStats(1.0, measured_at=600, tokens=50),
    }
    assert (
        order_targets("least_used", pair, StrategyContext(600.0, random.random, latency_by_target))[
            0
        ].model.name
        == "a"
    )


# Weights under failure: whoever can be called is called

routes = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from([0.0, 1.0, 3.0])), min_size=1, max_size=6
)


@given(
    rows=routes,
    name=st.sampled_from(list(STRATEGIES)),
    resting=st.sets(st.integers(0, 5)),
    session=st.sampled_from(["", "s1", "s2"]),
    seed=st.integers(0, 99),
)
def test_every_available_target_is_a_candidate_once(
    rows: list[tuple[int, float]], name: str, resting: set[int], session: str, seed: int
) -> None:
    targets = tuple(target(f"m{n}", w, o) for n, (o, w) in enumerate(rows))
    route = Route(id=1, name="r", targets=targets, strategy=name)
    states = {f"p/m{n}": CircuitState(open_until=50.0, kind="timeout") for n in resting}
    features = RequestFeatures(session=session)
    chosen_targets = select_candidates(
        [route], features, states, {}, 10.0, random.Random(seed).random
    )
    call_order = [c.target.model.name for c in chosen_targets.candidates]
    awake = [f"m{n}" for n in range(len(rows)) if n not in resting]
    assert sorted(call_order) == sorted(awake or [f"m{n}" for n in range(len(rows))])
    assert chosen_targets.ignores_cooldowns == (not awake)


# Retries never exceed the policy

policies = st.dictionaries(st.sampled_from(list(ERROR_CLASSES)), st.integers(0, 4), max_size=6)
failures = st.lists(st.sampled_from(list(KINDS)), max_size=80)


@settings(max_examples=400)
@given(
    count=st.integers(1, 4),
    retry=policies,
    retries=st.integers(0, 3),
    kinds=failures,
    after=st.sampled_from([None, 1, 60]),
    on=st.lists(st.sampled_from(list(ERROR_CLASSES)), max_size=2),
)
def test_retries_never_exceed_the_policy(
    count: int,
    retry: dict[str, int],
    retries: int,
    kinds: list[str],
    after: int | None,
    on: list[str],
) -> None:
    targets = tuple(target(f"m{n}", order=n + 1) for n in range(count))
    steps = tuple(RouteStep(order=n + 1, fallback_on=tuple(on) if n else ()) for n in range(count))
    route = Route(
        id=1, name="r", targets=targets, steps=steps, retries=retries, retries_by_kind=retry
    )
    retry_plan = RetryPlan(
        select_candidates([route], None, {}, {}, 0.0, random.random), retries, retry
    )
    kinds_iterator, last = iter(kinds), {}
    call_order: Counter[str] = Counter()
    repeats: Counter[tuple[str, str]] = Counter()
    while (candidate := retry_plan.next_candidate()) is not None:
        name = candidate.target.model.name
        if name in last:
            repeats[name, last[name]] += 1
        call_order[name] += 1
        kind = next(kinds_iterator, "timeout")
        last[name] = CLASS_BY_KIND.get(kind, kind)
        wait = after if kind == "rate_limit" else None
        if not retry_plan.record_failure(Error(kind=kind, message="", retry_after_s=wait)):
            break
        assert retry_plan.pause_s(0.25, lambda: 0.5) <= 8.0 * 1.5
    max_concurrent = max(retries, *retry.values(), 0)
    # A step that was shut in a round may be entered first in a later one.
    assert all(calls <= max_concurrent + 1 for calls in call_order.values())
    for (_, name), times in repeats.items():
        assert times <= retry.get(name, retries), name


@given(rounds=st.integers(1, 12), draw=st.floats(0, 0.999), after=st.sampled_from([None, 1, 2]))
def test_pauses_double_with_jitter_and_are_no_shorter_than_retry_after(
    rounds: int, draw: float, after: int | None
) -> None:
    route = Route(id=1, name="r", targets=(target("a"),), retries=20)
    retry_plan = RetryPlan(select_candidates([route], None, {}, {}, 0.0, random.random), 20)
    pauses = []
    for _ in range(rounds + 1):
        assert retry_plan.next_candidate() is not None
        if retry_plan.pause_due:
            pauses.append(retry_plan.pause_s(0.1, lambda: draw))
        retry_plan.record_failure(Error(kind="rate_limit", message="", retry_after_s=after))
    for number, pause in enumerate(pauses):
        usual = 0.1 * 2**number
        assert pause >= min(0.5 * usual, 8.0) and pause >= (after or 0)
        assert pause <= max(1.5 * usual, after or 0) and pause <= 8.0
    assert all(first <= second for first, second in pairwise(pauses))


# The breaker as a machine of its own


class BreakerMachine(RuleBasedStateMachine):
    """A target, a clock, and requests at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.state: CircuitState | None = None
        self.trials = 0
        self.in_a_row = 0

    def call(self, kind: str | None, after: float | None) -> None:
        is_half_open = circuit_breaker.is_half_open(self.state, self.now)
        if is_half_open:
            assert self.state is not None
            self.state = circuit_breaker.with_trial(self.state, self.now)
            assert not circuit_breaker.allows_call(self.state, self.now), "a second trial"
        route = circuit_breaker.record_outcome(self.state, kind, after, self.now, 5.0)
        self.state = None if route == circuit_breaker.HEALTHY else route
        if kind is None:
            assert self.state is None
        elif kind in {"timeout", "overloaded", "upstream_error"} and is_half_open:
            assert self.state is not None and self.state.open_until > self.now

    @precondition(lambda self: circuit_breaker.allows_call(self.state, self.now))
    @rule(
        kind=st.sampled_from([None, *KINDS]),
        after=st.sampled_from([None, 0.5, 20.0, 1e9]),
    )
    def a_request(self, kind: str | None, after: float | None) -> None:
        self.in_a_row = self.in_a_row + 1 if kind == "timeout" and after is None else 0
        self.call(kind, None if kind is None else after)
        if self.in_a_row >= circuit_breaker.DEFAULT_COOLDOWN_AFTER:
            assert not circuit_breaker.allows_call(self.state, self.now), (
                "it opens after failures in a row"
            )

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 31.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def it_never_rests_for_ever(self) -> None:
        assert circuit_breaker.allows_call(
            self.state, self.now + MAX_COOLDOWN_S + circuit_breaker.TRIAL_S
        )


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=200, stateful_step_count=40)


# Hours

WED_NOON_UTC = 1_795_003_200.0  # 2026-11-18 12:00


@pytest.mark.parametrize(
    ("text", "open_"),
    [
        ("mon-fri 08:00-18:00 Europe/Berlin", True),
        ("mon-fri 08:00-18:00 America/Los_Angeles", False),
        ("sat,sun", False),
        ("fri-mon", False),
        ("WED 12:00-12:01", True),
        ("08:00-12:00", False),
        ("22:00-06:00 Asia/Tokyo", False),
        ("20:00-06:00 Asia/Tokyo", True),
        ("tue 22:00-13:00", True),
        ("wed 22:00-13:00", False),
        ("00:00-24:00", True),
        ("UTC", True),
    ],
)
def test_active_hours_are_in_their_time_zone(text: str, open_: bool) -> None:
    assert parse_active_hours(text).is_open(WED_NOON_UTC) is open_


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "always",
        "mon-xyz",
        "25:00-26:00",
        "08:00-08:00",
        "mon 08:00-18:00 Moon/Base",
        "8-18",
        "mon 08:00-09:00 UTC more",
        "../../etc/passwd",
    ],
)
def test_unreadable_hours_are_refused_with_a_message(text: str) -> None:
    with pytest.raises(ValueError, match=r"use a form such as|must be two different times"):
        parse_active_hours(text)


@given(
    day=st.integers(0, 6),
    opens=st.integers(0, 1439),
    closes=st.integers(0, 1439),
    moment=st.integers(0, 7 * 24 * 60 - 1),
)
def test_hours_agree_with_a_list_of_all_minutes(
    day: int, opens: int, closes: int, moment: int
) -> None:
    if opens == closes:
        return
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    text = f"{names[day]} {opens // 60:02}:{opens % 60:02}-{closes // 60:02}:{closes % 60:02}"
    length = (closes - opens) % 1440
    minutes = {(day * 1440 + opens + n) % 10080 for n in range(length)}
    monday = 1_794_787_200 - 0.0  # 2026-11-16 00:00 UTC
    assert parse_active_hours(text).is_open(monday + moment * 60) is (moment in minutes)
