"""Retry plan that repeats a step before it activates the next one.

    retry_plan_for(decision, route) -> RetryPlan, or StepRetryPlan with `retry_before_fallback`

A step then gets one call for each of its targets, and at least one more than its route has
`retries`; each fallback route likewise, with its own settings.
"""

from __future__ import annotations

from collections import defaultdict

from gateway.canon.errors import Error
from gateway.routing.retry_plan import Candidate, Decision, RetryPlan, max_retries, may_retry_target
from gateway.routing.snapshot import Route

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
        """Start another round over a step."""
        self.round_number = self.round_number + 1 if due == self._group else 1
        self._group = due
        self.pause_due = True
        queued, self._retry_queue = self._retry_queue, []
        for candidate in queued:
            (self._pending if group_of(candidate) == due else self._retry_queue).append(candidate)
        self._pending.sort(key=group_of)

    def record_failure(self, error: Error, candidate: Candidate | None = None) -> bool:
        """Record how a call ended; whether another candidate may follow."""
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
