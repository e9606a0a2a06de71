"""The way of a finished request to the database, without a wait on the hot path.

`append` writes one record to a segment file (one write call: a killed process
loses no finished request) and enqueues it. A writer thread takes what is queued,
hands it to `write` in batches, and removes the segment. The queue is bounded in
items and bytes; under pressure bodies are dropped before rows, and what was
dropped is counted. A record is: length (4 bytes), CRC-32 (4 bytes), msgpack.

A segment is locked (flock) by the process that writes it, so a starting process
replays just those whose owner is dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import struct
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from gateway.relay.entry import Bodies, Entry

log = logging.getLogger(__name__)

BATCH_ITEMS = 500
FLUSH_S = 0.2
RETRY_S = 2.0
# A body record above this goes to the queue but not to the segment: a kill then
# costs the body, never the row.
SEGMENT_BODY_BYTES = 256 * 1024

_HEADER = struct.Struct("<II")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)

Write = Callable[[list[Entry]], None]
# Does a piece of idle work and says how much; 0 when there is none left.
Idle = Callable[[], int]


class Counters(msgspec.Struct):
    """What happened to entries since the start of the process."""

    accepted: int = 0
    written: int = 0
    bodies_dropped: int = 0
    rows_dropped: int = 0
    replayed: int = 0
    failed_batches: int = 0


class Segment:
    """One journal file, held open and locked by its writer."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.journal"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.empty = True

    def append(self, payload: bytes) -> None:
        """Write one record in one call."""
        header = _HEADER.pack(len(payload), zlib.crc32(payload))
        os.write(self._fd, header + payload)
        self.empty = False

    def remove(self) -> None:
        """Delete the file: all of it is in the database."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.close()

    def close(self) -> None:
        """Give up the file and its lock."""
        with contextlib.suppress(OSError):
            os.close(self._fd)


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
        self._segment = Segment(directory)
        self._disk_full = False
        self.counters = Counters()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Entries waiting to be written."""
        return len(self._queue)

    def append(self, entry: Entry) -> None:
        """Take a finished request. Never waits on the database, never raises."""
        size = body_bytes(entry.bodies)
        with self._lock:
            if size and self._bytes + size > self._max_bytes:
                entry.bodies, entry.no_bodies = None, "pressure"
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
        bodies, why = entry.bodies, entry.no_bodies
        if size > SEGMENT_BODY_BYTES:
            entry.bodies, entry.no_bodies = None, "size"
        try:
            self._segment.append(_encoder.encode(entry))
        except OSError:
            if not self._disk_full:
                log.exception("the journal can not be written; entries are held in memory only")
            self._disk_full = True
        finally:
            entry.bodies, entry.no_bodies = bodies, why

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what is queued, then stop. The segment stays if that fails."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)
        with self._lock:
            if self._segment.empty or not self._queue:
                self._segment.remove()
            else:
                self._segment.close()

    def _run(self) -> None:
        self._replay()
        while True:
            self._wake.wait(timeout=None if not self._queue else FLUSH_S)
            if not self._closing:
                time.sleep(FLUSH_S)  # let a batch gather: one commit costs more than its rows
            self._wake.clear()
            self._drain()
            if self._closing and not self._queue:
                return

    def _drain(self) -> None:
        batch, segment = self._take()
        if not batch:
            return
        while not self._commit(batch):
            if self._closing:
                segment.close()  # it stays on disk for the next start
                return
            time.sleep(RETRY_S)
        if segment is not self._segment:
            segment.remove()
        self._guarded_idle()

    def _take(self) -> tuple[list[Entry], Segment]:
        with self._lock:
            batch, segment = self._queue, self._segment
            if batch:
                self._queue, self._bytes = [], 0
                self._segment = self._fresh_segment(segment)
            return batch, segment

    def _fresh_segment(self, old: Segment) -> Segment:
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
        except Exception:
            self.counters.failed_batches += 1
            log.exception("the request log could not be written; trying again")
            return False
        return True

    def _guarded_idle(self) -> None:
        """Do idle work piece by piece, for as long as nothing waits to be written."""
        try:
            while self._idle is not None and not self._queue and not self._closing:
                if not self._idle():
                    return
        except Exception:
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


def abandoned(path: Path) -> Iterator[Entry]:
    """The entries of a segment whose owner is dead; stops at a torn record.

    Raises BlockingIOError while the owner lives.
    """
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        data = file.read()
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, crc = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        payload = data[offset : offset + length]
        if len(payload) != length or zlib.crc32(payload) != crc:
            return
        offset += length
        try:
            yield _decoder.decode(payload)
        except msgspec.MsgspecError:
            log.warning("a journal record of another version was left out")


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
