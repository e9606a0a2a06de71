"""Fetches media by URL for targets that take bytes only; off unless it is switched on.

It happens before the request is written for a target, and once a request: another target
that needs the same file finds it in `Call.media`. What passes through is never read.
"""

from __future__ import annotations

import asyncio
import time

from gateway.canon.errors import GatewayError
from gateway.relay.call import Call
from gateway.relay.media_address import Unfetched
from gateway.relay.media_fetch import MAX_BYTES, Fetcher
from gateway.relay.media_parts import Media, misfit, needed, refused
from gateway.relay.prepare import goes_unread, spoken
from gateway.routing.snapshot import Route, Target

# The bounds of one request, beside those of one file.
MOST = 20
AT_ONCE = 4
SECONDS = 30.0


class Fetching:
    """Has the media of requests fetched; `most_bytes` are those of one request."""

    def __init__(self, most_bytes: int, fetcher: Fetcher | None = None) -> None:
        self.fetcher = fetcher if fetcher is not None else Fetcher()
        self._most_bytes = most_bytes

    async def gather(self, call: Call, route: Route, target: Target) -> None:
        """Put what this target needs into `call.media`. Raises GatewayError naming the field.

        A strict route refuses what is not sent as it came, so nothing is fetched for one.
        """
        if call.verb not in {"generate", "count_tokens"} or route.strict:
            return
        dialect = spoken(call, target)
        if goes_unread(call, target, dialect):
            return
        parts = needed(call.request, dialect, target.model.traits)
        left = {part.url or "": part for part in parts}
        if not left:
            return
        if len(left) > MOST:
            raise refused(parts[-1], f"at most {MOST} files are fetched for a request")
        began = time.perf_counter()
        try:
            await self._all(call, [part for url, part in left.items() if url not in call.media])
        finally:
            call.waited_s += time.perf_counter() - began
        for part in parts:
            if why := misfit(part, call.media[part.url or ""]):
                raise refused(part, why)

    async def _all(self, call: Call, parts: list[Media]) -> None:
        turn = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(self._one(call, part, turn))
        except TimeoutError:
            why = f"all files of the request took longer than {SECONDS:g} s"
            raise refused(parts[0], why) from None
        except ExceptionGroup as failures:
            raise next(
                (one for one in failures.exceptions if isinstance(one, GatewayError)),
                failures.exceptions[0],
            ) from None

    async def _one(self, call: Call, part: Media, turn: asyncio.Semaphore) -> None:
        """Fetch one file. Raises GatewayError naming its place."""
        async with turn:
            try:
                await self._fetch(call, part.url or "")
            except Unfetched as failure:
                raise refused(part, str(failure)) from None

    async def _fetch(self, call: Call, url: str) -> None:
        left = self._most_bytes - _held(call)
        if left <= 0:
            raise Unfetched(self._full())
        found = await self.fetcher.fetch(url, min(MAX_BYTES, left))
        if found.size > self._most_bytes - _held(call):
            raise Unfetched(self._full())
        call.media[url] = found

    def _full(self) -> str:
        return f"the files of a request may have {self._most_bytes} bytes"


def _held(call: Call) -> int:
    return sum(found.size for found in call.media.values())
