"""A circuit breaker per target, driven by the outcomes of calls.

    closed      calls pass
      | DEFAULT_COOLDOWN_AFTER failures in a row, or a Retry-After
    open        no calls until the cooldown ends
      | the cooldown ends
    half-open   one trial request (`with_trial`); its outcome closes or opens the circuit

Pure: the caller stores the states (by `provider/model`) and passes the time. Errors of the
client never count against a target.
"""

from __future__ import annotations

import msgspec

# The key prefix in the log of health checks (`relay.run.health_checks`).
HEALTH_CHECK_KEY = "check"
# Failures in a row before a cooldown; a single failure may be random.
DEFAULT_COOLDOWN_AFTER = 3
# Upper bound of a cooldown: an upstream's Retry-After may be wrong.
MAX_COOLDOWN_S = 300.0
# Upper bound of a trial, so that a process that dies during one does not block the target.
TRIAL_S = 30.0
# A rejected credential or an exhausted quota does not recover within five seconds.
AUTH_COOLDOWN_S = 60.0
QUOTA_COOLDOWN_S = 60.0

_FAILURE_KINDS = frozenset({"upstream_error", "timeout", "overloaded", "malformed_output"})
_LABELS = {
    "rate_limit": "rate limited",
    "quota": "out of quota",
    "upstream_auth": "credential rejected",
    "upstream_error": "failing",
    "timeout": "timing out",
    "overloaded": "overloaded",
    "malformed_output": "returning malformed responses",
}
# Errors that the target caused; client errors do not count against it.
FAULTS = frozenset(_LABELS)


class CircuitState(msgspec.Struct, frozen=True):
    """State of one target's circuit.

    Attributes:
        consecutive_failures: failures in a row.
        open_until: end of the cooldown; 0 without one.
        kind: the error kind that caused the cooldown or counts in `consecutive_failures`.
        trial_until: end of the period reserved for one trial request; 0 without one.
    """

    consecutive_failures: int = 0
    open_until: float = 0.0
    kind: str = ""
    trial_until: float = 0.0


HEALTHY = CircuitState()


def record_outcome(
    state: CircuitState | None,
    kind: str | None,
    retry_after_s: float | None,
    now: float,
    cooldown_s: float,
    *,
    cooldown_after: int | None = None,
) -> CircuitState:
    """The state after an outcome: `kind` is a key of KINDS, or None for a success.

    A rate limit opens the circuit immediately, until Retry-After if there is one. Failures
    of the upstream open it after DEFAULT_COOLDOWN_AFTER in a row; after a cooldown the first
    failure opens it again. A success resets the state. Other kinds do not count against the
    target, but end its trial. `cooldown_after` overrides the number of failures in a row,
    for any kind that counts.
    """
    state = state or HEALTHY
    match kind:
        case None:
            return HEALTHY
        case _ if cooldown_after is not None and kind in FAULTS:
            return _count_failure(state, kind, retry_after_s, now, cooldown_s, cooldown_after)
        case "rate_limit":
            return _open_circuit(state, kind, now, retry_after_s or cooldown_s)
        case "quota":
            return _open_circuit(
                state, kind, now, retry_after_s or max(cooldown_s, QUOTA_COOLDOWN_S)
            )
        case "upstream_auth":
            return _open_circuit(state, kind, now, max(cooldown_s, AUTH_COOLDOWN_S))
        case _ if kind not in _FAILURE_KINDS:
            return without_trial(state)
    return _count_failure(state, kind, retry_after_s, now, cooldown_s, DEFAULT_COOLDOWN_AFTER)


def _count_failure(
    state: CircuitState,
    kind: str,
    retry_after_s: float | None,
    now: float,
    cooldown_s: float,
    cooldown_after: int,
) -> CircuitState:
    failed_state = CircuitState(state.consecutive_failures + 1, state.open_until, kind)
    if retry_after_s:
        return _open_circuit(failed_state, kind, now, retry_after_s)
    # After a cooldown the first failure is enough.
    if failed_state.consecutive_failures < cooldown_after and not state.open_until:
        return failed_state
    return _open_circuit(failed_state, kind, now, cooldown_s)


def _open_circuit(state: CircuitState, kind: str, now: float, seconds: float) -> CircuitState:
    open_until = now + min(max(seconds, 0.0), MAX_COOLDOWN_S)
    # Calls that were in progress must not shorten a longer cooldown.
    return CircuitState(state.consecutive_failures, max(open_until, state.open_until), kind)


def allows_call(state: CircuitState | None, now: float) -> bool:
    """Whether the target may be called now."""
    return state is None or (now >= state.open_until and now >= state.trial_until)


def is_half_open(state: CircuitState | None, now: float) -> bool:
    """Whether the cooldown is over and no trial has succeeded or failed since."""
    return state is not None and 0.0 < state.open_until <= now


def with_trial(state: CircuitState, now: float) -> CircuitState:
    """The state during a trial request."""
    return CircuitState(state.consecutive_failures, state.open_until, state.kind, now + TRIAL_S)


def without_trial(state: CircuitState) -> CircuitState:
    """The state after a trial without a result for the target."""
    return (
        CircuitState(state.consecutive_failures, state.open_until, state.kind)
        if state.trial_until
        else state
    )


def cooldown_reason(state: CircuitState, now: float) -> str:
    """Reason and remaining time of a cooldown, as text."""
    if state.open_until <= now < state.trial_until:
        return f"{_LABELS.get(state.kind, 'cooling down')}; another request is testing it"
    remaining_s = max(state.open_until - now, 0.0)
    return f"{_LABELS.get(state.kind, 'cooling down')}, in cooldown for {remaining_s:.0f} s more"
