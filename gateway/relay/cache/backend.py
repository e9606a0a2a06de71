"""Cached responses shared by all processes: in the database, or in Redis.

The database is reached through functions of the store: reads run in threads of their own, so that
the number of database connections stays small; writes go through a bounded queue to one writer
thread. A backend that fails behaves like an empty one.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gateway.relay.cache.index import CacheIndex, ChangesSince

if TYPE_CHECKING:
    from gateway.relay.limits.redis_limiter import RedisLimiter

log = logging.getLogger(__name__)

READERS = 2
MAX_PENDING = 512
BATCH_ROWS = 64
FLUSH_S = 0.2
CLOSE_S = 5.0
# Minimum time between two refreshes of the index, in seconds.
INDEX_REFRESH_S = 0.5
# How long a request waits for a cached response, and how long reads pause after a timeout.
READ_S = 2.0
RETRY_AFTER_S = 5.0


class CacheRow(NamedTuple):
    """One cached response to be written to a backend; times are unix seconds."""

    key: str
    route_id: int
    blob: bytes
    created_at: float
    expires_at: float


ReadCached = Callable[[str], bytes | None]
WriteCached = Callable[[list[CacheRow]], None]


class CacheTable(NamedTuple):
    """Cached responses in the database."""

    read: ReadCached
    write: WriteCached
    changes_since: ChangesSince


class CacheBackend(Protocol):
    """Stores blobs by key for all processes."""

    async def get(self, key: str) -> bytes | None:
        """The blob of a key, if it exists and has not expired."""

    def may_contain(self, fingerprint: str) -> bool:
        """Whether a response with this fingerprint may be stored."""

    def put(self, row: CacheRow) -> None:
        """Store a blob asynchronously."""

    async def close(self) -> None:
        """Write pending rows."""


class DatabaseBackend:
    """Cached responses in a database table. Its threads start on first use."""

    def __init__(
        self,
        read: ReadCached,
        write: WriteCached,
        close: Callable[[], None] | None,
        changes_since: ChangesSince | None = None,
        flag_path: Path | None = None,
    ) -> None:
        self._read, self._write, self._close_connection = read, write, close
        self._index = CacheIndex(changes_since, flag_path) if changes_since is not None else None
        self._index_refresh: asyncio.Future[None] | None = None
        self._refresh_cooldown: asyncio.TimerHandle | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._writer: threading.Thread | None = None
        self._pending: queue.Queue[CacheRow | None] = queue.Queue(MAX_PENDING)
        self._failing = False
        self._unavailable_until = 0.0

    async def get(self, key: str) -> bytes | None:
        """The blob of a key, if it exists and has not expired."""
        if self._readers is None:
            self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="cache-reader")
        loop = asyncio.get_running_loop()
        if loop.time() < self._unavailable_until:
            return None
        try:
            async with asyncio.timeout(READ_S):
                if (index := self._index) is not None:
                    await self._update_index(self._readers, index)
                    if index.is_missing(key):
                        return None
                return await loop.run_in_executor(self._readers, self._read, key)
        except Exception as error:
            if isinstance(error, TimeoutError):
                self._unavailable_until = loop.time() + RETRY_AFTER_S
            self._note_failure(error)
            return None

    def may_contain(self, fingerprint: str) -> bool:
        """Whether a response with this fingerprint may be stored, according to the index."""
        index = self._index
        if index is None or self._readers is None or self._index_refresh is not None:
            return True
        if self._refresh_cooldown is None:
            self._refresh_in_background(self._readers, index)
        return index.may_contain(fingerprint)

    async def _update_index(self, readers: ThreadPoolExecutor, index: CacheIndex) -> None:
        """Refresh the index: wait for changes of this machine, read others later."""
        if index.take_changed():
            loop = asyncio.get_running_loop()
            self._index_refresh = loop.run_in_executor(readers, self._refresh_index, index)
        elif self._index_refresh is None and self._refresh_cooldown is None:
            self._refresh_in_background(readers, index)
        if (refresh := self._index_refresh) is not None:
            await asyncio.wait([refresh])
            if self._index_refresh is refresh:
                self._index_refresh = None

    def _refresh_in_background(self, readers: ThreadPoolExecutor, index: CacheIndex) -> None:
        """Refresh the index without waiting, and not again for INDEX_REFRESH_S."""
        self._refresh_cooldown = asyncio.get_running_loop().call_later(
            INDEX_REFRESH_S, self._end_refresh_cooldown
        )
        readers.submit(self._refresh_index, index)

    def _end_refresh_cooldown(self) -> None:
        self._refresh_cooldown = None

    def _refresh_index(self, index: CacheIndex) -> None:
        """Run in a reader's thread."""
        try:
            index.refresh()
        except Exception as error:
            self._note_failure(error)

    def put(self, row: CacheRow) -> None:
        """Store a blob asynchronously, unless the queue is full."""
        if self._index is not None:
            self._index.add((row.key,))
        if self._writer is None:
            self._writer = threading.Thread(
                target=self._write_batches, name="cache-writer", daemon=True
            )
            self._writer.start()
        try:
            self._pending.put_nowait(row)
        except queue.Full:
            log.warning("a response was not cached: too many are queued for the database")

    def _note_failure(self, error: Exception) -> None:
        if not self._failing:
            details = {"reason": type(error).__name__}
            log.warning(
                "the database does not accept cached responses at the moment", extra=details
            )
        self._failing = True

    def _write_batches(self) -> None:
        running = True
        while running:
            batch = [self._pending.get()]
            while len(batch) < BATCH_ROWS:
                try:
                    batch.append(self._pending.get(timeout=FLUSH_S))
                except queue.Empty:
                    break
            running = None not in batch
            # The newest row per key, sorted by key: two writers could deadlock otherwise.
            rows = {row.key: row for row in batch if row is not None}
            try:
                if rows:
                    self._write([rows[key] for key in sorted(rows)])
                    self._failing = False
                    if self._index is not None:
                        self._index.flag.set()
            except Exception as error:
                self._note_failure(error)
        if self._close_connection is not None:
            self._close_connection()

    async def close(self) -> None:
        """Write pending rows, and end the threads."""
        if self._refresh_cooldown is not None:
            self._refresh_cooldown.cancel()
        await asyncio.to_thread(self._close_threads)

    def _close_threads(self) -> None:
        if self._writer is not None:
            self._pending.put(None)
            self._writer.join(CLOSE_S)
        if self._readers is not None:
            if self._close_connection is not None:
                # Each reader has a connection of its own.
                closings = [self._readers.submit(self._close_connection) for _ in range(READERS)]
                for close_future in closings:
                    close_future.result(CLOSE_S)
            self._readers.shutdown()


class RedisBackend:
    """Cached responses in Redis. Most reads share a round trip with the limits."""

    def __init__(self, limiter: RedisLimiter) -> None:
        self._limiter = limiter

    async def get(self, key: str) -> bytes | None:
        """The blob of a key, if it exists and has not expired."""
        return await self._limiter.get_cached(key)

    def may_contain(self, fingerprint: str) -> bool:
        """Always true: there is no index of the keys in Redis."""
        return True

    def put(self, row: CacheRow) -> None:
        """Store a blob asynchronously."""
        self._limiter.put_cached(row.key, row.blob, row.expires_at - row.created_at)

    async def close(self) -> None:
        """Do nothing: the limiter owns the connections."""
