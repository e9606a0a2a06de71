"""Prometheus metrics: one row of METRICS per name, filled from log records.

Labels are only names in the registry (route, provider, model), never text that a client
sent: any other name counts as `other`.

    counters, histograms   from log records, summed over the workers
    gauges of a process    (in flight, memory, ...) sampled twice a second, summed over the
                           live workers
    gauges of a node       (version, target states, budgets, ...) are the same in each worker:
                           the worker that is scraped reports them
"""

from __future__ import annotations

import contextlib
import fnmatch
import logging
import os
import threading
from bisect import bisect_left
from collections import Counter as Counted
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.routing.snapshot import Snapshot

# --- labels -----------------------------------------------------------------------------

# The label of names that are not in the registry.
OTHER = "other"


class RegistryNames:
    """The names of one registry snapshot."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self.snapshot = snapshot
        routes = snapshot.routes if snapshot is not None else {}
        models = list(snapshot.models.values()) if snapshot is not None else []
        models += [target.model for route in routes.values() for target in route.targets]
        self._routes = frozenset(routes)
        self._wildcards = snapshot.wildcards if snapshot is not None else ()
        self._providers = frozenset(snapshot.providers if snapshot is not None else ())
        self._models = frozenset((model.provider.name, model.name) for model in models)
        self.targets = frozenset(model.label for model in models)

    def route(self, name: str) -> str:
        """The route's name, or that of the wildcard route that matches the name, or `other`."""
        if not name or name in self._routes:
            return name
        for pattern, route in self._wildcards:
            if fnmatch.fnmatchcase(name, pattern):
                return route
        return OTHER

    def target(self, provider: str, model: str) -> tuple[str, str]:
        """Provider and model, each `other` if it is not in the registry."""
        registered = not model or (provider, model) in self._models
        if not provider or provider in self._providers:
            return provider, model if registered else OTHER
        return OTHER, model if registered else OTHER


_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_CHUNKS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1)


# Requests that are counted together: route, provider, model, the client's dialect, whether
# it is a stream, and the first digit of the status.
RequestGroup = tuple[str, str, str, str, bool, int]


class BatchHistogram(Histogram):
    """A histogram that adds many values at a time: each single `observe` takes three locks."""

    def observe_all(self, values: list[float]) -> None:
        """Add these values, in seconds."""
        bounds = self._upper_bounds
        self._sum.inc(sum(values))
        for index, count in Counted(bisect_left(bounds, value) for value in values).items():
            self._buckets[index].inc(count)


class Metric(msgspec.Struct, frozen=True):
    """A row: the type of metric, its help text and its labels.

    `node` marks a gauge that is the same in every worker.
    """

    kind: type[MetricWrapperBase]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    node: bool = False


class NodeValues(msgspec.Struct, frozen=True, kw_only=True):
    """Values that are the same in each worker of a node, at the time of a scrape.

    Attributes:
        version: the registry version.
        targets: the state of each target, by `provider/model`.
        database_up: whether the last access to the database succeeded.
        redis_up: whether the last access to Redis succeeded; None if it is not configured.
        budgets: US dollars left, by owner (`key:7`, `team:2`, ..., `all`) and span.
    """

    version: int = 0
    targets: dict[str, int] = {}
    database_up: bool = True
    redis_up: bool | None = None
    budgets: dict[tuple[str, str], float] = {}


class ProcessValues(msgspec.Struct, frozen=True, kw_only=True):
    """Values of one worker, at the time of a sample."""

    max_requests: int = 0
    spool_rows: int = 0
    disk_rows: int = 0
    disk_bytes: int = 0
    unrecorded_rows: int = 0
    rows_dropped: int = 0
    rows_refused: int = 0
    bodies_dropped: int = 0
    failed_batches: int = 0
    loop_lag_s: float = 0.0


_TARGET_LABELS = ("route", "provider", "model")
METRICS: dict[str, Metric] = {
    "dragoman_requests_total": Metric(
        Counter, "Finished requests.", (*_TARGET_LABELS, "dialect", "stream", "status_class")
    ),
    "dragoman_request_duration_seconds": Metric(
        BatchHistogram, "Total duration of a request.", (*_TARGET_LABELS, "stream"), _SECONDS
    ),
    "dragoman_time_to_first_token_seconds": Metric(
        BatchHistogram, "Time to the first token.", _TARGET_LABELS, _SECONDS
    ),
    "dragoman_overhead_seconds": Metric(
        BatchHistogram, "Gateway overhead before the first byte.", ("route",), _OVERHEAD
    ),
    "dragoman_inter_chunk_seconds": Metric(
        BatchHistogram, "Mean time between chunks of a stream.", _TARGET_LABELS, _CHUNKS
    ),
    "dragoman_guardrail_results_total": Metric(
        Counter, "Requests and responses checked by guardrails.", ("guardrail", "stage", "outcome")
    ),
    "dragoman_client_spans_total": Metric(
        Counter, "Spans and traces that clients sent, by format and result.", ("format", "result")
    ),
    "dragoman_in_flight_requests": Metric(Gauge, "Requests in progress."),
    "dragoman_in_flight_limit": Metric(
        Gauge, "Maximum number of concurrent requests; further requests are rejected."
    ),
    "dragoman_requests_shed_total": Metric(
        Counter, "Requests rejected because too many were in progress."
    ),
    "dragoman_event_loop_lag_seconds": Metric(
        Gauge, "Event loop lag at the last sample, summed over workers."
    ),
    "dragoman_event_loop_stalls_total": Metric(
        Counter, "Event loop stalls above the threshold, by cause.", ("cause",)
    ),
    "dragoman_event_loop_stall_seconds_total": Metric(
        Counter, "Duration of event loop stalls.", ("cause",)
    ),
    "dragoman_limit_refusals_total": Metric(
        Counter, "Requests and attempts rejected by a limit or budget.", ("owner", "limit")
    ),
    "dragoman_budget_left_usd": Metric(
        Gauge, "Remaining budget in US dollars.", ("owner", "span"), node=True
    ),
    "dragoman_process_memory_bytes": Metric(Gauge, "Resident memory of all workers."),
    "dragoman_database_up": Metric(
        Gauge, "1 if the database responded at the last check.", node=True
    ),
    "dragoman_redis_up": Metric(
        Gauge,
        "1 if Redis responded at the last check; absent if Redis is not configured.",
        node=True,
    ),
    "dragoman_upstream_attempts_total": Metric(
        Counter, "Upstream calls by target.", ("provider", "model", "outcome")
    ),
    "dragoman_upstream_errors_total": Metric(
        Counter, "Failed upstream calls by target.", ("provider", "model", "kind")
    ),
    "dragoman_tokens_total": Metric(Counter, "Tokens.", (*_TARGET_LABELS, "direction")),
    "dragoman_cost_usd_total": Metric(
        Counter, "Cost in US dollars, where the price is known.", _TARGET_LABELS
    ),
    "dragoman_cache_requests_total": Metric(
        Counter,
        "Response cache lookups: hit, semantic, miss or bypass.",
        ("route", "result"),
    ),
    "dragoman_cache_saved_usd_total": Metric(
        Counter, "Cost in US dollars saved by cached responses.", ("route",)
    ),
    "dragoman_deployment_state": Metric(
        Gauge,
        "Circuit breaker state: 0 closed, 1 half-open, 2 open (in cooldown).",
        ("target",),
        node=True,
    ),
    "dragoman_client_disconnects_total": Metric(
        Counter, "Clients that disconnected early.", ("route",)
    ),
    "dragoman_log_spool_rows": Metric(Gauge, "Log rows not yet in the database."),
    "dragoman_log_disk_rows": Metric(Gauge, "Log rows queued on disk only."),
    "dragoman_log_disk_bytes": Metric(Gauge, "Disk space used by the journal, in bytes."),
    "dragoman_log_unrecorded_rows": Metric(
        Gauge, "Log rows that would be lost if the process were killed."
    ),
    "dragoman_log_dropped_total": Metric(
        Counter, "Log parts dropped because of overload.", ("part",)
    ),
    "dragoman_log_refused_total": Metric(
        Counter, "Log rows that the database rejected because of their values."
    ),
    "dragoman_log_failed_batches_total": Metric(
        Counter, "Log batches that could not be written to the database."
    ),
    "dragoman_config_version": Metric(Gauge, "Version of the active registry.", node=True),
    "dragoman_build_info": Metric(Gauge, "Always 1.", ("version",), node=True),
}
_TOKENS = (
    ("input", attrgetter("input_tokens")),
    ("cache_read", attrgetter("cache_read_tokens")),
    ("cache_write", attrgetter("cache_write_tokens")),
    ("output", attrgetter("output_tokens")),
    ("reasoning", attrgetter("reasoning_tokens")),
)


# Maximum number of label combinations, for large registries; further ones count as "other".
MAX_CHILDREN = 5000
# Up to this many targets are all reported, also those without a state.
MAX_TARGETS = 2000
# Log records are counted in batches, off the hot path; this is the maximum number pending.
MAX_PENDING = 5000


class Metrics:
    """The metrics of one process (or of all workers, through prometheus_client's files)."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        # Whether values are summed over several workers.
        self.multi_worker = bool(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
        self._metrics: dict[str, Any] = {
            name: self._create_collector(name, row) for name, row in METRICS.items() if not row.node
        }
        self._version = version
        self._children: dict[tuple[str, ...], Any] = {}
        self._pending: deque[LogRecord] = deque()
        self._events: deque[tuple[tuple[str, ...], float]] = deque()
        self.requests_in_flight = self.large_body_bytes = 0
        self._snapshot: Snapshot | None = None
        self._names = RegistryNames(None)
        self._counted: dict[tuple[str, ...], int] = {}
        self._sampling = threading.Lock()
        self._rendering = threading.Lock()

    def _create_collector(self, name: str, row: Metric) -> MetricWrapperBase:
        options: dict[str, Any] = {"registry": self.registry}
        if row.kind is BatchHistogram:
            options["buckets"] = row.buckets
        if row.kind is Gauge and self.multi_worker:
            options["multiprocess_mode"] = "livesum"
        return row.kind(name, row.help, row.labels, **options)

    def _metric_child(self, name: str, *labels: str) -> Any:
        key = (name, *labels)
        child = self._children.get(key)
        if child is None:
            if labels and len(self._children) >= MAX_CHILDREN:
                key = (name, *("other" for _ in labels))
                if key in self._children:
                    return self._children[key]
            metric = self._metrics[name]
            child = self._children[key] = metric.labels(*key[1:]) if labels else metric
        return child

    def use_names(self, snapshot: Snapshot) -> None:
        """Use this registry's names as labels from now on."""
        self._snapshot = snapshot

    def count_shed(self) -> None:
        """Count a request that was rejected by the concurrency limit."""
        self._events.append((("dragoman_requests_shed_total",), 1))

    def count_refusal(self, owner: str, limit: str) -> None:
        """Count the refusal of a limit: the kind of its owner, and its metric."""
        self._events.append((("dragoman_limit_refusals_total", owner, limit), 1))

    def count_client_spans(self, source: str, accepted: int, rejected: int) -> None:
        """Count what a request of a client sent: spans that are stored, and items that are not."""
        self._events.append((("dragoman_client_spans_total", source, "accepted"), accepted))
        self._events.append((("dragoman_client_spans_total", source, "rejected"), rejected))

    def count_stall(self, cause: str, seconds: float) -> None:
        """Count a stall of the event loop."""
        self._events.append((("dragoman_event_loop_stalls_total", cause), 1))
        self._events.append((("dragoman_event_loop_stall_seconds_total", cause), seconds))

    def record(self, record: LogRecord) -> None:
        """Add the record of a finished request, to be counted on the next `flush`."""
        self._pending.append(record)
        if len(self._pending) > MAX_PENDING:
            self.flush()

    def flush(self) -> None:
        """Count pending records, and log failures. Thread-safe.

        Add up the increments first, as each increment takes a lock.
        """
        names = self._names
        if names.snapshot is not self._snapshot:
            names = self._names = RegistryNames(self._snapshot)
        failed_records: list[LogRecord] = []
        records_by_group: defaultdict[RequestGroup, list[LogRecord]] = defaultdict(list)
        while self._pending:
            try:
                record = self._pending.popleft()
            except IndexError:  # another thread was faster
                break
            if record.error_kind:
                failed_records.append(record)
            target_labels = names.route(record.route), *names.target(record.provider, record.model)
            records_by_group[
                *target_labels, record.client_dialect, record.stream, record.status // 100
            ].append(record)
        log_failures(failed_records)
        sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for group, records in records_by_group.items():
            self._observe_times(group, records)
            _count_requests(group, records, sums, names)
        with contextlib.suppress(IndexError):  # it is empty
            while True:
                key, amount = self._events.popleft()
                sums[key] += amount
        for key, amount in sums.items():
            self._metric_child(*key).inc(amount)

    def _observe_times(self, group: RequestGroup, records: list[LogRecord]) -> None:
        *target_labels, _, stream, _ = group
        # Requests of a batch have no times.
        timed_records = [record for record in records if record.duration_ms]
        durations = [record.duration_ms / 1000 for record in timed_records]
        first_token_times = [
            e.first_token_ms / 1000 for e in timed_records if e.first_token_ms is not None
        ]
        gaps = [e.chunk_gap_ms / 1000 for e in timed_records if e.chunk_gap_ms is not None]
        overheads = [e.overhead_ms / 1000 for e in timed_records if e.overhead_ms is not None]
        if durations:
            stream_label = "true" if stream else "false"
            self._metric_child(
                "dragoman_request_duration_seconds", *target_labels, stream_label
            ).observe_all(durations)
        if first_token_times:
            self._metric_child("dragoman_time_to_first_token_seconds", *target_labels).observe_all(
                first_token_times
            )
        if gaps:
            self._metric_child("dragoman_inter_chunk_seconds", *target_labels).observe_all(gaps)
        if overheads:
            self._metric_child("dragoman_overhead_seconds", target_labels[0]).observe_all(overheads)

    def sample(self, process: ProcessValues) -> None:
        """Set the gauges of this process. Thread-safe."""
        with self._sampling:
            self._metric_child("dragoman_in_flight_requests").set(self.requests_in_flight)
            self._metric_child("dragoman_in_flight_limit").set(process.max_requests)
            self._metric_child("dragoman_event_loop_lag_seconds").set(process.loop_lag_s)
            self._metric_child("dragoman_log_spool_rows").set(process.spool_rows)
            self._metric_child("dragoman_log_disk_rows").set(process.disk_rows)
            self._metric_child("dragoman_log_disk_bytes").set(process.disk_bytes)
            self._metric_child("dragoman_log_unrecorded_rows").set(process.unrecorded_rows)
            self._metric_child("dragoman_process_memory_bytes").set(memory_bytes())
            self._count_to(process.bodies_dropped, "dragoman_log_dropped_total", "body")
            self._count_to(process.rows_dropped, "dragoman_log_dropped_total", "row")
            self._count_to(process.rows_refused, "dragoman_log_refused_total")
            self._count_to(process.failed_batches, "dragoman_log_failed_batches_total")

    def _count_to(self, value: int, *key: str) -> None:
        """Advance a counter to a value that is counted elsewhere."""
        before = self._counted.get(key, 0)
        self._metric_child(*key).inc(max(0, value - before))
        self._counted[key] = value

    def exposition(self, node: NodeValues, process: ProcessValues) -> bytes:
        """The text of /metrics. Slow: not for the event loop's thread."""
        with self._rendering:
            self.flush()
            self.sample(process)
            registry = self.registry
            if self.multi_worker:
                registry = CollectorRegistry()
                _forget_dead_workers()
                MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            node_registry = CollectorRegistry()
            node = msgspec.structs.replace(node, targets=self._target_states(node.targets))
            node_registry.register(_NodeCollector(node, self._version))
            return generate_latest(registry) + generate_latest(node_registry)

    def _target_states(self, states: dict[str, int]) -> dict[str, int]:
        """The states of the registry's targets, 0 for those without a state.

        So a target that recovers is reported as usable. In a large registry, only targets with a
        state are reported.
        """
        registered_targets = self._names.targets
        reported_states = {
            label: state for label, state in states.items() if label in registered_targets
        }
        return (
            reported_states
            if len(registered_targets) > MAX_TARGETS
            else {**dict.fromkeys(registered_targets, 0), **reported_states}
        )


class _NodeCollector(Collector):
    """The gauges that are the same in every worker."""

    def __init__(self, node: NodeValues, version: str) -> None:
        self._node, self._version = node, version

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called by the registry."""
        node = self._node
        yield self._gauge_family("dragoman_build_info", [((self._version,), 1)])
        yield self._gauge_family("dragoman_config_version", [((), node.version)])
        yield self._gauge_family("dragoman_database_up", [((), int(node.database_up))])
        if node.redis_up is not None:
            yield self._gauge_family("dragoman_redis_up", [((), int(node.redis_up))])
        states = (((label,), position) for label, position in sorted(node.targets.items()))
        yield self._gauge_family("dragoman_deployment_state", states)
        yield self._gauge_family("dragoman_budget_left_usd", node.budgets.items())

    @staticmethod
    def _gauge_family(
        name: str, values: Iterable[tuple[tuple[str, ...], float]]
    ) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, METRICS[name].help, labels=METRICS[name].labels)
        for labels, value in values:
            family.add_metric(labels, value)
        return family


def memory_bytes() -> int:
    """The resident memory of this process; 0 if the system does not report it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no disk is read
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _forget_dead_workers() -> None:
    """Drop the gauges of workers that have ended: no other process resets them."""
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    for pid in {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*.db")}:
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            mark_process_dead(int(pid))  # type: ignore[no-untyped-call]
        except (ValueError, PermissionError):
            continue


def _count_requests(
    group: RequestGroup,
    records: list[LogRecord],
    sums: defaultdict[tuple[str, ...], float],
    names: RegistryNames,
) -> None:
    """Add the increments of finished requests of one group to `sums`, by name and labels."""
    route, provider, model, dialect, stream, status_class = group
    target_labels = route, provider, model
    stream_label = "true" if stream else "false"
    sums["dragoman_requests_total", *target_labels, dialect, stream_label, f"{status_class}xx"] += (
        len(records)
    )
    for direction, tokens in _TOKENS:
        if count := sum(filter(None, map(tokens, records))):
            sums["dragoman_tokens_total", *target_labels, direction] += count
    for record in records:
        if record.outcome == "client_closed":
            sums["dragoman_client_disconnects_total", route] += 1
        for result in record.guardrails:
            labels = result.name, result.stage, result.outcome
            sums["dragoman_guardrail_results_total", *labels] += 1
        if record.cost_usd:
            sums["dragoman_cost_usd_total", *target_labels] += float(record.cost_usd)
        if record.cache:
            sums["dragoman_cache_requests_total", route, record.cache] += 1
            if record.saved_usd:
                sums["dragoman_cache_saved_usd_total", route] += float(record.saved_usd)
        for attempt in record.attempts:
            if attempt.skipped is None:
                target = names.target(attempt.provider, attempt.model)
                _count_attempt(route, target, attempt, sums)


def _count_attempt(
    route: str,
    target: tuple[str, str],
    attempt: Attempt,
    sums: defaultdict[tuple[str, ...], float],
) -> None:
    outcome = "error" if attempt.error_kind else "ok"
    sums["dragoman_upstream_attempts_total", *target, outcome] += 1
    if attempt.cost_usd:  # of a hedge loser: not part of the request's own cost
        sums["dragoman_cost_usd_total", route, *target] += float(attempt.cost_usd)
    if attempt.input_tokens:
        sums["dragoman_tokens_total", route, *target, "input"] += attempt.input_tokens
    if attempt.error_kind:
        sums["dragoman_upstream_errors_total", *target, attempt.error_kind] += 1


# --- failed requests in the process log -------------------------------------------------
# One line for each request that failed at its upstreams, with its ids. Never a prompt, a
# response or a provider's message, which may contain either.

log = logging.getLogger(__name__)

# Per flush: if all requests fail, the first ones show why.
MAX_LINES = 20
# Client errors are not failures of a service; the request log has them.
_CLIENT_ERRORS = frozenset({400, 401, 403, 404, 405, 409, 413, 422, 499})


def log_failures(records: list[LogRecord]) -> None:
    """Log those requests that failed at a provider or broke off."""
    failed_records = [
        e for e in records if e.attempts and (e.outcome == "cut" or e.status not in _CLIENT_ERRORS)
    ]
    for record in failed_records[:MAX_LINES]:
        last_attempt = record.attempts[-1]
        log.warning(
            "a request failed",
            extra={
                "request_id": record.id,
                "key_id": record.key_id,
                "route": record.route,
                "target": last_attempt.target,
                "upstream_id": last_attempt.upstream_id or "",
                "status": record.status,
                "kind": record.error_kind,
                "outcome": record.outcome,
                "attempts": sum(attempt.skipped is None for attempt in record.attempts),
            },
        )
    if len(failed_records) > MAX_LINES:
        log.warning("more requests failed", extra={"count": len(failed_records) - MAX_LINES})
