"""Current values of a worker's metrics that are not counted: queue lengths, losses, delays."""

from __future__ import annotations

from gateway.relay.event_loop.monitor import LoopMonitor
from gateway.relay.journal.journal import Journal
from gateway.relay.journal.metrics import ProcessValues


def process_values(journal: Journal, monitor: LoopMonitor, max_requests: int) -> ProcessValues:
    """Metrics of this worker."""
    counters, status = journal.counters, journal.status
    return ProcessValues(
        max_requests=max_requests,
        spool_rows=journal.depth,
        disk_rows=status.on_disk,
        disk_bytes=status.disk_bytes,
        unrecorded_rows=status.unrecorded,
        rows_dropped=counters.rows_dropped,
        rows_refused=counters.rows_refused,
        bodies_dropped=counters.bodies_dropped,
        failed_batches=counters.failed_batches,
        loop_lag_s=monitor.lag_s,
    )
