"""The execution of one claimed evaluation run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, InterfaceError, OperationalError

from console.evaluate.definition import InvalidDefinition
from console.evaluate.report import Result
from console.evaluate.responses import ModelResponse
from console.evaluate.steps import Item, ResultSteps
from console.evaluation_runs import store
from console.evaluation_runs.call import send_chat
from console.models import EvaluationRun
from console.models.evaluation import LEASE
from console.playground.budget import budget_exceeded_message, session_prefix

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

log = logging.getLogger(__name__)

SAVE_S = 0.5
# How often the budget is read again, which other runs of the owner spend too.
BUDGET_S = 2.0
# Errors of a database that is away, or locked.
_DATABASE_AWAY = (InterfaceError, OperationalError)

Status = EvaluationRun.Status


class Execution:
    """One claimed run, until it is done, paused, cancelled or taken over."""

    def __init__(
        self,
        runtime: Runtime,
        run_query: Callable[..., Awaitable[Any]],
        pk: int,
        worker: str,
        requests: asyncio.Semaphore,
    ) -> None:
        self._runtime, self._run_query = runtime, run_query
        self._pk, self._worker, self._requests = pk, worker, requests
        self._pending: list[Result] = []
        self._stopping = False
        # Not set while the database has been away for longer than the lease.
        self._may_request = asyncio.Event()
        self._may_request.set()
        # What this run has spent of its share of the budget since it was read.
        self._spent_usd = 0.0
        self._share_usd = 0.0
        self._job: store.RunJob | None = None

    async def run(self) -> None:
        """Request the missing responses; always releases the lease at the end."""
        try:
            self._job = job = await self._run_query(store.load, self._pk)
            self._share_usd = job.budget_share_usd
            await self._execute(job)
        except InvalidDefinition as invalid:
            reason = f"The evaluation is invalid: {invalid.errors[0]}"
            await self._run_query(store.pause_for, self._pk, self._worker, reason)
        except store.RunRefused as refused:
            await self._run_query(store.pause_for, self._pk, self._worker, str(refused))
        except EvaluationRun.DoesNotExist:
            log.info("an evaluation run was deleted while it ran")
        except DatabaseError:
            log.warning("an evaluation run is interrupted: no database", exc_info=True)
        except Exception:
            log.exception("an evaluation run failed", extra={"run": self._pk})
            reason = "The run failed with an internal error; see the server's log."
            await self._run_query(store.pause_for, self._pk, self._worker, reason)
        finally:
            await self._finish_run()

    async def _finish_run(self) -> None:
        """Store what is finished and release the lease, also if the task is cancelled."""
        try:
            await self._save_results()
            await self._run_query(store.release, self._pk, self._worker)
        except Exception:
            log.exception("the end of an evaluation run could not be stored")

    async def _execute(self, job: store.RunJob) -> None:
        missing_items = _missing_items(job)
        count = job.definition.concurrency
        workers = [asyncio.create_task(self._run_worker(job, missing_items)) for _ in range(count)]
        control = asyncio.create_task(self._supervise_run(job, workers))
        try:
            await asyncio.gather(*workers, return_exceptions=True)
        finally:
            for task in (*workers, control):
                task.cancel()
            await asyncio.gather(*workers, control, return_exceptions=True)
        for task in workers:
            if not task.cancelled() and (failure := task.exception()) is not None:
                raise failure
        await self._save_last_results()
        if self._stopping or any(task.cancelled() for task in workers):
            await self._run_query(store.update_summary, self._pk)
        else:
            await self._run_query(store.finish, self._pk, self._worker)

    async def _run_worker(self, job: store.RunJob, items: Iterator[Item]) -> None:
        """Run missing items one after another; several workers share the iterator."""
        while not self._stopping:
            await self._may_request.wait()
            if self._runtime.draining:
                self._stopping = True
                return
            if self._spent_usd >= self._share_usd:
                await self._refresh_budget(job)
                if self._share_usd <= 0:
                    await self._pause_without_budget()
                continue
            async with self._requests:
                item = None if self._stopping else next(items, None)
                if item is None:
                    return
                result = await self._run_item(job, item)
            if result.outcome.failed and self._runtime.draining:
                return  # the shutdown broke it off: it is run again
            self._pending.append(result)

    async def _refresh_budget(self, job: store.RunJob) -> None:
        """Read the run's share of the budget, after what all runs have spent so far."""
        self._share_usd = await self._run_query(store.budget_share_usd, job.owner)
        self._spent_usd = 0.0

    async def _pause_without_budget(self) -> None:
        if not self._stopping:
            self._stopping = True
            await self._run_query(
                store.pause_for, self._pk, self._worker, budget_exceeded_message()
            )

    # --- one response --------------------------------------------------------------------

    async def _run_item(self, job: store.RunJob, item: Item) -> Result:
        session = f"{session_prefix(job.owner)}{job.uuid}"
        steps = ResultSteps(job.definition, item)
        while steps.request is not None:
            response = await self._send_request(steps.request, session)
            await self._run_query(steps.receive, response)
        assert steps.result is not None
        return steps.result

    async def _send_request(self, body: dict[str, Any], session: str) -> ModelResponse:
        response = await send_chat(self._runtime, body, session)
        self._spent_usd += response.cost_usd or 0.0
        return response

    # --- storage and control -----------------------------------------------------------

    async def _supervise_run(self, job: store.RunJob, workers: list[asyncio.Task[None]]) -> None:
        """Store results, renew the lease, and follow the budget and the status that a person sets.

        Responses are paid for: while the database is away, they are kept, and no more are requested
        once the lease has ended. Another process may have the run then.
        """
        renewed_at = budget_read_at = time.monotonic()
        while True:
            await asyncio.sleep(SAVE_S)
            try:
                await self._save_results()
                if time.monotonic() - budget_read_at >= BUDGET_S:
                    budget_read_at = time.monotonic()
                    await self._refresh_budget(job)
                status = await self._run_query(store.renew, self._pk, self._worker)
                renewed_at = time.monotonic()
            except _DATABASE_AWAY:
                log.warning("an evaluation run cannot be stored; retrying", exc_info=True)
                if time.monotonic() - renewed_at >= LEASE.total_seconds():
                    self._may_request.clear()
                continue
            except DatabaseError:
                log.exception("the results of an evaluation run cannot be stored")
                reason = "Results cannot be stored; see the server's log."
                await self._run_query(store.pause_for, self._pk, self._worker, reason)
                status = Status.PAUSED
            self._may_request.set()
            if status == Status.PAUSED:
                self._stopping = True
            elif status != Status.RUNNING:
                for task in workers:
                    task.cancel()
                return

    async def _save_last_results(self) -> None:
        """Store the finished results; wait while the database is unavailable."""
        while True:
            try:
                return await self._save_results()
            except _DATABASE_AWAY:
                log.warning("an evaluation run cannot be stored; retrying", exc_info=True)
                await asyncio.sleep(SAVE_S)

    async def _save_results(self) -> None:
        """Store the finished results; they remain pending if that fails."""
        results, self._pending = self._pending, []
        if not results or self._job is None:
            return
        try:
            models = self._job.definition.models
            await self._run_query(store.save_results, self._pk, models, results)
        except BaseException:
            self._pending = [*results, *self._pending]
            raise


def _missing_items(job: store.RunJob) -> Iterator[Item]:
    """The responses that are not stored, case by case, so that models progress alike."""
    definition = job.definition
    for case in range(len(definition.cases)):
        for repetition in range(definition.repeat):
            for model in range(len(definition.models)):
                item = Item(case, model, repetition)
                if item not in job.stored:
                    yield item
