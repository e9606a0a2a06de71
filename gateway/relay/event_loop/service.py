"""Background threads and tasks that restart after an exception."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

log = logging.getLogger(__name__)

RESTART_S = 1.0
CANCEL_AGAIN_S = 1.0


class RestartingThread(threading.Thread):
    """A daemon thread that restarts `work` when it raises, until `stop_event` is set.

    Attributes:
        failures: number of restarts.
    """

    def __init__(self, name: str, work: Callable[[], None], stop_event: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._stop_event = stop_event
        self.failures = 0
        self.start()

    def run(self) -> None:
        """Run `work` until it returns or `stop_event` is set."""
        while True:
            try:
                self._work()
                return
            except Exception:
                self.failures += 1
                log.exception("the thread %s failed and is restarted", self.name)
            if self._stop_event.wait(RESTART_S):
                return


def start_restarting(name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """Start a task that runs `work`, and restart it when it raises."""
    return asyncio.get_running_loop().create_task(_run_repeatedly(name, work), name=name)


async def _run_repeatedly(name: str, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
            return
        except Exception:
            log.exception("the task %s failed and is restarted", name)
        await asyncio.sleep(RESTART_S)


async def cancel_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait for their end.

    Cancel again what goes on: redis-py can lose a cancellation that arrives while it handles a
    broken connection.
    """
    running_tasks = set(tasks)
    while running_tasks:
        for task in running_tasks:
            task.cancel()
        _, running_tasks = await asyncio.wait(running_tasks, timeout=CANCEL_AGAIN_S)
