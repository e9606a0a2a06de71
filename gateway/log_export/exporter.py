"""Exports complete rows of the request log, in one of the processes that share a database."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import timedelta

from django.db import connection, connections
from django.db.models import Max, Q
from django.utils import timezone

from gateway.log_export.batches import read_batch
from gateway.log_export.destination import Destination, ExportError
from gateway.models import LogExport, RequestLog
from gateway.relay.event_loop.service import RestartingThread
from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)

# Longer than a batch takes to write, with retries.
LEASE = timedelta(minutes=10)
_SNAPSHOT_BOUNDS = """
    SELECT pg_snapshot_xmin(now)::text, pg_snapshot_xmax(now)::text
    FROM pg_current_snapshot() AS now
"""


def export_complete_rows(destination: Destination, *, bodies: bool) -> int:
    """Export the rows that are complete, and return their number. Raises ExportError.

    Do nothing while another process exports.
    """
    state = _claim_lease()
    if state is None:
        return 0
    row_count = 0
    try:
        _find_complete_rows(state)
        while rows := _export_batch(state, destination, bodies=bodies):
            row_count += rows
    except ExportError as error:
        state.error, state.failed_at = str(error), state.failed_at or timezone.now()
        raise
    finally:
        state.lease_until = None
        state.save()
    return row_count


def _claim_lease() -> LogExport | None:
    LogExport.objects.get_or_create(pk=1)
    now = timezone.now()
    # A lease far in the future is one of a process that was killed before its clock was set back.
    lease_is_free = (
        Q(lease_until=None) | Q(lease_until__lt=now) | Q(lease_until__gt=now + 2 * LEASE)
    )
    if not LogExport.objects.filter(lease_is_free, pk=1).update(lease_until=now + LEASE):
        return None
    return LogExport.objects.get(pk=1)


def _find_complete_rows(state: LogExport) -> None:
    """Set `complete_id`.

    PostgreSQL assigns IDs before their rows become visible, so that a lower ID may appear after
    a higher one; SQLite has one writer.
    """
    newest_pk = RequestLog.objects.aggregate(newest=Max("pk"))["newest"] or 0
    if connection.vendor != "postgresql":
        state.complete_id = newest_pk
        return
    with connection.cursor() as cursor:
        cursor.execute(_SNAPSHOT_BOUNDS)
        oldest_running, next_xid = map(int, cursor.fetchone())
    if oldest_running >= state.next_xid:
        state.complete_id = state.next_id
        state.next_id, state.next_xid = newest_pk, next_xid


def _export_batch(state: LogExport, destination: Destination, *, bodies: bool) -> int:
    """Write one batch; return its number of rows."""
    batch = read_batch(state.exported_id, state.pending_id or state.complete_id, bodies=bodies)
    if batch is None:
        return 0
    state.pending_id, state.lease_until = batch.last_id, timezone.now() + LEASE
    state.save()
    for path, content in batch.files.items():
        destination.write(path, content)
    state.exported_id, state.pending_id = batch.last_id, None
    state.exported_at, state.failed_at, state.error = timezone.now(), None, ""
    state.save()
    return batch.rows


class LogExporter:
    """Exports every `interval_s` seconds, in a thread."""

    def __init__(self, url: str, interval_s: float, *, bodies: bool) -> None:
        self._url = url
        self._interval_s = interval_s
        self._bodies = bodies
        self._stop = threading.Event()
        self._thread = RestartingThread("log-export", self._run, self._stop)

    async def stop(self) -> None:
        """Stop the thread; a file that is being written is waited for."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 15.0)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                export_complete_rows(Destination(self._url), bodies=self._bodies)
            except ExportError as error:
                log.warning("the request log was not exported", extra={"error": str(error)})
            finally:
                connections.close_all()


def start_log_export(runtime: Runtime, url: str, interval_s: float, *, bodies: bool) -> None:
    """Start exporting in this process, if there is a destination."""
    if url:
        runtime.services.append(LogExporter(url, interval_s, bodies=bodies))
