"""The counters of limits, in memory that all processes of a data directory share.

    cells-1     which limit has which cell: a table of hashes, added to under a lock
    lane-1-NN   the words of one process, locked (flock) by it for as long as it lives

A process writes its own lane only and reads the others', so that counting takes neither a
lock nor a system call: the maps are the kernel's to keep, and what a killed process has
counted stays. What it had reserved does not: a lane that nobody holds is freed of it. Two
processes that look at the same moment may each let one request in. The files may be
deleted while nothing runs: what was spent is read from the database again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import mmap
import os
from collections.abc import Iterator
from itertools import compress
from pathlib import Path

from gateway.routing.limits import RESERVED, WORDS

log = logging.getLogger(__name__)

CELLS = 2**17
LANES = 512
_WORD = 8
_HEADER = 8
# Words of the table's header: how many lanes were made, how many cells are in use.
_MADE, _USED = 0, 1
_FULL = CELLS * 7 // 8
# From so many on, a process that is alone begins anew: most are of keys long gone.
_STALE = CELLS // 2
_LANE_BYTES = CELLS * WORDS * _WORD
_TABLE_BYTES = (_HEADER + CELLS) * _WORD


class _File:
    """A file of words, mapped; `locked` says whether it was free to be locked."""

    def __init__(self, path: Path, size: int, *, lock: bool = False) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.locked = False
        try:
            if lock:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self.locked = True
            if os.fstat(self.fd).st_size < size:
                os.ftruncate(self.fd, size)  # no blocks are taken before they are written
            self.words = memoryview(mmap.mmap(self.fd, size)).cast("q")
        except OSError:
            os.close(self.fd)
            raise

    def clear(self, size: int) -> None:
        """Make all words 0, without a block on the disk."""
        os.ftruncate(self.fd, 0)
        os.ftruncate(self.fd, size)

    def close(self) -> None:
        """Unlock it; the map goes with the last who reads its words."""
        with contextlib.suppress(OSError):
            fcntl.flock(self.fd, fcntl.LOCK_UN)  # the map holds a copy of the descriptor
            os.close(self.fd)


class Board:
    """The lanes of counters. `mine` is this process's; `others` are read only.

    Without a directory, or where it can not be written, the counters are this process's
    alone. All methods belong to the thread of the event loop.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.others: tuple[memoryview, ...] = ()
        self._at: dict[str, int] = {}
        self._files: dict[int, _File] = {}
        self._own = -1
        self._seen = 0
        self._directory = directory
        self._warned = False
        self._table: memoryview
        self._cells: _File | None = None
        self.mine: memoryview
        try:
            if directory is not None:
                self._open(directory)
        except OSError:
            log.exception("the counters of limits can not be shared; this process counts alone")
            self._drop()
        if self._cells is None:
            self._table = memoryview(bytearray(_TABLE_BYTES)).cast("q")
            self.mine = memoryview(bytearray(_LANE_BYTES)).cast("q")

    def _open(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._cells = _File(directory / "cells-1", _TABLE_BYTES)
        self._table = self._cells.words
        with self.alone():
            self._take_lane(directory)
            self._look()
            if len(self._files) == 1 + self._free_dead() and self._table[_USED] > _STALE:
                self._begin_anew()

    def _take_lane(self, directory: Path) -> None:
        for number in range(LANES):
            known = number < self._table[_MADE]
            file = _File(_lane(directory, number), _LANE_BYTES, lock=True)
            if not file.locked:
                file.close()
                continue
            self._own, self._files[number], self.mine = number, file, file.words
            self._forget_reserved(self.mine)
            if not known:
                self._table[_MADE] = number + 1
            return
        raise OSError(f"more than {LANES} processes share {directory}")

    def _begin_anew(self) -> None:
        """Nobody else runs: forget the limits of keys that may be long gone."""
        assert self._cells is not None
        made = self._table[_MADE]
        self._cells.clear(_TABLE_BYTES)
        for file in self._files.values():
            file.clear(_LANE_BYTES)
        self._table[_MADE] = made

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While no other process is in such a block: for what is read and then written."""
        if self._cells is None:
            yield
            return
        fcntl.flock(self._cells.fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._cells.fd, fcntl.LOCK_UN)

    def cell(self, name: str) -> int | None:
        """Where the words of a limit begin, in every lane; None if there is no room left."""
        at = self._at.get(name)
        if at is None:
            with self.alone():
                at = self.known(name)
        return at

    def known(self, name: str) -> int | None:
        """The same for who has already seen to being alone."""
        at = self._at.get(name)
        if at is None and (found := self._find(name)) is not None:
            at = self._at[name] = found * WORDS
        return at

    def _find(self, name: str) -> int | None:
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        mark = int.from_bytes(digest, "little") >> 1 or 1
        place = mark % CELLS
        while self._table[_HEADER + place] != mark:
            if self._table[_HEADER + place] == 0:
                if self._table[_USED] >= _FULL:
                    self._warn_full()
                    return None
                self._table[_HEADER + place] = mark
                self._table[_USED] += 1
                break
            place = (place + 1) % CELLS
        return place

    def _warn_full(self) -> None:
        if not self._warned:
            log.error("there are more limits than can be counted; stop all and delete `limits`")
            self._warned = True

    def look(self) -> None:
        """Take in the lanes of processes that came since; cheap where there are none."""
        if self._table[_MADE] != self._seen:
            self._look()

    def _look(self) -> None:
        self._seen = self._table[_MADE]
        assert self._directory is not None
        for number in range(self._seen):
            if number not in self._files:
                self._files[number] = _File(_lane(self._directory, number), _LANE_BYTES)
        self.others = tuple(f.words for n, f in self._files.items() if n != self._own)

    def sweep(self) -> int:
        """Free what dead processes had reserved; how many there are."""
        if self._cells is None or len(self._files) < 2:
            return 0
        with self.alone():
            return self._free_dead()

    def _free_dead(self) -> int:
        dead = 0
        for number, file in self._files.items():
            if number == self._own:
                continue
            try:
                fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            dead += 1
            self._forget_reserved(file.words)
            fcntl.flock(file.fd, fcntl.LOCK_UN)
        return dead

    def _forget_reserved(self, words: memoryview) -> None:
        for place in compress(range(CELLS), self._table[_HEADER:].tolist()):
            if words[place * WORDS + RESERVED]:
                words[place * WORDS + RESERVED] = 0

    def close(self) -> None:
        """Give up the lane; what it counted stays for the next process."""
        if self._own >= 0:
            self._forget_reserved(self.mine)
        self._drop()

    def _drop(self) -> None:
        for file in self._files.values():
            file.close()
        if self._cells is not None:
            self._cells.close()
        self.others, self._files, self._cells, self._own = (), {}, None, -1


def _lane(directory: Path, number: int) -> Path:
    return directory / f"lane-1-{number:03d}"
