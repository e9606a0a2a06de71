"""CPU time and memory of a running program and its children, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def process_tree(pid: int) -> list[int]:
    """Return the ids of the process and all its descendants."""
    pids, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        pids.append(current)
        for task in Path(f"/proc/{current}/task").glob("*"):
            try:
                waiting += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                continue
    return pids


def cpu_s(pids: list[int]) -> float:
    """Return the CPU seconds that the processes have used, in nanoseconds if available."""
    return sum(_process_cpu_s(pid) for pid in pids)


def loop_s(pid: int) -> float:
    """Return the CPU seconds of the first thread of a process, which runs its event loop."""
    task = Path(f"/proc/{pid}/task/{pid}/schedstat")
    try:
        return int(task.read_text().split()[0]) / 1e9
    except (OSError, IndexError):
        return _ticks_cpu_s(pid)


def _process_cpu_s(pid: int) -> float:
    try:
        tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9 or _ticks_cpu_s(pid)
    except (OSError, IndexError):
        return _ticks_cpu_s(pid)


def _ticks_cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kb(pids: list[int]) -> int:
    """Return the proportional set size (PSS) of the processes, in kB."""
    return sum(_pss_kb(pid) for pid in pids)


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
