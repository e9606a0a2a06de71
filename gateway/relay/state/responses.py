"""Stored responses of a process: reads wait for responses that are still being written.

A finished response is written to the database with the log, through the journal, which takes a
moment; until then this process has it in memory, and others wait for it. The database is always
read first, because a response may have been deleted by another process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from gateway.canon.errors import Error, GatewayError
from gateway.relay.exchange.stored_response import ResponseBackend, StoredResponse
from gateway.relay.state.database_threads import DatabaseThreads

log = logging.getLogger(__name__)

# Pauses between reads, while another process may still be writing a response.
RETRY_DELAYS_S = (0.0, 0.1, 0.25, 0.5, 1.0)
# How long, and up to which total size, responses of this process stay in memory.
PENDING_S = 60.0
PENDING_BYTES = 64 * 1024 * 1024
# Interval of the heartbeats of background responses, and the time without one after which
# the process counts as dead.
HEARTBEAT_S = 0.5
HEARTBEAT_TIMEOUT_S = 30.0
# How far the clock of another node may be ahead.
MAX_CLOCK_SKEW_S = 300.0
_PREFIX = "resp_"
T = TypeVar("T")
ResponseName = tuple[str, str]


class ResponseStore:
    """Finds and stores responses. Blocking work runs in threads, never in the event loop."""

    def __init__(self, backend: ResponseBackend | None) -> None:
        self._backend = backend
        self._pending: OrderedDict[ResponseName, tuple[float, StoredResponse]] = OrderedDict()
        self._bytes = 0
        self._threads = DatabaseThreads("responses", backend.close) if backend is not None else None

    @property
    def enabled(self) -> bool:
        """Whether there is a store."""
        return self._backend is not None

    def add_pending(self, response: StoredResponse) -> None:
        """Hold a response in memory until it is in the database."""
        name = (response.owner, response.id)
        self._drop_pending(name)
        self._pending[name] = (time.monotonic(), response)
        self._bytes += response.size
        oldest_start = time.monotonic() - PENDING_S
        while self._pending:
            first, (since, _) = next(iter(self._pending.items()))
            if since >= oldest_start and self._bytes <= PENDING_BYTES:
                return
            self._drop_pending(first)

    def _drop_pending(self, name: ResponseName) -> None:
        pending = self._pending.pop(name, None)
        if pending is not None:
            self._bytes -= pending[1].size

    async def find(self, owner: str, response_id: str) -> StoredResponse | None:
        """The response, if this owner may read it. Raises GatewayError without a database."""
        if self._backend is None:
            return None
        load = self._backend.load
        for wait_s in RETRY_DELAYS_S:
            await asyncio.sleep(wait_s)
            pending = self._pending.get((owner, response_id))
            try:
                response = await self._run_in_thread(lambda: load(owner, response_id))
            except Exception:
                if pending is not None:
                    return pending[1]
                raise _unavailable_error() from None
            # A background response is in the database while it runs; its end may be pending.
            if response is not None and (pending is None or not response.running):
                return None if response.deleted else response
            if pending is not None:
                return pending[1]
            if not response_id.startswith(_PREFIX):
                break
        return None

    async def save(self, response: StoredResponse) -> None:
        """Write a response immediately. Raises GatewayError without a database."""
        if self._backend is None:
            return
        save = self._backend.save
        try:
            await self._run_in_thread(lambda: save(response))
        except Exception:
            raise _unavailable_error() from None
        self._drop_pending((response.owner, response.id))

    async def delete(self, stored_response: StoredResponse) -> None:
        """Delete a response, also if it has not been written yet."""
        tombstone = StoredResponse(
            id=stored_response.id,
            owner=stored_response.owner,
            created_at=stored_response.created_at,
            status=stored_response.status,
            deleted=True,
        )
        await self.save(tombstone)

    async def cancel(self, owner: str, response_id: str) -> None:
        """Mark a response that runs in another process as cancelled.

        Raises GatewayError without a database.
        """
        if self._backend is None:
            return
        cancel = self._backend.cancel
        try:
            await self._run_in_thread(lambda: cancel(owner, response_id))
        except Exception:
            raise _unavailable_error() from None

    async def heartbeat(self, running: list[ResponseName]) -> list[str]:
        """Send the heartbeat of running responses; return the ids of those to cancel."""
        if self._backend is None:
            return []
        heartbeat = self._backend.heartbeat
        return await self._run_in_thread(lambda: heartbeat(running))

    async def close(self) -> None:
        """End the threads and their connections."""
        if self._threads is not None:
            await self._threads.close()

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        assert self._threads is not None
        try:
            return await self._threads.run(work)
        except Exception:
            log.exception("the response store could not be used")
            raise


def _unavailable_error() -> GatewayError:
    message = "the response store cannot be reached; try again"
    return GatewayError(Error(kind="overloaded", message=message))
