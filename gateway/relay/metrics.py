"""Prometheus metrics: one row of METRICS a name, filled from finished entries.

Labels are configured names only (route, provider, model), never text that a client
chose: an unknown model counts under an empty route.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.relay.entry import Entry
from gateway.relay.journal import Counters

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1)


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
        Histogram, "Whole time of a request.", (*_WHO, "stream"), _SECONDS
    ),
    "dragoman_time_to_first_token_seconds": Metric(
        Histogram, "Time to the first content.", _WHO, _SECONDS
    ),
    "dragoman_overhead_seconds": Metric(
        Histogram, "The gateway's own part before the first byte.", ("route",), _OVERHEAD
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
    ("input", "input_tokens"),
    ("cache_read", "cache_read_tokens"),
    ("cache_write", "cache_write_tokens"),
    ("output", "output_tokens"),
    ("reasoning", "reasoning_tokens"),
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
        if row.kind is Histogram:
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
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        while self._waiting:
            try:
                entry = self._waiting.popleft()
            except IndexError:  # another thread was faster
                break
            self._observe(entry)
            for key, amount in _counts(entry):
                sums[key] += amount
        for key, amount in sums.items():
            self._child(*key).inc(amount)
        self._child("dragoman_in_flight_requests").set(self._flying)

    def _observe(self, entry: Entry) -> None:
        who = (entry.route, entry.provider, entry.model)
        stream = "true" if entry.stream else "false"
        if not entry.duration_ms:  # the requests of a batch, whose times nobody tells
            return
        duration = self._child("dragoman_request_duration_seconds", *who, stream)
        duration.observe(entry.duration_ms / 1000)
        if entry.first_token_ms is not None:
            first = self._child("dragoman_time_to_first_token_seconds", *who)
            first.observe(entry.first_token_ms / 1000)
        if entry.overhead_ms is not None:
            overhead = self._child("dragoman_overhead_seconds", entry.route)
            overhead.observe(entry.overhead_ms / 1000)

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


def _counts(entry: Entry) -> Iterator[tuple[tuple[str, ...], float]]:
    """What a finished request adds to each counter, by name and labels."""
    who = (entry.route, entry.provider, entry.model)
    stream = "true" if entry.stream else "false"
    hundreds = f"{entry.status // 100}xx"
    yield ("dragoman_requests_total", *who, entry.client_dialect, stream, hundreds), 1
    if entry.outcome == "client_closed":
        yield ("dragoman_client_disconnects_total", entry.route), 1
    for direction, field in _TOKENS:
        if count := getattr(entry, field):
            yield ("dragoman_tokens_total", *who, direction), count
    if entry.cost_usd:
        yield ("dragoman_cost_usd_total", *who), float(entry.cost_usd)
    if entry.cache:
        yield ("dragoman_cache_requests_total", entry.route, entry.cache), 1
        if entry.saved_usd:
            yield ("dragoman_cache_saved_usd_total", entry.route), float(entry.saved_usd)
    for record in entry.attempts:
        if record.skipped is None:
            target = (record.provider, record.model)
            outcome = "error" if record.error_kind else "ok"
            yield ("dragoman_upstream_attempts_total", *target, outcome), 1
            if record.cost_usd:  # of one that was given up: no part of the request's own
                yield ("dragoman_cost_usd_total", entry.route, *target), float(record.cost_usd)
            if record.input_tokens:
                told = ("dragoman_tokens_total", entry.route, *target, "input")
                yield told, record.input_tokens
            if record.error_kind:
                yield ("dragoman_upstream_errors_total", *target, record.error_kind), 1
