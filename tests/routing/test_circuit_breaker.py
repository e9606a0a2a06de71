"""Cooldown: which targets, how long, and that at least one remains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canon.errors import KINDS
from gateway.routing.circuit_breaker import (
    AUTH_COOLDOWN_S,
    DEFAULT_COOLDOWN_AFTER,
    HEALTHY,
    MAX_COOLDOWN_S,
    CircuitState,
    allows_call,
    cooldown_reason,
    record_outcome,
)
from gateway.routing.snapshot import Model, Provider, Target

NOW = 1000.0
PROVIDER = Provider(id=1, name="p", preset="custom", dialect="openai_chat", base_url="http://x")


def target(name: str) -> Target:
    """Return a target identified by its model's name."""
    return Target(id=1, model=Model(id=1, provider=PROVIDER, name=name))


def state_after(
    *kinds: str | None, retry_after: float | None = None, cooldown: float = 5.0
) -> CircuitState:
    """Return the state after some outcomes, all at NOW."""
    state: CircuitState | None = None
    for kind in kinds:
        state = record_outcome(state, kind, retry_after, NOW, cooldown)
    assert state is not None
    return state


def cooldown_left_s(state: CircuitState) -> float:
    """Return the remaining cooldown of the target in seconds."""
    return max(state.open_until - NOW, 0.0)


def test_an_untried_target_is_available() -> None:
    assert allows_call(None, NOW)


def test_a_rate_limit_starts_a_cooldown_immediately() -> None:
    assert cooldown_left_s(state_after("rate_limit")) == 5.0


def test_a_rate_limit_cooldown_lasts_until_retry_after() -> None:
    assert cooldown_left_s(state_after("rate_limit", retry_after=42)) == 42


def test_no_cooldown_exceeds_the_maximum() -> None:
    assert cooldown_left_s(state_after("rate_limit", retry_after=86_400)) == MAX_COOLDOWN_S


def test_an_overload_with_retry_after_starts_a_cooldown() -> None:
    assert cooldown_left_s(state_after("overloaded", retry_after=7)) == 7


@pytest.mark.parametrize("kind", ["upstream_error", "timeout", "overloaded", "malformed_output"])
def test_consecutive_failures_start_a_cooldown(kind: str) -> None:
    assert cooldown_left_s(state_after(*[kind] * (DEFAULT_COOLDOWN_AFTER - 1))) == 0
    assert cooldown_left_s(state_after(*[kind] * DEFAULT_COOLDOWN_AFTER)) == 5.0


def test_a_success_resets_the_failure_count() -> None:
    kinds = ["upstream_error"] * (DEFAULT_COOLDOWN_AFTER - 1)
    assert cooldown_left_s(state_after(*kinds, None, *kinds)) == 0


def test_a_failed_probe_starts_another_cooldown() -> None:
    state = state_after(*["upstream_error"] * DEFAULT_COOLDOWN_AFTER)
    later = record_outcome(state, "upstream_error", None, NOW + 10, 5.0)
    assert later.open_until == NOW + 15


def test_a_refused_credential_has_a_longer_cooldown() -> None:
    assert cooldown_left_s(state_after("upstream_auth")) == AUTH_COOLDOWN_S


def test_an_exhausted_account_has_a_longer_cooldown() -> None:
    assert cooldown_left_s(state_after("quota")) > cooldown_left_s(state_after("rate_limit"))


@pytest.mark.parametrize(
    "kind", ["invalid_request", "context_length", "content_policy", "client_gone", "not_found"]
)
def test_client_errors_do_not_count_against_the_target(kind: str) -> None:
    assert state_after(*[kind] * 10) == HEALTHY


def test_a_success_ends_a_cooldown() -> None:
    assert allows_call(state_after("rate_limit", None), NOW)


def test_a_late_failure_does_not_shorten_a_cooldown() -> None:
    state = state_after("rate_limit", retry_after=100)
    assert record_outcome(state, "rate_limit", 1, NOW + 1, 5.0).open_until == NOW + 100


def test_a_cooldown_expires() -> None:
    state = state_after("rate_limit")
    assert not allows_call(state, NOW + 4.9)
    assert allows_call(state, NOW + 5.0)


def test_a_cooldown_reason_is_readable_text() -> None:
    assert (
        cooldown_reason(state_after("upstream_auth"), NOW)
        == "credential rejected, in cooldown for 60 s more"
    )


kinds = st.sampled_from([None, *KINDS])
steps = st.lists(st.tuples(kinds, st.none() | st.floats(0, 1e6), st.floats(0, 100)), max_size=20)


@given(steps=steps)
def test_no_history_exceeds_the_maximum_cooldown(
    steps: list[tuple[str | None, float | None, float]],
) -> None:
    state, now = None, NOW
    for kind, retry_after, passed in steps:
        now += passed
        state = record_outcome(state, kind, retry_after, now, 5.0)
        assert state.open_until <= now + MAX_COOLDOWN_S
