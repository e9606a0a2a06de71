"""Updates the snapshot of a process when the registry changes, in a thread of its own.

The thread checks the version several times a second, which also shows whether the database is
available. A process that has saved a change calls `refresh` before it responds, so that the
change takes effect immediately; the other processes of its data directory load it as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from gateway.relay.event_loop.service import RestartingThread
from gateway.relay.limits.limiter import Limiter, RecordedSpend
from gateway.relay.peer_processes import PeerProcesses
from gateway.routing.snapshot import Snapshot

log = logging.getLogger(__name__)

POLL_S = 0.4
# How often the recorded spend of budgets is read from the database, if there are any.
SPEND_SYNC_S = 5.0
# How long `refresh` waits for this process, and for the others of its data directory.
REFRESH_S = 2.0
PEERS_S = 1.0
# A database that does not respond for this long counts as unavailable.
DATABASE_TIMEOUT_S = 5.0
# When a connection fails, others that have been idle this long are closed.
IDLE_CONNECTION_S = 1.0
# Minimum time between two writes of the stored snapshot.
STORE_INTERVAL_S = 5.0


class RegistryStore(msgspec.Struct, frozen=True, kw_only=True):
    """The registry in the database, and its copy in the data directory.

    Attributes:
        recorded_spend: the spend of a snapshot's budgets as the database has it.
        abandon_idle_connections: abandons connections idle for this many seconds.
        store_snapshot: stores a snapshot for starts without the database.
        read_stored_snapshot: reads it, with the unix seconds at which it was stored.
    """

    load_snapshot: Callable[[], Snapshot]
    current_version: Callable[[], int]
    recorded_spend: Callable[[Snapshot], RecordedSpend] | None = None
    abandon_idle_connections: Callable[[float], None] | None = None
    store_snapshot: Callable[[Snapshot], None] | None = None
    read_stored_snapshot: Callable[[], tuple[Snapshot, float]] | None = None


class SnapshotHolder(Protocol):
    """The owner of the snapshot: the runtime."""

    snapshot: Snapshot
    limiter: Limiter

    def swap(self, snapshot: Snapshot) -> None:
        """Replace the snapshot from the next request on; called on the event loop."""


class Registry:
    """Polls the registry in a thread, which starts at construction.

    Attributes:
        stored_at: unix seconds at which the current snapshot was stored, if it was read from
            the data directory because the database is unavailable; else None.
    """

    def __init__(
        self,
        runtime: SnapshotHolder,
        store: RegistryStore,
        close_connections: Callable[[], None] | None,
        processes: Path,
        stored_at: float | None,
    ) -> None:
        self._runtime = runtime
        self._registry_store = store
        self._close_connections = close_connections
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._peers = PeerProcesses(processes)
        self._query_started_at: float | None = None
        self._spend_sync_at = 0.0
        self._store_at = 0.0
        self._stored_snapshot: Snapshot | None = None
        self.stored_at = stored_at
        self.failed = stored_at is not None
        self._thread = RestartingThread("registry", self._run, self._stop)

    @property
    def unavailable(self) -> bool:
        """Whether the database cannot be reached, or does not respond."""
        query_started_at = self._query_started_at
        query_timed_out = (
            query_started_at is not None
            and time.monotonic() - query_started_at > DATABASE_TIMEOUT_S
        )
        return self.failed or query_timed_out

    def sync_spend_soon(self) -> None:
        """Read the recorded spend on the next poll."""
        self._spend_sync_at = 0.0

    def refresh(self) -> None:
        """Load the newest registry in this process and its peers, within a time limit.

        Call it from any thread but the event loop's, which must keep running. Raises nothing: a
        process that cannot be reached loads the registry on its next poll.
        """
        if not self._lock.acquire(timeout=REFRESH_S):
            return
        try:
            self._load_with_retry()
        except Exception as error:
            log.warning("the registry could not be read after a change: %s", type(error).__name__)
            return
        finally:
            self._lock.release()
        if missing_peers := self._peers.notify_change(PEERS_S):
            log.warning("%d processes do not use the new registry yet", missing_peers)

    def _load_with_retry(self) -> None:
        """Load the registry; once more if the connection of this thread was lost."""
        start_time = time.monotonic()
        try:
            self._load_if_changed()
        except Exception:
            if time.monotonic() - start_time > REFRESH_S:  # the database does not respond
                raise
            self._load_if_changed()

    def _load_if_changed(self) -> None:
        """Load the registry if its version has changed."""
        runtime = self._runtime
        version = self._registry_store.current_version()
        if version == runtime.snapshot.version and self.stored_at is None:
            return
        snapshot = self._registry_store.load_snapshot()
        self._sync_spend(snapshot, immediately=True)
        snapshot_set = threading.Event()

        def swap() -> None:
            runtime.swap(snapshot)
            snapshot_set.set()

        self._loop.call_soon_threadsafe(swap)
        snapshot_set.wait(REFRESH_S)
        self.stored_at = None

    def _run(self) -> None:
        while not self._stop.is_set():
            is_notified = self._peers.wait_change(POLL_S)
            if self._stop.is_set():
                break
            self._poll_version()
            if is_notified:
                self._peers.acknowledge()
        if self._close_connections is not None:
            self._close_connections()

    def _poll_version(self) -> None:
        """Check for a new version; if the database is unavailable, nothing changes."""
        try:
            with self._lock:
                self._query_started_at = time.monotonic()
                self._load_if_changed()
                self._query_started_at = None
            self._sync_spend(self._runtime.snapshot)
            self._loop.call_soon_threadsafe(self._runtime.limiter.counters.release_dead_processes)
        except Exception as error:
            if self._stop.is_set():
                return
            if not self.failed:
                log.error(
                    "the registry cannot be read: %s; the last one stays in use",
                    f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}",
                )
            self.failed = True
            if self._registry_store.abandon_idle_connections is not None:
                self._registry_store.abandon_idle_connections(IDLE_CONNECTION_S)
        else:
            if self.failed:
                log.warning("the registry can be read again")
            self.failed = False
            self._store_snapshot()
        finally:
            self._query_started_at = None

    def _store_snapshot(self) -> None:
        """Store the snapshot for a start without the database."""
        snapshot, now = self._runtime.snapshot, time.monotonic()
        if (
            self._registry_store.store_snapshot is None
            or snapshot is self._stored_snapshot
            or now < self._store_at
        ):
            return
        self._stored_snapshot, self._store_at = snapshot, now + STORE_INTERVAL_S
        try:
            self._registry_store.store_snapshot(snapshot)
        except OSError as error:
            log.warning("the registry cannot be stored in the data directory: %s", error.strerror)

    def _sync_spend(self, snapshot: Snapshot, *, immediately: bool = False) -> None:
        """Pass the recorded spend from the database to the limiter, at intervals."""
        start_time = time.monotonic()
        if self._registry_store.recorded_spend is None or (
            start_time < self._spend_sync_at and not immediately
        ):
            return
        recorded_spend = self._registry_store.recorded_spend(snapshot)
        # A slow query must not occupy the thread.
        took_s = time.monotonic() - start_time
        self._spend_sync_at = start_time + max(SPEND_SYNC_S, 20 * took_s)
        if recorded_spend:
            self._loop.call_soon_threadsafe(self._runtime.limiter.sync_spend, recorded_spend)

    async def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._peers.wake()
        await asyncio.to_thread(self._thread.join, REFRESH_S)
        with contextlib.suppress(OSError):
            self._peers.close()
