"""A full disk: finished records use preallocated space, and lost records are counted."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.relay.cache.index import InvalidationFlag
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.health.circuit_breaker import Breaker
from gateway.relay.journal.journal import Journal
from gateway.relay.limits.shared_counters import SharedCounters
from tests.small_disk import SmallDisk, small_disk
from tests.waits import wait_until

REQUESTS = 600
WORKER = textwrap.dedent(
    """
    import logging, os, signal, sys
    from pathlib import Path
    from gateway.relay.journal import journal
    from gateway.relay.exchange.log_record import Bodies, LogRecord
    from tests.small_disk import SmallDisk

    def write(batch):
        raise OSError(28, "No space left on device")

    logging.basicConfig()
    journal.RETRY_S = 0.05
    disk = SmallDisk(Path(sys.argv[1]))
    kept = journal.Journal(disk.path / "journal", write, reserve_bytes=4 << 20)
    kept.append(LogRecord(id="before", started_at=1.0))
    while not kept.counters.failed_batches:
        pass
    disk.fill()
    for n in range(int(sys.argv[3])):
        bodies = Bodies(client_request=b"x" * 5000, client_response=b"y" * 20000)
        kept.append(LogRecord(id=f"r{n}", started_at=1.0, bodies=bodies))
    status = kept.status
    print(status.disk_full, status.unrecorded, flush=True)
    if sys.argv[2] == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    kept.close()
    """
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 16) as created_small_disk:
        yield created_small_disk


@pytest.mark.parametrize("ended_by", ["SIGKILL", "SIGTERM"])
def test_a_process_that_ends_while_the_disk_is_full_loses_no_row(
    disk: SmallDisk, ended_by: str
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", WORKER, str(disk.path), ended_by, str(REQUESTS)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == (-signal.SIGKILL if ended_by == "SIGKILL" else 0), run.stderr
    assert run.stdout == "True 0\n"
    assert "has no disk space left: No space left" in run.stderr
    records: list[LogRecord] = []
    disk.free()
    journal = Journal(disk.path / "journal", records.extend)
    wait_until(lambda: journal.counters.replayed == REQUESTS + 1)
    journal.close()
    assert sorted(e.id for e in records) == sorted(["before", *(f"r{n}" for n in range(REQUESTS))])


def test_log_records_lost_on_a_full_disk_are_counted_and_logged(
    disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    def write(_batch: list[LogRecord]) -> None:
        raise OSError(28, "No space left on device")

    disk.fill()
    journal = Journal(disk.path / "journal", write)
    for n in range(7):
        journal.append(LogRecord(id=f"r{n}", started_at=1.0))
    assert journal.status.unrecorded == 7
    journal.close()
    assert "7 finished requests are lost" in caplog.text


def test_freed_disk_space_is_used_for_records_in_memory(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.relay.journal.segments.FULL_AGAIN_S", 0.0)
    monkeypatch.setattr("gateway.relay.journal.journal.RETRY_S", 0.01)

    def write(_batch: list[LogRecord]) -> None:
        raise OSError(28, "No space left on device")

    disk.fill()
    journal = Journal(disk.path / "journal", write, reserve_bytes=1 << 20)
    for n in range(7):
        journal.append(LogRecord(id=f"r{n}", started_at=1.0))
    disk.free()
    wait_until(lambda: not journal.status.disk_full)
    assert journal.status.unrecorded == 0
    journal.close()
    records: list[LogRecord] = []
    after = Journal(disk.path / "journal", records.extend)
    wait_until(lambda: len(records) == 7)
    after.close()


def test_shared_memory_files_are_preallocated(disk: SmallDisk) -> None:
    """Writing to a mapped page without a disk block would kill the process with SIGBUS."""
    script = """
        import sys
        from pathlib import Path
        from gateway.relay.limits.shared_counters import SharedCounters
        from gateway.relay.health.circuit_breaker import Breaker
        from gateway.relay.cache.index import InvalidationFlag
        from tests.small_disk import SmallDisk
        disk = SmallDisk(Path(sys.argv[1]))
        full = "first" in sys.argv
        if full:
            disk.fill()
        counters = SharedCounters(disk.path / "limits")
        breaker = Breaker(disk.path / "breaker" / "states-1")
        flag = InvalidationFlag(disk.path / "cache" / "changed-1")
        if not full:
            disk.fill()
        for n in range(2000):
            at = counters.counter_offset(f"key {n}")
            if at is not None:
                counters.local_slot[at] += 1
        for n in range(500):
            breaker.record_outcome(f"provider/model-{n}", "timeout", None, 5.0)
        flag.set()
        print("lives")
    """
    for when in ("first", "later"):
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(disk.path), when],
            check=False,
            capture_output=True,
            text=True,
        )
        assert (run.returncode, run.stdout) == (0, "lives\n"), run.stderr
        disk.free()


def test_shared_memory_on_a_disk_with_room_is_shared(disk: SmallDisk) -> None:
    first, second = SharedCounters(disk.path / "limits"), SharedCounters(disk.path / "limits")
    offset = first.counter_offset("a key")
    assert offset is not None
    first.local_slot[offset] = 7
    second.map_new_slots()
    assert any(counters[offset] == 7 for counters in second.peer_slots)
    for board in (first, second):
        board.close()
    assert Breaker(disk.path / "states").states == {}
    assert InvalidationFlag(disk.path / "kept").changed_at[0] == 0
