"""Counters that processes share: seen by all, kept after a kill, freed of what it reserved."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.relay import board
from gateway.relay.board import Board
from gateway.routing.limits import RESERVED, add, total

ROOT = Path(__file__).resolve().parents[2]
# A process that counts, reserves and then waits to be killed.
OTHER = """
import sys
from pathlib import Path
from gateway.relay.board import Board
from gateway.routing.limits import RESERVED, add
board = Board(Path(sys.argv[1]))
at = board.cell("key:1/requests/minute")
add(board.mine, at, 100, 7)
board.mine[at + RESERVED] = 5
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


def test_what_another_process_counts_is_seen(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    mine = Board(tmp_path)
    at = mine.cell("key:1/requests/minute")
    assert [total(words, at, 100) for words in mine.others] == [7]
    assert [words[at + RESERVED] for words in mine.others] == [5]
    assert total(mine.mine, at, 100) == 0
    mine.close()


def test_a_killed_process_leaves_its_counts_and_no_reservation(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    mine = Board(tmp_path)
    at = mine.cell("key:1/requests/minute")
    assert mine.sweep() == 0
    assert [words[at + RESERVED] for words in mine.others] == [5]
    os.kill(other.pid, signal.SIGKILL)
    other.wait(10)
    assert mine.sweep() == 1
    assert [(total(words, at, 100), words[at + RESERVED]) for words in mine.others] == [(7, 0)]
    mine.close()


def test_the_next_process_goes_on_where_a_killed_one_was(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    os.kill(other.pid, signal.SIGKILL)
    other.wait(10)
    mine = Board(tmp_path)
    at = mine.cell("key:1/requests/minute")
    assert (total(mine.mine, at, 100), mine.mine[at + RESERVED]) == (7, 0)
    assert mine.others == ()
    mine.close()


def test_a_process_that_comes_later_is_noticed(tmp_path: Path) -> None:
    first = Board(tmp_path)
    second = Board(tmp_path)
    at = second.cell("team:1/tokens/hour")
    add(second.mine, at, 5, 3)
    assert first.others == ()
    first.look()
    assert first.cell("team:1/tokens/hour") == at
    assert [total(words, at, 5) for words in first.others] == [3]
    assert [total(words, at, 5) for words in second.others] == [0]
    first.close()
    second.close()


def test_limits_have_cells_of_their_own(tmp_path: Path) -> None:
    one = Board(tmp_path)
    names = [f"key:{n}/requests/minute" for n in range(3000)]
    cells = [one.cell(name) for name in names]
    assert len(set(cells)) == len(names)
    again = Board(tmp_path)
    assert [again.cell(name) for name in names] == cells
    one.close()
    again.close()


def test_a_full_table_is_told_and_begun_anew_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(board, "_FULL", 3)
    monkeypatch.setattr(board, "_STALE", 2)
    full = Board(tmp_path)
    assert [full.cell(str(n)) is None for n in range(5)] == [False] * 3 + [True] * 2
    assert caplog.text.count("more limits than can be counted") == 1
    full.mine[full.cell("0") + RESERVED + 1] = 9
    beside = Board(tmp_path)
    assert beside.others[0][full.cell("0") + RESERVED + 1] == 9, "not while another runs"
    full.close()
    beside.close()
    anew = Board(tmp_path)
    at = anew.cell("9")
    assert at is not None
    assert anew.mine[anew.cell("0") + RESERVED + 1] == 0
    anew.close()


def test_without_a_place_for_files_a_process_counts_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "limits").write_text("in the way")
    alone = Board(tmp_path / "limits")
    at = alone.cell("key:1/requests/minute")
    add(alone.mine, at, 1, 1)
    alone.look()
    assert (total(alone.mine, at, 1), alone.others, alone.sweep()) == (1, (), 0)
    assert "can not be shared" in caplog.text


def test_the_files_take_no_room_before_they_are_used(tmp_path: Path) -> None:
    made = Board(tmp_path)
    made.cell("key:1/requests/minute")
    blocks = sum(path.stat().st_blocks for path in tmp_path.iterdir())
    assert blocks * 512 < 100_000
    made.close()
