"""The course of a request whose step is asked again before the next step is entered.

    course_of(decision, route) -> Course, or Stepwise where the route says `retry_first`

A step then gets one call for each of its targets, and at least one more than its route has
`retries`; so does each route that is fallen back to, by what that route says itself.
"""

from __future__ import annotations

from collections import defaultdict

from gateway.canon.errors import Error
from gateway.routing.course import Candidate, Course, Decision, passing, times
from gateway.routing.snapshot import Route

# A stage of a decision, and the order within it.
Group = tuple[int, int]


def course_of(decision: Decision, route: Route) -> Course:
    """The course of a request through a decision, with the route's retries."""
    if route.retry_first:
        return Stepwise(decision)
    return Course(decision, route.retries, route.retry, route.max_wait_s)


class Stepwise(Course):
    """One request on its way, step by step.

    `round` counts the rounds of the present step: pauses begin anew with each.
    """

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision, 0)
        self._group: Group | None = None
        self._calls: defaultdict[Group, int] = defaultdict(int)

    def next(self) -> Candidate | None:
        """The one to call now; None if there is nobody left."""
        self.waits = False
        while True:
            due = min(map(group_of, self._again)) if self._again else None
            if self._left and (due is None or group_of(self._left[0]) <= due):
                candidate = self._left.pop(0)
                if self._entered(candidate):
                    self._at = candidate
                    return candidate
                self._pass(candidate)
                continue
            if due is None:
                return None
            self._turn(due)

    def _turn(self, due: Group) -> None:
        """Begin a further round over a step."""
        self.round = self.round + 1 if due == self._group else 1
        self._group = due
        self.waits = True
        again, self._again = self._again, []
        for candidate in again:
            (self._left if group_of(candidate) == due else self._again).append(candidate)
        self._left.sort(key=group_of)

    def failed(self, error: Error, candidate: Candidate | None = None) -> bool:
        """Whether there may be another one for a request whose call ended so."""
        candidate = candidate or self._at
        assert candidate is not None
        self._calls[group_of(candidate)] += 1
        return super().failed(error, candidate)

    def _repeats(self, candidate: Candidate, error: Error) -> bool:
        route, group = candidate.owner, group_of(candidate)
        if not passing(error, route.max_wait_s):
            return False
        # Who is refused the request itself is asked again alone.
        to_come = (*self._left, *self._again) if error.retryable else ()
        planned = self._calls[group] + sum(group_of(other) == group for other in to_come)
        return planned <= times(error.kind, route.retries, route.retry)

    def _alone(self, candidate: Candidate) -> None:
        group = group_of(candidate)
        self._again = [candidate]
        self._left = [other for other in self._left if group_of(other) > group]

    def _pass(self, candidate: Candidate) -> None:
        self.passed.append(self._beyond(candidate))


def group_of(candidate: Candidate) -> Group:
    """The step that a candidate belongs to; targets that are tried in order are one."""
    route = candidate.owner
    listed = not route.steps and route.strategy == "ordered"
    return candidate.stage, 0 if listed else candidate.target.order
