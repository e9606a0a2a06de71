"""A stall of the event loop is noticed, and its cause is named."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable

import pytest

from gateway.relay.event_loop.monitor import STALL_S, LoopMonitor
from tests.waits import until_in_loop

LONG_S = 2.5 * STALL_S


def block_the_loop() -> None:
    time.sleep(LONG_S)


def collect_garbage() -> None:
    for callback in gc.callbacks:
        callback("start", {})
    time.sleep(LONG_S)
    for callback in gc.callbacks:
        callback("stop", {})


async def stalls_of(stall: Callable[[LoopMonitor], None]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    monitor = LoopMonitor(lambda cause, seconds: found.append((cause, seconds)))
    try:
        await asyncio.sleep(0.12)
        stall(monitor)
        await until_in_loop(lambda: found)
    finally:
        monitor.stop()
    return found


async def test_code_that_blocks_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (cause, seconds), *_ = await stalls_of(lambda _: block_the_loop())
    assert cause == "loop"
    assert seconds > STALL_S
    (line,) = [r for r in caplog.records if r.getMessage() == "the event loop stalled"]
    assert vars(line)["where"].split(":")[1] == "block_the_loop"


async def test_code_that_keeps_pythons_lock_is_named() -> None:
    numbers = range(40_000_000)
    (cause, _), *_ = await stalls_of(lambda _: sum(numbers))
    assert cause == "loop"


async def test_a_garbage_collection_is_named() -> None:
    (cause, _), *_ = await stalls_of(lambda _: collect_garbage())
    assert cause == "gc"


async def test_work_beside_the_loop_that_keeps_pythons_lock_is_named() -> None:
    def write(monitor: LoopMonitor) -> None:
        with monitor.activity("log_writer"):
            sum(range(60_000_000))  # one call that never gives the lock away

    def begin(monitor: LoopMonitor) -> None:
        threading.Thread(target=write, args=(monitor,)).start()

    (cause, _), *_ = await stalls_of(begin)
    assert cause == "log_writer"


async def test_a_loop_that_runs_has_no_stall() -> None:
    found: list[tuple[str, float]] = []
    monitor = LoopMonitor(lambda cause, seconds: found.append((cause, seconds)))
    await asyncio.sleep(2 * STALL_S)
    monitor.stop()
    assert [cause for cause, _ in found if cause != "scheduling"] == []
