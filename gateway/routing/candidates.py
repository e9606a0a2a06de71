"""Selects the candidates of a request: which targets, in which order, and why others are skipped.

Pure, and shared by live traffic and the dry run:

    select_candidates(routes, features, ...) -> Decision    candidates, and skipped targets
    retry_plan_for(decision, route) -> RetryPlan    next_candidate(), record_failure(error), ...

A route without steps is a list of targets, tried until one succeeds. With steps, all
targets of a step are tried before the conditions of the next step are evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from gateway.canon.errors import KINDS
from gateway.canon.request import Image, Request, ToolResult
from gateway.routing.active_hours import parse_active_hours
from gateway.routing.circuit_breaker import CircuitState, allows_call, cooldown_reason
from gateway.routing.latency import LatencyByTarget
from gateway.routing.retry_plan import CLASSES, Candidate, Decision, RetryPlan, Skip
from gateway.routing.snapshot import Route, Snapshot, Step, Target
from gateway.routing.strategies import Context, Draw, order_targets

# Feature of a request -> its label in messages.
FEATURES = {"tools": "tools", "images": "images", "schema": "a JSON schema"}
# A target with this tag serves requests whose tags match no other target.
DEFAULT = "default"


_RETRYABLE = frozenset(kind for kind, kind_info in KINDS.items() if kind_info.retryable)
_NO_LOAD: dict[str, int] = {}


class RequestFeatures(msgspec.Struct, frozen=True):
    """Features of a request that decide its candidates.

    Attributes:
        used: keys of FEATURES.
        estimated_tokens: estimated length of the prompt.
        session: id shared by the requests of one conversation; empty if unknown.
        caller: prefix of the API key; empty without one.
        tags: tags of the request and of its key.
        requested_at: unix seconds.
    """

    used: frozenset[str] = frozenset()
    estimated_tokens: int = 0
    session: str = ""
    caller: str = ""
    tags: frozenset[str] = frozenset()
    requested_at: float = 0.0


def with_fallbacks(snapshot: Snapshot, route: Route) -> list[Route]:
    """The route and its fallback routes, those for one class of failure first."""
    if not route.fallbacks and not route.fallbacks_by_kind:
        return [route]
    names = dict.fromkeys(name for names in route.fallbacks_by_kind.values() for name in names)
    routes = (snapshot.route(name) for name in (names | dict.fromkeys(route.fallbacks)))
    return [route, *(r for r in routes if r is not None and r.name != route.name)]


def depends_on_content(routes: Iterable[Route]) -> bool:
    """Whether `select_candidates` needs the content of a request for these routes."""
    return any(route.depends_on_content for route in routes)


def features_of(request: Request, tokens: int) -> RequestFeatures:
    """The features of a request; `tokens` is the caller's estimate."""
    used = set()
    if request.tools:
        used.add("tools")
    if request.output.format == "schema":
        used.add("schema")
    if any(_is_image(part) for turn in request.turns for part in turn.parts):
        used.add("images")
    return RequestFeatures(frozenset(used), tokens)


def _is_image(part: object) -> bool:
    if isinstance(part, ToolResult):
        return any(isinstance(inner, Image) for inner in part.parts)
    return isinstance(part, Image)


def select_candidates(
    routes: Sequence[Route],
    features: RequestFeatures | None,
    health: Mapping[str, CircuitState],
    latency_by_target: LatencyByTarget,
    now: float,
    draw: Draw,
    busy: Mapping[str, int] = _NO_LOAD,
) -> Decision:
    """Candidates of a route and its fallbacks (`routes`).

    `features` may be None if no route depends on them. Targets in cooldown are skipped; if
    no candidate would remain, the cooldowns are ignored: a call that may fail is better
    than none. `busy` counts the requests in progress, by `provider/model`.
    """
    if features is None and not health and len(routes) == 1 and len(routes[0].targets) == 1:
        (route,) = routes
        (target,) = route.targets
        step = None
        if route.steps:
            step = next((step for step in route.steps if step.order == target.order), None)
            step = step or Step(order=target.order, strategy=route.strategy)
        return Decision((Candidate(route, target, 0, step),))
    matching: list[Candidate] = []
    skipped: list[Skip] = []
    barred_ids = _targets_barred_by_tags(routes, features) if features is not None else None
    for candidate in _ordered_candidates(routes, now, draw, latency_by_target, features, busy):
        reason = _mismatch_reason(candidate, features) if features is not None else None
        if reason is None and barred_ids and id(candidate.target) in barred_ids:
            reason = "its tags are not those of the request"
        if reason is None:
            matching.append(candidate)
        else:
            skipped.append(Skip(candidate, reason))
    if not health:
        return Decision(tuple(matching), tuple(skipped))
    available, in_cooldown = _by_health(matching, health, now)
    if in_cooldown and not _has_first_candidate(available, in_cooldown):
        return Decision(tuple(matching), tuple(skipped), ignores_cooldowns=True)
    return Decision(tuple(available), (*skipped, *in_cooldown))


def _by_health(
    candidates: list[Candidate], health: Mapping[str, CircuitState], now: float
) -> tuple[list[Candidate], list[Skip]]:
    available: list[Candidate] = []
    in_cooldown: list[Skip] = []
    for candidate in candidates:
        state = health.get(candidate.target.model.label)
        if state is None or allows_call(state, now):
            available.append(candidate)
        else:
            in_cooldown.append(Skip(candidate, cooldown_reason(state, now), state.kind))
    return available, in_cooldown


def _has_first_candidate(available: list[Candidate], in_cooldown: list[Skip]) -> bool:
    """Whether the conditions allow any of `available` to be called first."""
    return RetryPlan(Decision(tuple(available), tuple(in_cooldown)), 0).next_candidate() is not None


def _ordered_candidates(
    routes: Sequence[Route],
    now: float,
    draw: Draw,
    latency_by_target: LatencyByTarget,
    features: RequestFeatures | None,
    busy: Mapping[str, int],
) -> Iterator[Candidate]:
    stage = 0
    for route in routes:
        first, entry = stage, _entry_kinds(routes[0], route)
        context = None
        for step, group in _stages(route):
            if len(group) > 1:
                context = context or _context(route, now, draw, latency_by_target, features, busy)
                chosen = step.strategy if step is not None else route.strategy
                group = order_targets(chosen, group, context)
            for target in group:
                yield Candidate(route, target, stage, step, first, entry)
            stage += 1


def _context(
    route: Route,
    now: float,
    draw: Draw,
    latency_by_target: LatencyByTarget,
    features: RequestFeatures | None,
    busy: Mapping[str, int],
) -> Context:
    session, who = (features.session, features.caller) if features is not None else ("", "")
    return Context(now, draw, latency_by_target, session, who, route.name, busy)


def _entry_kinds(first: Route, route: Route) -> frozenset[str] | None:
    """The error kinds on which `route` is a fallback; None if on any."""
    if not first.fallbacks_by_kind or route is first:
        return None
    kind_sets = [CLASSES[name] for name, to in first.fallbacks_by_kind.items() if route.name in to]
    if not kind_sets:
        return None
    kinds = frozenset().union(*kind_sets)
    return kinds | _RETRYABLE if route.name in first.fallbacks else kinds


def _targets_barred_by_tags(routes: Sequence[Route], features: RequestFeatures) -> set[int]:
    """The targets (by `id()`) whose tags do not match the request's."""
    barred_ids: set[int] = set()
    for route in routes:
        if not any(target.tags for target in route.targets):
            continue
        chosen = [t for t in route.targets if _matches_tags(t, features.tags, route.tag_match)]
        if not chosen:
            chosen = [t for t in route.targets if DEFAULT in t.tags]
        if not chosen and not features.tags:
            continue
        chosen_ids = {id(target) for target in chosen}
        barred_ids |= {id(target) for target in route.targets if id(target) not in chosen_ids}
    return barred_ids


def _matches_tags(target: Target, tags: frozenset[str], match: str) -> bool:
    if not tags:
        return False
    return tags <= set(target.tags) if match == "all" else not tags.isdisjoint(target.tags)


def _stages(route: Route) -> Iterator[tuple[Step | None, Sequence[Target]]]:
    if not route.steps:
        yield None, route.targets
        return
    steps_by_order = {step.order: step for step in route.steps}
    groups: dict[int, list[Target]] = {}
    for target in route.targets:
        groups.setdefault(target.order, []).append(target)
    for order in sorted(groups):
        step = steps_by_order.get(order)
        yield step or Step(order=order, strategy=route.strategy), groups[order]


def _mismatch_reason(candidate: Candidate, features: RequestFeatures) -> str | None:
    """Why the target does not match this request, or None if it does."""
    step = candidate.step
    reason = _step_mismatch_reason(step, features) if step is not None else None
    if reason is None and (
        candidate.route.require_capabilities or (step is not None and step.require_capabilities)
    ):
        return _capability_mismatch_reason(candidate.target, features)
    return reason


def _step_mismatch_reason(step: Step, features: RequestFeatures) -> str | None:
    for feature in step.requires:
        if feature not in features.used:
            return f"the step is for requests with {FEATURES[feature]} only"
    for feature in step.excludes:
        if feature in features.used:
            return f"the step is for requests without {FEATURES[feature]}"
    if step.min_context is not None and features.estimated_tokens < step.min_context:
        return f"the step is for requests of at least {step.min_context:,} tokens"
    if step.max_context is not None and features.estimated_tokens > step.max_context:
        return f"the step is for requests of at most {step.max_context:,} tokens"
    if step.tags and features.tags.isdisjoint(step.tags):
        return f"the step is for requests with the tag {' or '.join(step.tags)} only"
    if step.active_hours and not parse_active_hours(step.active_hours).open(features.requested_at):
        return f"the step is open {step.active_hours} only"
    return None


def _capability_mismatch_reason(target: Target, features: RequestFeatures) -> str | None:
    for feature in sorted(features.used):
        if not supports_feature(target, feature):
            return f"it can not take {FEATURES[feature]}"
    window = target.model.traits.context_window
    if window is not None and features.estimated_tokens > window:
        return f"its context of {window:,} tokens is too small"
    return None


def supports_feature(target: Target, feature: str) -> bool:
    """Whether the target's model supports a feature (a key of FEATURES)."""
    return _CAPABILITIES[feature](target)


_CAPABILITIES: dict[str, Callable[[Target], bool]] = {
    "tools": lambda target: target.model.traits.tools,
    "images": lambda target: target.model.traits.images,
    "schema": lambda target: target.model.traits.structured == "schema",
}
