"""The way of a request through its route: which targets, in which order, and why not.

Pure, and the same for live traffic and the dry run:

    decide(routes, facts, ...) -> Decision    the candidates, and those left out with why
    course_of(decision, route) -> Course      next() -> call it -> failed(error), and so on

A route without steps is a list of targets, tried until one answers. With steps, the
targets of a step are tried before the next step is looked at, which its conditions then
let in or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from gateway.canon.errors import KINDS
from gateway.canon.request import Image, Request, ToolResult
from gateway.routing.course import CLASSES, Candidate, Course, Decision, Skip
from gateway.routing.health import State, reason, usable
from gateway.routing.hours import hours
from gateway.routing.readings import Readings
from gateway.routing.snapshot import Route, Snapshot, Step, Target
from gateway.routing.strategies import Context, Draw, arranged

# What a request may use -> how a refusal for it is put.
FEATURES = {"tools": "tools", "images": "images", "schema": "a JSON schema"}
# A target with this tag takes the requests that no other target's tags are for.
DEFAULT = "default"


_RETRYABLE = frozenset(kind for kind, known in KINDS.items() if known.retryable)
_IDLE: dict[str, int] = {}


class Facts(msgspec.Struct, frozen=True):
    """What of a request decides its way.

    Attributes:
        uses: keys of FEATURES.
        tokens: its length, by estimate.
        session: what the requests of one conversation have in common; empty if unknown.
        who: the key that asks; empty if there is none.
        tags: those of the request and of its key.
        at: unix seconds.
    """

    uses: frozenset[str] = frozenset()
    tokens: int = 0
    session: str = ""
    who: str = ""
    tags: frozenset[str] = frozenset()
    at: float = 0.0


def with_fallbacks(snapshot: Snapshot, route: Route) -> list[Route]:
    """The route and those it falls back to, those for one class of failure first."""
    if not route.fallbacks and not route.fallbacks_on:
        return [route]
    names = dict.fromkeys(name for names in route.fallbacks_on.values() for name in names)
    found = (snapshot.route(name) for name in (names | dict.fromkeys(route.fallbacks)))
    return [route, *(r for r in found if r is not None and r.name != route.name)]


def reads(routes: Iterable[Route]) -> bool:
    """Whether `decide` needs the facts of a request for these."""
    return any(route.reads for route in routes)


def asks(routes: Iterable[Route]) -> bool:
    """Whether `decide` needs to know who asks for these, and when."""
    return any(route.asks for route in routes)


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
    busy: Mapping[str, int] = _IDLE,
) -> Decision:
    """The way through a route and its fallbacks (`routes`).

    `facts` may be None if no route asks for them. Resting targets are left out; if then
    nobody could be called, they are called all the same: a call that may fail is better
    than none at all. `busy` are the requests under way, by `provider/model`.
    """
    if facts is None and not health and len(routes) == 1 and len(routes[0].targets) == 1:
        return _only(routes[0])
    fitting: list[Candidate] = []
    skipped: list[Skip] = []
    barred = _barred(routes, facts) if facts is not None else None
    for candidate in _all(routes, now, draw, readings, facts, busy):
        why = _unfit(candidate, facts) if facts is not None else None
        if why is None and barred and id(candidate.target) in barred:
            why = "its tags are not those of the request"
        if why is None:
            fitting.append(candidate)
        else:
            skipped.append(Skip(candidate, why))
    if not health:
        return Decision(tuple(fitting), tuple(skipped))
    awake, resting = _by_health(fitting, health, now)
    if resting and not _anyone(awake, resting):
        return Decision(tuple(fitting), tuple(skipped), forced=True)
    return Decision(tuple(awake), (*skipped, *resting))


def _only(route: Route) -> Decision:
    """Of a route with one target, whoever asks."""
    (target,) = route.targets
    step = None
    if route.steps:
        fitting = (step for step in route.steps if step.order == target.order)
        step = next(fitting, None) or Step(order=target.order, strategy=route.strategy)
    return Decision((Candidate(route, target, 0, step),))


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
    routes: Sequence[Route],
    now: float,
    draw: Draw,
    readings: Readings,
    facts: Facts | None,
    busy: Mapping[str, int],
) -> Iterator[Candidate]:
    stage = 0
    for route in routes:
        first, entry = stage, _entry(routes[0], route)
        context = None
        for step, group in _stages(route):
            if len(group) > 1:
                context = context or _context(route, now, draw, readings, facts, busy)
                chosen = step.strategy if step is not None else route.strategy
                group = arranged(chosen, group, context)
            for target in group:
                yield Candidate(route, target, stage, step, first, entry)
            stage += 1


def _context(
    route: Route,
    now: float,
    draw: Draw,
    readings: Readings,
    facts: Facts | None,
    busy: Mapping[str, int],
) -> Context:
    session, who = (facts.session, facts.who) if facts is not None else ("", "")
    return Context(now, draw, readings, session, who, route.name, busy)


def _entry(first: Route, route: Route) -> frozenset[str] | None:
    """The kinds of failure on which `route` is fallen back to; None if on any."""
    if not first.fallbacks_on or route is first:
        return None
    named = [CLASSES[name] for name, to in first.fallbacks_on.items() if route.name in to]
    if not named:
        return None
    kinds = frozenset().union(*named)
    return kinds | _RETRYABLE if route.name in first.fallbacks else kinds


def _barred(routes: Sequence[Route], facts: Facts) -> set[int]:
    """The targets (by `id()`) whose tags are not the request's."""
    found: set[int] = set()
    for route in routes:
        if not any(target.tags for target in route.targets):
            continue
        chosen = [t for t in route.targets if _tagged(t, facts.tags, route.tag_match)]
        if not chosen:
            chosen = [t for t in route.targets if DEFAULT in t.tags]
        if not chosen and not facts.tags:
            continue
        meant = {id(target) for target in chosen}
        found |= {id(target) for target in route.targets if id(target) not in meant}
    return found


def _tagged(target: Target, tags: frozenset[str], match: str) -> bool:
    if not tags:
        return False
    return tags <= set(target.tags) if match == "all" else not tags.isdisjoint(target.tags)


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
    why = _unwanted(step, facts) if step is not None else None
    if why is None and (candidate.owner.able or (step is not None and step.able)):
        return _unable(candidate.target, facts)
    return why


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
    if step.tags and facts.tags.isdisjoint(step.tags):
        return f"the step is for requests with the tag {' or '.join(step.tags)} only"
    if step.during and not hours(step.during).open(facts.at):
        return f"the step is open {step.during} only"
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
