"""Executes a plan: columns run in parallel, the repetitions of each in sequence.

A run belongs to the process that started it and ends when its stream has no reader. A
stop through another process is stored in the run's row, which is polled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from console.playground import column_stats
from console.playground.budget import budget_exceeded_message, session_prefix
from console.playground.column_run import ColumnRun
from console.playground.events import EventLog
from console.playground.plan import Column, Plan
from console.playground.results import RunResults
from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)

Json = dict[str, Any]
TICK_S = 0.25
STOP_POLL_S = 0.5


class RunStore(Protocol):
    """Storage of a run. Both methods may query a database: they are called in a thread."""

    def save(self, run: Run) -> None:
        """Store the finished run."""

    def stops(self, run: Run) -> list[str]:
        """Columns stopped through another process; `*` means all."""


class Run:
    """One run. `stream` starts it, and stops it when its reader disconnects."""

    def __init__(
        self,
        runtime: Runtime,
        id_: str,
        plan: Plan,
        store: RunStore,
        *,
        owner: int = 0,
        remaining_usd: float = 1e9,
        key_id: int | None = None,
    ) -> None:
        self.id = id_
        self._runtime = runtime
        self.owner = owner
        self.key_id = key_id
        self.plan = plan
        self.log = EventLog()
        self.results = RunResults()
        self.summary: Json = {}
        self.column_runs: list[ColumnRun] = []
        self._store = store
        self._remaining_usd = remaining_usd
        self._spent_before_usd = 0.0
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._main: asyncio.Task[None] | None = None

    @property
    def cost(self) -> float:
        """Cost of all responses so far, in US dollars."""
        return sum(column_run.cost for column_run in self.column_runs)

    # --- control -----------------------------------------------------------------------

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the events of a run that has begun; it stops if the reader disconnects."""
        try:
            async for frames in self.log.follow():
                yield frames
        finally:
            self.stop()

    def begin(self) -> None:
        """Start all columns in parallel."""
        self._spent_before_usd = _spent_usd(self.owner)
        _active_runs[self.id] = self
        columns = [column.id for column in self.plan.columns]
        display_order = random.sample(columns, len(columns)) if self.plan.blind else columns
        self.emit("run", {"id": self.id, "columns": columns, "order": display_order})
        for column in self.plan.columns:
            self._tasks[column.id] = asyncio.create_task(self._run_column(column))
        self._main = asyncio.create_task(self._run_to_end())
        _background.add(self._main)
        self._main.add_done_callback(_background.discard)

    def stop(self, column: str | None = None) -> None:
        """Stop one column or all; close upstream connections immediately."""
        for id_, task in self._tasks.items():
            if column in (None, id_):
                task.cancel()

    async def wait(self) -> None:
        """Wait until the run has ended and is stored."""
        if self._main is not None:
            await asyncio.shield(self._main)

    def emit(self, kind: str, data: Json) -> None:
        """Append an event for all followers."""
        self.results.apply(kind, data)
        self.log.add(kind, data)

    # --- execution ---------------------------------------------------------------------

    async def _run_column(self, column: Column) -> None:
        for repetition in range(self.plan.repeat):
            column_run = self._create_column_run(column, repetition)
            self.column_runs.append(column_run)
            await column_run.run()

    def _create_column_run(self, column: Column, repetition: int) -> ColumnRun:
        return ColumnRun(
            self._runtime,
            self.emit,
            column,
            repetition,
            dialect=self.plan.dialect,
            session=f"{session_prefix(self.owner)}{self.id}-{column.id}",
            stream=self.plan.stream,
            logged_body=self.plan.logged,
            budget_refusal=self._budget_refusal,
            key_id=self.key_id,
        )

    def _budget_refusal(self) -> str | None:
        """Reason to refuse further calls; None within the budget, which other runs spend too."""
        if self.key_id is not None:
            return None
        spent_usd = _spent_usd(self.owner) - self._spent_before_usd
        return None if spent_usd < self._remaining_usd else budget_exceeded_message()

    async def _run_to_end(self) -> None:
        polling = asyncio.create_task(self._poll_stops())
        try:
            outcomes = await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            for failure in outcomes:
                if isinstance(failure, Exception):
                    self._fail_columns(failure)
            self._summarize()
        finally:
            polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await polling
            await self._save_run()
            self.emit("done", {"id": self.id})
            self.log.close()
            _active_runs.pop(self.id, None)
            if self.key_id is None:
                _ended_usd[self.owner] = _ended_usd.get(self.owner, 0.0) + self.cost

    def _fail_columns(self, failure: Exception) -> None:
        """Handle an internal failure: end all columns that have not ended."""
        log.error("a playground run failed", exc_info=failure, extra={"run": self.id})
        for column_run in self.column_runs:
            column_run.fail()

    def _summarize(self) -> None:
        columns = [column.id for column in self.plan.columns]
        self.summary = column_stats.summary(columns, self.results)
        self.summary["cost"] = self.cost
        self.emit("summary", self.summary)

    async def _save_run(self) -> None:
        try:
            await asyncio.to_thread(self._store.save, self)
        except Exception:
            log.exception("a playground run could not be stored", extra={"run": self.id})

    async def _poll_stops(self) -> None:
        """Report silent columns, and poll for stop through other processes."""
        last_poll = time.perf_counter()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            for column_run in self.column_runs:
                column_run.report_silence(now)
            if now - last_poll >= STOP_POLL_S:
                last_poll = now
                for column in await asyncio.to_thread(self._store.stops, self):
                    self.stop(None if column == "*" else column)


# Runs of this process. References keep running tasks from being garbage-collected.
_active_runs: dict[str, Run] = {}
# Cost of the runs that have ended, by owner.
_ended_usd: dict[int, float] = {}
# Runs that are about to begin, by owner.
_starting_runs: Counter[int] = Counter()
_background: set[asyncio.Task[None]] = set()


def active_run(id_: str) -> Run | None:
    """The run if it is active in this process."""
    return _active_runs.get(id_)


def _spent_usd(owner: int) -> float:
    """The cost of a user's runs in this process, without runs that a gateway key pays for."""
    runs = (run for run in _active_runs.values() if run.owner == owner and run.key_id is None)
    return _ended_usd.get(owner, 0.0) + sum(run.cost for run in runs)


def count_running_for(owner: int) -> int:
    """Number of runs of a user in this process that are active or about to begin."""
    return _starting_runs[owner] + sum(run.owner == owner for run in _active_runs.values())


@contextlib.contextmanager
def count_starting(owner: int) -> Iterator[None]:
    """Count a run of a user that begins at the end of the block."""
    _starting_runs[owner] += 1
    try:
        yield
    finally:
        _starting_runs[owner] -= 1
        if not _starting_runs[owner]:
            del _starting_runs[owner]
