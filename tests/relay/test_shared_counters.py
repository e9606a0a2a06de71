"""Counters shared by the processes of a node: visibility, crash recovery, reservations."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.relay.limits import shared_counters
from gateway.relay.limits.shared_counters import SharedCounters
from gateway.routing.end_users import end_user_owner
from gateway.routing.limits import RESERVED, add_to_slot, sliding_total

ROOT = Path(__file__).resolve().parents[2]
# A process that counts, reserves and then waits to be killed.
OTHER = """
import sys
from pathlib import Path
from gateway.relay.limits.shared_counters import SharedCounters
from gateway.routing.limits import RESERVED, add_to_slot
counters = SharedCounters(Path(sys.argv[1]))
at = counters.counter_offset("key:1/requests/minute")
add_to_slot(counters.local_slot, at, 100, 7)
counters.local_slot[at + RESERVED] = 5
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_counts_of_other_processes_are_included(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    local = SharedCounters(tmp_path)
    offset = local.counter_offset("key:1/requests/minute")
    assert [sliding_total(counters, offset, 100) for counters in local.peer_slots] == [7]
    assert [counters[offset + RESERVED] for counters in local.peer_slots] == [5]
    assert sliding_total(local.local_slot, offset, 100) == 0
    local.close()


def test_a_killed_process_leaves_its_counts_and_no_reservation(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    local = SharedCounters(tmp_path)
    offset = local.counter_offset("key:1/requests/minute")
    assert local.release_dead_processes() == 0
    assert [counters[offset + RESERVED] for counters in local.peer_slots] == [5]
    os.kill(other.pid, signal.SIGKILL)
    other.wait(10)
    assert local.release_dead_processes() == 1
    assert [
        (sliding_total(counters, offset, 100), counters[offset + RESERVED])
        for counters in local.peer_slots
    ] == [(7, 0)]
    local.close()


def test_the_next_process_reuses_the_slot_of_a_killed_one(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    os.kill(other.pid, signal.SIGKILL)
    other.wait(10)
    local = SharedCounters(tmp_path)
    offset = local.counter_offset("key:1/requests/minute")
    assert (sliding_total(local.local_slot, offset, 100), local.local_slot[offset + RESERVED]) == (
        7,
        0,
    )
    assert local.peer_slots == ()
    local.close()


def test_a_process_that_starts_later_is_detected(tmp_path: Path) -> None:
    first = SharedCounters(tmp_path)
    second = SharedCounters(tmp_path)
    offset = second.counter_offset("team:1/tokens/hour")
    add_to_slot(second.local_slot, offset, 5, 3)
    assert first.peer_slots == ()
    first.map_new_slots()
    assert first.counter_offset("team:1/tokens/hour") == offset
    assert [sliding_total(counters, offset, 5) for counters in first.peer_slots] == [3]
    assert [sliding_total(counters, offset, 5) for counters in second.peer_slots] == [0]
    first.close()
    second.close()


def test_limits_have_counters_of_their_own(tmp_path: Path) -> None:
    first = SharedCounters(tmp_path)
    names = [f"key:{n}/requests/minute" for n in range(3000)]
    cells = [first.counter_offset(name) for name in names]
    assert len(set(cells)) == len(names)
    second = SharedCounters(tmp_path)
    assert [second.counter_offset(name) for name in names] == cells
    first.close()
    second.close()


def test_a_full_table_is_logged_once_and_reset_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_counters, "_MAX_USED", 3)
    monkeypatch.setattr(shared_counters, "_RESET_USED", 2)
    full = SharedCounters(tmp_path)
    assert [full.counter_offset(str(n)) is None for n in range(5)] == [False] * 3 + [True] * 2
    assert caplog.text.count("too many limits to count") == 1
    full.local_slot[full.counter_offset("0") + RESERVED + 1] = 9
    beside = SharedCounters(tmp_path)
    assert beside.peer_slots[0][full.counter_offset("0") + RESERVED + 1] == 9, (
        "not while another runs"
    )
    full.close()
    beside.close()
    anew = SharedCounters(tmp_path)
    offset = anew.counter_offset("9")
    assert offset is not None
    assert anew.local_slot[anew.counter_offset("0") + RESERVED + 1] == 0
    anew.close()


def test_end_users_leave_counters_for_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients choose the names of end users; a limit without a counter is not enforced."""
    monkeypatch.setattr(shared_counters, "_MAX_USED", 5)
    monkeypatch.setattr(shared_counters, "_MAX_USED_FOR_END_USERS", 3, raising=False)
    counters = SharedCounters(tmp_path)
    names = [f"{end_user_owner(str(n), key_id=1)}/requests/minute" for n in range(6)]
    assert [counters.counter_offset(name) is None for name in names] == [False] * 3 + [True] * 3
    assert counters.counter_offset("key:2/requests/minute") is not None
    assert counters.counter_offset(names[0]) is not None
    counters.close()


def test_without_a_data_directory_a_process_counts_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "limits").write_text("in the way")
    alone = SharedCounters(tmp_path / "limits")
    offset = alone.counter_offset("key:1/requests/minute")
    add_to_slot(alone.local_slot, offset, 1, 1)
    alone.map_new_slots()
    assert (
        sliding_total(alone.local_slot, offset, 1),
        alone.peer_slots,
        alone.release_dead_processes(),
    ) == (
        1,
        (),
        0,
    )
    assert "cannot be shared" in caplog.text


def test_counter_files_are_sparse_until_used(tmp_path: Path) -> None:
    counters = SharedCounters(tmp_path)
    counters.counter_offset("key:1/requests/minute")
    blocks = sum(path.stat().st_blocks for path in tmp_path.iterdir())
    # The table of cells, but none of the lanes.
    assert blocks * 512 < 1_200_000
    counters.close()


def test_a_directory_that_cannot_be_written_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    counters = SharedCounters(tmp_path / "file" / "limits")
    assert counters.counter_offset("key:1/requests/minute") is not None
    assert "this process counts on its own: " in caplog.text
    assert "Traceback" not in caplog.text
