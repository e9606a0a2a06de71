"""Monitors the event loop: how late it is, and what blocked it when it stalled.

The loop records the time every TICK_S, and records a stall when a tick was late by more than
STALL_S. A thread samples the innermost frame of the loop's thread while a tick is overdue, and
reports each stall with its cause, in one log line and a metric:

    gc          a garbage collection took most of it
    loop        code on the loop; the log line has the function, if it could be sampled
    log_writer, search_index, housekeeping, checkpoint
                this background work ran at the same time, and held the GIL or the disk
    scheduling  none of these: the machine was busy or suspended

It costs ten wake-ups a second and no lock, and is always on.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from operator import itemgetter
from types import FrameType
from typing import NamedTuple

from gateway.relay.event_loop.service import RestartingThread

log = logging.getLogger(__name__)

TICK_S = 0.1
STALL_S = 0.25
# Interval at which the gauges of this process are updated; they are summed over workers.
SAMPLE_S = 0.5
# At most one log line per interval; the metric counts every stall.
LOG_INTERVAL_S = 1.0
# Below this share of CPU time during a stall, the process was hardly scheduled.
MIN_CPU_SHARE = 0.1
_IDLE_FUNCTIONS = frozenset(
    {"select", "poll", "run", "run_until_complete", "_run_once", "run_forever"}
)


class LoopTick(NamedTuple):
    """When the loop last ran, and the CPU time of its thread and of the process until then."""

    monotonic_s: float
    loop_s: float
    process_s: float


class LoopMonitor:
    """Monitors one event loop. Create it in the loop's thread.

    Args:
        on_stall: called with the cause and the seconds of each stall, in the monitor's thread.
        sample: called every SAMPLE_S in the monitor's thread; may also be set later.
    """

    def __init__(
        self, on_stall: Callable[[str, float], None], sample: Callable[[], None] | None = None
    ) -> None:
        self.lag_s = 0.0
        self._on_stall, self.sample = on_stall, sample
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._last_tick = _read_clocks()
        self._stalls: deque[tuple[LoopTick, LoopTick]] = deque(maxlen=100)
        # (cause, start, end) of finished work that may have blocked the loop; the newest only.
        self._finished_work: deque[tuple[str, float, float]] = deque(maxlen=100)
        self._running_work: dict[int, tuple[str, float]] = {}
        self._frames: Counter[str] = Counter()
        self._logged_at = 0.0
        self._stop = threading.Event()
        self._timer = self._loop.call_later(TICK_S, self._tick)
        gc.callbacks.append(self._on_gc)
        RestartingThread("monitor", self._run, self._stop)

    @contextlib.contextmanager
    def activity(self, name: str) -> Iterator[None]:
        """Mark background work in another thread, for the duration of the block."""
        key, started_s = threading.get_ident(), time.monotonic()
        self._running_work[key] = name, started_s
        try:
            yield
        finally:
            self._finished_work.append((name, started_s, time.monotonic()))
            self._running_work.pop(key, None)

    def stop(self) -> None:
        """End the thread. Call it in the loop's thread."""
        self._stop.set()
        self._timer.cancel()
        with contextlib.suppress(ValueError):
            gc.callbacks.remove(self._on_gc)

    def _tick(self) -> None:
        now, previous_tick = _read_clocks(), self._last_tick
        if now.monotonic_s - previous_tick.monotonic_s > TICK_S + STALL_S:
            self._stalls.append((previous_tick, now))
        self._last_tick = now
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def _on_gc(self, phase: str, info: dict[str, int]) -> None:
        now = time.monotonic()
        if phase == "start":
            self._running_work[-1] = "gc", now
        elif (begun := self._running_work.pop(-1, None)) is not None and now - begun[1] > TICK_S:
            self._finished_work.append(("gc", begun[1], now))

    def _run(self) -> None:
        sampled_at = 0.0
        pause_s = TICK_S
        while not self._stop.wait(pause_s):
            now = time.monotonic()
            self.lag_s = max(0.0, now - self._last_tick.monotonic_s - TICK_S)
            overdue = self.lag_s > STALL_S / 2
            pause_s = TICK_S / 4 if overdue else TICK_S
            if overdue:
                self._frames[code_location(sys._current_frames().get(self._loop_thread))] += 1
            while self._stalls:
                self._report_lag(*self._stalls.popleft())
            if not overdue:
                self._frames.clear()
            if self.sample is not None and now - sampled_at > SAMPLE_S:
                sampled_at = now
                try:
                    self.sample()
                except Exception:
                    log.exception("the metrics of this process could not be sampled")

    def _report_lag(self, before: LoopTick, after: LoopTick) -> None:
        seconds = after.monotonic_s - before.monotonic_s - TICK_S
        location, samples = next(
            ((name, count) for name, count in self._frames.most_common() if name), ("", 0)
        )
        # A single sample may show the loop as it continues after others have held the GIL.
        cause = self._find_cause(before, after, blocked=samples > 1)
        self._frames.clear()
        self.lag_s = max(self.lag_s, seconds)
        self._on_stall(cause, seconds)
        if after.monotonic_s - self._logged_at < LOG_INTERVAL_S:
            return
        self._logged_at = after.monotonic_s
        log.warning(
            "the event loop stalled",
            extra={
                "cause": cause,
                "seconds": round(seconds, 3),
                "where": location if cause == "loop" else "",
                "loop_processor_s": round(after.loop_s - before.loop_s, 3),
                "process_processor_s": round(after.process_s - before.process_s, 3),
            },
        )

    def _find_cause(self, before: LoopTick, after: LoopTick, *, blocked: bool) -> str:
        half_s = (after.monotonic_s - before.monotonic_s) / 2
        seconds_by_work: defaultdict[str, float] = defaultdict(float)
        running = [
            (name, started_s, after.monotonic_s)
            for name, started_s in list(self._running_work.values())
        ]
        for name, started_s, ended_s in [*self._finished_work, *running]:
            seconds_by_work[name] += max(
                0.0, min(ended_s, after.monotonic_s) - max(started_s, before.monotonic_s)
            )
        if seconds_by_work.pop("gc", 0) > half_s:
            return "gc"
        process_s = after.process_s - before.process_s
        ran = process_s > MIN_CPU_SHARE * (after.monotonic_s - before.monotonic_s)
        if blocked or (ran and after.loop_s - before.loop_s > process_s / 2):
            return "loop"
        name, seconds = max(seconds_by_work.items(), key=itemgetter(1), default=("", 0.0))
        return name if ran and seconds > half_s else "scheduling"


def _read_clocks() -> LoopTick:
    return LoopTick(time.monotonic(), time.thread_time(), time.process_time())


def code_location(frame: FrameType | None) -> str:
    """The innermost location in this project's code, else in any; empty for an idle loop."""
    if frame is None or frame.f_code.co_name in _IDLE_FUNCTIONS:
        return ""
    innermost, caller = frame, frame
    while caller.f_back is not None:
        if caller.f_globals.get("__name__", "").partition(".")[0] in {"gateway", "console"}:
            innermost = caller
            break
        caller = caller.f_back
    name = innermost.f_globals.get("__name__", "?")
    return f"{name}:{innermost.f_code.co_name}:{innermost.f_lineno}"
