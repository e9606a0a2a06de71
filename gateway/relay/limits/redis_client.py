"""Connection to the Redis of the limits: one script, with reads and writes of cached responses.

Commands that are sent together form one pipeline, and so one round trip. Any exception of the
client library (uvloop's closed transports are RuntimeErrors) becomes RedisUnavailable.

Commands are never retried: a script whose reply was lost may have reserved already.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, NoScriptError, ReadOnlyError

# All keys in one slot of a cluster, as the script touches several.
PREFIX = "{dragoman}:"
CACHE_PREFIX = "answer:"
# Longer than any script takes: the maximum wait for a Redis that hangs, unless the URL
# overrides it (`?socket_timeout=2`).
TIMEOUT_S = 0.5
_SCRIPT = (Path(__file__).parent / "redis_limiter.lua").read_text(encoding="utf-8")
# A restarted Redis, or a promoted replica, may have the data of an old snapshot: it loses its
# epoch, so that processes send theirs again. `run_id` is a new one after each start.
# https://redis.io/docs/latest/commands/info/
_FORGET_EPOCH_OF_EARLIER_RUN = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[2], ARGV[1])
end
"""

# The key, the blob, and its time to live in milliseconds.
CacheWrite = tuple[str, bytes, int]


class RedisUnavailable(Exception):
    """Redis did not respond, or returned an error."""


def create_client(url: str, timeout_s: float, connections: int) -> Redis:
    """A client with this timeout and without retries."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        max_connections=connections,
        retry=Retry(NoBackoff(), 0),
    )


def socket_timeout_s(redis: Redis) -> float:
    """The timeout of a client in seconds: from the URL, or the default."""
    return float(redis.connection_pool.connection_kwargs["socket_timeout"])


async def disconnect_from_replica(redis: Redis, error: Exception) -> None:
    """Close idle connections if the error says that their server is a replica now.

    After a failover the host name leads to the new primary, but only for new connections.
    """
    if isinstance(error, ReadOnlyError):
        with suppress(Exception):  # they are not used again, however they end
            await redis.connection_pool.disconnect(inuse_connections=False)


class RedisClient:
    """The connections of one process. All methods raise RedisUnavailable."""

    def __init__(self, url: str) -> None:
        self.redis: Redis = create_client(url, TIMEOUT_S, 64)
        self._timeout_s = 2 * socket_timeout_s(self.redis)
        self._sha = ""

    @asynccontextmanager
    async def _with_timeout(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except Exception as error:
            await disconnect_from_replica(self.redis, error)
            raise RedisUnavailable(type(error).__name__) from error

    async def run_script(
        self, payload: bytes, cache_key: str, cache_writes: list[CacheWrite]
    ) -> Any:
        """Run the script, and write cached responses in the same round trip.

        With `cache_key`, the cached response or None is the last element of the result.
        """
        async with self._with_timeout():
            if not self._sha:
                await self._load_script()
            try:
                return await self._send_command(payload, cache_key, cache_writes)
            except NoScriptError:  # it was restarted
                await self._load_script()
                return await self._send_command(payload, cache_key, cache_writes)

    async def _load_script(self) -> None:
        """Load the script, after the check whether Redis was restarted: one that has it passed."""
        run_id = ""
        with suppress(NoPermissionError):  # then a restart from a snapshot is not recognized
            run_id = (await self.redis.info("server")).get("run_id", "")
        keys = PREFIX + "epoch", PREFIX + "run"
        await self.redis.eval(_FORGET_EPOCH_OF_EARLIER_RUN, 2, *keys, run_id)
        self._sha = await self.redis.script_load(_SCRIPT)

    async def _send_command(
        self, payload: bytes, cache_key: str, cache_writes: list[CacheWrite]
    ) -> Any:
        if not cache_key and not cache_writes:
            return await self.redis.evalsha(self._sha, 1, PREFIX, payload)
        pipe = self.redis.pipeline(transaction=False)
        pipe.evalsha(self._sha, 1, PREFIX, payload)
        for name, blob, ttl_ms in cache_writes:
            pipe.set(PREFIX + CACHE_PREFIX + name, blob, px=ttl_ms)
        if cache_key:
            pipe.get(PREFIX + CACHE_PREFIX + cache_key)
        replies: list[Any] = await pipe.execute()
        return [*replies[0], replies[-1]] if cache_key else replies[0]

    async def get(self, key: str) -> bytes | None:
        """Read a cached response, in a separate round trip."""
        async with self._with_timeout():
            blob: Any = await self.redis.get(PREFIX + CACHE_PREFIX + key)
        return bytes(blob) if blob is not None else None

    async def put(self, key: str, blob: bytes, ttl_ms: int) -> None:
        """Store a cached response, in a separate round trip."""
        async with self._with_timeout():
            await self.redis.set(PREFIX + CACHE_PREFIX + key, blob, px=ttl_ms)

    async def close(self) -> None:
        """Close the connections."""
        await self.redis.aclose()
