"""Keeps requests within limits and budgets: reserves before the call, settles after it.

    rules of key, project, team, route and provider
      -> Limiter.admit   looks at them all, then counts in all: no await between
      -> Hold            what was reserved; the call carries it
      -> Limiter.settle  puts what was used in its place, however the call ended

The counters are those of `relay.board`; `relay.shared_limiter` has the same on Redis. A
limit of a provider passes a target over: it refuses nobody while another can answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from math import ceil

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.relay.amounts import Rates, all_targets, dearest, most_output, want
from gateway.relay.board import Board
from gateway.relay.call import Call
from gateway.relay.holds import Asked, Bounds, Hold, Refused
from gateway.relay.limit_headers import Heads
from gateway.routing import limits
from gateway.routing.limits import Bound, Line, Moment, Rule, Want
from gateway.routing.plan import with_fallbacks
from gateway.routing.snapshot import ApiKey, Route, Snapshot, Target

log = logging.getLogger(__name__)

_KEPT = 8192
# (owner and span, window, units): what the database says was spent.
Spent = Sequence[tuple[str, int, int]]
Lines = tuple[Line, ...]


class _Current(msgspec.Struct, frozen=True):
    """Bounds as they are at a time: lines to count in, what headers are made of, who warns."""

    bounds: Bounds
    lines: Lines
    heads: Heads
    soft: Bounds


class _Rules(msgspec.Struct, frozen=True):
    """What holds for a key on a route, or for a target: its rules, and what they ask of a call.

    Attributes:
        needs: whether any of them asks how much a request may use; `spends` how much it
            may cost.
    """

    bounds: Bounds
    needs: bool
    spends: bool = False
    output: int = 0
    rates: Rates = (0, 0)


_NO_RULES = _Rules((), needs=False)
_NOTHING = Want()
_FREE: Rates = (0, 0)


class Limiter:
    """The limits of one process. All methods belong to the event loop's thread."""

    def __init__(self, board: Board, *, clock: Callable[[], float] = time.time) -> None:
        self.board = board
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._rules: dict[tuple[int, str], _Rules] = {}
        self._targets: dict[tuple[int, int], _Rules] = {}
        # Lines by the place of their bounds in memory, which are kept alive with them; from
        # and until when they hold, and for requests of which day.
        self._lines: dict[int, _Current] = {}
        self._lines_of = (0.0, 0.0, 0.0, 0.0)
        self._warned: dict[str, int] = {}
        self._day = -1.0
        self._windows: dict[str, int] = {}

    # --- what holds ---------------------------------------------------------------------

    def _of(self, call: Call, route: Route) -> _Rules:
        key = call.key
        name = (key.id if key is not None else 0, route.name)
        found = self._rules.get(name)
        if found is None:
            if len(self._rules) >= _KEPT:
                self._rules.clear()
            found = self._rules[name] = self._compiled(call.snapshot, key, route)
        return found

    def _compiled(self, snapshot: Snapshot, key: ApiKey | None, route: Route) -> _Rules:
        bounds = self._bound(rules_for(key, route, snapshot))
        if not bounds:
            return _NO_RULES
        targets = all_targets(with_fallbacks(snapshot, route))
        needed = limits.needs(bounds)
        rates = dearest(targets, key, snapshot.margin)
        return _Rules(bounds, needed, output=most_output(targets), rates=rates)

    def _bound(self, found: Iterable[Rule]) -> Bounds:
        cells = ((rule, self.board.cell(rule.name)) for rule in found)
        return tuple(limits.bound(rule, at) for rule, at in cells if at is not None)

    def _of_target(self, target: Target) -> _Rules:
        name = target.model.provider.id, target.id
        found = self._targets.get(name)
        if found is None:
            bounds = self._bound(rules_of(target))
            spends = any(bound.what == "usd" for bound in bounds)
            found = self._targets[name] = _Rules(bounds, limits.needs(bounds), spends)
        return found

    def asks(self, call: Call, route: Route, target: Target | None) -> Asked | None:
        """What the limits have to be asked for an attempt at a target; None if nothing.

        Without a target the call gets an answer that has been kept: it uses nothing.
        """
        if call.snapshot is not self._snapshot:
            self._forget_older(call.snapshot)
        own = _NO_RULES if call.admitted else self._of(call, route)
        attempt = self._of_target(target) if target is not None else _NO_RULES
        if not own.bounds and not attempt.bounds:
            return None
        own_want = attempt_want = _NOTHING
        if target is not None:
            own_want, attempt_want = _want(call, own), _want_of(call, attempt, target)
        return Asked(own.bounds, own_want, attempt.bounds, attempt_want)

    def _forget_older(self, snapshot: Snapshot) -> None:
        """Forget the rules of an older registry."""
        self._snapshot = snapshot
        self._rules.clear()
        self._targets.clear()

    # --- in -----------------------------------------------------------------------------

    def admit(self, call: Call, route: Route, target: Target | None) -> Error | None:
        """Let a call in and begin an attempt; the refusal if the provider may take no more.

        Raises GatewayError (rate_limit, quota) for a limit of the key, its team or the
        route. Later attempts of the same call are asked of the provider's limits only.
        """
        if call.snapshot is not self._snapshot:
            self._forget_older(call.snapshot)
        if not call.admitted:
            own = self._of(call, route)
            needed = _want(call, own) if target is not None and own.needs else _NOTHING
            refused = self._reserve(call, own.bounds, needed) if own.bounds else None
            if refused is not None:
                raise GatewayError(refusal(refused))
            call.admitted = True
        rules = self._of_target(target) if target is not None else _NO_RULES
        if target is None or not rules.bounds:
            return None
        needed = _want_of(call, rules, target)
        refused = self._reserve(call, rules.bounds, needed, attempt=True)
        return refusal(refused) if refused is not None else None

    def _reserve(
        self, call: Call, bounds: Bounds, needed: Want, *, attempt: bool = False
    ) -> Refused | None:
        """Count in all of the bounds, unless one refuses; the client is told of its own."""
        now, board = self._clock(), self.board
        current = self._now(bounds, now, call.started_at)
        board.look()
        number, counts = limits.look(current.lines, board.mine, board.others, needed)
        if not attempt:
            call.limit_headers = current.heads.of(call.dialect.name, counts, now)
        if number:
            return self._refused(bounds[number - 1], counts[-2], now)
        limits.take(current.lines, board.mine, needed)
        call.holds.append(Hold(bounds, needed, call.started_at, attempt=attempt))
        return None

    def tell(
        self, call: Call, bounds: Bounds, counts: Sequence[int], refused: Refused | None
    ) -> None:
        """Put what is left into the answer's headers. Raises GatewayError for a refusal."""
        now = self._clock()
        heads = self._now(bounds, now, call.started_at).heads
        call.limit_headers = heads.of(call.dialect.name, counts, now)
        if refused is not None:
            raise GatewayError(refusal(refused))

    def _now(self, bounds: Bounds, now: float, started: float) -> _Current:
        """The bounds as they are now, in the budgets of when the request began."""
        begins, ends, first, last = self._lines_of
        if not (begins <= now < ends and first <= started < last):
            begins, first = now // limits.TICK_S * limits.TICK_S, started // limits.DAY * limits.DAY
            self._lines_of = begins, begins + limits.TICK_S, first, first + limits.DAY
            self._lines.clear()
        found = self._lines.get(id(bounds))
        if found is None:
            made = limits.lines(bounds, Moment(now, self.windows(started)))
            soft = tuple(bound for bound in bounds if bound.rule.soft is not None)
            heads = Heads(bounds, now)
            found = self._lines[id(bounds)] = _Current(bounds, made, heads, soft)
        return found

    def windows(self, started: float) -> dict[str, int]:
        """The calendar's windows that a request belongs to."""
        day = started // limits.DAY
        if day != self._day:
            spans = {span: limits.calendar(started, span)[0] for span in limits.CALENDAR}
            self._day, self._windows = day, spans
        return self._windows

    def now(self) -> float:
        """The time by which is counted."""
        return self._clock()

    def fixed_now(self) -> float:
        """The same where it is not the machine's own; else 0."""
        return 0.0 if self._clock is time.time else self._clock()

    def _refused(self, bound: Bound, used: int, now: float) -> Refused:
        rule = bound.rule
        if used < rule.most:
            return Refused(rule, used, limits.SOON_S)
        if rule.what == "usd":
            return self.spent(rule, used, now)
        slot = limits.slot(now, bound.span_s)
        lanes = [self.board.mine, *self.board.others]
        rows = (limits.by_slot(words, bound.at, slot) for words in lanes)
        counts = [sum(column) for column in zip(*rows, strict=True)]
        return Refused(rule, used, limits.frees_in(counts, rule.most, now, bound.span_s))

    def spent(self, rule: Rule, used: int, now: float) -> Refused:
        """The refusal of a budget that is spent."""
        _, ends = limits.calendar(now, rule.span)
        return Refused(rule, used, None if ends is None else max(ends - now, 0.0))

    # --- out ----------------------------------------------------------------------------

    def leave(self, call: Call, used: Want = _NOTHING) -> None:
        """An attempt is over: what it reserved at its provider is free, but what it used."""
        if call.holds and call.holds[-1].attempt:
            self.release(call.holds.pop(), used.tokens, used.units)

    def settle(self, call: Call, tokens: int, units: int, lost: Want = _NOTHING) -> None:
        """Put what a call used in the place of what it had reserved. Once.

        `lost` is what a target used that was given up for a faster one: the key, its team
        and the route pay for that too, the provider that answered does not.
        """
        for hold in call.holds:
            if hold.attempt:
                self.release(hold, tokens, units)
            else:
                self.release(hold, tokens + lost.tokens, units + lost.units)
        call.holds.clear()

    def release(self, hold: Hold, tokens: int, units: int) -> None:
        """Settle one hold."""
        current = self._now(hold.bounds, self._clock(), hold.at)
        limits.put_back(current.lines, self.board.mine, hold.want, tokens, units)
        if units > 0:
            for bound in current.soft:
                self._warn(bound, self.windows(hold.at)[bound.rule.span])

    def _warn(self, bound: Bound, window: int) -> None:
        """Say once in each window that a budget's soft limit is passed."""
        rule = bound.rule
        lanes = (self.board.mine, *self.board.others)
        used = sum(limits.spent(words, bound.at, window) for words in lanes)
        self.warn(rule, used, window)

    def warn(self, rule: Rule, used: int, window: int) -> None:
        """Write a warning into the gateway's own log, if it is due."""
        if rule.soft is None or used < rule.soft or self._warned.get(rule.name) == window:
            return
        self._warned[rule.name] = window
        log.warning(
            "a budget's soft limit is passed",
            extra={"owner": rule.owner, "span": rule.span, "soft": rule.soft / limits.UNITS},
        )

    # --- with the database --------------------------------------------------------------

    def learn(self, found: Spent) -> None:
        """Count what the database knows was spent and these counters do not.

        The log is behind by what is still in journals, never before: what is missing
        here is what was spent before the counters were made, or on another machine.
        """
        self.board.look()
        with self.board.alone():
            for name, window, units in found:
                at = self.board.known(name)
                if at is None:
                    continue
                lanes = (self.board.mine, *self.board.others)
                missing = units - sum(limits.spent(words, at, window) for words in lanes)
                if missing > 0:
                    limits.spend(self.board.mine, at, window, missing)


def _want(call: Call, own: _Rules) -> Want:
    """The most that a call may use, as far as its own rules ask for it."""
    return want(call, own.output, own.rates) if own.needs else _NOTHING


def _want_of(call: Call, rules: _Rules, target: Target) -> Want:
    """The same of an attempt at a target."""
    if not rules.needs:
        return _NOTHING
    only = (target,)
    rates = dearest(only, call.key, call.snapshot.margin) if rules.spends else _FREE
    return want(call, most_output(only), rates)


def rules_for(key: ApiKey | None, route: Route, snapshot: Snapshot | None = None) -> list[Rule]:
    """The rules of a key, its project and team, a route, and of all requests together."""
    found: list[Rule] = []
    if key is not None and key.id:
        found += limits.rules(f"key:{key.id}", "this API key", key.limits, key.budget)
        for team in key.team.line if key.team is not None else ():
            label = f"the {'team' if team.parent is None else 'project'} {team.name}"
            found += limits.rules(f"team:{team.id}", label, team.limits, team.budget)
    if route.id:
        model = f"the model {route.name}"
        found += limits.rules(f"route:{route.id}", model, route.limits)
        if key is not None and key.id:
            owner, label = f"route:{route.id}/key:{key.id}", f"this API key on {model}"
            found += limits.rules(owner, label, route.key_limits)
    if snapshot is not None:
        found += limits.rules("all", "the gateway", snapshot.limits, snapshot.budget)
    return found


def rules_of(target: Target) -> list[Rule]:
    """The rules of an attempt: those of the target and of its provider."""
    found: list[Rule] = []
    provider = target.model.provider
    if target.id:
        owner, label = f"target:{target.id}", f"the target {target.model.label}"
        found += limits.rules(owner, label, target.limits, target.budget)
    owner, label = f"provider:{provider.id}", f"the provider {provider.name}"
    found += limits.rules(owner, label, provider.limits, provider.budget)
    return found


def refusal(refused: Refused) -> Error:
    """What a client is told."""
    rule = refused.rule
    wait = None if refused.frees_s is None else max(1, ceil(refused.frees_s))
    if rule.what != "usd":
        message = f"{_words(rule)}; try again in {wait} s"
        return Error(kind="rate_limit", message=message, retry_after_s=wait)
    if refused.used < rule.most:
        message = f"the rest of {_words(rule)} is reserved by requests under way"
        return Error(kind="rate_limit", message=message, retry_after_s=wait)
    return Error(kind="quota", message=f"{_words(rule)} is spent", retry_after_s=wait)


def _words(rule: Rule) -> str:
    if rule.what == "usd":
        usd = f"{rule.most / limits.UNITS:,.6f}".rstrip("0").rstrip(".")
        when = "in all" if rule.span == "total" else f"a {rule.span}"
        return f"the budget of {rule.label} of {usd} USD {when}"
    if rule.what == "concurrency":
        return f"{rule.label} may have {_count(rule.most, 'requests')} at a time"
    return f"{rule.label} may have {_count(rule.most, rule.what)} a {rule.span}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what if number != 1 else what.removesuffix('s')}"
