"""Segments: memory-mapped journal files whose log records outlive a killed process.

An append copies into mapped memory, without a system call: the kernel writes to disk what a
killed process has copied. The blocks are allocated before the file is mapped, so that
a full disk is an error there and not a fault on append. A record is: length (4 bytes), CRC-32
(4 bytes), msgpack; a length of 0 ends the file.

A segment is locked (flock) by the process that writes it, so a starting process replays only
those whose owner is dead. It is locked before it gets its final name, or another process could
mistake it for an abandoned one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import mmap
import os
import struct
import threading
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec

from gateway.relay.exchange.log_record import Attempt, LogRecord

# --- encoding ---------------------------------------------------------------------------
# A finished request has cost money: its row must not be lost because of a value that a client
# or an upstream sent. Most records are encoded unchanged.

# Maximum adaptations per record; beyond it, the last one has the number left out.
MAX_ADAPTATIONS = 1000
MAX_DEPTH = 32
MAX_TEXT = 10_000
_INT64 = 2**63 - 1
_MAX_USD = Decimal(10) ** 10
_encoder = msgspec.msgpack.Encoder()


def encode_record(record: LogRecord) -> bytes:
    """The record as msgpack. Values that cannot be encoded are changed in the record itself."""
    if len(record.adaptations) > MAX_ADAPTATIONS:
        record.adaptations = _first_adaptations(record.adaptations)
    try:
        return _encoder.encode(record)
    except Exception:  # some value cannot be encoded
        make_storable(record)
    try:
        return _encoder.encode(record)
    except Exception as error:
        reason = type(error).__name__
        extra = {"request_id": record.id, "reason": reason}
        log.error("a request is logged without its details", extra=extra)
        drop_details(record)
    return _encoder.encode(record)


def _first_adaptations(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    omitted_count = len(rows) - MAX_ADAPTATIONS
    note = f"{omitted_count} more changes were omitted from the log; /api/translate shows all"
    return [*rows[:MAX_ADAPTATIONS], {"field": "", "action": "dropped", "note": note}]


def make_storable(record: LogRecord) -> None:
    """Change the record's values to ones that can be stored.

    Integers beyond 64 bits are clamped, in `adaptations` they become text; non-finite floats
    and costs become None, lone surrogates `?`, deep nesting text.
    """
    _clamp_fields(record)
    for attempt in record.attempts:
        _clamp_fields(attempt)
    record.adaptations = [
        {str(key): storable_json(value) for key, value in row.items()} for row in record.adaptations
    ]
    record.tags = [_storable_text(tag) for tag in record.tags]


def drop_details(record: LogRecord) -> None:
    """Remove everything but the plain fields of a record."""
    record.bodies, record.bodies_omitted, record.stored_response = None, "size", None
    record.adaptations, record.tags, record.attempts = [], [], []
    _clamp_fields(record)


def _clamp_fields(record: LogRecord | Attempt) -> None:
    for name in record.__struct_fields__:
        value = getattr(record, name)
        match value:
            case str():
                value = _storable_text(value)
            case bool():
                pass
            case int():
                value = max(-_INT64, min(value, _INT64))
            case float() if not isfinite(value):
                value = 0.0 if name in _REQUIRED_TIMES else None
            case Decimal() if not value.is_finite() or abs(value) >= _MAX_USD:
                value = None
        setattr(record, name, value)


# Fields of times that cannot be None.
_REQUIRED_TIMES = frozenset({"started_at", "duration_ms", "started_ms"})


def storable_json(value: Any, depth: int = 0) -> Any:
    """A JSON value that every encoder accepts."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _storable_text(value)
    if isinstance(value, int):
        return value if -_INT64 <= value <= _INT64 else _encode_large_number(value)
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if depth >= MAX_DEPTH or not isinstance(value, dict | list | tuple):
        return f"[{type(value).__name__}]"
    if isinstance(value, dict):
        return {
            _storable_text(str(key)): storable_json(item, depth + 1) for key, item in value.items()
        }
    return [storable_json(item, depth + 1) for item in value]


def _encode_large_number(integer: int) -> str:
    # Python refuses to write very long numbers in decimal.
    return str(integer) if integer.bit_length() <= 4096 else "[a number with many digits]"


def _storable_text(text: str) -> str:
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


# --- one segment ------------------------------------------------------------------------

SIZE = 1024 * 1024
SUFFIX = ".journal"
# Suffix of a file that is not locked yet.
_NEW_SUFFIX = ".new"
# A file that has `_NEW_SUFFIX` for longer than this belongs to a process that died.
_NEW_S = 60.0

_HEADER = struct.Struct("<II")
_END = bytes(_HEADER.size)
_decoder = msgspec.msgpack.Decoder(LogRecord)


class Segment:
    """One journal file of a fixed size, locked by its writer. Raises OSError on a full disk."""

    def __init__(self, directory: Path, size: int = SIZE) -> None:
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        self.path = directory / f"{name}{SUFFIX}"
        self.size = size
        self._offset = 0
        new = directory / f"{name}{_NEW_SUFFIX}"
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(fd, 0, size)
            # The map holds a copy of the descriptor, and with it the lock.
            self._map = mmap.mmap(fd, size)
            new.rename(self.path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)

    @property
    def empty(self) -> bool:
        """Whether nothing has been appended since its creation or reset."""
        return self._offset == 0

    def append(self, payload: bytes) -> bool:
        """Copy one record; return whether it fits. A torn one does not match its checksum."""
        data = _HEADER.pack(len(payload), zlib.crc32(payload)) + payload + _END
        start = self._offset
        end = start + len(data)
        if end > self.size:
            return False
        self._map[start:end] = data
        self._offset = end - len(_END)
        return True

    def records(self) -> Iterator[LogRecord]:
        """The records that have been appended."""
        return _decode_records(self._map[: self._offset + len(_END)])

    def reset(self) -> None:
        """Discard all records, which are in the database."""
        self._map[: len(_END)] = _END
        self._offset = 0

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close the file and release its lock."""
        with contextlib.suppress(OSError, ValueError):
            self._map.close()


def size_for(length: int, min_size: int = SIZE) -> int:
    """The size of a segment for a record of this length."""
    size = min_size
    while length + 2 * _HEADER.size > size:
        size *= 2
    return size


@contextlib.contextmanager
def read_abandoned(path: Path) -> Iterator[list[LogRecord] | None]:
    """The records of a segment whose owner is dead, locked while they are in use.

    None if the owner is alive, or if another process has already written them. Raises
    OSError if the file cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        # A previous lock holder may have written the records and deleted the file.
        yield list(_decode_records(file.read())) if os.fstat(file.fileno()).st_nlink else None


def delete_unnamed(directory: Path) -> None:
    """Delete files of processes that died while they created a segment."""
    for path in directory.glob(f"*{_NEW_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _NEW_S:
                path.unlink()


def _decode_records(data: bytes) -> Iterator[LogRecord]:
    """The records in a file, up to the first torn one."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, crc = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        payload = data[offset : offset + length]
        if not length or len(payload) != length or zlib.crc32(payload) != crc:
            return
        offset += length
        try:
            yield _decoder.decode(payload)
        except msgspec.MsgspecError:
            log.warning("a journal record of another version was skipped")


log = logging.getLogger(__name__)

# How long to wait before a full disk is tried again, in seconds.
FULL_AGAIN_S = 2.0


# Released segments that are kept in addition to the reserve. The pages of a reused segment are in
# memory, while each first write to a page of a new file costs 12 us.
MAX_SURPLUS = 8


class SegmentPool:
    """Provides segments and reuses released ones, the last one first. Thread-safe.

    Attributes:
        full: whether the disk or the limit was full at the last attempt. Until there is room
            again, segments come from the reserve.
    """

    def __init__(self, directory: Path, *, max_bytes: int, reserve_bytes: int) -> None:
        self._directory = directory
        self._reserve = -(-reserve_bytes // SIZE)
        self._limit = max_bytes + self._reserve * SIZE
        self._lock = threading.Lock()
        self._used: set[Segment] = set()
        self._spares: list[Segment] = []
        self._full_at = 0.0
        self._closed = False
        self._bound_reached = False
        self.full = False

    @property
    def bytes(self) -> int:
        """Disk space of all segments, the reserve included."""
        with self._lock:
            return self._allocated_bytes()

    def _allocated_bytes(self) -> int:
        return sum(segment.size for segment in self._used) + SIZE * len(self._spares)

    def acquire(self, length: int, *, preferred_size: int, bounded: bool) -> Segment | None:
        """A segment for a record of `length` bytes; None if there is no room.

        It has `preferred_size` bytes if possible. `bounded`: whether it must stay within the limit
        of disk space.
        """
        min_size, size = size_for(length), size_for(length, preferred_size)
        with self._lock:
            has_surplus = len(self._spares) > self._reserve
            if self._spares and min_size == SIZE and (self.full or (has_surplus and size == SIZE)):
                segment = self._spares.pop()
                self._used.add(segment)
                return segment
            while not self.full:
                try:
                    self._check_bound(size, bounded=bounded)
                    segment = Segment(self._directory, size)
                except OSError as error:
                    if size > min_size:
                        size //= 2
                    else:
                        self._note_full(error)
                else:
                    self._used.add(segment)
                    if bounded:
                        self._add_spare()
                    return segment
            return self._late_reserve() if min_size == SIZE else None

    def _check_bound(self, size: int, *, bounded: bool) -> None:
        """Raises OSError if the limit has no room next to a complete reserve."""
        missing = max(0, self._reserve - len(self._spares)) * SIZE
        if bounded and self._allocated_bytes() + missing + size > self._limit:
            raise OSError(errno.EDQUOT, "DRAGOMAN_JOURNAL_DISK_BYTES is reached")

    def _add_spare(self) -> None:
        """Add a segment to the reserve, in case the writer, which refills it, is blocked."""
        if len(self._spares) < self._reserve:
            with contextlib.suppress(OSError):
                self._spares.append(Segment(self._directory))

    def _late_reserve(self) -> Segment | None:
        """A segment of a reserve that was not complete when the limit was reached."""
        if not self._bound_reached or self._allocated_bytes() + SIZE > self._limit:
            return None
        try:
            segment = Segment(self._directory)
        except OSError as error:
            self._note_full(error)
            return None
        self._used.add(segment)
        return segment

    def _note_full(self, error: OSError) -> None:
        if not self.full:
            reason = error.strerror or type(error).__name__
            log.error("the journal has no disk space left: %s; bodies are omitted", reason)
        self.full = True
        self._bound_reached = error.errno == errno.EDQUOT
        self._full_at = time.monotonic()

    def release(self, segments: Iterable[Segment]) -> None:
        """Release segments whose records are in the database."""
        removed_segments = []
        with self._lock:
            for segment in segments:
                self._used.discard(segment)
                if segment.size == SIZE and len(self._spares) < self._reserve + MAX_SURPLUS:
                    segment.reset()
                    self._spares.append(segment)
                else:
                    removed_segments.append(segment)
        for segment in removed_segments:
            segment.remove()

    def refill(self, *, bounded: bool) -> bool:
        """Refill the reserve; return whether a full disk has room again. Runs in the writer."""
        if self.full and time.monotonic() - self._full_at < FULL_AGAIN_S:
            return False
        # One more than the reserve: otherwise the next request would find the disk full again.
        while not self._closed and len(self._spares) < self._reserve + self.full:
            try:
                with self._lock:
                    if bounded and self._allocated_bytes() + SIZE > self._limit:
                        raise OSError(errno.EDQUOT, "DRAGOMAN_JOURNAL_DISK_BYTES is reached")
                segment = Segment(self._directory)
            except OSError as error:
                self._note_full(error)
                return False
            with self._lock:
                self._spares.append(segment)
        was_full, self.full = self.full, False
        return was_full

    def close(self) -> None:
        """Delete the reserve."""
        with self._lock:
            self._closed = True
            for spare in self._spares:
                spare.remove()
            self._spares = []
