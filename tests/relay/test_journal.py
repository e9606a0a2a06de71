"""The journal: no finished record is lost, nothing blocks, and overload is counted."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.relay.exchange.log_record import Bodies, LogRecord
from gateway.relay.journal.journal import Journal
from gateway.relay.journal.segments import SIZE, Segment, read_abandoned
from tests.waits import WAIT_TIMEOUT_S, wait_until


def make_record(name: str, body: bytes | None = None) -> LogRecord:
    bodies = Bodies(client_request=body) if body is not None else None
    return LogRecord(id=name, started_at=1.0, bodies=bodies)


def test_entries_reach_the_writer_in_order_and_leave_no_file(tmp_path: Path) -> None:
    ids: list[str] = []
    journal = Journal(tmp_path, lambda batch: ids.extend(e.id for e in batch))
    for n in range(1200):
        journal.append(make_record(f"r{n}"))
    journal.close()
    assert ids == [f"r{n}" for n in range(1200)]
    assert list(tmp_path.glob("*.journal")) == []


def test_records_being_written_count_as_pending(tmp_path: Path) -> None:
    started, go_on = threading.Event(), threading.Event()

    def write(batch: list[LogRecord]) -> None:
        started.set()
        assert go_on.wait(WAIT_TIMEOUT_S)

    journal = Journal(tmp_path, write)
    journal.append(make_record("one"))
    assert started.wait(WAIT_TIMEOUT_S)
    journal.append(make_record("two"))
    assert journal.depth == 2
    go_on.set()
    wait_until(lambda: journal.depth == 0)
    journal.close()
    assert journal.counters.written == 2


def test_a_failed_write_is_retried_with_the_same_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.relay.journal.journal.RETRY_S", 0.01)
    calls = []

    def write(batch: list[LogRecord]) -> None:
        calls.append([e.id for e in batch])
        if len(calls) < 3:
            raise OSError("the database is away")

    journal = Journal(tmp_path, write)
    journal.append(make_record("one"))
    wait_until(lambda: journal.counters.written == 1)
    journal.close()
    assert calls == [["one"]] * 3
    assert journal.counters.failed_batches == 2


def test_rows_that_the_database_refuses_are_counted_apart(tmp_path: Path) -> None:
    journal = Journal(tmp_path, lambda batch: sum(e.id == "poison" for e in batch))
    assert not journal.status.refusing
    for name in ("one", "poison", "two"):
        journal.append(make_record(name))
    wait_until(lambda: journal.depth == 0)
    assert journal.status.refusing
    journal.close()
    assert (journal.counters.written, journal.counters.rows_refused) == (2, 1)


def test_bodies_are_dropped_before_rows_and_both_are_counted(tmp_path: Path) -> None:
    free, started = threading.Event(), threading.Event()
    written: list[LogRecord] = []

    def write(batch: list[LogRecord]) -> None:
        started.set()
        free.wait(WAIT_TIMEOUT_S)
        written.extend(batch)

    journal = Journal(tmp_path, write, max_items=3, max_bytes=1000, max_disk_bytes=0)
    journal.append(make_record("first"))
    assert started.wait(WAIT_TIMEOUT_S)  # the writer holds it now
    for name in ("a", "b", "c", "d"):
        journal.append(make_record(name, b"x" * 600))
    assert journal.counters.bodies_dropped >= 2
    assert journal.counters.rows_dropped == 1
    free.set()
    journal.close()
    assert [e.id for e in written] == ["first", "a", "b", "c"]
    assert [e.bodies is not None for e in written] == [False, True, False, False]


def test_a_killed_process_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys, time
        from pathlib import Path
        from gateway.relay.exchange.log_record import Bodies, LogRecord
        from gateway.relay.journal.journal import Journal
        journal = Journal(Path(sys.argv[1]), lambda batch: time.sleep(60))
        for n in range(50):
            bodies = Bodies(client_request=b"hello")
            journal.append(LogRecord(id=f"r{n}", started_at=1.0, bodies=bodies))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert run.returncode == -9
    records: list[LogRecord] = []
    journal = Journal(tmp_path, records.extend)
    wait_until(lambda: journal.counters.replayed == 50)
    journal.close()
    assert sorted(e.id for e in records) == sorted(f"r{n}" for n in range(50))
    assert all(e.bodies and e.bodies.client_request == b"hello" for e in records)


def test_a_running_process_does_not_share_its_segment(tmp_path: Path) -> None:
    event = threading.Event()
    owner = Journal(tmp_path, lambda _batch: event.wait(WAIT_TIMEOUT_S) and None)
    owner.append(make_record("mine"))
    other_seen: list[str] = []
    other = Journal(tmp_path, lambda batch: other_seen.extend(e.id for e in batch))
    other.append(make_record("other"))
    wait_until(lambda: other_seen == ["other"])
    other.close()
    event.set()
    owner.close()
    assert other_seen == ["other"]


def test_a_torn_last_record_does_not_hide_complete_ones(tmp_path: Path) -> None:
    def never(_batch: list[LogRecord]) -> None:
        raise OSError("away")

    first = Journal(tmp_path, never)
    first.append(make_record("whole"))
    first.close(timeout_s=5)
    (path,) = tmp_path.glob("*.journal")
    with path.open("ab") as file:
        file.write(b"\x40\x00\x00\x00torn")
    ids: list[str] = []
    second = Journal(tmp_path, lambda batch: ids.extend(e.id for e in batch))
    wait_until(lambda: ids)
    second.close()
    assert ids == ["whole"]


def test_a_segment_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", lambda _batch: None)
    journal.append(make_record("one"))
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "journal").glob("*.journal")}
    assert modes == {0o600}
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    journal.close()
    assert os.listdir(tmp_path / "journal") == []


def blocking_writer(
    records: list[LogRecord],
) -> tuple[threading.Event, threading.Event, Callable[..., None]]:
    """Return a blocking writer, with events that it has started and that it may continue."""
    started, go_on = threading.Event(), threading.Event()

    def write(batch: list[LogRecord]) -> None:
        started.set()
        assert go_on.wait(WAIT_TIMEOUT_S)
        records.extend(batch)

    return started, go_on, write


def test_overflowing_records_wait_on_disk_with_their_bodies(tmp_path: Path) -> None:
    records: list[LogRecord] = []
    started, go_on, write = blocking_writer(records)
    journal = Journal(tmp_path, write, max_items=100, max_bytes=100_000)
    journal.append(make_record("first"))
    assert started.wait(WAIT_TIMEOUT_S)
    for n in range(900):
        journal.append(make_record(f"r{n}", b"%d" % n * 1000))
    status = journal.status
    assert status.on_disk > 700
    assert status.waiting == 901
    assert not status.dropping
    go_on.set()
    wait_until(lambda: journal.depth == 0)
    journal.append(make_record("last"))
    journal.close()
    assert [e.id for e in records] == ["first", *(f"r{n}" for n in range(900)), "last"]
    assert all(e.bodies and e.bodies.client_request for e in records[1:-1])
    assert journal.counters.rows_dropped == journal.counters.bodies_dropped == 0
    assert list(tmp_path.iterdir()) == []


def test_bodies_too_large_for_a_segment_spill_completely(tmp_path: Path) -> None:
    records: list[LogRecord] = []
    started, go_on, write = blocking_writer(records)
    journal = Journal(tmp_path, write, max_bytes=1000)
    journal.append(make_record("first"))
    assert started.wait(WAIT_TIMEOUT_S)
    journal.append(make_record("large", b"x" * 3_000_000))
    go_on.set()
    journal.close()
    assert [len(e.bodies.client_request or b"") for e in records if e.bodies] == [3_000_000]


def test_at_the_limit_bodies_are_dropped_before_rows_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records: list[LogRecord] = []
    started, go_on, write = blocking_writer(records)
    journal = Journal(tmp_path, write, max_items=4, max_disk_bytes=2 * SIZE, reserve_bytes=2 * SIZE)
    journal.append(make_record("first"))
    assert started.wait(WAIT_TIMEOUT_S)
    entry_count = 40_000
    for n in range(entry_count):
        journal.append(make_record(f"r{n}", b"x" * 2000))
    status, counters = journal.status, journal.counters
    assert status.dropping
    assert status.disk_full
    assert status.disk_bytes <= 4 * SIZE
    assert counters.accepted + counters.rows_dropped == entry_count + 1
    assert counters.bodies_dropped > counters.accepted / 2
    go_on.set()
    wait_until(lambda: journal.depth == 0)
    wait_until(lambda: not journal.status.dropping)
    journal.close()
    assert len({e.id for e in records}) == len(records) == counters.accepted
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if "are being dropped" in line]) == 1
    assert len([line for line in lines if "bodies are omitted" in line]) == 1
    assert any(f"{counters.rows_dropped} were dropped" in line for line in lines)


def test_an_unavailable_database_is_logged_once_and_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.relay.journal.journal.RETRY_S", 0.01)
    away = True

    def write(_batch: list[LogRecord]) -> None:
        if away:
            raise OSError("the disk is on fire")

    journal = Journal(tmp_path, write)
    journal.append(make_record("one"))
    wait_until(lambda: journal.counters.failed_batches > 3)
    assert journal.status.failing_s > 0
    assert "on fire" in journal.status.error
    away = False
    wait_until(lambda: journal.depth == 0)
    assert journal.status.failing_s == 0
    journal.close()
    levels = [record.levelname for record in caplog.records]
    assert levels == ["ERROR", "WARNING"], caplog.text
    assert "Traceback" not in caplog.text


def test_a_failed_writer_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.relay.journal.journal.RETRY_S", 0.01)
    ids: list[str] = []
    broken = iter([True])

    def sweep(_directory: Path) -> None:
        if next(broken, False):
            raise RuntimeError("what nobody thought of")

    monkeypatch.setattr("gateway.relay.journal.journal.delete_unnamed", sweep)
    journal = Journal(tmp_path, lambda batch: ids.extend(e.id for e in batch))
    journal.append(make_record("one"))
    wait_until(lambda: ids == ["one"])
    journal.close()


def test_workers_that_start_together_share_orphaned_segments(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If two workers find the same segment, one takes it, and the other has no error."""

    def never(_batch: list[LogRecord]) -> None:
        raise OSError("away")

    for part in range(12):
        earlier_journal = Journal(tmp_path, never)
        earlier_journal.append(make_record(f"r{part}"))
        earlier_journal.close()
    caplog.clear()
    ids: list[str] = []
    workers = [Journal(tmp_path, lambda batch: ids.extend(e.id for e in batch)) for _ in range(4)]
    wait_until(lambda: len(ids) >= 12)
    for worker in workers:
        worker.close()
    assert sorted(ids) == sorted(f"r{n}" for n in range(12))
    assert sum(worker.counters.replayed for worker in workers) == 12
    assert caplog.text == ""


@pytest.mark.parametrize("moment", ["open", "flock", "write"])
def test_a_segment_that_another_worker_removes_first_is_no_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    moment: str,
) -> None:
    """It may be gone after listing the directory, after opening it, or after reading it."""

    def never(_batch: list[LogRecord]) -> None:
        raise OSError("away")

    earlier_journal = Journal(tmp_path, never)
    earlier_journal.append(make_record("one"))
    earlier_journal.close()
    (segment,) = tmp_path.glob("*.journal")
    caplog.clear()
    ids: list[str] = []
    opened, lock = Path.open, fcntl.flock

    def open_slowly(path: Path, *args: Any, **how: Any) -> Any:
        if path == segment:
            path.unlink()
        return opened(path, *args, **how)

    def lock_late(file: Any, how: int) -> None:
        lock(file, how)
        segment.unlink(missing_ok=True)

    def write(batch: list[LogRecord]) -> None:
        segment.unlink()
        ids.extend(e.id for e in batch)

    if moment == "open":
        monkeypatch.setattr(Path, "open", open_slowly)
    elif moment == "flock":
        monkeypatch.setattr(fcntl, "flock", lock_late)
    journal = Journal(tmp_path, write)
    wait_until(lambda: not segment.exists())
    journal.close()
    assert caplog.text == ""
    assert ids == (["one"] if moment == "write" else []), "who removed it has written it"


def test_orphaned_records_are_written_when_the_database_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.relay.journal.journal.RETRY_S", 0.01)
    ids: list[str] = []
    failures = iter([True] * 5)

    def write(batch: list[LogRecord]) -> None:
        if next(failures, False):
            raise OSError("away")
        ids.extend(e.id for e in batch)

    earlier_journal = Journal(tmp_path, write)
    earlier_journal.append(make_record("one"))
    earlier_journal.close()
    journal = Journal(tmp_path, write)
    wait_until(lambda: ids == ["one"])
    journal.close()


def test_no_process_claims_a_segment_that_is_being_created(tmp_path: Path) -> None:
    finished = threading.Event()
    paths: list[Path] = []

    def search() -> None:
        while not finished.is_set():
            for path in tmp_path.glob("*.journal"):
                with read_abandoned(path) as records:
                    if records is not None:
                        paths.append(path)

    searcher = threading.Thread(target=search)
    searcher.start()
    for _ in range(200):
        Segment(tmp_path, 4096).remove()
    finished.set()
    searcher.join()
    assert paths == []


def test_a_busy_journal_reuses_its_segments(tmp_path: Path) -> None:
    """The first write to a page of a new file costs more than encoding its record."""
    files: set[Path] = set()

    def write(batch: list[LogRecord]) -> None:
        files.update(tmp_path.glob("*.journal"))

    journal = Journal(tmp_path, write, reserve_bytes=2 * SIZE)
    body = b"x" * 100_000
    for n in range(300):
        journal.append(make_record(f"r{n}", body))
        if n % 30 == 29:
            wait_until(lambda: journal.depth == 0)
    journal.close()
    assert journal.counters.written == 300
    assert len(files) <= 10
