"""Threads for the database, apart from asyncio's default ones, which other work may occupy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

# How long a request waits for the database, also if others wait before it: SQLite waits up to 20 s
# for a lock, PostgreSQL as long as DRAGOMAN_DATABASE_TIMEOUT.
MAX_WAIT_S = 30.0
_THREADS = 2


class DatabaseThreads:
    """A few threads; `close_connection` closes the database connection of the calling one."""

    def __init__(self, name: str, close_connection: Callable[[], None] | None) -> None:
        self._name = name
        self._close_connection = close_connection
        self._threads: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run `work` and return its result. Raises TimeoutError after MAX_WAIT_S."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=self._name)
        async with asyncio.timeout(MAX_WAIT_S):
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    async def close(self) -> None:
        """End the threads and their connections."""
        if self._threads is None:
            return
        threads, self._threads = self._threads, None
        loop = asyncio.get_running_loop()
        closings = [loop.run_in_executor(threads, self._end_thread) for _ in range(_THREADS)]
        await asyncio.gather(*closings, return_exceptions=True)
        await asyncio.to_thread(threads.shutdown)

    def _end_thread(self) -> None:
        if self._close_connection is not None:
            self._close_connection()
        time.sleep(0.01)  # so that each thread runs one of the two
