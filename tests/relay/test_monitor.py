"""A stall of the event loop is detected, and its cause is reported."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from gateway.relay.event_loop import monitor as monitor_module
from gateway.relay.event_loop.monitor import STALL_S, TICK_S, LoopMonitor
from gateway.relay.limits.shared_counters import SharedCounters
from tests.relay.harness import gateway, provider, route, snapshot
from tests.waits import wait_until_async

LONG_S = 2.5 * STALL_S


@pytest.fixture(autouse=True)
def unlimited_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report every stall, and sample in each turn of the monitor's thread."""
    monkeypatch.setattr(monitor_module, "LOG_INTERVAL_S", 0.0)
    monkeypatch.setattr(monitor_module, "SAMPLE_S", 0.0)


class MonitoredLoop:
    """A monitor of the running loop, with its reports.

    Attributes:
        stalls: (cause, seconds) of each stall.
        turns: number of checks by the monitor's thread.
    """

    def __init__(self) -> None:
        self.stalls: list[tuple[str, float]] = []
        self.turns = 0
        self.monitor = LoopMonitor(
            lambda cause, seconds: self.stalls.append((cause, seconds)), self._count_turn
        )

    def _count_turn(self) -> None:
        self.turns += 1

    async def settle(self) -> None:
        """Wait until the monitor has checked without a stall."""
        stalls = -1
        while stalls != len(self.stalls):
            stalls, turns = len(self.stalls), self.turns
            await asyncio.sleep(2 * TICK_S)
            await wait_until_async(lambda turns=turns: self.turns > turns + 1)

    async def longest_stall(self, stall: Callable[[MonitoredLoop], None]) -> tuple[str, float]:
        """Return cause and seconds of the stall that `stall` causes, the longest one."""
        try:
            await self.settle()
            self.stalls.clear()
            stall(self)
            await wait_until_async(lambda: any(seconds > STALL_S for _, seconds in self.stalls))
        finally:
            self.monitor.stop()
        return max(self.stalls, key=itemgetter(1))


def block_the_loop(watched: MonitoredLoop) -> None:
    """Block the loop until the monitor's thread has checked it several times."""
    time.sleep(LONG_S)
    turns = watched.turns
    while watched.turns < turns + 5:
        time.sleep(0.01)


def collect_garbage(watched: MonitoredLoop) -> None:
    gc.disable()  # a real collection, in any thread, would end the simulated one
    for callback in gc.callbacks:
        callback("start", {})
    time.sleep(LONG_S)
    for callback in gc.callbacks:
        callback("stop", {})
    gc.enable()


async def test_code_that_blocks_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    cause, seconds = await MonitoredLoop().longest_stall(block_the_loop)
    assert cause == "loop"
    assert seconds > STALL_S

    def stall_locations() -> list[str]:
        lines = [vars(r) for r in caplog.records if r.getMessage() == "the event loop stalled"]
        return [line["where"] for line in lines if line["seconds"] == round(seconds, 3)]

    # The monitor's thread counts a stall before it logs it.
    await wait_until_async(stall_locations)
    (code_line,) = stall_locations()
    assert code_line.split(":")[:2] == [__name__, "block_the_loop"]


async def test_code_that_holds_the_gil_is_named() -> None:
    numbers = range(40_000_000)
    cause, _ = await MonitoredLoop().longest_stall(lambda _: sum(numbers))
    assert cause == "loop"


async def test_a_garbage_collection_is_named() -> None:
    cause, _ = await MonitoredLoop().longest_stall(collect_garbage)
    assert cause == "gc"


@pytest.mark.parametrize("name", ["log_writer", "checkpoint"])
async def test_work_in_threads_that_holds_the_gil_is_named(name: str) -> None:
    def write(watched: MonitoredLoop) -> None:
        with watched.monitor.activity(name):
            sum(range(60_000_000))  # one call that never gives the lock away

    def begin(watched: MonitoredLoop) -> None:
        threading.Thread(target=write, args=(watched,)).start()

    cause, _ = await MonitoredLoop().longest_stall(begin)
    assert cause == name


async def test_a_running_loop_reports_no_stall() -> None:
    rows: list[tuple[str, float]] = []
    monitor = LoopMonitor(lambda cause, seconds: rows.append((cause, seconds)))
    await asyncio.sleep(2 * STALL_S)
    monitor.stop()
    assert [cause for cause, _ in rows if cause != "scheduling"] == []


async def test_a_slow_start_is_not_sampled_before_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def open_slowly(*args: Any) -> SharedCounters:
        time.sleep(3 * TICK_S)
        return SharedCounters(*args)

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr("gateway.relay.runtime.SharedCounters", open_slowly)
    async with gateway(tmp_path, snapshot(route("m", provider("a")))):
        await asyncio.sleep(3 * TICK_S)
    assert "could not be sampled" not in caplog.text
