"""The way of a finished request to the database, without a wait on the hot path.

`append` copies one record into a segment (`gateway.relay.segment`: a killed process
loses no finished request) and enqueues it. A writer thread takes what is queued, hands
it to `write` in batches, and frees the segment. The queue is bounded in items and bytes;
under pressure bodies are dropped before rows, and what was dropped is counted.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.relay.entry import Bodies, Entry
from gateway.relay.segment import Segment, abandoned

log = logging.getLogger(__name__)

BATCH_ITEMS = 500
FLUSH_S = 0.2
RETRY_S = 2.0
# A batch of fewer rows leaves time for idle work, so much of it so often. Seldom, as there is
# less to each piece of it the more is done at once; and not for long, as requests wait for it.
QUIET_ROWS = 100
IDLE_EVERY_S = 1.0
IDLE_S = 0.1
# The same where no batch leaves time.
IDLE_AT_LEAST_S = 5.0
IDLE_UNDER_LOAD_S = 0.05
# A body record above this goes to the queue but not to the segment: a kill then
# costs the body, never the row.
SEGMENT_BODY_BYTES = 256 * 1024

_encoder = msgspec.msgpack.Encoder()

Write = Callable[[list[Entry]], None]
# Does idle work for so many seconds and says how much; 0 when there is none left.
Idle = Callable[[float], int]


class Counters(msgspec.Struct):
    """What happened to entries since the start of the process."""

    accepted: int = 0
    written: int = 0
    bodies_dropped: int = 0
    rows_dropped: int = 0
    replayed: int = 0
    failed_batches: int = 0


class Journal:
    """The queue, its segment on disk, and the writer thread."""

    def __init__(
        self,
        directory: Path,
        write: Write,
        *,
        idle: Idle | None = None,
        max_items: int = 20_000,
        max_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._write = write
        self._idle = idle
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._queue: list[Entry] = []
        self._bytes = 0
        self._writing = 0
        self._segment = Segment(directory)
        self._spare: Segment | None = None
        self._disk_full = False
        self._idle_left = False
        self._idled_at = 0.0
        self.counters = Counters()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Entries that are not in the database yet."""
        return len(self._queue) + self._writing

    def append(self, entry: Entry) -> None:
        """Take a finished request. Never waits on the database, never raises."""
        size = body_bytes(entry.bodies) + (entry.kept.size if entry.kept else 0)
        with self._lock:
            if size and self._bytes + size > self._max_bytes:
                entry.bodies, entry.no_bodies, entry.kept = None, "pressure", None
                size = 0
                self.counters.bodies_dropped += 1
            if len(self._queue) >= self._max_items:
                self.counters.rows_dropped += 1
                return
            self._record(entry, size)
            self._queue.append(entry)
            self._bytes += size
            self.counters.accepted += 1
        if not self._wake.is_set():
            self._wake.set()

    def _record(self, entry: Entry, size: int) -> None:
        bodies, why, kept = entry.bodies, entry.no_bodies, entry.kept
        if size > SEGMENT_BODY_BYTES:
            entry.bodies, entry.no_bodies, entry.kept = None, "size", None
        try:
            self._segment.append(_encoder.encode(entry))
        except OSError:
            if not self._disk_full:
                log.exception("the journal can not be written; entries are held in memory only")
            self._disk_full = True
        finally:
            entry.bodies, entry.no_bodies, entry.kept = bodies, why, kept

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what is queued, then stop. The segment stays if that fails."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)
        with self._lock:
            if self._spare is not None:
                self._spare.remove()
            if self._segment.empty or not self._queue:
                self._segment.remove()
            else:
                self._segment.close()

    def _run(self) -> None:
        self._replay()
        while True:
            self._wake.wait(timeout=FLUSH_S if self._queue or self._idle_left else None)
            if not self._closing:
                time.sleep(FLUSH_S)  # let a batch gather: one commit costs more than its rows
            self._wake.clear()
            rows = self._drain()
            self._idle_left = self._idle_left or rows > 0
            # Idle work under load would take its time from the requests that wait; but it
            # must not wait for ever where the load never ends.
            since_s = time.monotonic() - self._idled_at
            if rows < QUIET_ROWS and since_s > IDLE_EVERY_S:
                self._guarded_idle(IDLE_S)
            elif since_s > IDLE_AT_LEAST_S:
                self._guarded_idle(IDLE_UNDER_LOAD_S)
            if self._closing and not self._queue:
                return

    def _drain(self) -> int:
        """Write what is queued; how many rows."""
        batch, segment = self._take()
        rows = len(batch)
        while batch and not self._commit(batch):
            if self._closing:
                segment.close()  # it stays on disk for the next start
                return rows
            time.sleep(RETRY_S)
        if rows and segment is not self._segment:
            self._free(segment)
        return rows

    def _free(self, segment: Segment) -> None:
        """Keep it for the next records, or delete it."""
        if self._spare is None and segment.reusable:
            segment.reset()
            self._spare = segment
        else:
            segment.remove()

    def _take(self) -> tuple[list[Entry], Segment]:
        with self._lock:
            batch, segment = self._queue, self._segment
            if batch:
                self._queue, self._bytes, self._writing = [], 0, len(batch)
                self._segment = self._fresh_segment(segment)
            return batch, segment

    def _fresh_segment(self, old: Segment) -> Segment:
        if self._spare is not None:
            segment, self._spare = self._spare, None
            return segment
        try:
            segment = Segment(self._directory)
        except OSError:
            return old
        self._disk_full = False
        return segment

    def _commit(self, batch: list[Entry]) -> bool:
        try:
            while batch:
                part = batch[:BATCH_ITEMS]
                self._write(part)
                self.counters.written += len(part)
                del batch[:BATCH_ITEMS]
                self._writing = len(batch)
        except Exception:
            self.counters.failed_batches += 1
            log.exception("the request log could not be written; trying again")
            return False
        return True

    def _guarded_idle(self, seconds: float) -> None:
        """Do idle work piece by piece, for as long as nothing waits to be written."""
        self._idled_at = time.monotonic()
        try:
            while self._idle is not None and not self._closing:
                self._idle_left = bool(self._idle(seconds))
                if self._queue or not self._idle_left:
                    return
            self._idle_left = False
        except Exception:
            self._idle_left = False
            log.exception("the request log's idle work failed")

    def _replay(self) -> None:
        for path in sorted(self._directory.glob("*.journal")):
            try:
                entries = list(abandoned(path))
            except BlockingIOError:
                continue  # its owner lives
            except OSError:
                log.exception("a journal segment could not be read")
                continue
            count = len(entries)
            if not self._commit(entries):
                continue
            self.counters.replayed += count
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def body_bytes(bodies: Bodies | None) -> int:
    """How many bytes of bodies an entry holds."""
    if bodies is None:
        return 0
    return (
        len(bodies.client_request or b"")
        + len(bodies.upstream_request or b"")
        + len(bodies.upstream_response or b"")
        + len(bodies.client_response or b"")
        + 16 * (len(bodies.upstream_chunks) + len(bodies.client_chunks))
    )
