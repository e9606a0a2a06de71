"""Enforces limits and budgets: reserves before the call, settles after it.

    rules of key, project, team, route and provider
      -> Limiter.admit   checks all of them, then counts in all, without an await in between
      -> Reservation     what was reserved; the call carries it
      -> Limiter.settle  replaces it by the actual use, however the call ended

The counters are in `shared_counters`; `redis_limiter` has them in Redis. A limit of a
provider only skips a target: the request is rejected only if no other target can serve it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from math import ceil

import msgspec

from gateway.canon.errors import Error
from gateway.relay.exchange.call import Call
from gateway.relay.exchange.request_features import end_user_of
from gateway.relay.exchange.reservation import (
    ADMITTED,
    Admission,
    LimitRefusal,
    Reservation,
    ReservationRequest,
    RuleCounters,
)
from gateway.relay.limits.limit_headers import LimitHeaders
from gateway.relay.limits.max_rates import (
    Rates,
    all_targets,
    estimate_usage,
    max_output_tokens,
    max_rates,
)
from gateway.relay.limits.shared_counters import SharedCounters
from gateway.routing import limits
from gateway.routing.candidates import with_fallbacks
from gateway.routing.end_users import end_user_owner, limits_of
from gateway.routing.limits import CounterWindow, CountTime, Estimate, Rule, RuleCounter
from gateway.routing.snapshot import ApiKey, Route, Snapshot, Target, Team

log = logging.getLogger(__name__)

_MAX_CACHED_RULES = 8192
# Maximum number of budgets in the metrics.
MAX_BUDGETS = 1000
# (rule name, window, units): the spend recorded in the database.
RecordedSpend = Sequence[tuple[str, int, int]]
CounterWindows = tuple[CounterWindow, ...]


class _ActiveCounters(msgspec.Struct, frozen=True):
    """Rule counters at a point in time: current windows, headers, those with a soft limit."""

    rule_counters: RuleCounters
    windows: CounterWindows
    headers: LimitHeaders
    soft: RuleCounters


class _RuleSet(msgspec.Struct, frozen=True):
    """The rules of a key on a route, or of a target, and the inputs of their estimates.

    Attributes:
        needs_estimate: whether any of them needs an estimate of the tokens.
        needs_cost: whether any of them needs an estimate of the cost.
        free: the rules of calls that are free of charge; None if they are the same.
    """

    rule_counters: RuleCounters
    needs_estimate: bool
    needs_cost: bool = False
    max_output: int = 0
    rates: Rates = (0, 0)
    free: _RuleSet | None = None


def _rules_of_free_calls(rule_counters: RuleCounters) -> _RuleSet:
    """The limits of requests and concurrency only: reading a result uses no tokens or money."""
    call_counters = tuple(
        counter for counter in rule_counters if counter.rule.metric in {"requests", "concurrency"}
    )
    return _RuleSet(call_counters, needs_estimate=False)


_NO_RULES = _RuleSet((), needs_estimate=False)
_NO_USAGE = Estimate()
_NO_RATES: Rates = (0, 0)


class Limiter:
    """The limits of one process. All methods belong to the event loop's thread."""

    def __init__(self, counters: SharedCounters, *, clock: Callable[[], float] = time.time) -> None:
        self.counters = counters
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._limits_end_users = False
        # By key, route and end user, which is empty unless end users have limits.
        self._rules_by_route: dict[tuple[int, str, str], _RuleSet] = {}
        self._rules_by_target: dict[tuple[int, int], _RuleSet] = {}
        # By `id()` of the rule counters, which the values keep alive; and the tick and the day of
        # requests for which they are valid.
        self._active_counters: dict[int, _ActiveCounters] = {}
        self._active_period = (0.0, 0.0, 0.0, 0.0)
        self._warned_windows: dict[str, int] = {}
        self._day = -1.0
        self._windows: dict[str, int] = {}
        # Called for each refusal with the kind of owner (`key`, `team`, ...) and the metric.
        self.on_refused: Callable[[str, str], None] = lambda owner, metric: None

    # --- rules --------------------------------------------------------------------------

    def _request_rules(self, call: Call, route: Route) -> _RuleSet:
        exchange = call.exchange
        key = exchange.key
        end_user = end_user_of(exchange) if exchange.snapshot.limits_end_users else ""
        cache_key = (key.id if key is not None else 0, route.name, end_user)
        rules = self._rules_by_route.get(cache_key)
        if rules is None:
            if len(self._rules_by_route) >= _MAX_CACHED_RULES:
                self._rules_by_route.clear()
            rules = self._rules_by_route[cache_key] = _compile_request_rules(
                self.counters, exchange.snapshot, key, route, end_user
            )
        return rules

    def _attempt_rules(self, target: Target) -> _RuleSet:
        cache_key = target.model.provider.id, target.id
        rules = self._rules_by_target.get(cache_key)
        if rules is None:
            rules = self._rules_by_target[cache_key] = _compile_target_rules(self.counters, target)
        return rules

    def reservation_request(
        self, call: Call, route: Route, target: Target | None
    ) -> ReservationRequest | None:
        """The amounts to reserve for an attempt at a target; None if no rule applies.

        Without a target the response is cached, and the call uses nothing.
        """
        exchange = call.exchange
        if exchange.snapshot is not self._snapshot:
            self._use_snapshot(exchange.snapshot)
        request_rules = _NO_RULES if call.limits_reserved else self._request_rules(call, route)
        attempt_rules = self._attempt_rules(target) if target is not None else _NO_RULES
        if exchange.free_of_charge:
            request_rules = request_rules.free or request_rules
            attempt_rules = attempt_rules.free or attempt_rules
        if not request_rules.rule_counters and not attempt_rules.rule_counters:
            return None
        request_estimate = attempt_estimate = _NO_USAGE
        if target is not None:
            request_estimate = _request_estimate(call, request_rules)
            attempt_estimate = _attempt_estimate(call, attempt_rules, target)
        return ReservationRequest(
            request_rules.rule_counters,
            request_estimate,
            attempt_rules.rule_counters,
            attempt_estimate,
        )

    def _use_snapshot(self, snapshot: Snapshot) -> None:
        """Discard the rules of an older registry."""
        self._snapshot = snapshot
        self._limits_end_users = snapshot.limits_end_users
        self._rules_by_route.clear()
        self._rules_by_target.clear()

    # --- reserve ------------------------------------------------------------------------

    async def admit(self, call: Call, route: Route, target: Target | None) -> Admission:
        """Reserve for a call and its attempt at a target; wait only if Redis has the counters.

        Without a target the response is cached. Later attempts of the same call are checked only
        against the limits of target and provider.
        """
        exchange = call.exchange
        if exchange.snapshot is not self._snapshot:
            self._use_snapshot(exchange.snapshot)
        if not call.limits_reserved:
            key_id = call.exchange.key.id if call.exchange.key is not None else 0
            end_user = end_user_of(exchange) if self._limits_end_users else ""
            request_rules = self._rules_by_route.get((key_id, route.name, end_user))
            if request_rules is None:
                request_rules = self._request_rules(call, route)
            if exchange.free_of_charge:
                request_rules = request_rules.free or request_rules
            estimate = (
                _request_estimate(call, request_rules)
                if target is not None and request_rules.needs_estimate
                else _NO_USAGE
            )
            refusal = (
                self._reserve(call, request_rules.rule_counters, estimate)
                if request_rules.rule_counters
                else None
            )
            if refusal is not None:
                return Admission(self.count_refusal(refusal), ends_request=True)
            call.limits_reserved = True
        if target is None:
            return ADMITTED
        attempt_rules = self._rules_by_target.get((target.model.provider.id, target.id))
        if attempt_rules is None:
            attempt_rules = self._attempt_rules(target)
        if exchange.free_of_charge:
            attempt_rules = attempt_rules.free or attempt_rules
        if not attempt_rules.rule_counters:
            return ADMITTED
        estimate = _attempt_estimate(call, attempt_rules, target)
        refusal = self._reserve(call, attempt_rules.rule_counters, estimate, attempt=True)
        return Admission(self.count_refusal(refusal)) if refusal is not None else ADMITTED

    def count_refusal(self, refusal: LimitRefusal) -> Error:
        """Count a refusal, and return its error."""
        rule = refusal.rule
        self.on_refused(rule.owner.partition(":")[0], rule.metric)
        return refusal_error(refusal)

    def _reserve(
        self, call: Call, rule_counters: RuleCounters, estimate: Estimate, *, attempt: bool = False
    ) -> LimitRefusal | None:
        """Reserve under all rules, unless one refuses; set the call's limit headers."""
        exchange = call.exchange
        now, counters = self._clock(), self.counters
        active_counters = self._counters_in_effect(rule_counters, now, exchange.started_at)
        counters.map_new_slots()
        number, counts = limits.check_limits(
            active_counters.windows, counters.local_slot, counters.peer_slots, estimate
        )
        if not attempt:
            call.limit_headers = active_counters.headers.render(exchange.dialect.name, counts, now)
        if number:
            return _limit_refusal(counters, rule_counters[number - 1], counts[-2], now)
        limits.reserve(active_counters.windows, counters.local_slot, estimate)
        call.reservations.append(
            Reservation(rule_counters, estimate, exchange.started_at, attempt=attempt)
        )
        return None

    def set_limit_headers(
        self, call: Call, rule_counters: RuleCounters, counts: Sequence[int]
    ) -> None:
        """Set the response headers that report the remaining amounts of the limits."""
        exchange = call.exchange
        now = self._clock()
        headers = self._counters_in_effect(rule_counters, now, exchange.started_at).headers
        call.limit_headers = headers.render(exchange.dialect.name, counts, now)

    def _counters_in_effect(
        self, rule_counters: RuleCounters, now: float, started: float
    ) -> _ActiveCounters:
        """The rule counters now, with the calendar windows in which the request began."""
        tick_start, tick_end, day_start, day_end = self._active_period
        if not (tick_start <= now < tick_end and day_start <= started < day_end):
            tick_start = now // limits.TICK_S * limits.TICK_S
            day_start = started // limits.DAY * limits.DAY
            tick_end, day_end = tick_start + limits.TICK_S, day_start + limits.DAY
            self._active_period = (tick_start, tick_end, day_start, day_end)
            self._active_counters.clear()
        active = self._active_counters.get(id(rule_counters))
        if active is None:
            _discard_future_spend(self.counters, rule_counters, now)
            windows = limits.current_windows(rule_counters, CountTime(now, self.windows(started)))
            soft = tuple(counter for counter in rule_counters if counter.rule.soft is not None)
            headers = LimitHeaders(rule_counters, now)
            active = self._active_counters[id(rule_counters)] = _ActiveCounters(
                rule_counters, windows, headers, soft
            )
        return active

    def windows(self, started: float) -> dict[str, int]:
        """The calendar windows of a request that began at `started`."""
        day = started // limits.DAY
        if day != self._day:
            spans = {span: limits.calendar_window(started, span)[0] for span in limits.CALENDAR}
            self._day, self._windows = day, spans
        return self._windows

    def now(self) -> float:
        """The current time of the limiter's clock."""
        return self._clock()

    def injected_now(self) -> float:
        """The current time if the clock is not the machine's own; else 0."""
        return 0.0 if self._clock is time.time else self._clock()

    # --- settle -------------------------------------------------------------------------

    def release_attempt(self, call: Call, usage: Estimate = _NO_USAGE) -> None:
        """End an attempt: settle its reservation with `usage`."""
        if call.reservations and call.reservations[-1].attempt:
            self.release(call.reservations.pop(), usage.tokens, usage.units)

    def settle(
        self, call: Call, tokens: int, units: int, hedge_loser_usage: Estimate = _NO_USAGE
    ) -> None:
        """Replace everything that a call has reserved by its actual use. Call it once.

        `hedge_loser_usage` is the use of a target that lost to a faster one: it counts for the
        key, its team and the route, but not for the provider that responded.
        """
        for reservation in call.reservations:
            if reservation.attempt:
                self.release(reservation, tokens, units)
            else:
                self.release(
                    reservation, tokens + hedge_loser_usage.tokens, units + hedge_loser_usage.units
                )
        call.reservations.clear()

    def release(self, reservation: Reservation, tokens: int, units: int) -> None:
        """Settle one reservation."""
        active_counters = self._counters_in_effect(
            reservation.rule_counters, self._clock(), reservation.started_at
        )
        limits.settle(
            active_counters.windows, self.counters.local_slot, reservation.estimate, tokens, units
        )
        if units > 0:
            windows = self.windows(reservation.started_at)
            for counter in active_counters.soft:
                self._check_soft_limit(counter, windows[counter.rule.span])

    def _check_soft_limit(self, counter: RuleCounter, window: int) -> None:
        """Warn once per window when a budget passes its soft limit."""
        rule = counter.rule
        self.log_soft_limit(rule, self.counters.spent_units(counter.offset, window), window)

    def log_soft_limit(self, rule: Rule, spent_units: int, window: int) -> None:
        """Log a warning if the soft limit is passed for the first time in a window."""
        if (
            rule.soft is None
            or spent_units < rule.soft
            or self._warned_windows.get(rule.name) == window
        ):
            return
        self._warned_windows[rule.name] = window
        log.warning(
            "the soft limit of a budget was exceeded",
            extra={"owner": rule.owner, "span": rule.span, "soft": rule.soft / limits.UNITS},
        )

    # --- recorded spend -----------------------------------------------------------------

    def sync_spend(self, recorded_spend: RecordedSpend) -> None:
        """Add spend that is recorded in the database but missing from the counters.

        The log may lag behind because of pending records, but is never ahead: the difference was
        spent before the counters were created, or on another machine.
        """
        now = self._clock()
        self.counters.map_new_slots()
        with self.counters.exclusive_lock():
            for name, window, units in recorded_spend:
                offset = self.counters.locked_counter_offset(name)
                if offset is None:
                    continue
                span = name.rpartition("/")[2]
                limits.discard_future_spend(self.counters.local_slot, offset, span, now)
                missing_units = units - self.counters.spent_units(offset, window)
                if missing_units > 0:
                    limits.add_spend(self.counters.local_slot, offset, window, missing_units)


def _discard_future_spend(
    counters: SharedCounters, rule_counters: RuleCounters, now: float
) -> None:
    """Discard this process's spending in windows of budgets that have not begun."""
    for counter in rule_counters:
        if counter.metric == "usd":
            limits.discard_future_spend(counters.local_slot, counter.offset, counter.rule.span, now)


def _rule_counters(counters: SharedCounters, rules: Iterable[Rule]) -> RuleCounters:
    offsets = ((rule, _counter_offset(counters, rule)) for rule in rules)
    return tuple(
        limits.new_rule_counter(rule, offset) for rule, offset in offsets if offset is not None
    )


def _counter_offset(counters: SharedCounters, rule: Rule) -> int | None:
    """The offset of a rule's counter; None if the table is full.

    A limit of 0 requests rejects whatever has been counted: any counter serves, so that a blocked
    end user stays blocked when clients have used up the counters with invented end users.
    """
    if rule.metric == "requests" and rule.limit == 0:
        return 0
    return counters.counter_offset(rule.name)


def _compile_request_rules(
    counters: SharedCounters, snapshot: Snapshot, key: ApiKey | None, route: Route, end_user: str
) -> _RuleSet:
    rule_counters = _rule_counters(counters, rules_for(key, route, snapshot, end_user))
    if not rule_counters:
        return _NO_RULES
    targets = all_targets(with_fallbacks(snapshot, route))
    return _RuleSet(
        rule_counters,
        limits.needs_estimate(rule_counters),
        max_output=max_output_tokens(targets),
        rates=max_rates(targets, key, snapshot.markup),
        free=_rules_of_free_calls(rule_counters),
    )


def _compile_target_rules(counters: SharedCounters, target: Target) -> _RuleSet:
    rule_counters = _rule_counters(counters, target_rules(target))
    return _RuleSet(
        rule_counters,
        limits.needs_estimate(rule_counters),
        needs_cost=any(counter.metric == "usd" for counter in rule_counters),
        free=_rules_of_free_calls(rule_counters),
    )


def _limit_refusal(
    counters: SharedCounters, counter: RuleCounter, used_units: int, now: float
) -> LimitRefusal:
    rule = counter.rule
    if used_units < rule.limit:
        return LimitRefusal(rule, used_units, limits.RETRY_SOON_S)
    if rule.metric == "usd":
        return budget_refusal(rule, used_units, now)
    slot = limits.slot_number(now, counter.span_s)
    rows = (
        limits.counts_by_slot(process_slot, counter.offset, slot) for process_slot in counters.slots
    )
    counts = [sum(column) for column in zip(*rows, strict=True)]
    return LimitRefusal(
        rule, used_units, limits.seconds_until_below(counts, rule.limit, now, counter.span_s)
    )


def budget_refusal(rule: Rule, spent_units: int, now: float) -> LimitRefusal:
    """The refusal of a budget that is used up."""
    _, window_end = limits.calendar_window(now, rule.span)
    return LimitRefusal(
        rule, spent_units, None if window_end is None else max(window_end - now, 0.0)
    )


def _request_estimate(call: Call, rules: _RuleSet) -> Estimate:
    """The maximum use of a call, if its own rules need it."""
    return (
        estimate_usage(call.exchange, rules.max_output, rules.rates)
        if rules.needs_estimate
        else _NO_USAGE
    )


def _attempt_estimate(call: Call, rules: _RuleSet, target: Target) -> Estimate:
    """The maximum use of an attempt at a target, if the target's rules need it."""
    exchange = call.exchange
    if not rules.needs_estimate:
        return _NO_USAGE
    targets = (target,)
    rates = (
        max_rates(targets, exchange.key, exchange.snapshot.markup)
        if rules.needs_cost
        else _NO_RATES
    )
    return estimate_usage(exchange, max_output_tokens(targets), rates)


def rules_for(
    key: ApiKey | None, route: Route, snapshot: Snapshot | None = None, end_user: str = ""
) -> list[Rule]:
    """The rules of a key, its project and team, a route, an end user, and of all requests."""
    rules: list[Rule] = []
    if key is not None and key.id:
        rules += limits.build_rules(f"key:{key.id}", "this API key", key.limits, key.budget)
        for team in key.team.with_ancestors if key.team is not None else ():
            label = f"the {'team' if team.parent is None else 'project'} {team.name}"
            rules += limits.build_rules(f"team:{team.id}", label, team.limits, team.budget)
    if route.id:
        model = f"the model {route.name}"
        rules += limits.build_rules(f"route:{route.id}", model, route.limits)
        if key is not None and key.id:
            owner, label = f"route:{route.id}/key:{key.id}", f"this API key on {model}"
            rules += limits.build_rules(owner, label, route.key_limits)
    if snapshot is not None:
        rules += limits.build_rules("all", "the gateway", snapshot.limits, snapshot.budget)
    if end_user and key is not None and key.id:
        owner = end_user_owner(end_user, key.id)
        rules += limits.build_rules(
            owner, "this end user", key.end_user_limits, key.end_user_budget
        )
    if end_user and snapshot is not None:
        end_user_settings = snapshot.end_users.get(end_user)
        rules += limits.build_rules(
            end_user_owner(end_user),
            "this end user",
            *limits_of(end_user_settings, snapshot.end_user_limits, snapshot.end_user_budget),
        )
    return rules


def budget_rules(snapshot: Snapshot) -> list[Rule]:
    """The rules of up to MAX_BUDGETS budgets. Reads all keys: not for the event loop."""
    return list(islice(_budget_rules(snapshot), MAX_BUDGETS))


def _budget_rules(snapshot: Snapshot) -> Iterator[Rule]:
    """The budget rules of the gateway, providers, targets, teams and keys, in this order."""
    yield from limits.build_rules("all", "", None, snapshot.budget)
    for provider in snapshot.providers.values():
        yield from limits.build_rules(f"provider:{provider.id}", "", None, provider.budget)
    for route in snapshot.routes.values():
        for target in route.targets:
            if target.id:
                yield from limits.build_rules(f"target:{target.id}", "", None, target.budget)
    teams: dict[int, Team] = {}
    for key in snapshot.keys.values():
        teams.update(
            (team.id, team) for team in (key.team.with_ancestors if key.team is not None else ())
        )
    for team in teams.values():
        yield from limits.build_rules(f"team:{team.id}", "", None, team.budget)
    for key in snapshot.keys.values():
        yield from limits.build_rules(f"key:{key.id}", "", None, key.budget)


def remaining_budgets(
    counters: SharedCounters, rules: Iterable[Rule], now: float
) -> dict[tuple[str, str], float]:
    """US dollars left of budgets, by owner and span."""
    counters.map_new_slots()
    remaining_usd: dict[tuple[str, str], float] = {}
    for rule in rules:
        window, _ = limits.calendar_window(now, rule.span)
        offset = counters.counter_offset(rule.name)
        spent_units = 0 if offset is None else counters.spent_units(offset, window)
        remaining_usd[rule.owner, rule.span] = (rule.limit - spent_units) / limits.UNITS
    return remaining_usd


def find_spent_budget(limiter: Limiter, call: Call, units: int) -> Error | None:
    """The error for a budget of a running call that is used up; None if none is.

    `units` is what the call itself has cost so far. Reservations do not count.
    """
    counters = limiter.counters
    counters.map_new_slots()
    for reservation in call.reservations:
        windows = limiter.windows(reservation.started_at)
        for counter in reservation.rule_counters:
            if counter.rule.metric != "usd":
                continue
            spent_units = units + counters.spent_units(counter.offset, windows[counter.rule.span])
            if spent_units >= counter.rule.limit:
                refusal = budget_refusal(counter.rule, spent_units, limiter.now())
                return limiter.count_refusal(refusal)
    return None


def target_rules(target: Target) -> list[Rule]:
    """The rules of an attempt: of the target and of its provider."""
    rules: list[Rule] = []
    provider = target.model.provider
    if target.id:
        owner, label = f"target:{target.id}", f"the target {target.model.label}"
        rules += limits.build_rules(owner, label, target.limits, target.budget)
    owner, label = f"provider:{provider.id}", f"the provider {provider.name}"
    rules += limits.build_rules(owner, label, provider.limits, provider.budget)
    return rules


def refusal_error(refusal: LimitRefusal) -> Error:
    """The client error for a refusal."""
    rule = refusal.rule
    wait = None if refusal.retry_after_s is None else max(1, ceil(refusal.retry_after_s))
    if rule.metric == "requests" and rule.limit == 0:
        return Error(kind="not_allowed", message=f"{rule.label} is blocked")
    if rule.metric != "usd":
        message = f"{_describe_rule(rule)}; try again in {wait} s"
        return Error(kind="rate_limit", message=message, retry_after_s=wait)
    if refusal.used < rule.limit:
        message = (
            f"{_describe_rule(rule)} would be exceeded: "
            f"{_format_usd(rule.limit - refusal.used)} USD left, reserved by requests in progress"
        )
        return Error(kind="rate_limit", message=message, retry_after_s=wait)
    return Error(kind="quota", message=f"{_describe_rule(rule)} is used up", retry_after_s=wait)


_BUDGET_PERIODS = {"day": "daily", "week": "weekly", "month": "monthly", "total": "total"}


def _describe_rule(rule: Rule) -> str:
    if rule.metric == "usd":
        period = _BUDGET_PERIODS[rule.span]
        return f"the {period} budget of {_format_usd(rule.limit)} USD of {rule.label}"
    if rule.metric == "concurrency":
        return f"{rule.label} is limited to {_format_count(rule.limit, 'concurrent requests')}"
    return f"{rule.label} is limited to {_format_count(rule.limit, rule.metric)} per {rule.span}"


def _format_usd(units: int) -> str:
    return f"{units / limits.UNITS:,.6f}".rstrip("0").rstrip(".")


def _format_count(number: int, unit: str) -> str:
    return f"{number:,} {unit if number != 1 else unit.removesuffix('s')}"
