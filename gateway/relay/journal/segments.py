"""The segments of a process: some reserved ahead, more as far as disk and bound allow."""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from gateway.relay.journal.segment import SIZE, Segment, size_for

log = logging.getLogger(__name__)

# How long a full disk is taken for full, in seconds.
FULL_AGAIN_S = 2.0


class SegmentPool:
    """Gives segments and takes them back. From any thread.

    Attributes:
        full: whether the disk or the bound gave no more when it was last asked. Until it
            does, what is given comes out of the reserve.
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
        """What they take of the disk, the reserve included."""
        with self._lock:
            return self._bytes()

    def _bytes(self) -> int:
        return sum(segment.size for segment in self._used) + SIZE * len(self._spares)

    def acquire(self, length: int, *, preferred_size: int, bounded: bool) -> Segment | None:
        """A segment that takes a record of this length, of `wanted` bytes if possible.

        Where it is bounded it counts for the bound. None notes that the disk is full.
        """
        min_size, size = size_for(length), size_for(length, preferred_size)
        with self._lock:
            if self._spares and min_size == SIZE and (self.full or size == SIZE):
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
        """Raises OSError where the bound allows no more beside a whole reserve."""
        missing = max(0, self._reserve - len(self._spares)) * SIZE
        if bounded and self._bytes() + missing + size > self._limit:
            raise OSError(errno.EDQUOT, "DRAGOMAN_JOURNAL_DISK_BYTES is reached")

    def _add_spare(self) -> None:
        """Refill the reserve by one segment: the writer, whose work that is, may be held up."""
        if len(self._spares) < self._reserve:
            with contextlib.suppress(OSError):
                self._spares.append(Segment(self._directory))

    def _late_reserve(self) -> Segment | None:
        """A segment of a reserve that was not whole when the bound was reached."""
        if not self._bound_reached or self._bytes() + SIZE > self._limit:
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
            why = error.strerror or type(error).__name__
            log.error("the journal gets no more of the disk: %s; bodies are left out of it", why)
        self.full = True
        self._bound_reached = error.errno == errno.EDQUOT
        self._full_at = time.monotonic()

    def release(self, segments: Iterable[Segment]) -> None:
        """Free segments whose records are in the database."""
        removed = []
        with self._lock:
            for segment in segments:
                self._used.discard(segment)
                if segment.size == SIZE and len(self._spares) < self._reserve:
                    segment.reset()
                    self._spares.append(segment)
                else:
                    removed.append(segment)
        for segment in removed:
            segment.remove()

    def refill(self, *, bounded: bool) -> bool:
        """Make the reserve whole; whether a full disk has room again. For the writer's thread."""
        if self.full and time.monotonic() - self._full_at < FULL_AGAIN_S:
            return False
        # One more than it takes: else the next request would find the disk full again.
        while not self._closed and len(self._spares) < self._reserve + self.full:
            try:
                with self._lock:
                    if bounded and self._bytes() + SIZE > self._limit:
                        raise OSError(errno.EDQUOT, "DRAGOMAN_JOURNAL_DISK_BYTES is reached")
                segment = Segment(self._directory)
            except OSError as error:
                self._note_full(error)
                return False
            with self._lock:
                self._spares.append(segment)
        again, self.full = self.full, False
        return again

    def close(self) -> None:
        """Delete the reserve."""
        with self._lock:
            self._closed = True
            for spare in self._spares:
                spare.remove()
            self._spares = []
