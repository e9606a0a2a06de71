"""Writes log records to the store: the work of the journal's thread, and the housekeeping.

Each part is a named activity of the loop's monitor, so that a stall names its cause.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import msgspec

from gateway.relay.event_loop.monitor import LoopMonitor
from gateway.relay.event_loop.service import RestartingThread
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.journal.journal import IdleWork, Write
from gateway.relay.journal.metrics import Metrics

log = logging.getLogger(__name__)

# Expired log rows are deleted soon after the start, then at intervals, in seconds.
FIRST_PRUNE_S = 60.0
PRUNE_INTERVAL_S = 3600.0


class LogStore(msgspec.Struct, frozen=True, kw_only=True):
    """The request log in the database.

    Attributes:
        write: writes records, and returns how many of them the database refused.
        checkpoint: called after each written batch.
        index_pending: fills the search index while there is nothing to write.
        prune: deletes expired rows.
    """

    write: Write
    checkpoint: Callable[[list[LogRecord]], object] | None = None
    index_pending: IdleWork | None = None
    prune: Callable[[], object] | None = None


class LogWriter:
    """Writes to the request log and prunes it."""

    def __init__(
        self,
        store: LogStore,
        metrics: Metrics,
        monitor: LoopMonitor,
        close: Callable[[], None] | None,
    ) -> None:
        self.store = store
        self._metrics, self._monitor = metrics, monitor
        self._close_connections = close
        self._stop = threading.Event()
        if store.prune is not None:
            RestartingThread("prune", self._prune_at_intervals, self._stop)

    def write(self, batch: list[LogRecord]) -> int | None:
        """Write a batch; return how many of its records the database refused."""
        with self._monitor.activity("log_writer"):
            self._metrics.flush()
            refused_rows = self.store.write(batch)
        if self.store.checkpoint is not None:
            with self._monitor.activity("checkpoint"):
                self.store.checkpoint(batch)
        return refused_rows

    @property
    def idle_work(self) -> IdleWork | None:
        """What the journal's thread does while there is nothing to write."""
        return None if self.store.index_pending is None else self._index_pending_rows

    def _index_pending_rows(self, seconds: float) -> int:
        assert self.store.index_pending is not None
        with self._monitor.activity("search_index"):
            return self.store.index_pending(seconds)

    def _prune_at_intervals(self) -> None:
        assert self.store.prune is not None
        wait = FIRST_PRUNE_S
        while not self._stop.wait(wait):
            wait = PRUNE_INTERVAL_S
            try:
                with self._monitor.activity("housekeeping"):
                    self.store.prune()
            except Exception:
                log.exception("the log's housekeeping failed; it will be retried")
            if self._close_connections is not None:
                self._close_connections()

    def stop(self) -> None:
        """End the pruning."""
        self._stop.set()
