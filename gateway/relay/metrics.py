"""Prometheus metrics: one row of METRICS a name, filled from finished entries.

Labels are configured names only (route, provider, model), never text that a client
chose: an unknown model counts under an empty route.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.relay.entry import Attempt, Entry
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
    "dragoman_deployment_state": Metric(Gauge, "0 usable, 2 cooling down.", ("target",)),
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


class Metrics:
    """The metrics of one process (or of all workers, through prometheus_client's files)."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self._multiprocess = bool(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
        self._metrics: dict[str, Any] = {
            name: self._make(name, row) for name, row in METRICS.items()
        }
        self._children: dict[tuple[str, ...], Any] = {}
        self._usual: dict[tuple[str, str, str, str, bool, int], tuple[Any, Any, Any, Any]] = {}
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
            metric = self._metrics[name]
            child = self._children[key] = metric.labels(*labels) if labels else metric
        return child

    def _resolve(self, key: tuple[str, str, str, str, bool, int]) -> tuple[Any, Any, Any, Any]:
        """The four metrics that every request moves, looked up once per combination."""
        *who, dialect, is_stream, hundreds = key
        stream = "true" if is_stream else "false"
        found = self._usual[key] = (
            self._child("dragoman_requests_total", *who, dialect, stream, f"{hundreds}xx"),
            self._child("dragoman_request_duration_seconds", *who, stream),
            self._child("dragoman_time_to_first_token_seconds", *who),
            self._child("dragoman_overhead_seconds", who[0]),
        )
        return found

    def in_flight(self, change: int) -> None:
        """One request more or less."""
        self._child("dragoman_in_flight_requests").inc(change)

    def attempt(self, record: Attempt) -> None:
        """Note one call of a target."""
        who = (record.provider, record.model)
        outcome = "error" if record.error_kind else "ok"
        self._child("dragoman_upstream_attempts_total", *who, outcome).inc()
        if record.error_kind:
            self._child("dragoman_upstream_errors_total", *who, record.error_kind).inc()

    def note(self, entry: Entry) -> None:
        """Note a finished request."""
        who = (entry.route, entry.provider, entry.model)
        key = (*who, entry.client_dialect, entry.stream, entry.status // 100)
        requests, duration, first_token, overhead = self._usual.get(key) or self._resolve(key)
        requests.inc()
        duration.observe(entry.duration_ms / 1000)
        if entry.first_token_ms is not None:
            first_token.observe(entry.first_token_ms / 1000)
        if entry.overhead_ms is not None:
            overhead.observe(entry.overhead_ms / 1000)
        if entry.outcome == "client_closed":
            self._child("dragoman_client_disconnects_total", entry.route).inc()
        for direction, field in _TOKENS:
            if count := getattr(entry, field):
                self._child("dragoman_tokens_total", *who, direction).inc(count)
        if entry.cost_usd:
            self._child("dragoman_cost_usd_total", *who).inc(float(entry.cost_usd))

    def exposition(
        self, counters: Counters, depth: int, version: int, cooling: dict[str, bool]
    ) -> bytes:
        """The text of /metrics."""
        self._child("dragoman_log_spool_rows").set(depth)
        self._child("dragoman_log_dropped_total", "body").set(counters.bodies_dropped)
        self._child("dragoman_log_dropped_total", "row").set(counters.rows_dropped)
        self._child("dragoman_config_version").set(version)
        for label, is_cooling in cooling.items():
            self._child("dragoman_deployment_state", label).set(2 if is_cooling else 0)
        registry = self.registry
        if self._multiprocess:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
