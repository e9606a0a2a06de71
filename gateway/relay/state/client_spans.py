"""Writes spans that clients send to the database."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.canon.errors import Error, GatewayError
from gateway.client_spans.span import SpanBatch

log = logging.getLogger(__name__)

# Stores a batch; raises if the database is not writable.
WriteSpans = Callable[[SpanBatch], None]
# Requests of one process that are read, parsed or written at a time.
MAX_CONCURRENT = 16
# Of these, requests of one key: others must not wait for a client that sends slowly.
MAX_PER_KEY = 12


class ClientSpans:
    """Writes spans of clients, and bounds the requests that send them.

    Attributes:
        requests: those in progress.
    """

    def __init__(self, write: WriteSpans | None) -> None:
        self._write = write
        self.requests = 0
        self._requests_by_key: Counter[int] = Counter()

    @contextmanager
    def admit(self, key_id: int) -> Iterator[None]:
        """Count a request while it is in progress. Raises GatewayError (429) beyond the limits."""
        if self.requests >= MAX_CONCURRENT or self._requests_by_key[key_id] >= MAX_PER_KEY:
            message = "too many concurrent requests with traces; try again shortly"
            raise GatewayError(Error(kind="rate_limit", message=message, retry_after_s=1))
        self.requests += 1
        self._requests_by_key[key_id] += 1
        try:
            yield
        finally:
            self.requests -= 1
            self._requests_by_key[key_id] -= 1
            if not self._requests_by_key[key_id]:
                del self._requests_by_key[key_id]

    async def write(self, batch: SpanBatch) -> None:
        """Store spans of a client. Raises GatewayError (503) if the database is not writable."""
        try:
            if self._write is None:
                raise RuntimeError("spans are not stored here")
            await asyncio.to_thread(self._write, batch)
        except Exception as error:
            log.warning("spans of a client were not stored: %s", type(error).__name__)
            message = "the spans could not be stored; send them again"
            raise GatewayError(
                Error(kind="overloaded", message=message, retry_after_s=5)
            ) from error
