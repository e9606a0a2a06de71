"""CPU time and memory of a running program, its children included, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    currents, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        currents.append(current)
        for task in Path(f"/proc/{current}/task").glob("*"):
            try:
                waiting += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                continue
    return currents


def cpu_s(pids: list[int]) -> float:
    """Seconds of CPU used so far, to the nanosecond where the kernel tells."""
    return sum(_precise(pid) for pid in pids)


def loop_s(pid: int) -> float:
    """Seconds of CPU that the first thread of a process has used: the one of its event loop."""
    task = Path(f"/proc/{pid}/task/{pid}/schedstat")
    try:
        return int(task.read_text().split()[0]) / 1e9
    except (OSError, IndexError):
        return _coarse(pid)


def _precise(pid: int) -> float:
    try:
        tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9 or _coarse(pid)
    except (OSError, IndexError):
        return _coarse(pid)


def _coarse(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kb(pids: list[int]) -> int:
    """Proportional set size: what the processes would free if they ended."""
    return sum(_pss(pid) for pid in pids)


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
