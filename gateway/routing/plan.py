"""The way of a request through its route: which targets, in which order, and why not.

Pure, and the same for live traffic and the dry run:

    decide(routes, facts, ...) -> Decision    the candidates, and those left out with why
    Course(decision, retries)                 next() -> call it -> failed(error), and so on

A route without steps is a list of targets, tried until one answers. With steps, the
targets of a step are tried before the next step is looked at, which its conditions then
let in or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from gateway.canon.errors import KINDS, Error
from gateway.canon.request import Image, Request, ToolResult
from gateway.routing.health import State, reason, usable
from gateway.routing.readings import Readings
from gateway.routing.snapshot import Route, Snapshot, Step, Target
from gateway.routing.strategies import STRATEGIES, Draw

# What a step may be entered on -> the error kinds that are meant.
CLASSES: dict[str, frozenset[str]] = {
    "rate_limit": frozenset({"rate_limit", "quota"}),
    "upstream_error": frozenset({"upstream_error", "overloaded", "malformed_output"}),
    "timeout": frozenset({"timeout"}),
    "upstream_auth": frozenset({"upstream_auth"}),
    "context_length": frozenset({"context_length", "too_large"}),
    "content_policy": frozenset({"content_policy"}),
}
# What a request may use -> how a refusal for it is put.
FEATURES = {"tools": "tools", "images": "images", "schema": "a JSON schema"}
# A longer Retry-After is the client's to wait for, not ours.
WORTH_WAITING_S = 2
# Kinds that may pass within a second; others are tried elsewhere but not again.
_TRANSIENT = frozenset({"upstream_error", "overloaded", "rate_limit", "malformed_output"})


class Facts(msgspec.Struct, frozen=True):
    """What of a request decides its way.

    Attributes:
        uses: keys of FEATURES.
        tokens: its length, by estimate.
    """

    uses: frozenset[str] = frozenset()
    tokens: int = 0


class Candidate(msgspec.Struct, frozen=True):
    """A target to call. `stage` counts the steps of the route and its fallbacks from 0."""

    owner: Route
    target: Target
    stage: int
    step: Step | None = None


class Skip(msgspec.Struct, frozen=True):
    """A target that is not called, and why; `kind` is what makes it rest, if it does."""

    candidate: Candidate
    why: str
    kind: str = ""


class Decision(msgspec.Struct, frozen=True):
    """The candidates in order, and who is left out before anything is called."""

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skip, ...] = ()


def with_fallbacks(snapshot: Snapshot, route: Route) -> list[Route]:
    """The route and those it falls back to."""
    found = (snapshot.route(name) for name in route.fallbacks)
    return [route, *(r for r in found if r is not None and r.name != route.name)]


def reads(routes: Iterable[Route]) -> bool:
    """Whether `decide` needs the facts of a request for these."""
    return any(route.reads for route in routes)


def facts_of(request: Request, tokens: int) -> Facts:
    """What of a request decides its way; `tokens` is the caller's estimate."""
    used = set()
    if request.tools:
        used.add("tools")
    if request.output.format == "schema":
        used.add("schema")
    if any(_is_image(part) for turn in request.turns for part in turn.parts):
        used.add("images")
    return Facts(frozenset(used), tokens)


def _is_image(part: object) -> bool:
    if isinstance(part, ToolResult):
        return any(isinstance(inner, Image) for inner in part.parts)
    return isinstance(part, Image)


def decide(
    routes: Sequence[Route],
    facts: Facts | None,
    health: Mapping[str, State],
    readings: Readings,
    now: float,
    draw: Draw,
) -> Decision:
    """The way through a route and its fallbacks (`routes`).

    `facts` may be None if no step reads them. Resting targets are left out; if then
    nobody could be called, they are called all the same: a call that may fail is better
    than none at all.
    """
    fitting: list[Candidate] = []
    skipped: list[Skip] = []
    for candidate in _all(routes, now, draw, readings):
        why = _unfit(candidate, facts) if facts is not None else None
        if why is None:
            fitting.append(candidate)
        else:
            skipped.append(Skip(candidate, why))
    if not health:
        return Decision(tuple(fitting), tuple(skipped))
    awake, resting = _by_health(fitting, health, now)
    if resting and not _anyone(awake, resting):
        return Decision(tuple(fitting), tuple(skipped))
    return Decision(tuple(awake), (*skipped, *resting))


def _by_health(
    candidates: list[Candidate], health: Mapping[str, State], now: float
) -> tuple[list[Candidate], list[Skip]]:
    awake: list[Candidate] = []
    resting: list[Skip] = []
    for candidate in candidates:
        state = health.get(candidate.target.model.label)
        if state is None or usable(state, now):
            awake.append(candidate)
        else:
            resting.append(Skip(candidate, reason(state, now), state.kind))
    return awake, resting


def _anyone(awake: list[Candidate], resting: list[Skip]) -> bool:
    """Whether the conditions let any of `awake` be the first to be called."""
    return Course(Decision(tuple(awake), tuple(resting)), 0).next() is not None


def _all(
    routes: Sequence[Route], now: float, draw: Draw, readings: Readings
) -> Iterator[Candidate]:
    stage = 0
    for route in routes:
        for step, group in _stages(route):
            strategy = STRATEGIES[step.strategy if step is not None else route.strategy]
            for target in strategy(group, now, draw, readings):
                yield Candidate(route, target, stage, step)
            stage += 1


def _stages(route: Route) -> Iterator[tuple[Step | None, Sequence[Target]]]:
    if not route.steps:
        yield None, route.targets
        return
    known = {step.order: step for step in route.steps}
    groups: dict[int, list[Target]] = {}
    for target in route.targets:
        groups.setdefault(target.order, []).append(target)
    for order in sorted(groups):
        step = known.get(order)
        yield step or Step(order=order, strategy=route.strategy), groups[order]


def _unfit(candidate: Candidate, facts: Facts) -> str | None:
    """Why the target is not for this request, or None if it is."""
    step = candidate.step
    if step is None or not step.reads:
        return None
    return _unwanted(step, facts) or (_unable(candidate.target, facts) if step.able else None)


def _unwanted(step: Step, facts: Facts) -> str | None:
    for feature in step.takes:
        if feature not in facts.uses:
            return f"the step is for requests with {FEATURES[feature]} only"
    for feature in step.refuses:
        if feature in facts.uses:
            return f"the step is for requests without {FEATURES[feature]}"
    if step.min_context is not None and facts.tokens < step.min_context:
        return f"the step is for requests of at least {step.min_context:,} tokens"
    if step.max_context is not None and facts.tokens > step.max_context:
        return f"the step is for requests of at most {step.max_context:,} tokens"
    return None


def _unable(target: Target, facts: Facts) -> str | None:
    for feature in sorted(facts.uses):
        if not able(target, feature):
            return f"it can not take {FEATURES[feature]}"
    window = target.model.traits.context_window
    if window is not None and facts.tokens > window:
        return f"its context of {window:,} tokens is too small"
    return None


def able(target: Target, feature: str) -> bool:
    """Whether the target's model takes what a key of FEATURES names."""
    return _ABILITIES[feature](target)


_ABILITIES: dict[str, Callable[[Target], bool]] = {
    "tools": lambda target: target.model.traits.tools,
    "images": lambda target: target.model.traits.images,
    "schema": lambda target: target.model.traits.structured == "schema",
}


class Course:
    """One request on its way through a decision: who is next, given how the last ended.

    In rounds: every candidate once, then again those whose failure may pass, `retries`
    times at most.

    Attributes:
        waits: whether `next` has just begun a further round, before which a pause is due.
        round: how many rounds are over.
        passed: those that `next` went past, with why; the caller may empty it.
    """

    def __init__(self, decision: Decision, retries: int) -> None:
        self.waits = False
        self.round = 0
        self.passed: list[Skip] = []
        self._retries = retries
        self._all = decision.candidates
        self._left = list(decision.candidates)
        self._again: list[Candidate] = []
        self._shut: list[Candidate] = []
        self._at: Candidate | None = None
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
            if not self._again or self.round >= self._retries:
                return None
            self.round += 1
            self.waits = True
            due = {id(candidate) for candidate in (*self._again, *self._shut)}
            self._left = [candidate for candidate in self._all if id(candidate) in due]
            self._again, self._shut = [], []

    def failed(self, error: Error) -> bool:
        """Whether there may be another one for a request whose call ended so."""
        candidate = self._at
        assert candidate is not None
        self._blame(candidate, error.kind)
        if not error.retryable:
            return self._jump(candidate.stage, error.kind)
        if _worth_repeating(error):
            self._again.append(candidate)
        return True

    def _blame(self, candidate: Candidate, kind: str) -> None:
        self._causes.setdefault(candidate.stage, set()).add(kind)

    def _entered(self, candidate: Candidate) -> bool:
        above = self._above(candidate.stage)
        return above is None or bool(_meant(candidate.step, self._causes[above]))

    def _above(self, stage: int) -> int | None:
        """The nearest stage above that was in use; None if there is none."""
        return max((other for other in self._causes if other < stage), default=None)

    def _pass(self, candidate: Candidate) -> None:
        if self.round == 0:
            self.passed.append(Skip(candidate, "how the step above failed does not lead here"))
        self._shut.append(candidate)

    def _jump(self, stage: int, kind: str) -> bool:
        """After a failure that is the request's: on to a step that is made for it, if any."""
        below = [c for c in self._left if c.stage > stage and _names(c.step, kind)]
        if not below:
            return False
        past = [c for c in self._left if c.stage < below[0].stage]
        self.passed += [Skip(c, "the request itself was refused above") for c in past]
        self._left = [c for c in self._left if c.stage >= below[0].stage]
        self._again = []
        return True


def _meant(step: Step | None, kinds: Iterable[str]) -> list[str]:
    """Those of the kinds on which the step is entered."""
    if step is None or not step.on:
        return [kind for kind in kinds if KINDS[kind].retryable]
    return [kind for kind in kinds if _names(step, kind)]


def _names(step: Step | None, kind: str) -> bool:
    return step is not None and any(kind in CLASSES[name] for name in step.on)


def _worth_repeating(error: Error) -> bool:
    if error.kind not in _TRANSIENT or error.should_retry is False:
        return False
    return error.retry_after_s is None or error.retry_after_s <= WORTH_WAITING_S
