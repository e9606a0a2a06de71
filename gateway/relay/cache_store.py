"""The kept answers of one process: its memory, and the shelf that all processes share."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.providers.masks import Mask
from gateway.relay.cache_heard import News
from gateway.relay.cache_key import Bases
from gateway.relay.cache_memory import Memory
from gateway.relay.cache_shelf import DatabaseShelf, Read, Row, Shelf, Write
from gateway.relay.cache_similar import Similar
from gateway.relay.cache_value import Kept, packed, unpacked
from gateway.relay.recorder import cleaned

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.relay.shared_limiter import SharedLimiter

MEMORY_BYTES = 64 * 1024 * 1024


class RedisShelf:
    """The shelf that is a Redis. Most looks go along with the question about limits."""

    def __init__(self, shared: SharedLimiter) -> None:
        self._shared = shared

    async def get(self, key: str) -> bytes | None:
        """The blob of a key, if its time is not over."""
        return await self._shared.kept(key)

    def may_have(self, mark: str) -> bool:
        """Always: nobody tells what a Redis has."""
        return True

    def put(self, row: Row) -> None:
        """Keep a blob, soon."""
        self._shared.keep(row.key, row.blob, row.ends_at - row.made_at)

    async def close(self) -> None:
        """The connections are the limiter's."""


class CacheStore:
    """Where answers are kept. All methods belong to the event loop's thread.

    Attributes:
        pipelined: whether a look at the shelf goes along with the question about limits.
        flights: questions whose answer is under way, for routes that wait for it.
    """

    def __init__(self, secret: bytes, memory_bytes: int, shelf: Shelf | None) -> None:
        self.bases = Bases(secret)
        self.memory = Memory(memory_bytes)
        self.similar = Similar()
        self.shelf = shelf
        self.pipelined = isinstance(shelf, RedisShelf)
        self.flights: dict[str, asyncio.Future[None]] = {}

    def may_have(self, mark: str) -> bool:
        """Whether an answer to a question of this mark may be kept anywhere."""
        if mark in self.memory.marks:
            return True
        return self.shelf is not None and self.shelf.may_have(mark)

    async def load(self, key: str, now: float) -> Kept | None:
        """The answer of a key from the shelf."""
        if self.shelf is None:
            return None
        return self.taken(key, await self.shelf.get(key), now)

    def taken(self, key: str, blob: bytes | None, now: float) -> Kept | None:
        """The answer in a blob of the shelf; it is in memory from now on."""
        kept = unpacked(blob) if blob is not None else None
        if kept is None or kept.ends_at <= now:
            return None
        self.memory.put(key, kept)
        return kept

    def keep(self, key: str, route_id: int, kept: Kept, masks: tuple[Mask, ...] | None) -> None:
        """Keep an answer: in memory, and on the shelf if what is stored there may hold it.

        `masks` is what nothing stored may hold; None where nothing of it may be stored.
        """
        self.memory.put(key, kept)
        if self.shelf is None or masks is None or cleaned(kept.body, masks) != kept.body:
            return
        self.shelf.put(Row(key, route_id, packed(kept), kept.made_at, kept.ends_at))

    async def close(self) -> None:
        """Write what waits for the shelf."""
        if self.shelf is not None:
            await self.shelf.close()


def made(
    secret: bytes,
    memory_bytes: int,
    shared: SharedLimiter | None,
    read: Read | None,
    write: Write | None,
    close: Callable[[], None] | None,
    news: News | None = None,
    notice: Path | None = None,
) -> CacheStore:
    """The store of a process: beyond its memory on Redis if there is one, else by `read`."""
    shelf: Shelf | None = None
    if shared is not None:
        shelf = RedisShelf(shared)
    elif read is not None and write is not None:
        shelf = DatabaseShelf(read, write, close, news, notice)
    return CacheStore(secret, memory_bytes, shelf)
