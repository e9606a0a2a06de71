"""Keeps the snapshot of a process at the registry's version, from a thread of its own.

The thread looks at the version twice a second, which also says whether the database is there.
A process that has saved a change calls `refresh` before it answers, so that what was made can
be used at once; the other processes of its data directory load it meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import Protocol

from gateway.relay.event_loop.service import RestartingThread
from gateway.relay.limits.limiter import Limiter
from gateway.relay.siblings import PeerProcesses
from gateway.relay.wiring import Wiring
from gateway.routing.snapshot import Snapshot

log = logging.getLogger(__name__)

POLL_S = 0.4
# How often the database is asked what budgets have been spent, where there are any.
SPEND_SYNC_S = 5.0
# How long a change waits for this process, and for the others of its data directory.
REFRESH_S = 2.0
PEERS_S = 1.0
# A database that does not answer for so long counts as away.
DATABASE_TIMEOUT_S = 5.0
# When a connection fails, others that have waited this long are ended.
IDLE_CONNECTION_S = 1.0
# How often the snapshot is stored at most.
STORE_INTERVAL_S = 5.0


class SnapshotHolder(Protocol):
    """Whose snapshot it is: the runtime."""

    snapshot: Snapshot
    limiter: Limiter

    def swap(self, snapshot: Snapshot) -> None:
        """Use another one from the next request on; in the loop."""


class Registry:
    """The poller. Begin with `begin`; all but `refresh` belongs to its thread.

    Attributes:
        stored_at: when the snapshot in use was stored (unix seconds), where it comes from the
            data directory as the database is away; else None.
    """

    def __init__(
        self, runtime: SnapshotHolder, wiring: Wiring, processes: Path, stored_at: float | None
    ) -> None:
        self._runtime = runtime
        self._wiring = wiring
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
        """Whether the database can not be reached, or does not answer."""
        query_started_at = self._query_started_at
        silent = (
            query_started_at is not None
            and time.monotonic() - query_started_at > DATABASE_TIMEOUT_S
        )
        return self.failed or silent

    def sync_spend_soon(self) -> None:
        """Look at what was spent with the next turn."""
        self._spend_sync_at = 0.0

    def refresh(self) -> None:
        """Use the newest registry, in this process and its siblings, if that is soon enough.

        From any thread but the loop's, which must go on meanwhile. Raises nothing: who can not
        be reached reads it by itself.
        """
        if not self._lock.acquire(timeout=REFRESH_S):
            return
        try:
            self._load()
        except Exception as error:
            log.warning("the registry could not be read after a change: %s", type(error).__name__)
            return
        finally:
            self._lock.release()
        if missing := self._peers.notify_change(PEERS_S):
            log.warning("%d processes do not use the changed registry yet", missing)

    def _load(self) -> None:
        """Load the registry if its version is another."""
        runtime = self._runtime
        version = self._wiring.current_version()
        if version == runtime.snapshot.version and self.stored_at is None:
            return
        snapshot = self._wiring.load_snapshot()
        self._sync_spend(snapshot, at_once=True)
        swapped = threading.Event()

        def swap() -> None:
            runtime.swap(snapshot)
            swapped.set()

        self._loop.call_soon_threadsafe(swap)
        swapped.wait(REFRESH_S)
        self.stored_at = None

    def _run(self) -> None:
        while not self._stop.is_set():
            notified = self._peers.wait_change(POLL_S)
            if self._stop.is_set():
                break
            self._poll()
            if notified:
                self._peers.acknowledge()
        if self._wiring.close is not None:
            self._wiring.close()

    def _poll(self) -> None:
        """Look for a new version; a database that is away changes nothing."""
        try:
            with self._lock:
                self._query_started_at = time.monotonic()
                self._load()
                self._query_started_at = None
            self._sync_spend(self._runtime.snapshot)
            self._loop.call_soon_threadsafe(self._runtime.limiter.counters.release_dead_processes)
        except Exception as error:
            if self._stop.is_set():
                return
            if not self.failed:
                log.error(
                    "the registry can not be read: %s; the last one stays in use",
                    f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}",
                )
            self.failed = True
            if self._wiring.abandon_idle_connections is not None:
                self._wiring.abandon_idle_connections(IDLE_CONNECTION_S)
        else:
            if self.failed:
                log.warning("the registry can be read again")
            self.failed = False
            self._store()
        finally:
            self._query_started_at = None

    def _store(self) -> None:
        """Store the snapshot for a start without the database."""
        snapshot, now = self._runtime.snapshot, time.monotonic()
        if (
            self._wiring.store_snapshot is None
            or snapshot is self._stored_snapshot
            or now < self._store_at
        ):
            return
        self._stored_snapshot, self._store_at = snapshot, now + STORE_INTERVAL_S
        try:
            self._wiring.store_snapshot(snapshot)
        except OSError as error:
            log.warning("the registry can not be stored in the data directory: %s", error.strerror)

    def _sync_spend(self, snapshot: Snapshot, *, at_once: bool = False) -> None:
        """Tell the limiter what the database says was spent, now and then."""
        started = time.monotonic()
        if self._wiring.recorded_spend is None or (started < self._spend_sync_at and not at_once):
            return
        recorded = self._wiring.recorded_spend(snapshot)
        # A large table may take its time, but not all of the thread's.
        took_s = time.monotonic() - started
        self._spend_sync_at = started + max(SPEND_SYNC_S, 20 * took_s)
        if recorded:
            self._loop.call_soon_threadsafe(self._runtime.limiter.sync_spend, recorded)

    async def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._peers.wake()
        await asyncio.to_thread(self._thread.join, REFRESH_S)
        with contextlib.suppress(OSError):
            self._peers.close()
