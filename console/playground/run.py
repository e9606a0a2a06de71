"""A plan at work: columns side by side, each one's cases and repetitions in turn.

A run belongs to the process that began it and lives as long as somebody reads its
stream. `stop` of another process comes through the run's row, which is looked at while
the run lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

from console.playground import matrix, repeat
from console.playground.budget import session_prefix, spent_words
from console.playground.columns import Case, Column, Plan
from console.playground.events import Log
from console.playground.lane import Lane
from console.playground.takes import Takes

log = logging.getLogger(__name__)

Json = dict[str, Any]
TICK_S = 0.25
STOP_POLL_S = 0.5


class Store(Protocol):
    """Where a run is kept. Both may touch a database: they are called in a thread."""

    def save(self, run: Run) -> None:
        """Keep the finished run."""

    def stops(self, run: Run) -> list[str]:
        """The columns that somebody stopped from elsewhere; `*` is all of them."""


class Run:
    """One run. `stream` begins it, and ends it when its reader is gone."""

    def __init__(
        self, id_: str, plan: Plan, store: Store, *, owner: int = 0, left_usd: float = 1e9
    ) -> None:
        self.id = id_
        self.owner = owner
        self.plan = plan
        self.log = Log()
        self.takes = Takes()
        self.summary: Json = {}
        self.lanes: list[Lane] = []
        self._store = store
        self._left_usd = left_usd
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._main: asyncio.Task[None] | None = None

    @property
    def cost(self) -> float:
        """What its answers have cost so far, in US dollars."""
        return sum(lane.cost for lane in self.lanes)

    # --- for those who hold it ---------------------------------------------------------

    async def stream(self) -> AsyncIterator[bytes]:
        """Its events; the run ends early if this is not read to its end."""
        self.begin()
        try:
            async for frames in self.log.follow():
                yield frames
        finally:
            self.stop()

    def begin(self) -> None:
        """Start all columns at once."""
        _running[self.id] = self
        columns = [column.id for column in self.plan.columns]
        shown = random.sample(columns, len(columns)) if self.plan.blind else columns
        self.emit("run", {"id": self.id, "columns": columns, "order": shown})
        for column in self.plan.columns:
            self._tasks[column.id] = asyncio.create_task(self._column(column))
        self._main = asyncio.create_task(self._whole())
        _background.add(self._main)
        self._main.add_done_callback(_background.discard)

    def stop(self, column: str | None = None) -> None:
        """End one column or all; the upstream's connection is closed at once."""
        for id_, task in self._tasks.items():
            if column in (None, id_):
                task.cancel()

    async def wait(self) -> None:
        """Until it is over and kept."""
        if self._main is not None:
            await asyncio.shield(self._main)

    def emit(self, kind: str, data: Json) -> None:
        """Tell one event to all who read."""
        self.takes.apply(kind, data)
        self.log.add(kind, data)

    # --- its own work ------------------------------------------------------------------

    async def _column(self, column: Column) -> None:
        for number, case in enumerate(self.plan.cases):
            for n in range(self.plan.repeat):
                lane = self._lane(column, case, number, n)
                self.lanes.append(lane)
                await lane.go()

    def _lane(self, column: Column, case: Case, number: int, n: int) -> Lane:
        place: Json = {"col": column.id, "n": n}
        if self.plan.matrix:
            place["case"] = number
        return Lane(
            self.emit,
            column,
            case,
            dialect=self.plan.dialect,
            place=place,
            session=f"{session_prefix(self.owner)}{self.id}-{column.id}",
            stream=self.plan.stream,
            allowed=self._allowed,
        )

    def _allowed(self) -> str | None:
        """Why no further call may be made; None if it may."""
        return None if self.cost < self._left_usd else spent_words()

    async def _whole(self) -> None:
        clock = asyncio.create_task(self._clock())
        try:
            ended = await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            for failure in ended:
                if isinstance(failure, Exception):
                    self._broke(failure)
            self._summarise()
        finally:
            clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await clock
            await self._keep()
            self.emit("done", {"id": self.id})
            self.log.close()
            _running.pop(self.id, None)

    def _broke(self, failure: Exception) -> None:
        """A fault of ours: the columns that it left without an end are told one."""
        log.error("a playground run failed", exc_info=failure, extra={"run": self.id})
        for lane in self.lanes:
            lane.broke()

    def _summarise(self) -> None:
        columns = [column.id for column in self.plan.columns]
        self.summary = repeat.summary(columns, self.takes)
        if self.plan.matrix:
            self.summary |= matrix.summary(self.plan, self.takes)
        self.summary["cost"] = self.cost
        self.emit("summary", self.summary)

    async def _keep(self) -> None:
        try:
            await asyncio.to_thread(self._store.save, self)
        except Exception:
            log.exception("a playground run could not be kept", extra={"run": self.id})

    async def _clock(self) -> None:
        """Say which columns are quiet, and hear of stops from other processes."""
        asked_at = time.perf_counter()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            for lane in self.lanes:
                lane.tick(now)
            if now - asked_at >= STOP_POLL_S:
                asked_at = now
                for column in await asyncio.to_thread(self._store.stops, self):
                    self.stop(None if column == "*" else column)


# The runs of this process; a task that nobody holds may be collected while it works.
_running: dict[str, Run] = {}
_background: set[asyncio.Task[None]] = set()


def running(id_: str) -> Run | None:
    """The run, if it is at work in this process."""
    return _running.get(id_)


def running_for(owner: int) -> int:
    """How many runs of a person are at work in this process."""
    return sum(run.owner == owner for run in _running.values())
