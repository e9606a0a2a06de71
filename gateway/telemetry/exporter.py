"""Queues log records and passes them in batches to consumers, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from gateway.relay.event_loop.service import RestartingThread
from gateway.relay.exchange.log_record import LogRecord
from gateway.routing.snapshot import Snapshot

log = logging.getLogger(__name__)

# A batch is passed on when it is this old (seconds) or this large.
INTERVAL_S = 1.0
BATCH_RECORDS = 512
# Maximum number of queued records; further ones are dropped and counted.
MAX_RECORDS = 8192
# Maximum bytes of queued bodies, if a consumer needs them.
MAX_BODY_BYTES = 64 * 1024 * 1024
# How long the process waits for the last batch when it ends.
CLOSE_S = 5.0
WARN_INTERVAL_S = 60.0
_TRACE_ID_BITS = (1 << 64) - 1


class Sampler:
    """Selects the traces to export: a share of them, unless the client has decided.

    https://opentelemetry.io/docs/specs/otel/trace/sdk/#traceidratiobased
    """

    def __init__(self, ratio: float, *, parent_based: bool, enabled: bool) -> None:
        self._parent_based, self._enabled = parent_based, enabled
        # Compared with the lower half of a trace id; `round` for each would cost as much again.
        self._bound = round(ratio * (_TRACE_ID_BITS + 1)) if enabled else 0

    def is_sampled(self, trace_id: int, *, parent: bool | None) -> bool:
        """Whether to export a trace; `parent` is the client's decision, None without one."""
        if parent is not None and self._parent_based:
            return parent and self._enabled
        return trace_id & _TRACE_ID_BITS < self._bound


class QueuedRecord(NamedTuple):
    """A log record, and whether its trace is exported."""

    record: LogRecord
    sampled: bool


class Consumer(Protocol):
    """Receives batches of records, in the exporter's thread.

    Attributes:
        all_records: whether it also needs records whose trace is not sampled.
        bodies: whether it needs the bodies.
    """

    all_records: bool
    bodies: bool

    def use_snapshot(self, snapshot: Snapshot) -> None:
        """Set the providers by which records are labeled."""

    def consume(self, batch: Sequence[QueuedRecord]) -> None:
        """Handle one batch. May block and raise."""

    def close(self) -> None:
        """Send pending data."""


class RecordExporter:
    """Passes log records to consumers. `export` never blocks.

    Attributes:
        dropped: number of records that did not fit into the queue.
    """

    def __init__(self, consumers: Sequence[Consumer], sampler: Sampler) -> None:
        self._consumers = tuple(consumers)
        self._all_records = any(consumer.all_records for consumer in consumers)
        self._bodies = any(consumer.bodies for consumer in consumers)
        self.is_sampled = sampler.is_sampled
        self.dropped = 0
        self._queue: deque[QueuedRecord] = deque()
        # Bytes of bodies so far: each counter has one writer, the loop and the thread.
        self._queued_bytes = self._passed_bytes = 0
        self._warned = float("-inf")
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = RestartingThread("telemetry", self._run, self._stop)

    def use_snapshot(self, snapshot: Snapshot) -> None:
        """Set the providers by which records are labeled."""
        for consumer in self._consumers:
            consumer.use_snapshot(snapshot)

    def export(self, record: LogRecord, *, sampled: bool) -> None:
        """Queue one record, without its bodies unless a consumer needs them."""
        if not sampled and not self._all_records:
            return
        size = _body_bytes(record) if self._bodies else 0
        waiting_bytes = self._queued_bytes - self._passed_bytes
        if len(self._queue) >= MAX_RECORDS or waiting_bytes + size > MAX_BODY_BYTES:
            self.dropped += 1
            self._wake.set()
            return
        if not self._bodies:
            record = msgspec.structs.replace(record, bodies=None, stored_response=None)
        self._queued_bytes += size
        self._queue.append(QueuedRecord(record, sampled))
        if len(self._queue) >= BATCH_RECORDS:
            self._wake.set()

    def close(self) -> None:
        """Pass the queued records to the consumers, within CLOSE_S."""
        self._stop.set()
        self._wake.set()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.error(
                "telemetry did not end in time; records are lost",
                extra={"records": len(self._queue)},
            )

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(INTERVAL_S)
            self._wake.clear()
            self._dispatch_batches()
        self._dispatch_batches()  # records that were queued during the last batch
        for consumer in self._consumers:
            self._run_guarded(consumer.close)

    def _dispatch_batches(self) -> None:
        if self.dropped:
            self._warn_of_drops()
        while self._queue:
            count = min(len(self._queue), BATCH_RECORDS)
            batch = [self._queue.popleft() for _ in range(count)]
            if self._bodies:
                self._passed_bytes += sum(_body_bytes(item.record) for item in batch)
            for consumer in self._consumers:
                exported_items = batch if consumer.all_records else [i for i in batch if i.sampled]
                if exported_items:
                    self._run_guarded(partial(consumer.consume, exported_items))

    def _run_guarded(self, work: Callable[[], None]) -> None:
        """Run a consumer's work: the failure of one must not stop the others."""
        try:
            work()
        except Exception as error:
            now = time.monotonic()
            if now - self._warned >= WARN_INTERVAL_S:
                self._warned = now
                log.error("telemetry failed: %s: %s", type(error).__name__, error)

    def _warn_of_drops(self) -> None:
        now = time.monotonic()
        if now - self._warned >= WARN_INTERVAL_S:
            self._warned = now
            log.warning("telemetry is too slow; records were dropped: %d", self.dropped)


def _body_bytes(record: LogRecord) -> int:
    bodies = record.bodies
    if bodies is None:
        return 0
    return sum(
        len(body)
        for body in (
            bodies.client_request,
            bodies.upstream_request,
            bodies.upstream_response,
            bodies.client_response,
        )
        if body
    )
