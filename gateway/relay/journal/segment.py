"""A journal file: records of finished requests that outlive a killed process.

The file is mapped into memory, so that to append is to copy and no system call: what a
killed process has copied is the kernel's to keep. Its blocks are reserved before they are
mapped, since a full disk must be an error here and not a fault there. A record is: length
(4 bytes), CRC-32 (4 bytes), msgpack; a length of 0 ends the file.

A segment is locked (flock) by the process that writes it, so a starting process replays
just those whose owner is dead. It is locked before it gets its name, or another process
could take it for one of the dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import struct
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.relay.exchange.log_record import LogRecord

log = logging.getLogger(__name__)

SIZE = 1024 * 1024
SUFFIX = ".journal"
# Of a file that is not locked yet.
_NEW_SUFFIX = ".new"
# A file without its name that is as old as this belongs to a process that died meanwhile.
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
            # The map has a copy of the descriptor, and with it the lock.
            self._map = mmap.mmap(fd, size)
            new.rename(self.path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)

    @property
    def empty(self) -> bool:
        """Whether nothing has been appended since it was made or reset."""
        return self._offset == 0

    def fits(self, length: int) -> bool:
        """Whether a record of this length can be appended."""
        return self._offset + length + 2 * _HEADER.size <= self.size

    def append(self, payload: bytes) -> None:
        """Copy one record that fits, its header last: a torn one has none."""
        start = self._offset + _HEADER.size
        end = start + len(payload)
        self._map[start : end + len(_END)] = payload + _END
        self._map[self._offset : start] = _HEADER.pack(len(payload), zlib.crc32(payload))
        self._offset = end

    def records(self) -> Iterator[LogRecord]:
        """The entries that have been appended."""
        return _records(self._map[: self._offset + len(_END)])

    def reset(self) -> None:
        """Forget all records: they are in the database."""
        self._map[: len(_END)] = _END
        self._offset = 0

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Give up the file and its lock."""
        with contextlib.suppress(OSError, ValueError):
            self._map.close()


def size_for(length: int, min_size: int = SIZE) -> int:
    """The size of a segment that takes a record of this length."""
    size = min_size
    while length + 2 * _HEADER.size > size:
        size *= 2
    return size


@contextlib.contextmanager
def read_abandoned(path: Path) -> Iterator[list[LogRecord] | None]:
    """The entries of a segment whose owner is dead, locked while they are in use.

    None where the owner lives, or where another process was faster to write them. Raises
    OSError if the file can not be read.
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
        # Whoever had the lock before may have written the records and deleted the file.
        yield list(_records(file.read())) if os.fstat(file.fileno()).st_nlink else None


def delete_unnamed(directory: Path) -> None:
    """Delete the files that processes left which died while they made a segment."""
    for path in directory.glob(f"*{_NEW_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _NEW_S:
                path.unlink()


def _records(data: bytes) -> Iterator[LogRecord]:
    """The entries of a file; stops at a torn record."""
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
            log.warning("a journal record of another version was left out")
