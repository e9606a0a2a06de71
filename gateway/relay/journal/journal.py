"""Log records on their way to the database, without waiting on the hot path.

    Backlog   log records that are not in the database yet: in memory, and in segment files
    Journal   the backlog, and the thread that writes it to the database in batches

Each record is copied into a segment (`gateway.relay.journal.segments`), from which the next
process reads it if this one is killed. Up to a number of records and bytes they also stay
in memory, from where they are written; beyond that they spill: the segment has the only
copy, up to a number of bytes on disk. Some segments are reserved ahead. When the disk or the
limit is full, the reserve takes records without bodies, so that rows are lost last.

The thread also writes the segments that dead processes left behind.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import msgspec

from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.journal.segments import (
    FULL_AGAIN_S,
    MAX_SURPLUS,
    SIZE,
    SUFFIX,
    Segment,
    SegmentPool,
    delete_unnamed,
    encode_record,
    read_abandoned,
)

# --- the backlog ------------------------------------------------------------------------

# Larger bodies stay in memory and are not copied into a segment: a kill then loses the body,
# never the row. Records that spill are copied completely.
SEGMENT_BODY_BYTES = 256 * 1024
MAX_DOUBLINGS = 4


class JournalCounters(msgspec.Struct):
    """Counters of log records since the start of the process."""

    accepted: int = 0
    written: int = 0
    bodies_dropped: int = 0
    rows_dropped: int = 0
    rows_refused: int = 0
    replayed: int = 0
    failed_batches: int = 0


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
        """All of its records, read from disk if necessary."""
        if self.records is not None:
            return list(self.records)
        return list(self.segment.records()) if self.segment is not None else []


class Backlog:
    """The log records of a process that are pending for the database. Thread-safe."""

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
        # Set with each record: there is something to write.
        self.wake = threading.Event()
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
        """Records that are not in the database yet."""
        return self._items + self._writing + self._on_disk

    @property
    def on_disk(self) -> int:
        """Pending records that are only on disk."""
        return self._on_disk

    @property
    def disk_bytes(self) -> int:
        """Disk space of the segments, the reserve included."""
        return self._segments.bytes

    @property
    def disk_full(self) -> bool:
        """Whether the disk or the limit is full, so that the reserve is in use."""
        return self._segments.full

    @property
    def unrecorded(self) -> int:
        """Pending records that a killed process would lose."""
        with self._lock:
            return sum(len(chunk.unrecorded) for chunk in self._all_chunks())

    @property
    def has_records(self) -> bool:
        """Whether there are records to take."""
        return bool(self._open.count or self._sealed)

    @property
    def has_several_chunks(self) -> bool:
        """Whether there is more than one chunk to take."""
        return bool(self._sealed)

    def _all_chunks(self) -> list[Chunk]:
        return [*self._chunks_in_write, *self._sealed, self._open]

    # --- append ---------------------------------------------------------------------------

    def append(self, record: LogRecord) -> None:
        """Add the record of a finished request. Never waits for the database, never raises."""
        size = record_bytes(record)
        with self._lock:
            if self._closed:
                self._note_dropped_row()
                return
            max_items, max_bytes = self._max_items, self._max_bytes
            if self._spilling:
                # Records stay in memory only once half of it is free again.
                max_items, max_bytes = max(1, max_items // 2), max_bytes // 2
            self._spilling = self._items >= max_items or (
                size > 0 and self._bytes + size > max_bytes
            )
            if not self._spilling:
                self._keep_in_memory(record, size)
            elif not self._spill_record(record, size):
                self._store_without_bodies(record, size)
        if not self.wake.is_set():
            self.wake.set()

    def _keep_in_memory(self, record: LogRecord, size: int) -> None:
        if self._open.records is None:
            self._start_chunk()
        is_recorded = self._copy_to_segment(
            record, with_bodies=size <= SEGMENT_BODY_BYTES, reason="size"
        )
        chunk = self._open
        assert chunk.records is not None
        chunk.records.append(record)
        if not is_recorded:
            chunk.unrecorded.append(record)
        chunk.count += 1
        chunk.bytes += size
        self._items += 1
        self._bytes += size
        self.counters.accepted += 1

    def _spill_record(self, record: LogRecord, size: int) -> bool:
        """Store a record only on disk; return whether there was room."""
        if not self._may_spill:
            return False
        if self._open.records is not None:
            self._start_chunk(on_disk=True)
        if not self._copy_to_segment(record, with_bodies=True, reason="pressure"):
            return False
        if size and self.disk_full:
            self.counters.bodies_dropped += 1
        self._open.count += 1
        self._on_disk += 1
        self.counters.accepted += 1
        return True

    def _store_without_bodies(self, record: LogRecord, size: int) -> None:
        """Store the row in memory without its bodies, or drop it."""
        if self._items >= self._max_items:
            self._note_dropped_row()
            return
        if size:
            record.bodies, record.bodies_omitted, record.stored_response = None, "pressure", None
            self.counters.bodies_dropped += 1
        self._keep_in_memory(record, 0)

    def _note_dropped_row(self) -> None:
        self.counters.rows_dropped += 1
        if not self.dropping:
            self.dropping = True
            log.error(
                "rows of the request log are being dropped: %d are queued for the database, "
                "and the journal has no disk space left (DRAGOMAN_JOURNAL_DISK_BYTES, free "
                "space)",
                self.depth,
            )

    def _start_chunk(self, segment: Segment | None = None, *, on_disk: bool = False) -> None:
        """Start another chunk."""
        previous_chunk = self._open
        if previous_chunk.count or not (
            previous_chunk.segment is None or previous_chunk.segment.empty
        ):
            self._sealed.append(previous_chunk)
        elif segment is None:
            segment = previous_chunk.segment
        self._open = Chunk(segment, on_disk=on_disk)

    def _copy_to_segment(self, record: LogRecord, *, with_bodies: bool, reason: str) -> bool:
        """Copy a record into a segment; `reason` is why its bodies are left out, if they are."""
        while True:
            full = self._segments.full
            try:
                if with_bodies and not full:
                    payload = encode_record(record)
                else:
                    payload = _encode_row(record, reason="pressure" if full else reason)
            except (OverflowError, TypeError, ValueError):  # it cannot be encoded at all
                return False
            segment = self._open.segment
            if segment is not None and segment.append(payload):
                return True
            if self._add_segment(len(payload)):
                assert self._open.segment is not None
                return self._open.segment.append(payload)
            if full or not self.disk_full:
                return False

    def _add_segment(self, length: int) -> bool:
        """Add a segment for a record of `length` bytes to the open chunk, if there is room."""
        # The longer the backlog, the larger its segments, as each uses a file descriptor.
        doublings = max(0, len(self._sealed) - MAX_SURPLUS)
        preferred_size = SIZE << min(doublings, MAX_DOUBLINGS)
        segment = self._segments.acquire(
            length, preferred_size=preferred_size, bounded=self._spilling
        )
        if segment is None:
            return False
        if self._open.segment is None:
            self._open.segment = segment
        else:
            self._start_chunk(segment, on_disk=self._open.records is None)
        return True

    # --- take -----------------------------------------------------------------------------

    def take_chunks(self) -> list[Chunk]:
        """The next chunks to write: all leading ones in memory, or one that is only on disk."""
        with self._lock:
            if self._closed:
                return []
            if not self._sealed or self._open.records is not None:
                self._start_chunk(on_disk=self._open.records is None)
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

    def count_written(self, rows: int, *, refused_rows: int = 0) -> None:
        """Count records that were written, some of which the database rejected."""
        self.counters.written += rows - refused_rows
        self.counters.rows_refused += refused_rows
        self._writing = max(0, self._writing - rows)

    def release_chunks(self) -> None:
        """Release the segments of the chunks taken, which are in the database."""
        with self._lock:
            chunks, self._chunks_in_write, self._writing = self._chunks_in_write, [], 0
            self._on_disk -= sum(chunk.count for chunk in chunks if chunk.records is None)
            if self._closed:
                return  # `close` has closed the files; a replay of these records is idempotent
            if self.dropping and self.depth <= self._max_items // 2:
                self.dropping = False
                log.warning("rows are accepted again; %d were dropped", self.counters.rows_dropped)
        self._segments.release(c.segment for c in chunks if c.segment is not None)

    def reserve(self) -> None:
        """Reserve segments ahead, as far as the disk allows. For the writer's thread."""
        if not self._segments.refill(bounded=self._spilling) or self._closed:
            return
        with self._lock:
            self._record_unrecorded()
        log.warning("the journal has disk space again")

    def _record_unrecorded(self) -> None:
        """Copy records into segments for which there was no room before."""
        for chunk in self._all_chunks():
            unrecorded, chunk.unrecorded = chunk.unrecorded, []
            for record in unrecorded:
                with_bodies = record_bytes(record) <= SEGMENT_BODY_BYTES
                if not self._copy_to_segment(record, with_bodies=with_bodies, reason="size"):
                    chunk.unrecorded.append(record)

    def close(self) -> int:
        """Close the files; those with records stay. Return how many records are lost."""
        with self._lock:
            if self._closed:
                return 0
            self._record_unrecorded()
            self._closed = True
            chunks = self._all_chunks()
            for segment in [chunk.segment for chunk in chunks if chunk.segment is not None]:
                if segment.empty:
                    segment.remove()
                else:
                    segment.close()
            self._segments.close()
            return sum(len(chunk.unrecorded) for chunk in chunks)


def record_bytes(record: LogRecord) -> int:
    """The size of a record's bodies in bytes."""
    stored, bodies = record.stored_response, record.bodies
    size = stored.size if stored is not None else 0
    if bodies is None:
        return size
    return (
        size
        + len(bodies.client_request or b"")
        + len(bodies.upstream_request or b"")
        + len(bodies.upstream_response or b"")
        + len(bodies.client_response or b"")
        + 16 * (len(bodies.upstream_chunks) + len(bodies.client_chunks))
    )


def _encode_row(record: LogRecord, *, reason: str) -> bytes:
    """The record without its bodies; `reason` is recorded as `bodies_omitted`."""
    if record.bodies is None and record.stored_response is None:
        return encode_record(record)
    saved = record.bodies, record.bodies_omitted, record.stored_response
    record.bodies, record.bodies_omitted, record.stored_response = (
        None,
        reason if saved[0] else saved[1],
        None,
    )
    try:
        return encode_record(record)
    finally:
        record.bodies, record.bodies_omitted, record.stored_response = saved


log = logging.getLogger(__name__)

BATCH_ITEMS = 500
FLUSH_S = 0.2
RETRY_S = 2.0
# After a batch of fewer rows, idle work runs in steps of IDLE_S, at most every IDLE_EVERY_S.
# Rarely, as larger amounts of it are more efficient; and not for long, as it delays requests.
QUIET_ROWS = 100
IDLE_EVERY_S = 1.0
IDLE_S = 0.1
# Under constant load, idle work runs this often, and this long.
MAX_IDLE_GAP_S = 5.0
IDLE_UNDER_LOAD_S = 0.05
# How often the directory is searched for segments of dead processes.
SEARCH_S = 30.0
# Maximum size of spilled records on disk, and size of the reserve.
DISK_BYTES = 1024 * 1024 * 1024
RESERVE_BYTES = 16 * 1024 * 1024

# How long health reports a rejected row.
REFUSAL_NOTICE_S = 600.0

# Writes a batch and returns how many rows the database rejected. Raises if it wrote nothing.
Write = Callable[[list[LogRecord]], int | None]
# Does idle work for a number of seconds and returns how much; 0 if none is left.
IdleWork = Callable[[float], int]


class WriterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The current status of the writer.

    Attributes:
        waiting: records that are not in the database yet.
        on_disk: pending records that are only on disk, as memory is full.
        unrecorded: pending records that a killed process would lose.
        disk_bytes: disk space of the journal, its reserve included.
        failing_s: for how long nothing could be written; 0 if the last batch was written.
        error: a short description of the failure.
        disk_full: whether the disk or the journal's limit is full.
        dropping: whether rows are being dropped.
        refusing: whether the database rejected rows in the last REFUSAL_NOTICE_S.
    """

    waiting: int
    on_disk: int
    unrecorded: int
    disk_bytes: int
    failing_s: float
    error: str
    disk_full: bool
    dropping: bool
    refusing: bool


class Journal:
    """The backlog, and the thread that writes it to the database."""

    def __init__(
        self,
        directory: Path,
        write: Write,
        *,
        idle: IdleWork | None = None,
        max_items: int = 20_000,
        max_bytes: int = 64 * 1024 * 1024,
        max_disk_bytes: int = DISK_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        self._directory = directory
        self._write = write
        self._idle = idle
        self._backlog = Backlog(
            directory,
            max_items=max_items,
            max_bytes=max_bytes,
            max_disk_bytes=max_disk_bytes,
            reserve_bytes=reserve_bytes,
        )
        self.counters: JournalCounters = self._backlog.counters
        self._wake = self._backlog.wake
        # Adds the record of a finished request.
        self.append = self._backlog.append
        self._closing = threading.Event()
        self._idle_pending = False
        self._idled_at = 0.0
        self._search_at = 0.0
        self._failing_since: float | None = None
        self._refused_at: float | None = None
        self._error = ""
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Records that are not in the database yet."""
        return self._backlog.depth

    @property
    def status(self) -> WriterStatus:
        """The current status."""
        backlog, since = self._backlog, self._failing_since
        return WriterStatus(
            waiting=backlog.depth,
            on_disk=backlog.on_disk,
            unrecorded=backlog.unrecorded,
            disk_bytes=backlog.disk_bytes,
            failing_s=0.0 if since is None else time.monotonic() - since,
            error=self._error,
            disk_full=backlog.disk_full,
            dropping=backlog.dropping,
            refusing=self._refused_at is not None
            and time.monotonic() - self._refused_at < REFUSAL_NOTICE_S,
        )

    def close(self, timeout_s: float = 10.0) -> None:
        """Write pending records, then stop. Those that cannot be written stay on disk."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)
        pending_records = self._backlog.depth
        dropped_records = self._backlog.close()
        if dropped_records:
            log.error(
                "%d finished requests are lost: neither the database nor the disk accepts them",
                dropped_records,
            )
        if pending_records > dropped_records:
            log.warning(
                "%d finished requests are not in the database; they are in %s and will be "
                "written at the next start",
                pending_records - dropped_records,
                self._directory,
            )

    # --- the writer's thread --------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set() or self._backlog.has_records:
            try:
                self._run_once()
            except Exception:
                log.exception("the log writer failed and continues")
                self._closing.wait(RETRY_S)
            if self._closing.is_set() and self._failing_since is not None:
                return

    def _run_once(self) -> None:
        """Wait for work, and do it."""
        backlog = self._backlog
        backlog.reserve()
        self._write_abandoned()
        busy = backlog.has_records or self._idle_pending
        self._wake.wait(FLUSH_S if busy else self._pause_s())
        if not backlog.has_several_chunks:
            self._closing.wait(FLUSH_S)  # collect a batch: a commit costs more than its rows
        self._wake.clear()
        rows = self._write_next_chunks()
        self._idle_pending = self._idle_pending or rows > 0
        # Idle work under load delays requests; but it must run eventually if the load never
        # ends.
        since_s = time.monotonic() - self._idled_at
        if rows < QUIET_ROWS and since_s > IDLE_EVERY_S:
            self._guarded_idle(IDLE_S)
        elif since_s > MAX_IDLE_GAP_S:
            self._guarded_idle(IDLE_UNDER_LOAD_S)

    def _pause_s(self) -> float:
        """How long to wait if no request ends, in seconds."""
        pause_s = max(0.0, self._search_at - time.monotonic())
        # While the disk is full, retry even if no request arrives.
        return min(pause_s, FULL_AGAIN_S) if self._backlog.disk_full else pause_s

    def _write_next_chunks(self) -> int:
        """Write the next chunks, with retries until they are written; return how many rows."""
        chunks = self._backlog.take_chunks()
        if not chunks:
            return 0
        records = [record for chunk in chunks for record in chunk.read()]
        rows = len(records)
        while not self._write_batches(records):
            if self._closing.is_set():
                return rows
            self._closing.wait(RETRY_S)
            self._backlog.reserve()
        self._backlog.release_chunks()
        return rows

    def _write_batches(self, records: list[LogRecord]) -> bool:
        """Write records and remove them from the list; return whether all were written."""
        try:
            while records:
                batch = records[:BATCH_ITEMS]
                refused_rows = self._write(batch) or 0
                if refused_rows:
                    self._refused_at = time.monotonic()
                self._backlog.count_written(len(batch), refused_rows=refused_rows)
                del records[:BATCH_ITEMS]
        except Exception as error:
            self._note_failure(error)
            return False
        if self._failing_since is not None:
            took_s = time.monotonic() - self._failing_since
            self._failing_since, self._error = None, ""
            log.warning("the request log can be written again, after %.0f s", took_s)
        return True

    def _note_failure(self, error: Exception) -> None:
        self.counters.failed_batches += 1
        self._error = _error_text(error)
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            log.error("the request log cannot be written: %s; retrying", self._error)

    def _guarded_idle(self, seconds: float) -> None:
        """Do idle work in steps, as long as no record is pending."""
        self._idled_at = time.monotonic()
        try:
            while self._idle is not None and not self._closing.is_set():
                self._idle_pending = bool(self._idle(seconds))
                if self._backlog.has_records or not self._idle_pending:
                    return
            self._idle_pending = False
        except Exception as error:
            self._idle_pending = False
            log.error("background work of the request log failed: %s", _error_text(error))

    # --- segments of dead processes -------------------------------------------------------

    def _write_abandoned(self) -> None:
        """Write the records of segments whose owner is dead."""
        if time.monotonic() < self._search_at:
            return
        self._search_at = time.monotonic() + SEARCH_S
        delete_unnamed(self._directory)
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            if self._closing.is_set():
                return
            if not self._replay_segment(path):
                self._search_at = time.monotonic() + RETRY_S
                return

    def _replay_segment(self, path: Path) -> bool:
        """Write the records of one segment; return whether it needs no further attempt."""
        try:
            with read_abandoned(path) as records:
                if records is None:
                    return True
                count = len(records)
                if not self._write_batches(records):
                    return False
                self.counters.replayed += count
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
        except OSError as error:
            log.error("the journal segment %s cannot be read: %s", path.name, _error_text(error))
        return True


def _error_text(error: Exception) -> str:
    """One line about an error; of a data error only its type, as it may contain values."""
    name = type(error).__name__
    if name != "OperationalError" and not isinstance(error, OSError):
        return name
    return f"{name}: {str(error).strip().partition(chr(10))[0][:200]}"
