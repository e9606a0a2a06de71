"""The process's way to the kept responses: reads that wait for what is still on its way.

A finished response goes to the database with the log, by way of the journal, which takes
a moment; until then this process has it in memory, and others wait for it. The database
comes first all the same: a response may have been deleted elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gateway.canon.errors import Error, GatewayError
from gateway.relay.kept import Kept, Shelf

log = logging.getLogger(__name__)

# How long others may take to write what they have just answered.
WAITS_S = (0.0, 0.1, 0.25, 0.5, 1.0)
# What this process has answered stays in memory for so long, and up to so much.
FRESH_S = 60.0
FRESH_BYTES = 64 * 1024 * 1024
# A process says this often that its background responses still run; after so long a
# silence it is taken for dead.
BEAT_S = 0.5
SILENT_S = 30.0
_THREADS = 2
_PREFIX = "resp_"
T = TypeVar("T")
Name = tuple[str, str]


class Responses:
    """Finds and keeps responses. Waits on threads, never in the event loop."""

    def __init__(self, shelf: Shelf | None) -> None:
        self._shelf = shelf
        self._fresh: OrderedDict[Name, tuple[float, Kept]] = OrderedDict()
        self._bytes = 0
        self._threads: ThreadPoolExecutor | None = None

    @property
    def on(self) -> bool:
        """Whether there is a store at all."""
        return self._shelf is not None

    def note(self, kept: Kept) -> None:
        """Have a response that is on its way to the database."""
        name = (kept.owner, kept.id)
        self._drop(name)
        self._fresh[name] = (time.monotonic(), kept)
        self._bytes += kept.size
        oldest = time.monotonic() - FRESH_S
        while self._fresh:
            first, (since, _) = next(iter(self._fresh.items()))
            if since >= oldest and self._bytes <= FRESH_BYTES:
                return
            self._drop(first)

    def _drop(self, name: Name) -> None:
        held = self._fresh.pop(name, None)
        if held is not None:
            self._bytes -= held[1].size

    async def find(self, owner: str, response_id: str) -> Kept | None:
        """The response, if this owner may read it. Raises GatewayError without a database."""
        if self._shelf is None:
            return None
        load = self._shelf.load
        for wait_s in WAITS_S:
            await asyncio.sleep(wait_s)
            held = self._fresh.get((owner, response_id))
            try:
                kept = await self._run(lambda: load(owner, response_id))
            except Exception:
                if held is not None:
                    return held[1]
                raise _away() from None
            if kept is not None:
                return None if kept.deleted else kept
            if held is not None:
                return held[1]
            if not response_id.startswith(_PREFIX):
                break
        return None

    async def save(self, kept: Kept) -> None:
        """Write one now. Raises GatewayError without a database."""
        if self._shelf is None:
            return
        save = self._shelf.save
        try:
            await self._run(lambda: save(kept))
        except Exception:
            raise _away() from None
        self._drop((kept.owner, kept.id))

    async def forget(self, kept: Kept) -> None:
        """Delete one, also where it has yet to be written."""
        gone = Kept(
            id=kept.id,
            owner=kept.owner,
            created_at=kept.created_at,
            status=kept.status,
            deleted=True,
        )
        await self.save(gone)

    async def cancel(self, owner: str, response_id: str) -> None:
        """Mark one that runs in another process as cancelled."""
        if self._shelf is not None:
            cancel = self._shelf.cancel
            await self._run(lambda: cancel(owner, response_id))

    async def beat(self, running: list[Name]) -> list[str]:
        """Say that these still run; which of them are to stop."""
        if self._shelf is None:
            return []
        beat = self._shelf.beat
        return await self._run(lambda: beat(running))

    async def close(self) -> None:
        """End the threads and their connections."""
        if self._threads is None or self._shelf is None:
            return
        threads, close = self._threads, self._shelf.close
        self._threads = None
        loop = asyncio.get_running_loop()
        ends = [loop.run_in_executor(threads, _closing(close)) for _ in range(_THREADS)]
        await asyncio.gather(*ends, return_exceptions=True)
        await asyncio.to_thread(threads.shutdown)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="responses")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except Exception:
            log.exception("the store of responses could not be used")
            raise


def _closing(close: Callable[[], None]) -> Callable[[], None]:
    def end() -> None:
        close()
        time.sleep(0.01)  # so that the other thread takes the other of the two

    return end


def _away() -> GatewayError:
    message = "the store of responses can not be reached; try again"
    return GatewayError(Error(kind="overloaded", message=message))
