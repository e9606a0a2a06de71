"""Prometheus metrics: one row of METRICS a name, filled from finished entries.

Labels are configured names only (route, provider, model), never text that a client
chose: an unknown model counts under an empty route.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter as Counted
from collections import defaultdict, deque
from operator import attrgetter
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.relay.entry import Attempt, Entry
from gateway.relay.journal import Counters

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1)


# What requests that are counted together have in common: route, provider, model, the
# client's dialect, whether it is a stream, and the status's first digit.
Kind = tuple[str, str, str, str, bool, int]


class Times(Histogram):
    """A histogram that takes many values at a time: one by one, each takes three locks."""

    def observe_all(self, values: list[float]) -> None:
        """Count these values, in seconds."""
        bounds = self._upper_bounds
        self._sum.inc(sum(values))
        for index, count in Counted(bisect_left(bounds, value) for value in values).items():
            self._buckets[index].inc(count)


class Metric(msgspec.Struct, frozen=True):
    """A row: what kind it is, what it says, and by what it is split."""

    kind: type[MetricWrapperBase]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_WHO = ("route", "provider", "model")
METRICS: dict[str, Metric] = {
    "dragoman_requests_total": Metric(
        Counter, "Requests answered.", (*_WHO, "dialect", "stream", "status_class")
    ),
    "dragoman_request_duration_seconds": Metric(
        Times, "Whole time of a request.", (*_WHO, "stream"), _SECONDS
    ),
    "dragoman_time_to_first_token_seconds": Metric(
        Times, "Time to the first content.", _WHO, _SECONDS
    ),
    "dragoman_overhead_seconds": Metric(
        Times, "The gateway's own part before the first byte.", ("route",), _OVERHEAD
    ),
    "dragoman_in_flight_requests": Metric(Gauge, "Requests being answered now."),
    "dragoman_upstream_attempts_total": Metric(
        Counter, "Calls of targets.", ("provider", "model", "outcome")
    ),
    "dragoman_upstream_errors_total": Metric(
        Counter, "Failed calls of targets.", ("provider", "model", "kind")
    ),
    "dragoman_tokens_total": Metric(Counter, "Tokens.", (*_WHO, "direction")),
    "dragoman_cost_usd_total": Metric(Counter, "US dollars, where the price is known.", _WHO),
    "dragoman_cache_requests_total": Metric(
        Counter,
        "Requests on routes that keep answers: hit, semantic, miss or bypass.",
        ("route", "result"),
    ),
    "dragoman_cache_saved_usd_total": Metric(
        Counter, "US dollars that kept answers had cost.", ("route",)
    ),
    "dragoman_deployment_state": Metric(
        Gauge, "0 usable, 1 on trial after a rest, 2 resting.", ("target",)
    ),
    "dragoman_client_disconnects_total": Metric(Counter, "Clients that left early.", ("route",)),
    "dragoman_log_spool_rows": Metric(Gauge, "Log rows not yet in the database."),
    "dragoman_log_dropped_total": Metric(Gauge, "Log parts dropped under pressure.", ("part",)),
    "dragoman_config_version": Metric(Gauge, "Version of the registry in use."),
    "dragoman_build_info": Metric(Gauge, "Always 1.", ("version",)),
}
_TOKENS = (
    ("input", attrgetter("input_tokens")),
    ("cache_read", attrgetter("cache_read_tokens")),
    ("cache_write", attrgetter("cache_write_tokens")),
    ("output", attrgetter("output_tokens")),
    ("reasoning", attrgetter("reasoning_tokens")),
)


# Labels are bounded by what is configured, but for `provider/model` names that clients
# make up: beyond this many, a new combination is counted as "other".
MAX_CHILDREN = 5000
# Entries are counted in batches, off the hot path; no more than this many wait.
MAX_WAITING = 5000


class Metrics:
    """The metrics of one process (or of all workers, through prometheus_client's files)."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self._multiprocess = bool(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
        self._metrics: dict[str, Any] = {
            name: self._make(name, row) for name, row in METRICS.items()
        }
        self._children: dict[tuple[str, ...], Any] = {}
        self._waiting: deque[Entry] = deque()
        self._flying = 0
        self._child("dragoman_build_info", version).set(1)

    def _make(self, name: str, row: Metric) -> MetricWrapperBase:
        options: dict[str, Any] = {"registry": self.registry}
        if row.kind is Times:
            options["buckets"] = row.buckets
        if row.kind is Gauge and self._multiprocess:
            options["multiprocess_mode"] = "livesum"
        return row.kind(name, row.help, row.labels, **options)

    def _child(self, name: str, *labels: str) -> Any:
        key = (name, *labels)
        child = self._children.get(key)
        if child is None:
            if labels and len(self._children) >= MAX_CHILDREN:
                labels = ("other",) * len(labels)
            metric = self._metrics[name]
            child = self._children[key] = metric.labels(*labels) if labels else metric
        return child

    def in_flight(self, change: int) -> None:
        """One request more or less."""
        self._flying += change

    def note(self, entry: Entry) -> None:
        """Take a finished request; it counts with the next `flush`."""
        self._waiting.append(entry)
        if len(self._waiting) > MAX_WAITING:
            self.flush()

    def flush(self) -> None:
        """Count what waits. From any thread; sums, as each count takes a lock."""
        alike: defaultdict[Kind, list[Entry]] = defaultdict(list)
        while self._waiting:
            try:
                entry = self._waiting.popleft()
            except IndexError:  # another thread was faster
                break
            who = entry.route, entry.provider, entry.model
            alike[*who, entry.client_dialect, entry.stream, entry.status // 100].append(entry)
        sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for kind, entries in alike.items():
            self._observe(kind, entries)
            _count(kind, entries, sums)
        for key, amount in sums.items():
            self._child(*key).inc(amount)
        self._child("dragoman_in_flight_requests").set(self._flying)

    def _observe(self, kind: Kind, entries: list[Entry]) -> None:
        *who, _, stream, _ = kind
        # But for the requests of a batch, whose times nobody tells.
        timed = [entry for entry in entries if entry.duration_ms]
        durations = [entry.duration_ms / 1000 for entry in timed]
        firsts = [e.first_token_ms / 1000 for e in timed if e.first_token_ms is not None]
        overheads = [e.overhead_ms / 1000 for e in timed if e.overhead_ms is not None]
        if durations:
            told = "true" if stream else "false"
            self._child("dragoman_request_duration_seconds", *who, told).observe_all(durations)
        if firsts:
            self._child("dragoman_time_to_first_token_seconds", *who).observe_all(firsts)
        if overheads:
            self._child("dragoman_overhead_seconds", who[0]).observe_all(overheads)

    def exposition(
        self, counters: Counters, depth: int, version: int, cooling: dict[str, int]
    ) -> bytes:
        """The text of /metrics."""
        self.flush()
        self._child("dragoman_log_spool_rows").set(depth)
        self._child("dragoman_log_dropped_total", "body").set(counters.bodies_dropped)
        self._child("dragoman_log_dropped_total", "row").set(counters.rows_dropped)
        self._child("dragoman_config_version").set(version)
        for label, position in cooling.items():
            self._child("dragoman_deployment_state", label).set(position)
        registry = self.registry
        if self._multiprocess:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _count(kind: Kind, entries: list[Entry], sums: defaultdict[tuple[str, ...], float]) -> None:
    """Add what finished requests of one kind add to each counter, by name and labels."""
    route, provider, model, dialect, stream, hundreds = kind
    who = route, provider, model
    told = "true" if stream else "false"
    sums["dragoman_requests_total", *who, dialect, told, f"{hundreds}xx"] += len(entries)
    for direction, tokens in _TOKENS:
        if count := sum(filter(None, map(tokens, entries))):
            sums["dragoman_tokens_total", *who, direction] += count
    for entry in entries:
        if entry.outcome == "client_closed":
            sums["dragoman_client_disconnects_total", route] += 1
        if entry.cost_usd:
            sums["dragoman_cost_usd_total", *who] += float(entry.cost_usd)
        if entry.cache:
            sums["dragoman_cache_requests_total", route, entry.cache] += 1
            if entry.saved_usd:
                sums["dragoman_cache_saved_usd_total", route] += float(entry.saved_usd)
        for record in entry.attempts:
            if record.skipped is None:
                _count_attempt(route, record, sums)


def _count_attempt(route: str, record: Attempt, sums: defaultdict[tuple[str, ...], float]) -> None:
    target = record.provider, record.model
    outcome = "error" if record.error_kind else "ok"
    sums["dragoman_upstream_attempts_total", *target, outcome] += 1
    if record.cost_usd:  # of one that was given up: no part of the request's own
        sums["dragoman_cost_usd_total", route, *target] += float(record.cost_usd)
    if record.input_tokens:
        sums["dragoman_tokens_total", route, *target, "input"] += record.input_tokens
    if record.error_kind:
        sums["dragoman_upstream_errors_total", *target, record.error_kind] += 1
