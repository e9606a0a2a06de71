"""Retries of a step before the next step: LiteLLM's order, with examples and random routes.

docs.litellm.ai/docs/proxy/reliability: a call is retried `num_retries` times on each
model_name before it falls back to another one.
"""

from __future__ import annotations

import random
from collections import Counter
from itertools import groupby
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import Error
from gateway.routing.candidates import RetryPlan, StepRetryPlan, retry_plan_for, select_candidates
from gateway.routing.snapshot import Model, Provider, Route, RouteStep, Target

PROVIDER = Provider(id=1, name="p", preset="custom", dialect="openai_chat", base_url="http://x")


def target(name: str, order: int = 1) -> Target:
    return Target(id=1, model=Model(id=1, provider=PROVIDER, name=name), order=order)


def route(*names: str, name: str = "r", **changes: Any) -> Route:
    targets = changes.pop("targets", None) or tuple(target(model_name) for model_name in names)
    fields = {"retries": 2, "retry_before_fallback": True, **changes}
    return Route(id=1, name=name, targets=targets, **fields)


def retry_plan(*routes: Route) -> RetryPlan:
    candidates = select_candidates(routes, None, {}, {}, 0.0, random.Random(1).random)
    return retry_plan_for(candidates, routes[0])


def called_targets(*routes: Route, after_s: int | None = None, **failures: str) -> list[str]:
    """Return the called targets if these fail with these kinds and the others answer."""
    plan, call_order = retry_plan(*routes), []
    while (candidate := plan.next_candidate()) is not None:
        name = candidate.target.model.name
        call_order.append(name)
        if name not in failures:
            break
        if not plan.record_failure(Error(kind=failures[name], message="", retry_after_s=after_s)):
            break
    return call_order


def test_retry_before_fallback_selects_the_step_retry_plan() -> None:
    assert isinstance(retry_plan(route("a")), StepRetryPlan)
    assert not isinstance(retry_plan(route("a", retry_before_fallback=False)), StepRetryPlan)


def test_a_target_is_retried_before_the_next_route_is_called() -> None:
    assert called_targets(route("a"), route("b"), a="overloaded") == ["a", "a", "a", "b"]


def test_a_retry_prefers_another_target_of_the_step() -> None:
    failing = {"a": "overloaded", "b": "overloaded"}
    assert called_targets(route("a", "b"), route("c"), **failing) == ["a", "b", "a", "c"]


def test_each_target_of_a_step_is_called_at_least_once() -> None:
    failing = dict.fromkeys("abcd", "overloaded")
    assert called_targets(route(*"abcd", retries=1), route("e"), **failing) == [*"abcde"]


def test_without_retries_the_next_step_starts_immediately() -> None:
    assert called_targets(route("a", retries=0), route("b"), a="overloaded") == ["a", "b"]


def test_a_fallback_has_the_retries_of_its_own_route() -> None:
    failing = {"a": "overloaded", "b": "overloaded"}
    attempts = called_targets(
        route("a", retries=1), route("b", retries=3, retry_before_fallback=False), **failing
    )
    assert attempts == ["a", "a", "b", "b", "b", "b"]


def test_steps_and_orders_of_one_route_are_retried_each() -> None:
    targets = (target("a"), target("b", 2))
    failing = {"a": "overloaded", "b": "overloaded"}
    texts = ["a", "a", "a", "b", "b", "b"]
    assert called_targets(route(targets=targets, strategy="weighted"), **failing) == texts
    steps = (RouteStep(order=1), RouteStep(order=2))
    assert called_targets(route(targets=targets, steps=steps), **failing) == texts


def test_targets_that_are_tried_in_order_are_one_step() -> None:
    targets = (target("a"), target("b", 2))
    failing = {"a": "overloaded", "b": "overloaded"}
    assert called_targets(route(targets=targets), **failing) == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("kind", "after_s", "calls"),
    [("timeout", None, 1), ("quota", None, 1), ("rate_limit", 60, 1), ("rate_limit", 1, 3)],
)
def test_an_error_that_waiting_does_not_solve_is_not_retried(
    kind: str, after_s: int | None, calls: int
) -> None:
    assert called_targets(route("a"), route("b"), after_s=after_s, a=kind) == [*["a"] * calls, "b"]


def test_a_policy_counts_by_the_kind_of_failure() -> None:
    policy = {"timeout": 3, "rate_limit": 0}
    assert called_targets(route("a", retries_by_kind=policy), route("b"), a="timeout") == [
        *"aaaa",
        "b",
    ]
    assert called_targets(route("a", retries_by_kind=policy), route("b"), a="rate_limit") == [
        "a",
        "b",
    ]
    assert called_targets(route("a", retries_by_kind=policy), route("b"), a="overloaded") == [
        *"aaa",
        "b",
    ]


def test_a_refused_request_is_retried_and_then_falls_back() -> None:
    on = {"content_policy": ("kinder",)}
    first = route("a", "b", fallbacks_by_kind=on, retries_by_kind={"content_policy": 1})
    attempts = called_targets(first, route("c", name="kinder"), a="content_policy")
    assert attempts == ["a", "a", "c"]


def test_a_refused_request_ends_without_a_matching_fallback() -> None:
    assert called_targets(route("a", "b"), route("c"), a="invalid_request") == ["a"]


@pytest.mark.parametrize("in_steps", [True, False], ids=["step by step", "in rounds"])
def test_an_error_of_a_fallback_reaches_the_fallbacks_for_its_kind(*, in_steps: bool) -> None:
    """In LiteLLM, `context_window_fallbacks` of a model apply when its fallback is too small."""
    options = {"retries": 0, "retry_before_fallback": in_steps}
    first = route(
        "a",
        fallbacks=("small", "other"),
        fallbacks_by_kind={"context_length": ("large", "larger")},
        **options,
    )
    others = [route(name, name=name, **options) for name in ("large", "larger", "small", "other")]
    tried = called_targets(first, *others, a="upstream_error", small="context_length")
    assert tried == ["a", "small", "large"]
    tried = called_targets(
        first, *others, a="upstream_error", small="context_length", large="context_length"
    )
    assert tried == ["a", "small", "large", "larger"]
    # Each is called once, whichever error comes first.
    tried = called_targets(
        first,
        *others,
        a="context_length",
        large="upstream_error",
        small="context_length",
        larger="upstream_error",
        other="upstream_error",
    )
    assert tried == ["a", "large", "larger", "small"]
    retried = called_targets(
        msgspec.structs.replace(first, retries=1),
        *(msgspec.structs.replace(other, retries=1) for other in others),
        a="upstream_error",
        small="context_length",
        large="overloaded",
    )
    calls = 1 + in_steps
    assert Counter(retried) == {"a": calls, "small": 1, "large": calls, "larger": 1}


@pytest.mark.parametrize("kind", ["timeout", "upstream_auth", "content_policy", "not_found"])
@pytest.mark.parametrize("in_steps", [True, False], ids=["step by step", "in rounds"])
def test_fallbacks_for_a_kind_follow_each_other_after_any_kind(
    kind: str, *, in_steps: bool
) -> None:
    """LiteLLM tries the models of such a list in order, whichever error each of them has."""
    options = {"retries": 0, "retry_before_fallback": in_steps}
    kinds = {"context_length": ("large", "larger", "largest"), "rate_limit": ("idle",)}
    first = route("a", fallbacks_by_kind=kinds, **options)
    others = [route(name, name=name, **options) for name in ("large", "larger", "largest", "idle")]
    tried = called_targets(first, *others, a="context_length", large=kind, larger=kind)
    assert tried == ["a", "large", "larger", "largest"]
    # The list of a kind that did not occur stays unused.
    tried = called_targets(first, *others, a="rate_limit", idle=kind)
    assert tried == ["a", "idle"]
    # What no fallback can answer ends the request.
    tried = called_targets(first, *others, a="context_length", large="invalid_request")
    assert tried == ["a", "large"]


def test_a_hedge_target_may_be_the_next_fallback_for_the_kind() -> None:
    first = route("a", fallbacks_by_kind={"rate_limit": ("b", "c")}, retries=0)
    plan = retry_plan(first, route("b", name="b"), route("c", name="c"))
    assert plan.next_candidate() is not None
    assert plan.record_failure(Error(kind="rate_limit", message=""))
    assert plan.next_candidate() is not None
    beside = plan.hedge_candidate()
    assert beside is not None
    assert beside.route.name == "c"


def test_a_step_without_a_matching_error_is_bypassed() -> None:
    steps = (RouteStep(order=1), RouteStep(order=2, fallback_on=("timeout",)))
    plan = retry_plan(route(targets=(target("a"), target("b", 2)), steps=steps))
    while (candidate := plan.next_candidate()) is not None:
        assert candidate.target.model.name == "a"
        plan.record_failure(Error(kind="overloaded", message=""))
    assert [skip.candidate.target.model.name for skip in plan.bypassed_candidates] == ["b"]


def test_backoff_is_before_retries_only_and_resets_with_each_step() -> None:
    plan, pauses = retry_plan(route("a", "b"), route("c")), []
    while plan.next_candidate() is not None:
        pauses.append(plan.pause_s(1.0, lambda: 0.5) if plan.pause_due else 0.0)
        plan.record_failure(Error(kind="overloaded", message=""))
    assert pauses == [0.0, 0.0, 1.0, 0.0, 1.0, 2.0]


def test_a_hedge_target_still_has_its_retries() -> None:
    """Both targets fail: the first step has its retries, and so does the second one."""
    plan = retry_plan(route("a", retries=1), route("b", retries=1))
    first = plan.next_candidate()
    beside = plan.hedge_candidate()
    assert first is not None
    assert beside is not None
    for candidate in (beside, first):
        assert plan.record_failure(Error(kind="overloaded", message=""), candidate)
    call_order = []
    while (candidate := plan.next_candidate()) is not None:
        call_order.append(candidate.target.model.name)
        plan.record_failure(Error(kind="overloaded", message=""))
    assert call_order == ["a", "b"]


@settings(max_examples=300)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    retries=st.integers(0, 4),
    kinds=st.lists(st.sampled_from(["overloaded", "timeout", "upstream_auth"]), max_size=40),
)
def test_every_step_is_used_up_before_the_next(
    sizes: list[int], retries: int, kinds: list[str]
) -> None:
    routes = [
        route(*(f"{step}{n}" for n in range(size)), name=f"r{step}", retries=retries)
        for step, size in enumerate(sizes)
    ]
    plan, call_order, kinds_iterator = retry_plan(*routes), [], iter(kinds)
    while (candidate := plan.next_candidate()) is not None:
        call_order.append(candidate.target.model.name)
        plan.record_failure(Error(kind=next(kinds_iterator, "overloaded"), message=""))
    steps = [step for step, _ in groupby(name[0] for name in call_order)]
    assert steps == [str(step) for step in range(len(sizes))]
    counted = Counter(name[0] for name in call_order)
    for step, size in enumerate(sizes):
        assert size <= counted[str(step)] <= max(size, retries + 1)
    if not kinds:
        assert all(counted[str(step)] == max(n, retries + 1) for step, n in enumerate(sizes))
