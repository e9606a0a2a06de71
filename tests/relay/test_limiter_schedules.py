"""Thousands of random schedules of requests over several processes, against a separate ledger.

Each schedule has a key in a project of a team, a route and two providers, with random limits and
budgets. Requests arrive, are refused, retried, hedged, interrupted and settled; processes die and
are replaced; the clock jumps over calendar boundaries.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from gateway.dialects import DIALECTS
from gateway.relay.exchange.call import Call, Exchange
from gateway.relay.exchange.reservation import Admission
from gateway.relay.limits.limiter import Limiter, rules_for
from gateway.relay.limits.shared_counters import SharedCounters
from gateway.routing.limits import (
    BUCKETS,
    FIRST_BUCKET,
    RESERVED,
    SLICES,
    SPANS,
    UNITS,
    Budget,
    Limits,
    Rule,
    build_rules,
    calendar_window,
)
from gateway.routing.snapshot import ApiKey, Provider, Route, Snapshot, Target, Team
from tests.relay.harness import provider, snapshot
from tests.relay.test_limiter import priced_route

WORKERS = 3
SCHEDULES = 2500
STEPS = 40
# Near the ends of a day, a week, a month and a year; UTC has no summer time, but clocks in
# New York and Berlin are changed in two of these nights.
STARTS = [
    datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    for text in (
        "2026-12-31T23:58:00",
        "2026-02-28T23:59:30",
        "2026-03-08T06:59:50",
        "2026-10-25T00:59:00",
        "2026-06-14T23:59:59",
        "2026-06-17T11:00:00",
    )
]
GAPS = [0.0, 0.0, 0.1, 1.0, 4.9, 5.1, 20.0, 61.0, 400.0, 3700.0, 30_000.0, 90_000.0, 700_000.0]


def limiter_decision(limiter: Limiter, call: Call, route: Route, target: Target) -> Admission:
    """Return the limiter's decision; with counters of the process it never waits."""
    try:
        limiter.admit(call, route, target).send(None)
    except StopIteration as done:
        admission: Admission = done.value
        return admission
    raise AssertionError("it waits")


class RunningRequest(NamedTuple):
    """A running request: its process, and the usage that it may reach."""

    call: Call
    worker: int
    rules: frozenset[str]
    tokens: int
    units: int


class ExpectedUsage:
    """The actual usage by the name of each rule."""

    def __init__(self) -> None:
        self.requests: dict[str, list[tuple[float, int]]] = {}
        self.tokens: dict[str, list[tuple[float, int]]] = {}
        self.spent: dict[tuple[str, int], list[int]] = {}

    def counted(self, rule: Rule, now: float, back_s: float) -> int:
        events = (self.requests if rule.metric == "requests" else self.tokens).get(rule.name, [])
        return sum(amount for time, amount in events if time > now - back_s)

    def busiest(self, rule: Rule) -> int:
        """Return the highest usage in any span of the rule's length."""
        events = (self.requests if rule.metric == "requests" else self.tokens).get(rule.name, [])
        span_s, maximum = SPANS[rule.span], 0
        for end, _ in events:
            maximum = max(maximum, sum(n for time, n in events if end - span_s < time <= end))
        return maximum


class LimiterProcesses:
    """The processes: one limiter each, on one directory with one clock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = STARTS[0]
        self.workers = [self._worker() for _ in range(WORKERS)]

    def _worker(self) -> Limiter:
        return Limiter(SharedCounters(self.directory), clock=lambda: self.now)

    def kill(self, number: int) -> None:
        """Kill a process: its locks are released, its counts remain."""
        self.workers[number].counters._close_files()
        survivor = self.workers[(number + 1) % WORKERS]
        assert survivor.counters.release_dead_processes() == 1
        self.workers[number] = self._worker()

    def slots_of(self, name: str) -> Iterator[tuple[memoryview, int]]:
        """Return the counter of a rule in each process slot."""
        shared_counters = self.workers[0].counters
        shared_counters.map_new_slots()
        offset = shared_counters.counter_offset(name)
        assert offset is not None
        for counters in (shared_counters.local_slot, *shared_counters.peer_slots):
            yield counters, offset

    def reserved(self, name: str) -> int:
        return sum(counters[offset + RESERVED] for counters, offset in self.slots_of(name))

    def spent(self, name: str, window: int) -> int:
        return sum(
            counters[offset + FIRST_BUCKET]
            for counters, offset in self.slots_of(name)
            if counters[offset] == window
        )


class Schedule:
    """A random schedule."""

    def __init__(self, processes: LimiterProcesses, number: int) -> None:
        self.processes = processes
        self.draw = random.Random(number)
        self.expected = ExpectedUsage()
        self.running: list[RunningRequest] = []
        self.refused = 0
        self.key, self.route, self.registry = self._registry(1 + number * 4)
        self.own = rules_for(self.key, self.route)
        self.of_providers = [
            build_rules(f"provider:{t.model.provider.id}", "", t.model.provider.limits)
            for t in self.route.targets
        ]
        processes.now = self.draw.choice(STARTS) + self.draw.random() * 30

    def _registry(self, first_id: int) -> tuple[ApiKey, Route, Snapshot]:
        providers: list[Provider] = [
            provider(f"p{n}", id=first_id + n, limits=self._limits(0.2)) for n in range(2)
        ]
        route = priced_route(*providers, id=first_id, limits=self._limits(0.15))
        team = Team(id=first_id, name="t", limits=self._limits(0.2), budget=self._budget())
        project = Team(
            id=first_id + 1, name="p", limits=self._limits(0.2), budget=self._budget(), parent=team
        )
        base = snapshot(route)
        ((digest, key),) = base.keys.items()
        key = msgspec.structs.replace(
            key, id=first_id, team=project, limits=self._limits(0.3), budget=self._budget()
        )
        return key, route, msgspec.structs.replace(base, keys={digest: key})

    def _limits(self, odds: float) -> Limits:
        draw = self.draw
        fields: dict[str, Any] = {}
        for span in SPANS:
            if draw.random() < odds:
                fields[f"requests_per_{span}"] = draw.randrange(1, 8)
            if draw.random() < odds:
                fields[f"tokens_per_{span}"] = draw.randrange(1, 300)
        if draw.random() < odds:
            fields["concurrency"] = draw.randrange(1, 4)
        return Limits(**fields)

    def _budget(self) -> Budget:
        decimals_by_text = {
            f"{span}_usd": Decimal(self.draw.randrange(0, 2000)) / 10**6
            for span in ("day", "week", "month", "total")
            if self.draw.random() < 0.25
        }
        return Budget(**decimals_by_text)

    # --- what may happen ----------------------------------------------------------------

    def run(self) -> None:
        for _ in range(STEPS):
            self.processes.now += self.draw.choice(GAPS) * self.draw.random()
            chance = self.draw.random()
            if chance < 0.55 or not self.running:
                self.enter()
            elif chance < 0.97:
                self.end(self.running.pop(self.draw.randrange(len(self.running))))
            else:
                self.die(self.draw.randrange(WORKERS))
            self.check()
        while self.running:
            self.end(self.running.pop())
        self.check()
        self.check_end()

    def enter(self) -> None:
        worker = self.draw.randrange(WORKERS)
        limiter, amount = self.processes.workers[worker], self.draw.choice([1, 9, 40, 150])
        call = self._call(amount)
        values: set[str] = set()
        for position, target in self._order():
            admission = limiter_decision(limiter, call, self.route, target)
            if admission.ends_request:
                assert not call.reservations
                assert not call.limits_reserved
                self.refused += 1
                self.justified(self.own, amount)
                return
            if not values:
                self._count_requests(self.own)
                values = {rule.name for rule in self.own}
            if admission.refusal is not None:
                self.refused += 1
                self.justified(self.of_providers[position], amount, values)
                continue
            self._count_requests(self.of_providers[position])
            names = {rule.name for rule in self.of_providers[position]}
            if self.draw.random() < 0.2:  # this attempt fails: the next one
                limiter.release_attempt(call)
                continue
            if self.draw.random() < 0.2:
                self._hedge(limiter, call, 1 - position)
            self._running(call, worker, values | names, amount)
            return
        self._running(call, worker, values, amount)

    def _order(self) -> list[tuple[int, Any]]:
        targets = list(enumerate(self.route.targets))
        self.draw.shuffle(targets)
        return targets

    def _hedge(self, limiter: Limiter, call: Call, position: int) -> None:
        """Run a second target that loses: its reservation is released."""
        spare = copy.copy(call)
        spare.reservations = []
        if (
            limiter_decision(limiter, spare, self.route, self.route.targets[position]).refusal
            is None
        ):
            self._count_requests(self.of_providers[position])
        limiter.release_attempt(spare)
        assert not spare.reservations

    def _call(self, amount: int) -> Call:
        exchange = Exchange(
            request_id="r",
            endpoint="/v1/chat/completions",
            verb="generate",
            dialect=DIALECTS["openai_chat"],
            snapshot=self.registry,
            headers={},
            started=0.0,
        )
        exchange.started_at, exchange.key, exchange.route = self.processes.now, self.key, self.route
        exchange.fields = {"max_tokens": msgspec.Raw(b"%d" % amount)}
        return Call(exchange)

    def _running(self, call: Call, worker: int, names: set[str], amount: int) -> None:
        # One token of a prompt at a dollar a million, the response's at two.
        units = (1 + 2 * amount) * UNITS // 10**6
        self.running.append(RunningRequest(call, worker, frozenset(names), 1 + amount, units))

    def _count_requests(self, result: Any) -> None:
        for rule in result:
            if rule.metric == "requests":
                self.expected.requests.setdefault(rule.name, []).append((self.processes.now, 1))

    def end(self, request: RunningRequest) -> None:
        part = self.draw.choice([0.0, self.draw.random(), 1.0])
        tokens, units = int(request.tokens * part), int(request.units * part)
        self.processes.workers[request.worker].settle(request.call, tokens, units)
        self.processes.workers[request.worker].settle(request.call, tokens, units)  # once is enough
        for rule in self._all():
            if rule.name not in request.rules:
                continue
            if rule.metric == "tokens" and tokens:
                self.expected.tokens.setdefault(rule.name, []).append((self.processes.now, tokens))
            elif rule.metric == "usd":
                window = calendar_window(request.call.exchange.started_at, rule.span)[0]
                if units and not self._over(rule.name, window, request.worker):
                    self.expected.spent.setdefault((rule.name, window), []).append(units)

    def _over(self, name: str, window: int, worker: int) -> bool:
        """Return whether the settling process has already started a later window."""
        shared_counters = self.processes.workers[worker].counters
        offset = shared_counters.counter_offset(name)
        assert offset is not None
        return bool(shared_counters.local_slot[offset] > window)

    def die(self, worker: int) -> None:
        self.processes.kill(worker)
        self.running = [request for request in self.running if request.worker != worker]

    # --- what must hold -----------------------------------------------------------------

    def _all(self) -> list[Rule]:
        return [*self.own, *self.of_providers[0], *self.of_providers[1]]

    def _reserved_amounts(self, rule: Rule) -> list[int]:
        of = [request for request in self.running if rule.name in request.rules]
        if rule.metric == "tokens":
            return [request.tokens for request in of]
        return [request.units if rule.metric == "usd" else 1 for request in of]

    def check(self) -> None:
        for rule in self._all():
            if rule.metric == "requests":
                assert self.expected.busiest(rule) <= rule.limit
                continue
            numbers = self._reserved_amounts(rule)
            assert self.processes.reserved(rule.name) == sum(numbers), "a phantom, or one forgotten"
            if rule.metric == "concurrency":
                assert len(numbers) <= rule.limit
            elif rule.metric == "usd":
                window = calendar_window(self.processes.now, rule.span)[0]
                spent = self.expected.spent.get((rule.name, window), [])
                assert self.processes.spent(rule.name, window) == sum(spent), "not exact"

    def check_end(self) -> None:
        """Assert that limits are exceeded by at most one request that ran alone."""
        for rule in self._all():
            assert self.processes.reserved(rule.name) == 0
            if rule.metric == "tokens":
                largest = max((n for _, n in self.expected.tokens.get(rule.name, [])), default=0)
                assert self.expected.busiest(rule) <= rule.limit + largest
        budgets = {rule.name: rule.limit for rule in self._all() if rule.metric == "usd"}
        for (name, _), spent in self.expected.spent.items():
            assert sum(spent) <= budgets[name] + max(spent)

    def justified(self, result: Any, amount: int, texts: set[str] | None = None) -> None:
        """Assert that a refused request exceeds the actual or the reserved usage."""
        assert any(self._is_full(rule, amount, texts or set()) for rule in result)

    def _is_full(self, rule: Rule, amount: int, own_usage: set[str]) -> bool:
        under_way = sum(self._reserved_amounts(rule))
        if rule.metric == "concurrency":
            return under_way >= rule.limit
        if rule.metric == "usd":
            window = calendar_window(self.processes.now, rule.span)[0]
            usage = sum(self.expected.spent.get((rule.name, window), []))
            wish = (1 + 2 * amount) * UNITS // 10**6
        else:
            # A bucket leaves when all of it is older than the span.
            back_s = SPANS[rule.span] * BUCKETS / SLICES
            usage = self.expected.counted(rule, self.processes.now, back_s)
            wish = 1 if rule.metric == "requests" else 1 + amount
        return usage >= rule.limit or (under_way > 0 and usage + under_way + wish > rule.limit)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> LimiterProcesses:
    return LimiterProcesses(tmp_path_factory.mktemp("limits"))


@pytest.mark.parametrize("part", range(10))
@pytest.mark.wide(every=5)
def test_no_schedule_exceeds_a_limit_or_leaks_a_reservation(
    processes: LimiterProcesses, part: int
) -> None:
    refused_count = 0
    for number in range(part * SCHEDULES // 10, (part + 1) * SCHEDULES // 10):
        schedule = Schedule(processes, number)
        try:
            schedule.run()
        except AssertionError as error:
            error.add_note(f"schedule {number}")
            raise
        refused_count += schedule.refused
    assert refused_count > SCHEDULES // 10, "schedules that refuse nobody say nothing"


def test_a_client_that_waits_for_retry_after_is_admitted(processes: LimiterProcesses) -> None:
    """Clients that honor retry-after are all served, whatever their number."""
    for number in range(10**6, 10**6 + 150):
        schedule = Schedule(processes, number)
        draw = schedule.draw
        waiting = [(processes.now + n / 10, 1 + draw.randrange(60), 0) for n in range(6)]
        usable = all(rule.limit > 0 for rule in schedule._all())
        while waiting and usable:
            waiting.sort()
            due, amount, turns = waiting.pop(0)
            processes.now = max(processes.now, due)
            assert turns < 60, f"schedule {number}: kept out for ever"
            call = schedule._call(amount)
            limiter = processes.workers[draw.randrange(WORKERS)]
            full = limiter_decision(
                limiter, call, schedule.route, schedule.route.targets[0]
            ).refusal
            if full is None:
                limiter.settle(call, amount // 2, 0)
                continue
            limiter.settle(call, 0, 0)
            assert full.retry_after_s is not None
            waiting.append((processes.now + full.retry_after_s, amount, turns + 1))
