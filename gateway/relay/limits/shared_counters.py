"""Counters of limits, in memory that all processes of a data directory share.

    counters-1   which limit has which counter: a table of hashes, extended under a lock
    slot-1-NNN   the counters of one process, locked (flock) by it while it is alive

A process writes only its own slot and reads the others', so that counting needs neither a lock
nor a system call: the maps belong to the kernel, and the counts of a killed process remain. Its
reservations do not: they are cleared in a slot without an owner. Two processes that check at the
same moment may each admit one request. The files may be deleted while no process runs: recorded
spend is read from the database again.
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

from gateway.routing.end_users import OWNER_PREFIX
from gateway.routing.limits import COUNTER_SIZE, RESERVED, window_spend

log = logging.getLogger(__name__)

MAX_COUNTERS = 2**17
MAX_SLOTS = 512
_INT_BYTES = 8
_HEADER_INTS = 8
# Indexes in the table's header: how many slots were created, how many counters are in use.
_SLOTS_CREATED, _COUNTERS_USED = 0, 1
_MAX_USED = MAX_COUNTERS * 7 // 8
# Clients choose the names of end users: the rest is for the limits of keys, teams and targets.
_MAX_USED_FOR_END_USERS = MAX_COUNTERS * 3 // 4
# Beyond this, a process that runs alone resets the counters: most belong to deleted keys.
_RESET_USED = MAX_COUNTERS // 2
_SLOT_BYTES = MAX_COUNTERS * COUNTER_SIZE * _INT_BYTES
_TABLE_BYTES = (_HEADER_INTS + MAX_COUNTERS) * _INT_BYTES
_BLOCK_INTS = 512
_EMPTY_BLOCK = bytes(_BLOCK_INTS * _INT_BYTES)


class _MappedFile:
    """A memory-mapped file of integers; `locked` is whether the lock was acquired.

    A write to a page of the map that has no block on a full disk kills the process, so pages are
    reserved first. With `reserve_all`, the whole file is reserved at construction.
    """

    def __init__(
        self, path: Path, size: int, *, lock: bool = False, reserve_all: bool = False
    ) -> None:
        self._reserve_all = reserve_all
        self._reserved_pages: set[int] = set()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.locked = False
        try:
            if lock:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self.locked = True
            self._resize(size)
            self.ints = memoryview(mmap.mmap(self.fd, size)).cast("q")
        except OSError:
            os.close(self.fd)
            raise

    def _resize(self, size: int) -> None:
        if self._reserve_all:
            os.posix_fallocate(self.fd, 0, size)
        elif os.fstat(self.fd).st_size < size:
            os.ftruncate(self.fd, size)  # allocates no blocks

    def reserve(self, offset: int) -> None:
        """Allocate the page that contains the integer at `offset`. Raises OSError."""
        page = offset * _INT_BYTES // mmap.PAGESIZE
        if page not in self._reserved_pages:
            os.posix_fallocate(self.fd, page * mmap.PAGESIZE, mmap.PAGESIZE)
            self._reserved_pages.add(page)

    def clear(self, size: int) -> None:
        """Set all integers to 0."""
        os.ftruncate(self.fd, 0)
        self._reserved_pages.clear()
        self._resize(size)

    def close(self) -> None:
        """Unlock and close the file; the map is freed when its integers have no reader."""
        with contextlib.suppress(OSError):
            fcntl.flock(self.fd, fcntl.LOCK_UN)  # the map holds a copy of the descriptor
            os.close(self.fd)


class SharedCounters:
    """The slots of counters: `local_slot` is this process's, `peer_slots` are read only.

    Without a directory, or if it cannot be written, the counters are this process's alone.
    All methods belong to the thread of the event loop.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.peer_slots: tuple[memoryview, ...] = ()
        self._offsets: dict[str, int] = {}
        self._files: dict[int, _MappedFile] = {}
        self._slot_number = -1
        self._slots_mapped = 0
        self._directory = directory
        self._warned_full = False
        self._table: memoryview
        self._table_file: _MappedFile | None = None
        self.local_slot: memoryview
        try:
            if directory is not None:
                self._open(directory)
        except OSError as error:
            log.warning(
                "the limit counters cannot be shared; this process counts on its own: %s", error
            )
            self._close_files()
        if self._table_file is None:
            self._table = memoryview(bytearray(_TABLE_BYTES)).cast("q")
            self.local_slot = memoryview(bytearray(_SLOT_BYTES)).cast("q")

    def _open(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._table_file = _MappedFile(directory / "counters-1", _TABLE_BYTES, reserve_all=True)
        self._table = self._table_file.ints
        with self.exclusive_lock():
            self._claim_slot(directory)
            self._map_slots()
            if (
                len(self._files) == 1 + self._free_dead_slots()
                and self._table[_COUNTERS_USED] > _RESET_USED
            ):
                self._reset_counters()

    def _claim_slot(self, directory: Path) -> None:
        for number in range(MAX_SLOTS):
            is_existing = number < self._table[_SLOTS_CREATED]
            file = _MappedFile(_slot_path(directory, number), _SLOT_BYTES, lock=True)
            if not file.locked:
                file.close()
                continue
            self._slot_number, self._files[number], self.local_slot = number, file, file.ints
            self._clear_reserved(self.local_slot)
            if not is_existing:
                self._table[_SLOTS_CREATED] = number + 1
            return
        raise OSError(f"more than {MAX_SLOTS} processes share {directory}")

    def _reset_counters(self) -> None:
        """Delete all counters, because no other process runs and most belong to deleted keys."""
        assert self._table_file is not None
        slots_created = self._table[_SLOTS_CREATED]
        self._table_file.clear(_TABLE_BYTES)
        for file in self._files.values():
            file.clear(_SLOT_BYTES)
        self._table[_SLOTS_CREATED] = slots_created

    @contextlib.contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Exclude other processes, for reads followed by writes."""
        if self._table_file is None:
            yield
            return
        fcntl.flock(self._table_file.fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._table_file.fd, fcntl.LOCK_UN)

    def counter_offset(self, name: str) -> int | None:
        """The offset of a limit's counter in every slot; None if the table is full."""
        offset = self._offsets.get(name)
        if offset is None:
            with self.exclusive_lock():
                offset = self.locked_counter_offset(name)
        return offset

    def locked_counter_offset(self, name: str) -> int | None:
        """Like `counter_offset`, for callers that hold `exclusive_lock`."""
        offset = self._offsets.get(name)
        if offset is None and (index := self._find_index(name)) is not None:
            offset = index * COUNTER_SIZE
            self._reserve_disk_space(offset)
            self._offsets[name] = offset
        return offset

    def _reserve_disk_space(self, offset: int) -> None:
        """Reserve disk space for a counter; on a full disk, switch to the process's memory."""
        slot_file = self._files.get(self._slot_number)
        if slot_file is None or self.local_slot is not slot_file.ints:
            return
        try:
            slot_file.reserve(offset)
        except OSError as error:
            log.error("each process counts limits on its own from now on: %s", error.strerror)
            local_slot = memoryview(bytearray(_SLOT_BYTES)).cast("q")
            for taken_offset in self._offsets.values():
                local_slot[taken_offset : taken_offset + COUNTER_SIZE] = self.local_slot[
                    taken_offset : taken_offset + COUNTER_SIZE
                ]
            self.local_slot = local_slot

    def _find_index(self, name: str) -> int | None:
        max_used = _MAX_USED_FOR_END_USERS if name.startswith(OWNER_PREFIX) else _MAX_USED
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        name_hash = int.from_bytes(digest, "little") >> 1 or 1
        index = name_hash % MAX_COUNTERS
        while self._table[_HEADER_INTS + index] != name_hash:
            if self._table[_HEADER_INTS + index] == 0:
                if self._table[_COUNTERS_USED] >= max_used:
                    self._warn_full()
                    return None
                self._table[_HEADER_INTS + index] = name_hash
                self._table[_COUNTERS_USED] += 1
                break
            index = (index + 1) % MAX_COUNTERS
        return index

    def _warn_full(self) -> None:
        if not self._warned_full:
            log.error("there are too many limits to count; stop all processes and delete `limits`")
            self._warned_full = True

    @property
    def slots(self) -> tuple[memoryview, ...]:
        """The slots of all processes, this one's first."""
        return (self.local_slot, *self.peer_slots)

    def spent_units(self, offset: int, window: int) -> int:
        """The spending of all processes in a calendar window."""
        return sum(window_spend(slot, offset, window) for slot in self.slots)

    def map_new_slots(self) -> None:
        """Map the slots of new processes; cheap if there are none."""
        if self._table[_SLOTS_CREATED] != self._slots_mapped:
            self._map_slots()

    def _map_slots(self) -> None:
        self._slots_mapped = self._table[_SLOTS_CREATED]
        assert self._directory is not None
        for number in range(self._slots_mapped):
            if number not in self._files:
                self._files[number] = _MappedFile(_slot_path(self._directory, number), _SLOT_BYTES)
        self.peer_slots = tuple(f.ints for n, f in self._files.items() if n != self._slot_number)

    def release_dead_processes(self) -> int:
        """Clear the reservations of dead processes; return how many there are."""
        if self._table_file is None or len(self._files) < 2:
            return 0
        with self.exclusive_lock():
            return self._free_dead_slots()

    def _free_dead_slots(self) -> int:
        freed_count = 0
        for number, file in self._files.items():
            if number == self._slot_number:
                continue
            try:
                fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            freed_count += 1
            self._clear_reserved(file.ints)
            fcntl.flock(file.fd, fcntl.LOCK_UN)
        return freed_count

    def _clear_reserved(self, slot: memoryview) -> None:
        for index in self._used_indexes():
            if slot[index * COUNTER_SIZE + RESERVED]:
                slot[index * COUNTER_SIZE + RESERVED] = 0

    def _used_indexes(self) -> Iterator[int]:
        hashes = self._table[_HEADER_INTS:]
        for start in range(0, MAX_COUNTERS, _BLOCK_INTS):
            block = hashes[start : start + _BLOCK_INTS]
            # Most of the table is empty, and a comparison of bytes is quick.
            if block.tobytes() != _EMPTY_BLOCK:
                yield from compress(range(start, start + _BLOCK_INTS), block.tolist())

    def close(self) -> None:
        """Release the slot; its counts stay for the next process."""
        if self._slot_number >= 0:
            self._clear_reserved(self.local_slot)
        self._close_files()

    def _close_files(self) -> None:
        for file in self._files.values():
            file.close()
        if self._table_file is not None:
            self._table_file.close()
        self.peer_slots, self._files, self._table_file, self._slot_number = (), {}, None, -1


def _slot_path(directory: Path, number: int) -> Path:
    return directory / f"slot-1-{number:03d}"
