"""Candidates of a request: which targets, in which order, and the next one after each outcome.

Pure, and shared by live traffic and the dry run; the caller waits for the pauses:

    select_candidates(routes, features, ...) -> Decision    candidates, and skipped targets
    retry_plan_for(decision, route) -> RetryPlan    next_candidate(), record_failure(error), ...

A route without steps is a list of targets, tried until one succeeds. With steps, all
targets of a step are tried before the conditions of the next step are evaluated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from gateway.canon.errors import KINDS, Error
from gateway.canon.request import Image, Request, ToolResult
from gateway.routing.active_hours import parse_active_hours
from gateway.routing.built_in_tools import BUILT_IN_TOOLS, built_in_tools_of, runs_tool
from gateway.routing.circuit_breaker import CircuitState, allows_call, cooldown_reason
from gateway.routing.latency import LatencyByTarget
from gateway.routing.snapshot import Route, RouteStep, Snapshot, Target
from gateway.routing.strategies import Draw, StrategyContext, order_targets

# Error classes that fallbacks and retries are configured by -> their error kinds.
ERROR_CLASSES: dict[str, frozenset[str]] = {
    "rate_limit": frozenset({"rate_limit", "quota"}),
    "upstream_error": frozenset({"upstream_error", "overloaded", "malformed_output"}),
    "timeout": frozenset({"timeout"}),
    "upstream_auth": frozenset({"upstream_auth"}),
    "not_found": frozenset({"not_found"}),
    "context_length": frozenset({"context_length", "too_large"}),
    "content_policy": frozenset({"content_policy"}),
}
CLASS_BY_KIND = {kind: name for name, kinds in ERROR_CLASSES.items() for kind in kinds}
# A longer Retry-After is passed on to the client, unless the route overrides it.
DEFAULT_MAX_WAIT_S = 2.0
# Upper bound of the exponential backoff.
MAX_BACKOFF_S = 8.0
# Kinds that may pass within a second; after other kinds only another target is tried.
_TRANSIENT = frozenset({"upstream_error", "overloaded", "rate_limit", "malformed_output"})
_NOT_ACTIVATED = "the error of the step above does not activate this step"
_REJECTED_ABOVE = "the request itself was rejected above"


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
    step: RouteStep | None = None
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
        bypassed_candidates: candidates that `next_candidate` skipped; the caller may empty it.
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
        self.bypassed_candidates: list[Skip] = []
        self._retries = retries
        self._retries_by_kind = retries_by_kind or None
        self._max_rounds = max(retries, *retries_by_kind.values()) if retries_by_kind else retries
        self._max_wait_s = max_wait_s
        self._retry_after_s = 0.0
        self._candidates = decision.candidates
        self._pending = list(decision.candidates)
        self._retry_queue: list[Candidate] = []
        self._not_activated: list[Candidate] = []
        self._current_candidate: Candidate | None = None
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
                if not self._error_kinds_by_stage or self._is_activated(candidate):
                    self._current_candidate = candidate
                    return candidate
                self._note_bypassed(candidate)
            if not self._retry_queue or self.round_number >= self._max_rounds:
                return None
            self.round_number += 1
            self.pause_due = True
            retryable_ids = {id(c) for c in (*self._retry_queue, *self._not_activated)}
            self._pending = [c for c in self._candidates if id(c) in retryable_ids]
            self._retry_queue, self._not_activated = [], []

    def pause_s(self, backoff_s: float, draw: Callable[[], float]) -> float:
        """Seconds to wait before the round that `next_candidate` has just begun.

        Exponential backoff with jitter (factor 0.5 to 1.5), at least the largest Retry-After.
        """
        after_s, self._retry_after_s = self._retry_after_s, 0.0
        pause = backoff_s * 2.0 ** min(self.round_number - 1, 20) * (0.5 + draw())
        return float(max(min(pause, MAX_BACKOFF_S), after_s))

    def hedge_candidate(self) -> Candidate | None:
        """A candidate to call in parallel, as if the current one had timed out; consumes it."""
        current_candidate = self._current_candidate
        assert current_candidate is not None
        for candidate in self._pending:
            if self._timeout_activates(candidate, current_candidate):
                self._pending.remove(candidate)
                return candidate
        return None

    def record_failure(self, error: Error, candidate: Candidate | None = None) -> bool:
        """Record how a call ended; return whether another candidate may follow."""
        candidate = candidate or self._current_candidate
        assert candidate is not None
        self._record_error_kind(candidate, error.kind)
        retries_target = self._reserve_retry(candidate, error)
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

    def _reserve_retry(self, candidate: Candidate, error: Error) -> bool:
        """Whether this target may be called again after the error; counts the retry."""
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
        """Call this candidate again before any other."""
        self._retry_queue = [candidate]
        self._not_activated = [c for c in self._pending if c.stage > candidate.stage]
        self._pending = []

    def _record_error_kind(self, candidate: Candidate, kind: str) -> None:
        self._error_kinds_by_stage.setdefault(candidate.stage, set()).add(kind)

    def _is_activated(self, candidate: Candidate) -> bool:
        """Whether the failures so far lead to this candidate."""
        stage_above = self._previous_stage_with_failures(candidate.stage)
        if stage_above is None:
            return True
        if candidate.entry_kinds is None:
            return bool(_activating_kinds(candidate.step, self._error_kinds_by_stage[stage_above]))
        stage_before = self._previous_stage_with_failures(candidate.first_stage)
        if stage_before is not None and not self._is_entered(candidate):
            return False
        # Within the fallback route, its own steps decide.
        return stage_above == stage_before or bool(
            _activating_kinds(candidate.step, self._error_kinds_by_stage[stage_above])
        )

    def _is_entered(self, candidate: Candidate) -> bool:
        """Whether an earlier error is of its entry kinds, even if others followed."""
        return any(
            stage < candidate.first_stage and not kinds.isdisjoint(candidate.entry_kinds or ())
            for stage, kinds in self._error_kinds_by_stage.items()
        )

    def _timeout_activates(self, candidate: Candidate, current_candidate: Candidate) -> bool:
        """Whether a timeout of `current_candidate` leads to this candidate."""
        if candidate.entry_kinds is not None and candidate.route is not current_candidate.route:
            return "timeout" in candidate.entry_kinds or self._is_entered(candidate)
        is_same_stage = candidate.stage == current_candidate.stage
        return is_same_stage or bool(_activating_kinds(candidate.step, ("timeout",)))

    def _handles_kind(self, candidate: Candidate, kind: str) -> bool:
        """Whether a candidate may follow an error of the request itself."""
        if candidate.entry_kinds is None:
            return _step_handles_kind(candidate.step, kind)
        is_configurable = kind in CLASS_BY_KIND
        return kind in candidate.entry_kinds or (is_configurable and self._is_entered(candidate))

    def _previous_stage_with_failures(self, stage: int) -> int | None:
        """The nearest earlier stage with failures; None if there is none."""
        return max(
            (failed_stage for failed_stage in self._error_kinds_by_stage if failed_stage < stage),
            default=None,
        )

    def _note_bypassed(self, candidate: Candidate) -> None:
        if self.round_number == 0:
            self.bypassed_candidates.append(Skip(candidate, _NOT_ACTIVATED))
        self._not_activated.append(candidate)

    def _jump_to_handler(self, stage: int, kind: str) -> bool:
        """After an error of the request itself, jump to a later step for its kind, if any."""
        pending = (c for c in self._pending if c.stage > stage)
        later_candidates = [c for c in pending if self._handles_kind(c, kind)]
        if not later_candidates:
            return self._return_to_fallbacks(stage, kind)
        bypassed_candidates = [c for c in self._pending if c.stage < later_candidates[0].stage]
        self.bypassed_candidates += [Skip(c, _REJECTED_ABOVE) for c in bypassed_candidates]
        self._pending = [c for c in self._pending if c.stage >= later_candidates[0].stage]
        self._retry_queue = []
        return True

    def _return_to_fallbacks(self, stage: int, kind: str) -> bool:
        """After such an error, move uncalled earlier fallbacks for its kind to the end, if any."""
        uncalled, others, offset = [], [], self._candidates[-1].stage + 1
        for c in self._candidates:
            is_uncalled = c.first_stage < stage and c.stage not in self._error_kinds_by_stage
            if is_uncalled and c.entry_kinds is not None and kind in c.entry_kinds:
                stages = {"stage": c.stage + offset, "first_stage": c.first_stage + offset}
                uncalled.append(msgspec.structs.replace(c, **stages))
            else:
                others.append(c)
        if uncalled:
            self._candidates = (*others, *uncalled)
            self._pending, self._retry_queue = list(uncalled), []
        return bool(uncalled)


def may_retry_target(error: Error, max_wait_s: float) -> bool:
    """Whether the same target may succeed on a retry after this error."""
    if error.should_retry is False or error.kind == "quota":
        return False
    return error.retry_after_s is None or error.retry_after_s <= max_wait_s


def max_retries(kind: str, retries: int, retries_by_kind: Mapping[str, int]) -> int:
    """How often a target may be called again after an error of this kind."""
    return retries_by_kind.get(CLASS_BY_KIND.get(kind, ""), retries if kind in _TRANSIENT else 0)


def _activating_kinds(step: RouteStep | None, kinds: Iterable[str]) -> list[str]:
    """Error kinds in `kinds` that activate this fallback step."""
    if step is None or not step.fallback_on:
        return [kind for kind in kinds if KINDS[kind].retryable]
    return [kind for kind in kinds if _step_handles_kind(step, kind)]


def _step_handles_kind(step: RouteStep | None, kind: str) -> bool:
    return step is not None and any(kind in ERROR_CLASSES[name] for name in step.fallback_on)


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
            next_group = min(map(group_of, self._retry_queue)) if self._retry_queue else None
            if self._pending and (next_group is None or group_of(self._pending[0]) <= next_group):
                candidate = self._pending.pop(0)
                if not self._error_kinds_by_stage or self._is_activated(candidate):
                    self._current_candidate = candidate
                    return candidate
                self._note_bypassed(candidate)
                continue
            if next_group is None:
                return None
            self._start_round(next_group)

    def _start_round(self, next_group: Group) -> None:
        """Start another round over a step."""
        self.round_number = self.round_number + 1 if next_group == self._group else 1
        self._group = next_group
        self.pause_due = True
        queued_candidates, self._retry_queue = self._retry_queue, []
        for candidate in queued_candidates:
            (self._pending if group_of(candidate) == next_group else self._retry_queue).append(
                candidate
            )
        self._pending.sort(key=group_of)

    def record_failure(self, error: Error, candidate: Candidate | None = None) -> bool:
        """Record how a call ended; return whether another candidate may follow."""
        candidate = candidate or self._current_candidate
        assert candidate is not None
        self._calls[group_of(candidate)] += 1
        return super().record_failure(error, candidate)

    def _reserve_retry(self, candidate: Candidate, error: Error) -> bool:
        route, group = candidate.route, group_of(candidate)
        if not may_retry_target(error, route.max_wait_s):
            return False
        # A target that refused the request itself is retried alone.
        next_candidates = (*self._pending, *self._retry_queue) if error.retryable else ()
        planned_calls = self._calls[group] + sum(
            group_of(peer) == group for peer in next_candidates
        )
        return planned_calls <= max_retries(error.kind, route.retries, route.retries_by_kind)

    def _retry_alone(self, candidate: Candidate) -> None:
        group = group_of(candidate)
        self._retry_queue = [candidate]
        self._pending = [peer for peer in self._pending if group_of(peer) > group]

    def _note_bypassed(self, candidate: Candidate) -> None:
        self.bypassed_candidates.append(Skip(candidate, _NOT_ACTIVATED))


def group_of(candidate: Candidate) -> Group:
    """The group of a candidate; targets of a route without steps, tried in order, are one group."""
    route = candidate.route
    is_ordered = not route.steps and route.strategy == "ordered"
    return candidate.stage, 0 if is_ordered else candidate.target.order


# --- selection of candidates --------------------------------------------------------------

# Feature of a request -> its label in messages.
FEATURES = {"tools": "tools", "images": "images", "schema": "a JSON schema"}
# Complexity of a prompt (`classify_complexity`), as a condition of a step -> its label.
COMPLEXITIES: dict[str, str] = {
    "simple_prompt": "a simple prompt",
    "medium_prompt": "a prompt of medium complexity",
    "complex_prompt": "a complex prompt",
    "reasoning_prompt": "a prompt that needs reasoning",
}
# What a step may require or exclude.
CONDITIONS = FEATURES | COMPLEXITIES
# A target with this tag serves requests whose tags match no other target.
DEFAULT_TAG = "default"

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
        complexity: a key of COMPLEXITIES; empty if no step depends on it.
        built_in_tools: keys of BUILT_IN_TOOLS; targets that run them are preferred.
    """

    used: frozenset[str] = frozenset()
    estimated_tokens: int = 0
    session: str = ""
    caller: str = ""
    tags: frozenset[str] = frozenset()
    requested_at: float = 0.0
    complexity: str = ""
    built_in_tools: frozenset[str] = frozenset()


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


def depends_on_complexity(routes: Iterable[Route]) -> bool:
    """Whether a step of these routes depends on the complexity of the prompt."""
    return any(
        name in COMPLEXITIES
        for route in routes
        for step in route.steps
        for name in (*step.requires, *step.excludes)
    )


def features_of(request: Request, tokens: int) -> RequestFeatures:
    """The features of a request; `tokens` is the caller's estimate."""
    used_features = set()
    if request.tools:
        used_features.add("tools")
    if request.output.format == "schema":
        used_features.add("schema")
    if any(_is_image(part) for turn in request.turns for part in turn.parts):
        used_features.add("images")
    return RequestFeatures(
        frozenset(used_features), tokens, built_in_tools=built_in_tools_of(request.tools)
    )


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
        step = next(_steps_with_targets(route))[0] if route.steps else None
        return Decision((Candidate(route, target, 0, step),))
    matching_candidates: list[Candidate] = []
    skips: list[Skip] = []
    barred_ids = _targets_barred_by_tags(routes, features) if features is not None else None
    for candidate in _ordered_candidates(routes, now, draw, latency_by_target, features, busy):
        reason = _mismatch_reason(candidate, features) if features is not None else None
        if reason is None and barred_ids and id(candidate.target) in barred_ids:
            reason = "its tags do not match those of the request"
        if reason is None:
            matching_candidates.append(candidate)
        else:
            skips.append(Skip(candidate, reason))
    tools = features.built_in_tools if features is not None else frozenset()
    if not health:
        matching_candidates, without_tool = _prefer_tools(matching_candidates, tools)
        return Decision(tuple(matching_candidates), (*skips, *without_tool))
    available_candidates, in_cooldown = _by_health(matching_candidates, health, now)
    if in_cooldown and not _has_first_candidate(available_candidates, in_cooldown):
        return Decision(tuple(matching_candidates), tuple(skips), ignores_cooldowns=True)
    available_candidates, without_tool = _prefer_tools(available_candidates, tools)
    return Decision(tuple(available_candidates), (*skips, *without_tool, *in_cooldown))


def _prefer_tools(
    candidates: list[Candidate], tools: frozenset[str]
) -> tuple[list[Candidate], list[Skip]]:
    """The candidates, without those that do not run a built-in tool which another one runs.

    Applies to routes and steps with `require_capabilities`. A tool that no candidate runs is
    dropped by translation, or the gateway runs it.
    """
    skips: list[Skip] = []
    for tool in sorted(tools):
        if not any(runs_tool(candidate.target, tool) for candidate in candidates):
            continue
        remaining_candidates = []
        for candidate in candidates:
            if not _requires_capabilities(candidate) or runs_tool(candidate.target, tool):
                remaining_candidates.append(candidate)
            else:
                reason = f"it does not support {BUILT_IN_TOOLS[tool]}, which another target does"
                skips.append(Skip(candidate, reason))
        candidates = remaining_candidates
    return candidates, skips


def _by_health(
    candidates: list[Candidate], health: Mapping[str, CircuitState], now: float
) -> tuple[list[Candidate], list[Skip]]:
    available_candidates: list[Candidate] = []
    in_cooldown: list[Skip] = []
    for candidate in candidates:
        state = health.get(candidate.target.model.label)
        if state is None or allows_call(state, now):
            available_candidates.append(candidate)
        else:
            in_cooldown.append(Skip(candidate, cooldown_reason(state, now), state.kind))
    return available_candidates, in_cooldown


def _has_first_candidate(available_candidates: list[Candidate], in_cooldown: list[Skip]) -> bool:
    """Whether the conditions allow any of `available_candidates` to be called first."""
    return (
        RetryPlan(Decision(tuple(available_candidates), tuple(in_cooldown)), 0).next_candidate()
        is not None
    )


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
        for step, group in _steps_with_targets(route):
            if len(group) > 1:
                context = context or _strategy_context(
                    route, now, draw, latency_by_target, features, busy
                )
                strategy = step.strategy if step is not None else route.strategy
                group = order_targets(strategy, group, context)
            for target in group:
                yield Candidate(route, target, stage, step, first, entry)
            stage += 1


def _strategy_context(
    route: Route,
    now: float,
    draw: Draw,
    latency_by_target: LatencyByTarget,
    features: RequestFeatures | None,
    busy: Mapping[str, int],
) -> StrategyContext:
    session, caller = (features.session, features.caller) if features is not None else ("", "")
    return StrategyContext(now, draw, latency_by_target, session, caller, route.name, busy)


def _entry_kinds(first: Route, route: Route) -> frozenset[str] | None:
    """The error kinds on which `route` is a fallback; None if on any."""
    if not first.fallbacks_by_kind or route is first:
        return None
    fallbacks_by_kind = first.fallbacks_by_kind.items()
    kind_sets = [ERROR_CLASSES[name] for name, names in fallbacks_by_kind if route.name in names]
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
        tagged_targets = [
            t for t in route.targets if _matches_tags(t, features.tags, route.tag_match)
        ]
        if not tagged_targets:
            tagged_targets = [t for t in route.targets if DEFAULT_TAG in t.tags]
        if not tagged_targets and not features.tags:
            continue
        chosen_ids = {id(target) for target in tagged_targets}
        barred_ids |= {id(target) for target in route.targets if id(target) not in chosen_ids}
    return barred_ids


def _matches_tags(target: Target, tags: frozenset[str], match: str) -> bool:
    if not tags:
        return False
    return tags <= set(target.tags) if match == "all" else not tags.isdisjoint(target.tags)


def _steps_with_targets(route: Route) -> Iterator[tuple[RouteStep | None, Sequence[Target]]]:
    if not route.steps:
        yield None, route.targets
        return
    steps_by_order = {step.order: step for step in route.steps}
    groups: dict[int, list[Target]] = {}
    for target in route.targets:
        groups.setdefault(target.order, []).append(target)
    for order in sorted(groups):
        step = steps_by_order.get(order)
        yield step or RouteStep(order=order, strategy=route.strategy), groups[order]


def _mismatch_reason(candidate: Candidate, features: RequestFeatures) -> str | None:
    """Why the target does not match this request, or None if it does."""
    step = candidate.step
    reason = _step_mismatch_reason(step, features) if step is not None else None
    if reason is None and _requires_capabilities(candidate):
        return _capability_mismatch_reason(candidate.target, features)
    return reason


def _requires_capabilities(candidate: Candidate) -> bool:
    step = candidate.step
    return candidate.route.require_capabilities or (step is not None and step.require_capabilities)


def _step_mismatch_reason(step: RouteStep, features: RequestFeatures) -> str | None:
    for feature in step.requires:
        if feature not in features.used and feature != features.complexity:
            return f"the step is only for requests with {CONDITIONS[feature]}"
    for feature in step.excludes:
        if feature in features.used or feature == features.complexity:
            return f"the step is only for requests without {CONDITIONS[feature]}"
    if step.min_context is not None and features.estimated_tokens < step.min_context:
        return f"the step is only for requests of at least {step.min_context:,} tokens"
    if step.max_context is not None and features.estimated_tokens > step.max_context:
        return f"the step is only for requests of at most {step.max_context:,} tokens"
    if step.tags and features.tags.isdisjoint(step.tags):
        return f"the step is only for requests with the tag {' or '.join(step.tags)}"
    hours = step.active_hours
    if hours and not parse_active_hours(hours).is_open(features.requested_at):
        return f"the step is only active {hours}"
    return None


def _capability_mismatch_reason(target: Target, features: RequestFeatures) -> str | None:
    for feature in sorted(features.used):
        if not supports_feature(target, feature):
            return f"it does not support {FEATURES[feature]}"
    window = target.model.traits.context_window
    if window is not None and features.estimated_tokens > window:
        return f"its context window of {window:,} tokens is too small"
    return None


def supports_feature(target: Target, feature: str) -> bool:
    """Whether the target's model supports a feature (a key of FEATURES)."""
    return _CAPABILITIES[feature](target)


_CAPABILITIES: dict[str, Callable[[Target], bool]] = {
    "tools": lambda target: target.model.traits.tools,
    "images": lambda target: target.model.traits.images,
    "schema": lambda target: target.model.traits.structured == "schema",
}
