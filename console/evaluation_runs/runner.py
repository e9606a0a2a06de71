"""The service that executes evaluation runs, one per process.

It claims runs in the database, sends their missing responses with bounded concurrency, and
stores results as they arrive. A process that dies loses its lease after LEASE, and another
one, or the same after its restart, continues.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import DatabaseError, close_old_connections, connections, transaction

from console.models import EvaluationRun

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)
T = TypeVar("T")

# How soon a process claims runs that another process started, or that it abandoned.
POLL_S = 5.0
# Runs that a process executes at the same time; others wait.
MAX_RUNS = 8
# Requests of all runs of a process at the same time.
MAX_REQUESTS = 32


class Runner:
    """The runs of a process, and the thread for their database queries and checks."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._worker = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        # One thread: its database connection is reused, and checks need no lock.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evaluation")
        self._requests = asyncio.Semaphore(MAX_REQUESTS)
        self._executions: dict[int, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._is_database_away = False
        self._task = self._loop.create_task(self._poll_runs(), name="evaluation runs")

    def wake(self) -> None:
        """Claim runs now. Call it from any thread."""
        self._loop.call_soon_threadsafe(self._wake.set)

    async def _poll_runs(self) -> None:
        while True:
            free_slots = MAX_RUNS - len(self._executions)
            if free_slots > 0 and not self._runtime.draining:
                try:
                    for pk in await self.in_thread(self._claim_runs, free_slots):
                        self._start_execution(pk)
                    self._note_database(None)
                except DatabaseError as error:
                    self._note_database(error)
                except Exception:
                    log.exception("evaluation runs cannot be claimed; retrying")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            self._wake.clear()

    def _note_database(self, error: DatabaseError | None) -> None:
        """Log whether the database can be read, if that has changed."""
        was_away, self._is_database_away = self._is_database_away, error is not None
        if error is not None and not was_away:
            reason = str(error).partition("\n")[0][:200]
            log.warning("evaluation runs cannot be read; retrying: %s", reason)
        elif error is None and was_away:
            log.warning("evaluation runs can be read again")

    def _claim_runs(self, limit: int) -> list[int]:
        pks = EvaluationRun.objects.claim(self._worker, limit)
        if pks:
            # In this thread: the first import takes 0.1 s, most of it jsonschema.
            importlib.import_module("console.evaluation_runs.execution")
        return pks

    def _start_execution(self, pk: int) -> None:
        from console.evaluation_runs.execution import Execution

        execution = Execution(self._runtime, self.in_thread, pk, self._worker, self._requests)
        task = self._loop.create_task(execution.run(), name=f"evaluation run {pk}")
        self._executions[pk] = task
        task.add_done_callback(lambda _task: self._remove_execution(pk))

    def _remove_execution(self, pk: int) -> None:
        self._executions.pop(pk, None)
        self._wake.set()  # another run may have waited for its end

    async def in_thread(self, work: Callable[..., T], *args: Any) -> T:
        """The result of `work`, which may query the database."""

        def call() -> T:
            close_old_connections()
            return work(*args)

        return await self._loop.run_in_executor(self._thread, call)

    async def stop(self) -> None:
        """Stop all runs and release their leases; finished responses are stored."""
        tasks = [self._task, *self._executions.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await self.in_thread(connections.close_all)
        self._thread.shutdown(wait=False)


def claim_runs_soon(runtime: Runtime | None) -> None:
    """Let this process claim runs as soon as the transaction in progress is committed.

    Call it after a run has been started or resumed.
    """
    for service in runtime.services if runtime is not None else ():
        if isinstance(service, Runner):
            transaction.on_commit(service.wake)


def start_runner(runtime: Runtime) -> None:
    """Start executing evaluation runs in this process."""
    runtime.services.append(Runner(runtime))
