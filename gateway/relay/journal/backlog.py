"""Finished requests that are not in the database yet: in memory, and on disk.

Each is recorded in a segment (`gateway.relay.journal.segment`), from which the next process reads
it if this one is killed. Up to a number of entries and bytes they are held in memory too,
from where they are written; beyond that they spill, which is to say that the record is all
there is, up to a number of bytes on disk. Some segments are reserved ahead. Where the disk
or the bound gives no more, that reserve takes records without bodies, so that a row is
the last that is lost.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from itertools import takewhile
from pathlib import Path

import msgspec

from gateway.relay.exchange.log_record import Bodies, LogRecord
from gateway.relay.journal.segment import SIZE, Segment
from gateway.relay.journal.segments import SegmentPool
from gateway.relay.journal.storable import encode_record

log = logging.getLogger(__name__)

# A body record above this is held in memory but not recorded: a kill then costs the body,
# never the row. What spills is recorded whole.
SEGMENT_BODY_BYTES = 256 * 1024
MAX_DOUBLINGS = 4


class JournalCounters(msgspec.Struct):
    """What happened to entries since the start of the process."""

    accepted: int = 0
    written: int = 0
    bodies_dropped: int = 0
    rows_dropped: int = 0
    rows_refused: int = 0
    replayed: int = 0
    failed_batches: int = 0
    spilled: int = 0


class Chunk:
    """Log records that are written together, and the segment that contains them.

    Attributes:
        records: None if they are only on disk.
        unrecorded: those of `records` that no segment contains.
    """

    __slots__ = ("bytes", "count", "records", "segment", "unrecorded")

    def __init__(self, segment: Segment | None = None, *, on_disk: bool = False) -> None:
        self.segment = segment
        self.records: list[LogRecord] | None = None if on_disk else []
        self.unrecorded: list[LogRecord] = []
        self.count = 0
        self.bytes = 0

    def read(self) -> list[LogRecord]:
        """All of its entries, from the disk if need be."""
        if self.records is not None:
            return list(self.records)
        return list(self.segment.records()) if self.segment is not None else []


class Backlog:
    """The entries of a process that wait for the database. From any thread."""

    def __init__(
        self,
        directory: Path,
        *,
        max_items: int,
        max_bytes: int,
        max_disk_bytes: int,
        reserve_bytes: int,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._segments = SegmentPool(
            directory, max_bytes=max_disk_bytes, reserve_bytes=reserve_bytes
        )
        self._max_items, self._max_bytes = max_items, max_bytes
        self._may_spill = max_disk_bytes > 0
        self._lock = threading.Lock()
        self._open = Chunk()
        self._sealed: deque[Chunk] = deque()
        self._chunks_in_write: list[Chunk] = []
        self._items = 0
        self._bytes = 0
        self._writing = 0
        self._on_disk = 0
        self._spilling = False
        self._closed = False
        self.dropping = False
        self.counters = JournalCounters()

    @property
    def depth(self) -> int:
        """Entries that are not in the database yet."""
        return self._items + self._writing + self._on_disk

    @property
    def on_disk(self) -> int:
        """Those of them that are on disk only."""
        return self._on_disk

    @property
    def disk_bytes(self) -> int:
        """What the segments take of the disk, the reserve included."""
        return self._segments.bytes

    @property
    def disk_full(self) -> bool:
        """Whether the disk, or the bound, gives no more: the reserve is in use."""
        return self._segments.full

    @property
    def unrecorded(self) -> int:
        """Those of them that a killed process would lose."""
        with self._lock:
            return sum(len(chunk.unrecorded) for chunk in self._chunks())

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        return bool(self._open.count or self._sealed)

    @property
    def behind(self) -> bool:
        """Whether there is more to take than one chunk."""
        return bool(self._sealed)

    def _chunks(self) -> list[Chunk]:
        return [*self._chunks_in_write, *self._sealed, self._open]

    # --- in -------------------------------------------------------------------------------

    def append(self, record: LogRecord) -> None:
        """Take a finished request. Never waits on the database, never raises."""
        size = record_bytes(record)
        with self._lock:
            if self._closed:
                self._drop()
            elif self._fits_memory(size):
                self._keep_in_memory(record, size)
            elif not self._spill(record, size):
                self._keep_row_only(record, size)

    def _fits_memory(self, size: int) -> bool:
        """Whether an entry is held in memory; once it spills, only when half is free again."""
        parts = 2 if self._spilling else 1
        max_items, max_bytes = max(1, self._max_items // parts), self._max_bytes // parts
        self._spilling = self._items >= max_items or (size > 0 and self._bytes + size > max_bytes)
        return not self._spilling

    def _keep_in_memory(self, record: LogRecord, size: int) -> None:
        if self._open.records is None:
            self._seal()
        recorded = self._record(record, with_bodies=size <= SEGMENT_BODY_BYTES, why="size")
        chunk = self._open
        assert chunk.records is not None
        chunk.records.append(record)
        if not recorded:
            chunk.unrecorded.append(record)
        chunk.count += 1
        chunk.bytes += size
        self._items += 1
        self._bytes += size
        self.counters.accepted += 1

    def _spill(self, record: LogRecord, size: int) -> bool:
        """Keep an entry on disk alone; whether there was room."""
        if not self._may_spill:
            return False
        if self._open.records is not None:
            self._seal(on_disk=True)
        if not self._record(record, with_bodies=True, why="pressure"):
            return False
        if size and self.disk_full:
            self.counters.bodies_dropped += 1
        self._open.count += 1
        self._on_disk += 1
        self.counters.spilled += 1
        self.counters.accepted += 1
        return True

    def _keep_row_only(self, record: LogRecord, size: int) -> None:
        """Hold the row in memory without its bodies, or drop it."""
        if self._items >= self._max_items:
            self._drop()
            return
        if size:
            record.bodies, record.bodies_omitted, record.stored_response = None, "pressure", None
            self.counters.bodies_dropped += 1
        self._keep_in_memory(record, 0)

    def _drop(self) -> None:
        self.counters.rows_dropped += 1
        if not self.dropping:
            self.dropping = True
            log.error(
                "rows of the request log are being dropped: %d wait for the database, and the "
                "journal may take no more of the disk (DRAGOMAN_JOURNAL_DISK_BYTES, free space)",
                self.depth,
            )

    def _seal(self, segment: Segment | None = None, *, on_disk: bool = False) -> None:
        """Begin another chunk."""
        previous = self._open
        if previous.count or not (previous.segment is None or previous.segment.empty):
            self._sealed.append(previous)
        elif segment is None:
            segment = previous.segment
        self._open = Chunk(segment, on_disk=on_disk)

    def _record(self, record: LogRecord, *, with_bodies: bool, why: str) -> bool:
        """Copy an entry into a segment; `why` is told in it if its bodies are left out."""
        while True:
            full = self.disk_full
            try:
                payload = _encode_record(
                    record, with_bodies=with_bodies and not full, why="pressure" if full else why
                )
            except (OverflowError, TypeError, ValueError):  # beyond all mending
                return False
            if self._ensure_segment(len(payload)):
                assert self._open.segment is not None
                self._open.segment.append(payload)
                return True
            if full or not self.disk_full:
                return False

    def _ensure_segment(self, length: int) -> bool:
        """Whether the open chunk has a segment that takes a record of this length."""
        if self._open.segment is not None and self._open.segment.fits(length):
            return True
        # The longer the backlog, the larger its segments, as each takes a descriptor.
        preferred_size = SIZE << min(len(self._sealed), MAX_DOUBLINGS)
        segment = self._segments.acquire(
            length, preferred_size=preferred_size, bounded=self._spilling
        )
        if segment is None:
            return False
        if self._open.segment is None:
            self._open.segment = segment
        else:
            self._seal(segment, on_disk=self._open.records is None)
        return True

    # --- out ------------------------------------------------------------------------------

    def take_chunks(self) -> list[Chunk]:
        """The next chunks to write: those in memory together, one that is on disk alone."""
        with self._lock:
            if self._closed:
                return []
            if not self._sealed or self._open.records is not None:
                self._seal(on_disk=self._open.records is None)
            if not self._sealed:
                return []
            if self._sealed[0].records is None:
                chunks = [self._sealed.popleft()]
            else:
                chunks = list(takewhile(lambda chunk: chunk.records is not None, self._sealed))
                for _ in chunks:
                    self._sealed.popleft()
                self._writing = sum(chunk.count for chunk in chunks)
                self._items -= self._writing
                self._bytes -= sum(chunk.bytes for chunk in chunks)
            self._chunks_in_write = chunks
            return chunks

    def count_written(self, rows: int, *, refused: int = 0) -> None:
        """So many entries have left for the database, which refused some of them."""
        self.counters.written += rows - refused
        self.counters.rows_refused += refused
        self._writing = max(0, self._writing - rows)

    def release_chunks(self) -> None:
        """All that was taken is in the database: its segments are free."""
        with self._lock:
            chunks, self._chunks_in_write, self._writing = self._chunks_in_write, [], 0
            self._on_disk -= sum(chunk.count for chunk in chunks if chunk.records is None)
            if self._closed:
                return  # `close` has let go of the files; what is read again changes nothing
            if self.dropping and self.depth <= self._max_items // 2:
                self.dropping = False
                log.warning("rows are taken again; %d were dropped", self.counters.rows_dropped)
        self._segments.release(c.segment for c in chunks if c.segment is not None)

    def reserve(self) -> None:
        """Reserve segments ahead, as far as the disk allows. For the writer's thread."""
        if not self._segments.refill(bounded=self._spilling) or self._closed:
            return
        with self._lock:
            self._record_unrecorded()
        log.warning("the journal gets room on the disk again")

    def _record_unrecorded(self) -> None:
        """Record what no segment had room for; it is written from memory all the same."""
        for chunk in self._chunks():
            unrecorded, chunk.unrecorded = chunk.unrecorded, []
            for entry in unrecorded:
                with_bodies = record_bytes(entry) <= SEGMENT_BODY_BYTES
                if not self._record(entry, with_bodies=with_bodies, why="size"):
                    chunk.unrecorded.append(entry)

    def close(self) -> int:
        """Give up the files; those with entries stay. How many entries are lost."""
        with self._lock:
            if self._closed:
                return 0
            self._record_unrecorded()
            self._closed = True
            chunks = self._chunks()
            for segment in [chunk.segment for chunk in chunks if chunk.segment is not None]:
                if segment.empty:
                    segment.remove()
                else:
                    segment.close()
            self._segments.close()
            return sum(len(chunk.unrecorded) for chunk in chunks)


def record_bytes(record: LogRecord) -> int:
    """How many bytes of bodies an entry holds."""
    return body_bytes(record.bodies) + (
        record.stored_response.size if record.stored_response else 0
    )


def body_bytes(bodies: Bodies | None) -> int:
    """How many bytes there are of some bodies."""
    if bodies is None:
        return 0
    return (
        len(bodies.client_request or b"")
        + len(bodies.upstream_request or b"")
        + len(bodies.upstream_response or b"")
        + len(bodies.client_response or b"")
        + 16 * (len(bodies.upstream_chunks) + len(bodies.client_chunks))
    )


def _encode_record(record: LogRecord, *, with_bodies: bool, why: str) -> bytes:
    if with_bodies or (record.bodies is None and record.stored_response is None):
        return encode_record(record)
    saved = record.bodies, record.bodies_omitted, record.stored_response
    record.bodies, record.bodies_omitted, record.stored_response = (
        None,
        why if saved[0] else saved[1],
        None,
    )
    try:
        return encode_record(record)
    finally:
        record.bodies, record.bodies_omitted, record.stored_response = saved
