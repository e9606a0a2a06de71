"""Which targets are worth a call just now: a circuit breaker per target, moved by outcomes.

    closed      called freely
      | FAILURES in a row, or a Retry-After
    open        rests until its time
      | the time is over
    half-open   one request tries it (`claimed`); its outcome closes or opens again

Pure: the caller keeps the states (by `provider/model`) and passes the time. What a client
did wrong never counts against a target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from gateway.routing.snapshot import Target

# What the log has for the key of a check of a target (`relay.checks`).
CHECK = "check"
# Failures in a row before a target rests; one may be chance.
FAILURES = 3
# The longest rest, whatever a Retry-After says: an upstream may be wrong.
MAX_COOLDOWN_S = 300.0
# How long a trial may go without a word; whoever died on it keeps nobody out longer.
TRIAL_S = 30.0
# A refused credential is not better in five seconds, an empty account hardly.
AUTH_COOLDOWN_S = 60.0
QUOTA_COOLDOWN_S = 60.0

_COUNTED = frozenset({"upstream_error", "timeout", "overloaded", "malformed_output"})
_WORDS = {
    "rate_limit": "rate limited",
    "quota": "out of quota",
    "upstream_auth": "credential refused",
    "upstream_error": "failing",
    "timeout": "timing out",
    "overloaded": "overloaded",
    "malformed_output": "giving malformed answers",
}


class State(msgspec.Struct, frozen=True):
    """What is known of a target.

    Attributes:
        failures: failures in a row.
        until: the time before which it rests; 0 if it does not.
        kind: the error kind that made it rest or counts in `failures`.
        trial: until when the one request that tries it after its rest has it alone.
    """

    failures: int = 0
    until: float = 0.0
    kind: str = ""
    trial: float = 0.0


HEALTHY = State()


def note(
    state: State | None,
    kind: str | None,
    retry_after_s: float | None,
    now: float,
    cooldown_s: float,
    *,
    failures: int | None = None,
) -> State:
    """The state after an outcome: `kind` is a key of KINDS, or None for an answer.

    A rate limit rests at once, until Retry-After where one was given. Failures of the
    upstream rest after FAILURES in a row; the one trial after a rest then rests again
    at its first failure. An answer forgets all. Other kinds say nothing of the target,
    but end its trial. `failures` is how many in a row, for this kind whatever it is.
    """
    state = state or HEALTHY
    match kind:
        case None:
            return HEALTHY
        case _ if failures is not None and kind in _WORDS:
            return _counting(state, kind, retry_after_s, now, cooldown_s, failures)
        case "rate_limit":
            return _resting(state, kind, now, retry_after_s or cooldown_s)
        case "quota":
            return _resting(state, kind, now, retry_after_s or max(cooldown_s, QUOTA_COOLDOWN_S))
        case "upstream_auth":
            return _resting(state, kind, now, max(cooldown_s, AUTH_COOLDOWN_S))
        case _ if kind not in _COUNTED:
            return released(state)
    return _counting(state, kind, retry_after_s, now, cooldown_s, FAILURES)


def _counting(
    state: State,
    kind: str,
    retry_after_s: float | None,
    now: float,
    cooldown_s: float,
    most: int,
) -> State:
    failed = State(state.failures + 1, state.until, kind)
    if retry_after_s:
        return _resting(failed, kind, now, retry_after_s)
    # After a rest the first failure is enough.
    if failed.failures < most and not state.until:
        return failed
    return _resting(failed, kind, now, cooldown_s)


def _resting(state: State, kind: str, now: float, seconds: float) -> State:
    until = now + min(max(seconds, 0.0), MAX_COOLDOWN_S)
    # Answers that were under way must not cut a longer rest short.
    return State(state.failures, max(until, state.until), kind)


def usable(state: State | None, now: float) -> bool:
    """Whether the target may be called."""
    return state is None or (now >= state.until and now >= state.trial)


def half_open(state: State | None, now: float) -> bool:
    """Whether its rest is over and nobody has tried it since."""
    return state is not None and 0.0 < state.until <= now


def claimed(state: State, now: float) -> State:
    """The state while one request tries the target."""
    return State(state.failures, state.until, state.kind, now + TRIAL_S)


def released(state: State) -> State:
    """The state after a trial that said nothing of the target."""
    return State(state.failures, state.until, state.kind) if state.trial else state


def candidates(
    targets: Sequence[Target], states: Mapping[str, State], now: float
) -> tuple[list[Target], list[tuple[Target, str]]]:
    """The targets to call, in order, and those left out with the reason.

    `states` are by `Model.label`. If all rest, all are candidates: a call that may
    fail is better than none at all.
    """
    found: list[Target] = []
    skipped: list[tuple[Target, str]] = []
    for target in targets:
        state = states.get(target.model.label)
        if usable(state, now):
            found.append(target)
        elif state is not None:
            skipped.append((target, reason(state, now)))
    if not found:
        return list(targets), []
    return found, skipped


def reason(state: State, now: float) -> str:
    """Why a target rests and for how long, for a person."""
    if state.until <= now < state.trial:
        return f"{_WORDS.get(state.kind, 'cooling down')}, another request is trying it"
    seconds = max(state.until - now, 0.0)
    return f"{_WORDS.get(state.kind, 'cooling down')}, rests {seconds:.0f} s more"
