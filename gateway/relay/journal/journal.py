"""The way of a finished request to the database, without a wait on the hot path.

`append` copies one record into a segment and enqueues it (`gateway.relay.journal.backlog`). A
writer thread takes what waits and hands it to `write` in batches, until each is written.
It also writes what processes left that are dead.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.journal.backlog import Backlog, JournalCounters
from gateway.relay.journal.segment import SUFFIX, delete_unnamed, read_abandoned
from gateway.relay.journal.segments import FULL_AGAIN_S

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
MAX_IDLE_GAP_S = 5.0
IDLE_UNDER_LOAD_S = 0.05
# How often the directory is searched for what dead processes left.
SEARCH_S = 30.0
# So many bytes spill to disk at most, and so many are reserved there.
DISK_BYTES = 1024 * 1024 * 1024
RESERVE_BYTES = 16 * 1024 * 1024

# For so long after the last one health says that rows were refused.
REFUSAL_NOTICE_S = 600.0

# Writes a batch and says how many rows the database refused. It raises if nothing was written.
Write = Callable[[list[LogRecord]], int | None]
# Does idle work for so many seconds and says how much; 0 when there is none left.
IdleWork = Callable[[float], int]


class WriterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the way to the database is at present.

    Attributes:
        waiting: entries that are not in the database yet.
        on_disk: those of them that are on disk only, as memory is full.
        unrecorded: those of them that a killed process would lose.
        disk_bytes: what the journal takes of the disk, its reserve included.
        failing_s: for how long nothing could be written; 0 where the last batch was.
        error: why, in a few words.
        disk_full: whether the disk or the journal's bound gives no more.
        dropping: whether rows are being dropped.
        refusing: whether the database refused rows in the last REFUSAL_NOTICE_S.
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
        self._wake = threading.Event()
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
        """Entries that are not in the database yet."""
        return self._backlog.depth

    @property
    def status(self) -> WriterStatus:
        """How it is now."""
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

    def append(self, record: LogRecord) -> None:
        """Take a finished request. Never waits on the database, never raises."""
        self._backlog.append(record)
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits, then stop. What can not be written stays on disk."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)
        waiting = self._backlog.depth
        dropped = self._backlog.close()
        if dropped:
            log.error(
                "%d finished requests are lost: neither the database nor the disk takes them",
                dropped,
            )
        if waiting > dropped:
            log.warning(
                "%d finished requests are not in the database; they are in %s, and the next start "
                "writes them",
                waiting - dropped,
                self._directory,
            )

    # --- the writer's thread --------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set() or self._backlog.waiting:
            try:
                self._run_once()
            except Exception:
                log.exception("the log's writer failed; it goes on")
                self._closing.wait(RETRY_S)
            if self._closing.is_set() and self._failing_since is not None:
                return

    def _run_once(self) -> None:
        """Wait for something to do, and do it."""
        backlog = self._backlog
        backlog.reserve()
        self._write_abandoned()
        busy = backlog.waiting or self._idle_pending
        self._wake.wait(FLUSH_S if busy else self._pause_s())
        if not backlog.behind:
            self._closing.wait(FLUSH_S)  # let a batch gather: one commit costs more than its rows
        self._wake.clear()
        rows = self._drain()
        self._idle_pending = self._idle_pending or rows > 0
        # Idle work under load would take its time from the requests that wait; but it
        # must not wait for ever where the load never ends.
        since_s = time.monotonic() - self._idled_at
        if rows < QUIET_ROWS and since_s > IDLE_EVERY_S:
            self._guarded_idle(IDLE_S)
        elif since_s > MAX_IDLE_GAP_S:
            self._guarded_idle(IDLE_UNDER_LOAD_S)

    def _pause_s(self) -> float:
        """How long there is nothing to do if no request ends, in seconds."""
        pause_s = max(0.0, self._search_at - time.monotonic())
        # Until the disk has room again, it is tried again also where no request comes.
        return min(pause_s, FULL_AGAIN_S) if self._backlog.disk_full else pause_s

    def _drain(self) -> int:
        """Write what is taken next, however often it takes; how many rows."""
        chunks = self._backlog.take_chunks()
        if not chunks:
            return 0
        records = [entry for chunk in chunks for entry in chunk.read()]
        rows = len(records)
        while not self._commit(records):
            if self._closing.is_set():
                return rows
            self._closing.wait(RETRY_S)
            self._backlog.reserve()
        self._backlog.release_chunks()
        return rows

    def _commit(self, records: list[LogRecord]) -> bool:
        """Write entries and take them out of the list; whether all were written."""
        try:
            while records:
                batch = records[:BATCH_ITEMS]
                refused = self._write(batch) or 0
                if refused:
                    self._refused_at = time.monotonic()
                self._backlog.count_written(len(batch), refused=refused)
                del records[:BATCH_ITEMS]
        except Exception as error:
            self._note_failure(error)
            return False
        if self._failing_since is not None:
            took_s = time.monotonic() - self._failing_since
            self._failing_since, self._error = None, ""
            log.warning("the request log is written again, after %.0f s", took_s)
        return True

    def _note_failure(self, error: Exception) -> None:
        self.counters.failed_batches += 1
        self._error = _error_text(error)
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            log.error("the request log can not be written: %s; it is tried again", self._error)

    def _guarded_idle(self, seconds: float) -> None:
        """Do idle work piece by piece, for as long as nothing waits to be written."""
        self._idled_at = time.monotonic()
        try:
            while self._idle is not None and not self._closing.is_set():
                self._idle_pending = bool(self._idle(seconds))
                if self._backlog.waiting or not self._idle_pending:
                    return
            self._idle_pending = False
        except Exception as error:
            self._idle_pending = False
            log.error("the request log's idle work failed: %s", _error_text(error))

    # --- what dead processes left ---------------------------------------------------------

    def _write_abandoned(self) -> None:
        """Write the entries of segments whose owner is dead."""
        if time.monotonic() < self._search_at:
            return
        self._search_at = time.monotonic() + SEARCH_S
        delete_unnamed(self._directory)
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            if self._closing.is_set():
                return
            if not self._replay(path):
                self._search_at = time.monotonic() + RETRY_S
                return

    def _replay(self, path: Path) -> bool:
        """Write one of them; whether there is nothing more to do about it."""
        try:
            with read_abandoned(path) as records:
                if records is None:
                    return True
                count = len(records)
                if not self._commit(records):
                    return False
                self.counters.replayed += count
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
        except OSError as error:
            log.error("the journal segment %s can not be read: %s", path.name, _error_text(error))
        return True


def _error_text(error: Exception) -> str:
    """What failed, in a line; an error about a row is not repeated, as it may say its values."""
    name = type(error).__name__
    if name != "OperationalError" and not isinstance(error, OSError):
        return name
    return f"{name}: {str(error).strip().partition(chr(10))[0][:200]}"
