"""One request on its way through a decision: who is next, given how the last ended.

Pure: the pauses between rounds are told, never waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from gateway.canon.errors import KINDS, Error
from gateway.routing.snapshot import Route, Step, Target

# What a step may be entered on, and what a retry may be for -> the error kinds meant.
CLASSES: dict[str, frozenset[str]] = {
    "rate_limit": frozenset({"rate_limit", "quota"}),
    "upstream_error": frozenset({"upstream_error", "overloaded", "malformed_output"}),
    "timeout": frozenset({"timeout"}),
    "upstream_auth": frozenset({"upstream_auth"}),
    "context_length": frozenset({"context_length", "too_large"}),
    "content_policy": frozenset({"content_policy"}),
}
CLASS_OF = {kind: name for name, kinds in CLASSES.items() for kind in kinds}
# A longer Retry-After is the client's to wait for, where a route says nothing else.
WORTH_WAITING_S = 2.0
# The longest pause that a retry is worth, however often it has doubled.
MAX_PAUSE_S = 8.0
# Kinds that may pass within a second; others are tried elsewhere but not again.
_TRANSIENT = frozenset({"upstream_error", "overloaded", "rate_limit", "malformed_output"})


class Candidate(msgspec.Struct, frozen=True):
    """A target to call.

    Attributes:
        stage: counts the steps of the route and its fallbacks from 0.
        first: the stage at which its route begins.
        entry: the kinds of failure on which its route is fallen back to; None is any.
    """

    owner: Route
    target: Target
    stage: int
    step: Step | None = None
    first: int = 0
    entry: frozenset[str] | None = None


class Skip(msgspec.Struct, frozen=True):
    """A target that is not called, and why; `kind` is what makes it rest, if it does."""

    candidate: Candidate
    why: str
    kind: str = ""


class Decision(msgspec.Struct, frozen=True):
    """The candidates in order, and who is left out before anything is called.

    `forced` says that all rest, and are called all the same.
    """

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skip, ...] = ()
    forced: bool = False


class Course:
    """One request on its way through a decision.

    In rounds: every candidate once, then again those whose failure may pass: `retries`
    times at most, or as often as `retry` says for the class of the failure.

    Attributes:
        waits: whether `next` has just begun a further round, before which a pause is due.
        round: how many rounds are over.
        passed: those that `next` went past, with why; the caller may empty it.
    """

    def __init__(
        self,
        decision: Decision,
        retries: int,
        retry: Mapping[str, int] | None = None,
        max_wait_s: float = WORTH_WAITING_S,
    ) -> None:
        self.waits = False
        self.round = 0
        self.passed: list[Skip] = []
        self._retries = retries
        self._retry = retry or None
        self._rounds = max(retries, *retry.values()) if retry else retries
        self._max_wait_s = max_wait_s
        self._after_s = 0.0
        self._all = decision.candidates
        self._left = list(decision.candidates)
        self._again: list[Candidate] = []
        self._shut: list[Candidate] = []
        self._at: Candidate | None = None
        self._repeated: dict[tuple[int, str], int] = {}
        # How targets of each stage failed; one that rests did so before.
        self._causes: dict[int, set[str]] = {}
        for skip in decision.skipped:
            if skip.kind:
                self._blame(skip.candidate, skip.kind)

    def next(self) -> Candidate | None:
        """The one to call now; None if there is nobody left."""
        self.waits = False
        while True:
            while self._left:
                candidate = self._left.pop(0)
                if self._entered(candidate):
                    self._at = candidate
                    return candidate
                self._pass(candidate)
            if not self._again or self.round >= self._rounds:
                return None
            self.round += 1
            self.waits = True
            due = {id(candidate) for candidate in (*self._again, *self._shut)}
            self._left = [candidate for candidate in self._all if id(candidate) in due]
            self._again, self._shut = [], []

    def pause_s(self, backoff_s: float, draw: Callable[[], float]) -> float:
        """How long to wait before the round that `next` has just begun.

        Half to one and a half of a backoff that doubles, but at least the Retry-After of
        those who said one.
        """
        after_s, self._after_s = self._after_s, 0.0
        doubled = backoff_s * 2.0 ** min(self.round - 1, 20) * (0.5 + draw())
        return float(max(min(doubled, MAX_PAUSE_S), after_s))

    def beside(self) -> Candidate | None:
        """One to ask beside the present one, as if that had timed out; it counts as tried."""
        at = self._at
        assert at is not None
        for candidate in self._left:
            if candidate.stage == at.stage or _follows(candidate, at):
                self._left.remove(candidate)
                return candidate
        return None

    def failed(self, error: Error, candidate: Candidate | None = None) -> bool:
        """Whether there may be another one for a request whose call ended so."""
        candidate = candidate or self._at
        assert candidate is not None
        self._blame(candidate, error.kind)
        again = self._repeats(candidate, error)
        if again:
            self._after_s = max(self._after_s, float(error.retry_after_s or 0))
        if error.retryable:
            if again:
                self._again.append(candidate)
            return True
        if again:  # the request itself was refused: nobody else is asked meanwhile
            self._alone(candidate)
            return True
        return self._jump(candidate.stage, error.kind)

    def _repeats(self, candidate: Candidate, error: Error) -> bool:
        if not passing(error, self._max_wait_s):
            return False
        if self._retry is None:
            return error.kind in _TRANSIENT
        most = times(error.kind, self._retries, self._retry)
        known = id(candidate), CLASS_OF.get(error.kind, "")
        done = self._repeated.get(known, 0)
        if done >= most:
            return False
        self._repeated[known] = done + 1
        return True

    def _alone(self, candidate: Candidate) -> None:
        """Have this one asked again before anybody else."""
        self._again = [candidate]
        self._shut = [c for c in self._left if c.stage > candidate.stage]
        self._left = []

    def _blame(self, candidate: Candidate, kind: str) -> None:
        self._causes.setdefault(candidate.stage, set()).add(kind)

    def _entered(self, candidate: Candidate) -> bool:
        if not self._causes:
            return True
        above = self._above(candidate.stage)
        if above is None:
            return True
        if candidate.entry is None:
            return bool(_meant(candidate.step, self._causes[above]))
        before = self._above(candidate.first)
        if before is not None and candidate.entry.isdisjoint(self._causes[before]):
            return False
        # Within the fallback its own steps say who is next.
        return above == before or bool(_meant(candidate.step, self._causes[above]))

    def _above(self, stage: int) -> int | None:
        """The nearest stage above that was in use; None if there is none."""
        return max((other for other in self._causes if other < stage), default=None)

    def _pass(self, candidate: Candidate) -> None:
        if self.round == 0:
            self.passed.append(self._beyond(candidate))
        self._shut.append(candidate)

    def _beyond(self, candidate: Candidate) -> Skip:
        return Skip(candidate, "how the step above failed does not lead here")

    def _jump(self, stage: int, kind: str) -> bool:
        """After a failure that is the request's: on to a step that is made for it, if any."""
        below = [c for c in self._left if c.stage > stage and _made_for(c, kind)]
        if not below:
            return False
        past = [c for c in self._left if c.stage < below[0].stage]
        self.passed += [Skip(c, "the request itself was refused above") for c in past]
        self._left = [c for c in self._left if c.stage >= below[0].stage]
        self._again = []
        return True


def passing(error: Error, max_wait_s: float) -> bool:
    """Whether the same target may be worth asking again after such a failure."""
    if error.should_retry is False or error.kind == "quota":
        return False
    return error.retry_after_s is None or error.retry_after_s <= max_wait_s


def times(kind: str, retries: int, retry: Mapping[str, int]) -> int:
    """How many retries a failure of this kind is worth."""
    return retry.get(CLASS_OF.get(kind, ""), retries if kind in _TRANSIENT else 0)


def _follows(candidate: Candidate, at: Candidate) -> bool:
    """Whether a timeout of `at` would lead to a candidate of a later stage."""
    if candidate.entry is not None and candidate.owner is not at.owner:
        return "timeout" in candidate.entry
    return bool(_meant(candidate.step, ("timeout",)))


def _meant(step: Step | None, kinds: Iterable[str]) -> list[str]:
    """Those of the kinds on which the step is entered."""
    if step is None or not step.on:
        return [kind for kind in kinds if KINDS[kind].retryable]
    return [kind for kind in kinds if _names(step, kind)]


def _made_for(candidate: Candidate, kind: str) -> bool:
    if candidate.entry is not None:
        return kind in candidate.entry
    return _names(candidate.step, kind)


def _names(step: Step | None, kind: str) -> bool:
    return step is not None and any(kind in CLASSES[name] for name in step.on)
