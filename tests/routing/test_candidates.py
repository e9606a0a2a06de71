"""Candidate selection: conditions, health, failures, rounds."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canon.errors import KINDS, Error
from gateway.canon.traits import Traits
from gateway.routing.candidates import (
    ERROR_CLASSES,
    Decision,
    RequestFeatures,
    RetryPlan,
    select_candidates,
)
from gateway.routing.circuit_breaker import CircuitState
from gateway.routing.latency import LatencyStats
from gateway.routing.snapshot import Model, Provider, Route, RouteStep, Target

PROVIDER = Provider(id=1, name="p", preset="custom", dialect="openai_chat", base_url="http://x")
NOW = 1000.0


def target(name: str, order: int = 1, weight: float = 1.0, **traits: Any) -> Target:
    model = Model(id=1, provider=PROVIDER, name=name, traits=Traits(**traits))
    return Target(id=1, model=model, order=order, weight=weight)


def route(*targets: Target, steps: tuple[RouteStep, ...] = (), **changes: Any) -> Route:
    return Route(id=1, name="r", targets=targets, steps=steps, **changes)


def decide_route(
    *routes: Route,
    features: RequestFeatures | None = None,
    health: dict[str, CircuitState] | None = None,
    latency_by_target: dict[str, LatencyStats] | None = None,
    seed: int = 1,
) -> Decision:
    draw = random.Random(seed).random
    return select_candidates(routes, features, health or {}, latency_by_target or {}, NOW, draw)


def names(decision: Decision) -> list[str]:
    return [candidate.target.model.name for candidate in decision.candidates]


def reasons(decision: Decision) -> dict[str, str]:
    return {skip.candidate.target.model.name: skip.reason for skip in decision.skipped}


def called_targets(decision: Decision, retries: int = 0, **failures: str) -> list[str]:
    """Return the called targets if these fail with these kinds and the others answer."""
    retry_plan = RetryPlan(decision, retries)
    call_order = []
    while (candidate := retry_plan.next_candidate()) is not None:
        name = candidate.target.model.name
        call_order.append(name)
        if name not in failures or not retry_plan.record_failure(
            Error(kind=failures[name], message="")
        ):
            break
    return call_order


# A plain route


def test_a_plain_route_is_its_targets_in_order_and_then_its_fallbacks() -> None:
    first = route(target("b", 2), target("a", 1))
    assert names(decide_route(first, route(target("c")))) == ["a", "b", "c"]


def test_a_route_without_steps_tries_every_target() -> None:
    plain = decide_route(route(target("a"), target("b", 2)), route(target("c")))
    assert called_targets(plain, a="rate_limit", b="timeout") == ["a", "b", "c"]


@pytest.mark.parametrize(
    "kind", [kind for kind, kind_info in KINDS.items() if not kind_info.retryable]
)
def test_a_client_error_ends_a_plain_route(kind: str) -> None:
    assert called_targets(decide_route(route(target("a"), target("b", 2))), a=kind) == ["a"]


def test_targets_in_cooldown_are_skipped_with_the_reason() -> None:
    health = {"p/a": CircuitState(open_until=NOW + 12, kind="rate_limit")}
    decision = decide_route(route(target("a"), target("b")), health=health)
    assert names(decision) == ["b"]
    assert reasons(decision) == {"a": "rate limited, in cooldown for 12 s more"}


def test_if_all_targets_are_in_cooldown_all_are_called() -> None:
    health = {f"p/{n}": CircuitState(open_until=NOW + 12, kind="timeout") for n in "ab"}
    decision = decide_route(route(target("a"), target("b")), health=health)
    assert (names(decision), decision.skipped) == (["a", "b"], ())


def test_transient_failures_are_retried_in_another_round() -> None:
    decision = decide_route(route(target("a"), target("b")))
    assert called_targets(decision, 2, a="overloaded", b="upstream_auth") == ["a", "b", "a", "a"]


def test_a_long_retry_after_is_not_waited_for() -> None:
    retry_plan = RetryPlan(decide_route(route(target("a"))), 3)
    retry_plan.next_candidate()
    retry_plan.record_failure(Error(kind="rate_limit", message="", retry_after_s=60))
    assert retry_plan.next_candidate() is None


def test_the_backoff_precedes_further_rounds_only() -> None:
    retry_plan = RetryPlan(decide_route(route(target("a"), target("b"))), 1)
    waits = []
    while retry_plan.next_candidate() is not None:
        waits.append(retry_plan.pause_due)
        retry_plan.record_failure(Error(kind="overloaded", message=""))
    assert waits == [False, False, True, False]


# Steps


def stepped_snapshot(*on: str, **changes: Any) -> Route:
    second = RouteStep(order=2, fallback_on=on)
    return route(target("a"), target("b", 2), steps=(RouteStep(order=1), second), **changes)


def test_a_step_without_a_condition_is_entered_after_any_failure() -> None:
    for kind, kind_info in KINDS.items():
        call_order = called_targets(decide_route(stepped_snapshot()), a=kind)
        assert call_order == (["a", "b"] if kind_info.retryable else ["a"]), kind


@pytest.mark.parametrize("name", ERROR_CLASSES)
def test_a_step_is_entered_on_its_class_of_failures_only(name: str) -> None:
    for kind in KINDS:
        call_order = called_targets(decide_route(stepped_snapshot(name)), a=kind)
        assert call_order == (["a", "b"] if kind in ERROR_CLASSES[name] else ["a"]), kind


def test_a_step_that_is_not_entered_is_passed_to_the_next_one() -> None:
    steps = (
        RouteStep(order=1),
        RouteStep(order=2, fallback_on=("timeout",)),
        RouteStep(order=3, fallback_on=("rate_limit",)),
    )
    decision = decide_route(route(target("a"), target("b", 2), target("c", 3), steps=steps))
    assert called_targets(decision, a="rate_limit") == ["a", "c"]
    retry_plan = RetryPlan(decision, 0)
    retry_plan.next_candidate()
    retry_plan.record_failure(Error(kind="rate_limit", message=""))
    retry_plan.next_candidate()
    assert [skip.candidate.target.model.name for skip in retry_plan.bypassed_candidates] == ["b"]


def test_a_too_long_request_skips_to_the_context_length_step() -> None:
    steps = (
        RouteStep(order=1),
        RouteStep(order=2),
        RouteStep(order=3, fallback_on=("context_length",)),
    )
    targets = (target("a"), target("a2"), target("b", 2), target("c", 3))
    decision = decide_route(route(*targets, steps=steps))
    assert called_targets(decision, 2, a="context_length") == ["a", "c"]
    assert called_targets(decision, 0, a="timeout", a2="timeout", b="content_policy") == [
        "a",
        "a2",
        "b",
    ]


def test_a_step_is_entered_on_failures_of_the_step_above_it() -> None:
    steps = (
        RouteStep(order=1),
        RouteStep(order=2),
        RouteStep(order=3, fallback_on=("rate_limit",)),
    )
    decision = decide_route(route(target("a"), target("b", 2), target("c", 3), steps=steps))
    assert called_targets(decision, a="rate_limit", b="timeout") == ["a", "b"]


def test_one_matching_failure_of_a_step_activates_the_next() -> None:
    steps = (RouteStep(order=1), RouteStep(order=2, fallback_on=("rate_limit",)))
    decision = decide_route(route(target("a"), target("a2"), target("b", 2), steps=steps))
    assert called_targets(decision, a="rate_limit", a2="timeout") == ["a", "a2", "b"]


def test_the_cooldown_reason_counts_as_the_failure() -> None:
    resting = {"p/a": CircuitState(open_until=NOW + 5, kind="rate_limit")}
    assert called_targets(decide_route(stepped_snapshot("rate_limit"), health=resting)) == ["b"]


def test_a_cooldown_is_ignored_without_a_matching_fallback() -> None:
    resting = {"p/a": CircuitState(open_until=NOW + 5, kind="rate_limit")}
    decision = decide_route(stepped_snapshot("timeout"), health=resting)
    assert called_targets(decision) == ["a"]


def test_a_step_may_be_entered_in_a_later_round() -> None:
    retry_plan = RetryPlan(decide_route(stepped_snapshot("timeout")), 1)
    call_order, kinds = [], iter(["overloaded", "timeout"])
    while (candidate := retry_plan.next_candidate()) is not None:
        call_order.append(candidate.target.model.name)
        if call_order[-1] == "b":
            break
        retry_plan.record_failure(Error(kind=next(kinds), message=""))
    assert call_order == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("step", "features", "reason"),
    [
        (
            RouteStep(order=1, requires=("tools",)),
            RequestFeatures(),
            "only for requests with tools",
        ),
        (RouteStep(order=1, requires=("tools",)), RequestFeatures(frozenset({"tools"})), None),
        (
            RouteStep(order=1, excludes=("images",)),
            RequestFeatures(frozenset({"images"})),
            "without images",
        ),
        (RouteStep(order=1, excludes=("images",)), RequestFeatures(frozenset({"tools"})), None),
        (
            RouteStep(order=1, max_context=100),
            RequestFeatures(estimated_tokens=101),
            "at most 100 tokens",
        ),
        (RouteStep(order=1, max_context=100), RequestFeatures(estimated_tokens=100), None),
        (
            RouteStep(order=1, min_context=100),
            RequestFeatures(estimated_tokens=99),
            "at least 100 tokens",
        ),
        (RouteStep(order=1, min_context=100), RequestFeatures(estimated_tokens=100), None),
        (
            RouteStep(order=1, require_capabilities=True),
            RequestFeatures(frozenset({"images"})),
            "does not support images",
        ),
        (
            RouteStep(order=1, require_capabilities=True),
            RequestFeatures(frozenset({"schema"})),
            "does not support a JSON schema",
        ),
        (
            RouteStep(order=1, require_capabilities=True),
            RequestFeatures(estimated_tokens=5000),
            "context window of 4,096 tokens is too small",
        ),
        (
            RouteStep(order=1, require_capabilities=True),
            RequestFeatures(frozenset({"tools"}), 4000),
            None,
        ),
        (RouteStep(order=1), RequestFeatures(frozenset({"images", "schema"}), 9999), None),
    ],
)
def test_a_step_accepts_requests_within_its_context_limits(
    step: RouteStep, features: RequestFeatures, reason: str | None
) -> None:
    weak = target("a", images=False, structured="json", context_window=4096)
    decision = decide_route(
        route(weak, target("b", 2), steps=(step, RouteStep(order=2))), features=features
    )
    assert names(decision) == (["a", "b"] if reason is None else ["b"])
    assert reason is None or reasons(decision)["a"].endswith(reason)


def test_an_omitted_step_does_not_block_the_next() -> None:
    steps = (RouteStep(order=1, excludes=("images",)), RouteStep(order=2, fallback_on=("timeout",)))
    decision = decide_route(
        route(target("a"), target("b", 2), steps=steps),
        features=RequestFeatures(frozenset({"images"})),
    )
    assert called_targets(decision) == ["b"]


def test_request_features_are_computed_only_if_a_step_uses_them() -> None:
    assert not route(target("a")).depends_on_content
    assert not stepped_snapshot("timeout").depends_on_content
    assert route(
        target("a"), steps=(RouteStep(order=1, require_capabilities=True),)
    ).depends_on_content


def test_a_target_of_no_step_is_one_of_the_routes_own_strategy() -> None:
    failing_route = route(target("a"), target("b", 9), steps=(RouteStep(order=1),))
    assert names(decide_route(failing_route)) == ["a", "b"]


# Strategies of steps


def test_each_step_has_its_own_strategy() -> None:
    steps = (RouteStep(order=1, strategy="weighted"), RouteStep(order=2, strategy="fastest"))
    targets = (target("a", weight=0), target("b"), target("c", 2), target("d", 2))
    latency_by_target = {"p/c": LatencyStats(900), "p/d": LatencyStats(100)}
    decision = decide_route(route(*targets, steps=steps), latency_by_target=latency_by_target)
    assert names(decision) == ["b", "a", "d", "c"]


drafts = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["ordered", "weighted", "fastest", "cheapest"])),
    min_size=1,
    max_size=6,
)
kinds = st.lists(st.sampled_from([k for k, v in KINDS.items() if v.retryable]), max_size=40)


@given(
    rows=drafts,
    failures=kinds,
    retries=st.integers(0, 3),
    seed=st.integers(0, 99),
    on=st.lists(st.sampled_from(list(ERROR_CLASSES)), max_size=3),
)
def test_a_retry_plan_terminates_and_respects_max_attempts(
    rows: list[tuple[int, str]], failures: list[str], retries: int, seed: int, on: list[str]
) -> None:
    targets = tuple(target(f"m{n}", order) for n, (order, _) in enumerate(rows))
    steps = {
        o: RouteStep(order=o, strategy=s, fallback_on=tuple(on) if o > 2 else ()) for o, s in rows
    }
    retry_plan = RetryPlan(
        decide_route(route(*targets, steps=tuple(steps.values())), seed=seed), retries
    )
    call_order: list[str] = []
    failure_iterator = iter(failures)
    while (candidate := retry_plan.next_candidate()) is not None:
        call_order.append(candidate.target.model.name)
        retry_plan.record_failure(Error(kind=next(failure_iterator, "timeout"), message=""))
    assert call_order
    assert max(call_order.count(name) for name in call_order) <= retries + 1


def test_a_candidate_selection_is_immutable() -> None:
    decision = decide_route(route(target("a")))
    with pytest.raises(AttributeError):
        decision.candidates = ()  # type: ignore[misc]
    assert msgspec.structs.replace(decision) == decision
