"""The response cache of one process: its memory, and a backend shared by all processes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.providers.masks import Mask
from gateway.relay.cache.backend import (
    CacheBackend,
    CacheRow,
    CacheTable,
    DatabaseBackend,
    RedisBackend,
)
from gateway.relay.cache.key import CacheKeyScopes
from gateway.relay.cache.memory import MemoryCache
from gateway.relay.cache.semantic import SemanticIndex
from gateway.relay.exchange.cached_response import CachedResponse, pack, unpack
from gateway.relay.exchange.recorder import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.relay.limits.redis_limiter import RedisLimiter

MEMORY_BYTES = 64 * 1024 * 1024


class CacheStore:
    """The response cache: memory and a backend. Call all methods on the event loop's thread.

    Attributes:
        pipelined: whether the backend's lookup shares a round trip with the limits.
        in_flight: requests by key whose response is pending, for routes with single flight;
            the result is false for a request that was stopped before its end.
    """

    def __init__(self, secret: bytes, memory_bytes: int, backend: CacheBackend | None) -> None:
        self.key_scopes = CacheKeyScopes(secret)
        self.memory = MemoryCache(memory_bytes)
        self.semantic_index = SemanticIndex()
        self.backend = backend
        self.pipelined = isinstance(backend, RedisBackend)
        self.in_flight: dict[str, asyncio.Future[bool]] = {}

    def may_contain(self, fingerprint: str) -> bool:
        """Whether a response with this fingerprint may be cached anywhere."""
        if fingerprint in self.memory.fingerprints:
            return True
        return self.backend is not None and self.backend.may_contain(fingerprint)

    async def load(self, key: str, now: float) -> CachedResponse | None:
        """The response of a key from the backend."""
        if self.backend is None:
            return None
        return self.load_blob(key, await self.backend.get(key), now)

    def load_blob(self, key: str, blob: bytes | None, now: float) -> CachedResponse | None:
        """The response in a blob of the backend; also stores it in memory."""
        cached = unpack(blob) if blob is not None else None
        if cached is None or cached.expires_at <= now:
            return None
        self.memory.put(key, cached)
        return cached

    def put(
        self, key: str, route_id: int, cached: CachedResponse, masks: tuple[Mask, ...] | None
    ) -> None:
        """Store a response in memory, and in the backend if it may be stored there.

        `masks` is what must be masked in stored bodies; None if no bodies may be stored. A
        response that contains a secret is not stored in the backend.
        """
        self.memory.put(key, cached)
        if self.backend is None or masks is None or mask_secrets(cached.body, masks) != cached.body:
            return
        self.backend.put(
            CacheRow(key, route_id, pack(cached), cached.created_at, cached.expires_at)
        )

    async def close(self) -> None:
        """Write rows that are pending for the backend."""
        if self.backend is not None:
            await self.backend.close()


def create_cache_store(
    secret: bytes,
    memory_bytes: int,
    redis_limiter: RedisLimiter | None,
    cached: CacheTable | None,
    close: Callable[[], None] | None,
    flag_path: Path | None = None,
) -> CacheStore:
    """The store of a process, with Redis as its backend if there is one, else the database."""
    backend: CacheBackend | None = None
    if redis_limiter is not None:
        backend = RedisBackend(redis_limiter)
    elif cached is not None:
        backend = DatabaseBackend(cached.read, cached.write, close, cached.changes_since, flag_path)
    return CacheStore(secret, memory_bytes, backend)
