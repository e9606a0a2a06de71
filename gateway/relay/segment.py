"""A journal file: records of finished requests that outlive a killed process.

The file is mapped into memory, so that to append is to copy and no system call: what a
killed process has copied is the kernel's to keep. Its blocks are reserved before they are
mapped, since a full disk must be an error here and not a fault there. A record is: length
(4 bytes), CRC-32 (4 bytes), msgpack; a length of 0 ends the file.

A segment is locked (flock) by the process that writes it, so a starting process replays
just those whose owner is dead.
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

from gateway.relay.entry import Entry

log = logging.getLogger(__name__)

SIZE = 1024 * 1024
# A segment that had to grow beyond this is not used again.
KEEP_BYTES = 8 * SIZE

_HEADER = struct.Struct("<II")
_END = bytes(_HEADER.size)
_decoder = msgspec.msgpack.Decoder(Entry)


class Segment:
    """One journal file, held open and locked by its writer. Raises OSError on a full disk."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.journal"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o600)
        self._at = 0
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(self._fd, 0, SIZE)
            self._map = mmap.mmap(self._fd, SIZE)
        except OSError:
            os.close(self._fd)
            self.path.unlink(missing_ok=True)
            raise

    @property
    def empty(self) -> bool:
        """Whether nothing has been appended since it was made or reset."""
        return self._at == 0

    @property
    def reusable(self) -> bool:
        """Whether it is small enough to be kept for the next records."""
        return len(self._map) <= KEEP_BYTES

    def append(self, payload: bytes) -> None:
        """Copy one record, its header last: a torn one has none."""
        start = self._at + _HEADER.size
        end = start + len(payload)
        if end + len(_END) > len(self._map):
            self._grow(end + len(_END))
        self._map[start : end + len(_END)] = payload + _END
        self._map[self._at : start] = _HEADER.pack(len(payload), zlib.crc32(payload))
        self._at = end

    def reset(self) -> None:
        """Forget all records: they are in the database."""
        self._map[: len(_END)] = _END
        self._at = 0

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Give up the file and its lock."""
        with contextlib.suppress(OSError, ValueError):
            self._map.close()
        with contextlib.suppress(OSError):
            os.close(self._fd)

    def _grow(self, least: int) -> None:
        size = max(2 * len(self._map), -(-least // SIZE) * SIZE)
        os.posix_fallocate(self._fd, 0, size)
        self._map.resize(size)


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
        if not length or len(payload) != length or zlib.crc32(payload) != crc:
            return
        offset += length
        try:
            yield _decoder.decode(payload)
        except msgspec.MsgspecError:
            log.warning("a journal record of another version was left out")
