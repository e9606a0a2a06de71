"""Retries and fallbacks of one request: the next candidate, after each outcome.

    retry_plan_for(decision, route) -> RetryPlan, or StepRetryPlan with `retry_before_fallback`

Pure: returns the pauses between rounds, never waits for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import msgspec

from gateway.canon.errors import KINDS, Error
from gateway.routing.snapshot import Route, Step, Target

# Error classes that fallbacks and retries are configured by -> their error kinds.
CLASSES: dict[str, frozenset[str]] = {
    "rate_limit": frozenset({"rate_limit", "quota"}),
    "upstream_error": frozenset({"upstream_error", "overloaded", "malformed_output"}),
    "timeout": frozenset({"timeout"}),
    "upstream_auth": frozenset({"upstream_auth"}),
    "context_length": frozenset({"context_length", "too_large"}),
    "content_policy": frozenset({"content_policy"}),
}
CLASS_BY_KIND = {kind: name for name, kinds in CLASSES.items() for kind in kinds}
# A longer Retry-After is passed on to the client, unless the route overrides it.
DEFAULT_MAX_WAIT_S = 2.0
# Upper bound of the exponential backoff.
MAX_BACKOFF_S = 8.0
# Kinds that may pass within a second; after other kinds only another target is tried.
_TRANSIENT = frozenset({"upstream_error", "overloaded", "rate_limit", "malformed_output"})


class Candidate(msgspec.Struct, frozen=True):
    """A target to call.

    Attributes:
        stage: index over the steps of the route and its fallbacks, from 0.
        first_stage: the stage at which its route begins.
        entry_kinds: the error kinds on which its route is a fallback; None is any.
    """

    route: Route
    target: Target
    stage: int
    step: Step | None = None
    first_stage: int = 0
    entry_kinds: frozenset[str] | None = None


class Skip(msgspec.Struct, frozen=True):
    """A target that is not called; `kind` is the error kind of its cooldown, if it has one."""

    candidate: Candidate
    reason: str
    kind: str = ""


class Decision(msgspec.Struct, frozen=True):
    """The candidates in order, and the targets that are skipped before the first call.

    `ignores_cooldowns`: all targets are in cooldown, and are called anyway.
    """

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skip, ...] = ()
    ignores_cooldowns: bool = False


class RetryPlan:
    """Order of calls for one request, in rounds over all candidates.

    Every candidate once, then again those with a transient failure: at most `retries` times,
    or the number in `retries_by_kind` for the class of the error.

    Attributes:
        pause_due: whether `next_candidate` has just begun a further round.
        round_number: completed rounds.
        bypassed: candidates that `next_candidate` skipped; the caller may empty it.
    """

    def __init__(
        self,
        decision: Decision,
        retries: int,
        retries_by_kind: Mapping[str, int] | None = None,
        max_wait_s: float = DEFAULT_MAX_WAIT_S,
    ) -> None:
        self.pause_due = False
        self.round_number = 0
        self.bypassed: list[Skip] = []
        self._retries = retries
        self._retries_by_kind = retries_by_kind or None
        self._max_rounds = max([retries, *(retries_by_kind or {}).values()])
        self._max_wait_s = max_wait_s
        self._retry_after_s = 0.0
        self._candidates = decision.candidates
        self._pending = list(decision.candidates)
        self._retry_queue: list[Candidate] = []
        self._not_activated: list[Candidate] = []
        self._current: Candidate | None = None
        self._retry_counts: dict[tuple[int, str], int] = {}
        # Error kinds of each stage, those that caused cooldowns included.
        self._error_kinds_by_stage: dict[int, set[str]] = {}
        for skip in decision.skipped:
            if skip.kind:
                self._record_error_kind(skip.candidate, skip.kind)

    def next_candidate(self) -> Candidate | None:
        """The candidate to call next; None after the last."""
        self.pause_due = False
        while True:
            while self._pending:
                candidate = self._pending.pop(0)
                if self._is_activated(candidate):
                    self._current = candidate
                    return candidate
                self._bypass(candidate)
            if not self._retry_queue or self.round_number >= self._max_rounds:
                return None
            self.round_number += 1
            self.pause_due = True
            due = {id(candidate) for candidate in (*self._retry_queue, *self._not_activated)}
            self._pending = [candidate for candidate in self._candidates if id(candidate) in due]
            self._retry_queue, self._not_activated = [], []

    def pause_s(self, backoff_s: float, draw: Callable[[], float]) -> float:
        """Seconds to wait before the round that `next_candidate` has just begun.

        Exponential backoff with jitter (factor 0.5 to 1.5), at least the largest Retry-After.
        """
        after_s, self._retry_after_s = self._retry_after_s, 0.0
        doubled = backoff_s * 2.0 ** min(self.round_number - 1, 20) * (0.5 + draw())
        return float(max(min(doubled, MAX_BACKOFF_S), after_s))

    def hedge_candidate(self) -> Candidate | None:
        """A candidate to call in parallel, as if the current one had timed out; consumes it."""
        current = self._current
        assert current is not None
        for candidate in self._pending:
            if candidate.stage == current.stage or _timeout_activates(candidate, current):
                self._pending.remove(candidate)
                return candidate
        return None

    def record_failure(self, error: Error, candidate: Candidate | None = None) -> bool:
        """Records how a call ended; returns whether another candidate may follow."""
        candidate = candidate or self._current
        assert candidate is not None
        self._record_error_kind(candidate, error.kind)
        retries_target = self._claim_retry(candidate, error)
        if retries_target:
            self._retry_after_s = max(self._retry_after_s, float(error.retry_after_s or 0))
        if error.retryable:
            if retries_target:
                self._retry_queue.append(candidate)
            return True
        if retries_target:  # the request itself was refused: no other target is called meanwhile
            self._retry_alone(candidate)
            return True
        return self._jump_to_handler(candidate.stage, error.kind)

    def _claim_retry(self, candidate: Candidate, error: Error) -> bool:
        if not may_retry_target(error, self._max_wait_s):
            return False
        if self._retries_by_kind is None:
            return error.kind in _TRANSIENT
        limit = max_retries(error.kind, self._retries, self._retries_by_kind)
        retry_key = id(candidate), CLASS_BY_KIND.get(error.kind, "")
        retry_count = self._retry_counts.get(retry_key, 0)
        if retry_count >= limit:
            return False
        self._retry_counts[retry_key] = retry_count + 1
        return True

    def _retry_alone(self, candidate: Candidate) -> None:
        """Calls this candidate again before any other."""
        self._retry_queue = [candidate]
        self._not_activated = [c for c in self._pending if c.stage > candidate.stage]
        self._pending = []

    def _record_error_kind(self, candidate: Candidate, kind: str) -> None:
        self._error_kinds_by_stage.setdefault(candidate.stage, set()).add(kind)

    def _is_activated(self, candidate: Candidate) -> bool:
        if not self._error_kinds_by_stage:
            return True
        stage_above = self._stage_above(candidate.stage)
        if stage_above is None:
            return True
        if candidate.entry_kinds is None:
            return bool(_activating_kinds(candidate.step, self._error_kinds_by_stage[stage_above]))
        stage_before = self._stage_above(candidate.first_stage)
        if stage_before is not None and candidate.entry_kinds.isdisjoint(
            self._error_kinds_by_stage[stage_before]
        ):
            return False
        # Within the fallback route, its own steps decide.
        return stage_above == stage_before or bool(
            _activating_kinds(candidate.step, self._error_kinds_by_stage[stage_above])
        )

    def _stage_above(self, stage: int) -> int | None:
        """The nearest earlier stage with failures; None if there is none."""
        return max(
            (earlier for earlier in self._error_kinds_by_stage if earlier < stage), default=None
        )

    def _bypass(self, candidate: Candidate) -> None:
        if self.round_number == 0:
            self.bypassed.append(self._not_activated_skip(candidate))
        self._not_activated.append(candidate)

    def _not_activated_skip(self, candidate: Candidate) -> Skip:
        return Skip(candidate, "how the step above failed does not lead here")

    def _jump_to_handler(self, stage: int, kind: str) -> bool:
        """After an error of the request itself: jumps to a step that handles this kind, if any."""
        below = [c for c in self._pending if c.stage > stage and _handles_kind(c, kind)]
        if not below:
            return False
        bypassed = [c for c in self._pending if c.stage < below[0].stage]
        self.bypassed += [Skip(c, "the request itself was refused above") for c in bypassed]
        self._pending = [c for c in self._pending if c.stage >= below[0].stage]
        self._retry_queue = []
        return True


def may_retry_target(error: Error, max_wait_s: float) -> bool:
    """Whether the same target may succeed on a retry after this error."""
    if error.should_retry is False or error.kind == "quota":
        return False
    return error.retry_after_s is None or error.retry_after_s <= max_wait_s


def max_retries(kind: str, retries: int, retries_by_kind: Mapping[str, int]) -> int:
    """Retries for an error of this kind."""
    return retries_by_kind.get(CLASS_BY_KIND.get(kind, ""), retries if kind in _TRANSIENT else 0)


def _timeout_activates(candidate: Candidate, current: Candidate) -> bool:
    """Whether a timeout of `current` activates a candidate of a later stage."""
    if candidate.entry_kinds is not None and candidate.route is not current.route:
        return "timeout" in candidate.entry_kinds
    return bool(_activating_kinds(candidate.step, ("timeout",)))


def _activating_kinds(step: Step | None, kinds: Iterable[str]) -> list[str]:
    """Error kinds in `kinds` that activate this fallback step."""
    if step is None or not step.fallback_on:
        return [kind for kind in kinds if KINDS[kind].retryable]
    return [kind for kind in kinds if _step_handles_kind(step, kind)]


def _handles_kind(candidate: Candidate, kind: str) -> bool:
    if candidate.entry_kinds is not None:
        return kind in candidate.entry_kinds
    return _step_handles_kind(candidate.step, kind)


def _step_handles_kind(step: Step | None, kind: str) -> bool:
    return step is not None and any(kind in CLASSES[name] for name in step.fallback_on)


# --- retries step by step ---------------------------------------------------------------

# A stage of a decision, and the order within it.
Group = tuple[int, int]


def retry_plan_for(decision: Decision, route: Route) -> RetryPlan:
    """The retry plan of a request, by the settings of its route."""
    if route.retry_before_fallback:
        return StepRetryPlan(decision)
    return RetryPlan(decision, route.retries, route.retries_by_kind, route.max_wait_s)


class StepRetryPlan(RetryPlan):
    """Retries step by step.

    `round_number` counts the rounds of the current step: the backoff starts anew with each.
    """

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision, 0)
        self._group: Group | None = None
        self._calls: defaultdict[Group, int] = defaultdict(int)

    def next_candidate(self) -> Candidate | None:
        """The candidate to call next; None after the last."""
        self.pause_due = False
        while True:
            due = min(map(group_of, self._retry_queue)) if self._retry_queue else None
            if self._pending and (due is None or group_of(self._pending[0]) <= due):
                candidate = self._pending.pop(0)
                if self._is_activated(candidate):
                    self._current = candidate
                    return candidate
                self._bypass(candidate)
                continue
            if due is None:
                return None
            self._start_round(due)

    def _start_round(self, due: Group) -> None:
        """Starts another round over a step."""
        self.round_number = self.round_number + 1 if due == self._group else 1
        self._group = due
        self.pause_due = True
        queued, self._retry_queue = self._retry_queue, []
        for candidate in queued:
            (self._pending if group_of(candidate) == due else self._retry_queue).append(candidate)
        self._pending.sort(key=group_of)

    def record_failure(self, error: Error, candidate: Candidate | None = None) -> bool:
        """Records how a call ended; returns whether another candidate may follow."""
        candidate = candidate or self._current
        assert candidate is not None
        self._calls[group_of(candidate)] += 1
        return super().record_failure(error, candidate)

    def _claim_retry(self, candidate: Candidate, error: Error) -> bool:
        route, group = candidate.route, group_of(candidate)
        if not may_retry_target(error, route.max_wait_s):
            return False
        # A target that refused the request itself is retried alone.
        upcoming = (*self._pending, *self._retry_queue) if error.retryable else ()
        planned = self._calls[group] + sum(group_of(peer) == group for peer in upcoming)
        return planned <= max_retries(error.kind, route.retries, route.retries_by_kind)

    def _retry_alone(self, candidate: Candidate) -> None:
        group = group_of(candidate)
        self._retry_queue = [candidate]
        self._pending = [peer for peer in self._pending if group_of(peer) > group]

    def _bypass(self, candidate: Candidate) -> None:
        self.bypassed.append(self._not_activated_skip(candidate))


def group_of(candidate: Candidate) -> Group:
    """The group of a candidate; targets of a route without steps, tried in order, are one group."""
    route = candidate.route
    listed = not route.steps and route.strategy == "ordered"
    return candidate.stage, 0 if listed else candidate.target.order
