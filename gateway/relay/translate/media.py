"""Fetches media by URL for targets that accept only inline bytes; off unless enabled.

It runs before the request is rendered for a target, and fetches each file once per request:
other targets reuse it from `Call.fetched_media`. Nothing is fetched for passthrough requests.
"""

from __future__ import annotations

import asyncio
import time

from gateway.canon.errors import GatewayError
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call
from gateway.relay.translate.media_parts import Media, fetch_error, parts_to_fetch, type_mismatch
from gateway.relay.translate.prepare import upstream_dialect, uses_passthrough
from gateway.relay.upstream.media_fetch import MAX_BYTES, Fetcher, MediaFetchError
from gateway.routing.snapshot import Route, Target

# Limits per request, in addition to those per file.
MAX_FILES = 20
MAX_PARALLEL_FETCHES = 4
TIMEOUT_S = 30.0


def _parts_to_fetch(call: Call, target: Target) -> list[Media]:
    """The parts that must be fetched for this target. Raises GatewayError."""
    dialect = upstream_dialect(call, target)
    if uses_passthrough(call, target, dialect):
        return []
    return parts_to_fetch(call.exchange.request, dialect, target.model.traits)


class MediaFetch:
    """Fetches the media of requests, up to `max_bytes` per request."""

    def __init__(self, max_bytes: int, fetcher: Fetcher | None = None) -> None:
        self.fetcher = fetcher if fetcher is not None else Fetcher()
        self._max_bytes = max_bytes

    async def gather(self, call: Call, route: Route, target: Target) -> None:
        """Fetch the files that this target needs into `call.fetched_media`. Raises GatewayError.

        Do nothing on a strict route, which rejects any change to the request.
        """
        exchange = call.exchange
        if exchange.verb not in {"generate", "count_tokens"} or route.strict:
            return
        parts = await offload.run(exchange.offload_size, _parts_to_fetch, call, target)
        by_url = {part.url or "": part for part in parts}
        if not by_url:
            return
        if len(by_url) > MAX_FILES:
            raise fetch_error(parts[-1], f"at most {MAX_FILES} files are fetched for a request")
        started_s = time.perf_counter()
        try:
            await self._fetch_all(
                call, [part for url, part in by_url.items() if url not in call.fetched_media]
            )
        finally:
            call.upstream_wait_s += time.perf_counter() - started_s
        for part in parts:
            if mismatch := type_mismatch(part, call.fetched_media[part.url or ""]):
                raise fetch_error(part, mismatch)

    async def _fetch_all(self, call: Call, parts: list[Media]) -> None:
        slots = asyncio.Semaphore(MAX_PARALLEL_FETCHES)
        try:
            async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(self._fetch_part(call, part, slots))
        except TimeoutError:
            message = f"all files of the request took longer than {TIMEOUT_S:g} s"
            raise fetch_error(parts[0], message) from None
        except ExceptionGroup as failures:
            raise next(
                (failure for failure in failures.exceptions if isinstance(failure, GatewayError)),
                failures.exceptions[0],
            ) from None

    async def _fetch_part(self, call: Call, part: Media, slots: asyncio.Semaphore) -> None:
        """Fetch one file. Raises GatewayError naming the part."""
        async with slots:
            try:
                await self._fetch_url(call, part.url or "")
            except MediaFetchError as failure:
                raise fetch_error(part, str(failure)) from None

    async def _fetch_url(self, call: Call, url: str) -> None:
        remaining_bytes = self._max_bytes - _fetched_bytes(call)
        if remaining_bytes <= 0:
            raise MediaFetchError(self._limit_message())
        file = await self.fetcher.fetch(url, min(MAX_BYTES, remaining_bytes))
        if file.size > self._max_bytes - _fetched_bytes(call):
            raise MediaFetchError(self._limit_message())
        call.fetched_media[url] = file

    def _limit_message(self) -> str:
        return f"the files of a request can have at most {self._max_bytes} bytes"


def _fetched_bytes(call: Call) -> int:
    return sum(file.size for file in call.fetched_media.values())
