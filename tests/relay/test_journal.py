"""The journal: nothing finished is lost, nothing waits, pressure is counted."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from gateway.relay.entry import Bodies, Entry
from gateway.relay.journal import Journal
from tests.waits import PATIENCE_S, until


def entry(name: str, body: bytes | None = None) -> Entry:
    bodies = Bodies(client_request=body) if body is not None else None
    return Entry(id=name, started_at=1.0, bodies=bodies)


def test_entries_reach_the_writer_in_order_and_leave_no_file(tmp_path: Path) -> None:
    seen: list[str] = []
    journal = Journal(tmp_path, lambda batch: seen.extend(e.id for e in batch))
    for n in range(1200):
        journal.append(entry(f"r{n}"))
    journal.close()
    assert seen == [f"r{n}" for n in range(1200)]
    assert list(tmp_path.glob("*.journal")) == []


def test_what_is_being_written_still_counts_as_waiting(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def write(batch: list[Entry]) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    journal = Journal(tmp_path, write)
    journal.append(entry("one"))
    assert begun.wait(PATIENCE_S)
    journal.append(entry("two"))
    assert journal.depth == 2
    go_on.set()
    until(lambda: journal.depth == 0)
    journal.close()
    assert journal.counters.written == 2


def test_a_writer_that_fails_is_asked_again_with_the_same_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.relay.journal.RETRY_S", 0.01)
    calls = []

    def write(batch: list[Entry]) -> None:
        calls.append([e.id for e in batch])
        if len(calls) < 3:
            raise OSError("the database is away")

    journal = Journal(tmp_path, write)
    journal.append(entry("one"))
    until(lambda: journal.counters.written == 1)
    journal.close()
    assert calls == [["one"]] * 3
    assert journal.counters.failed_batches == 2


def test_bodies_go_before_rows_and_both_are_counted(tmp_path: Path) -> None:
    free, begun = threading.Event(), threading.Event()
    written: list[Entry] = []

    def write(batch: list[Entry]) -> None:
        begun.set()
        free.wait(PATIENCE_S)
        written.extend(batch)

    journal = Journal(tmp_path, write, max_items=3, max_bytes=1000)
    journal.append(entry("first"))
    assert begun.wait(PATIENCE_S)  # the writer holds it now
    for name in ("a", "b", "c", "d"):
        journal.append(entry(name, b"x" * 600))
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
        from gateway.relay.entry import Bodies, Entry
        from gateway.relay.journal import Journal
        journal = Journal(Path(sys.argv[1]), lambda batch: time.sleep(60))
        for n in range(50):
            bodies = Bodies(client_request=b"hello")
            journal.append(Entry(id=f"r{n}", started_at=1.0, bodies=bodies))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert run.returncode == -9
    seen: list[Entry] = []
    journal = Journal(tmp_path, seen.extend)
    until(lambda: journal.counters.replayed == 50)
    journal.close()
    assert sorted(e.id for e in seen) == sorted(f"r{n}" for n in range(50))
    assert all(e.bodies and e.bodies.client_request == b"hello" for e in seen)


def test_a_living_process_keeps_its_segment_to_itself(tmp_path: Path) -> None:
    held = threading.Event()
    owner = Journal(tmp_path, lambda _batch: held.wait(PATIENCE_S) and None)
    owner.append(entry("mine"))
    other_seen: list[str] = []
    other = Journal(tmp_path, lambda batch: other_seen.extend(e.id for e in batch))
    other.append(entry("other"))
    until(lambda: other_seen == ["other"])
    other.close()
    held.set()
    owner.close()
    assert other_seen == ["other"]


def test_a_torn_last_record_does_not_hide_the_whole_ones(tmp_path: Path) -> None:
    def never(_batch: list[Entry]) -> None:
        raise OSError("away")

    first = Journal(tmp_path, never)
    first.append(entry("whole"))
    first.close(timeout_s=5)
    (path,) = tmp_path.glob("*.journal")
    with path.open("ab") as file:
        file.write(b"\x40\x00\x00\x00torn")
    seen: list[str] = []
    second = Journal(tmp_path, lambda batch: seen.extend(e.id for e in batch))
    until(lambda: seen)
    second.close()
    assert seen == ["whole"]


def test_a_segment_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", lambda _batch: None)
    (path,) = (tmp_path / "journal").glob("*.journal")
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    journal.close()
    assert os.listdir(tmp_path / "journal") == []
