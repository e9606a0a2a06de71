"""The way to the Redis of limits: one script, and kept answers along with it.

What is asked at once is one pipeline, and so one round trip. Whoever calls sees to errors.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

# All keys in one slot of a cluster, as the script touches several.
PREFIX = "{dragoman}:"
ANSWER = "answer:"
# Longer than any script takes: a request waits no longer for a Redis that hangs, unless the
# URL says so (`?socket_timeout=2`).
TIMEOUT_S = 0.5
_SCRIPT = (Path(__file__).parent / "shared_limiter.lua").read_text(encoding="utf-8")

# The key, the answer, and for how many milliseconds.
Kept = tuple[str, bytes, int]


def waits_s(redis: Redis) -> float:
    """How long a client waits for Redis at most: as the URL says, or TIMEOUT_S."""
    return float(redis.connection_pool.connection_kwargs["socket_timeout"])


class Wire:
    """The connections of one process. All of it raises RedisError, OSError or TimeoutError."""

    def __init__(self, url: str) -> None:
        self.redis: Redis = Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, max_connections=64
        )
        self._most_s = 2 * waits_s(self.redis)
        self._sha = ""

    async def run(self, payload: bytes, key: str, kept: list[Kept]) -> Any:
        """The script's answer; some answers are kept along with it.

        With the key of a kept answer, that or None stands at its end.
        """
        async with asyncio.timeout(self._most_s):
            if not self._sha:
                self._sha = await self.redis.script_load(_SCRIPT)
            try:
                return await self._sent(payload, key, kept)
            except NoScriptError:  # it was restarted
                self._sha = await self.redis.script_load(_SCRIPT)
                return await self._sent(payload, key, kept)

    async def _sent(self, payload: bytes, key: str, kept: list[Kept]) -> Any:
        if not key and not kept:
            return await self.redis.evalsha(self._sha, 1, PREFIX, payload)
        pipe = self.redis.pipeline(transaction=False)
        pipe.evalsha(self._sha, 1, PREFIX, payload)
        for name, blob, ttl_ms in kept:
            pipe.set(PREFIX + ANSWER + name, blob, px=ttl_ms)
        if key:
            pipe.get(PREFIX + ANSWER + key)
        answers = await pipe.execute()
        return [*answers[0], answers[-1]] if key else answers[0]

    async def get(self, key: str) -> bytes | None:
        """A kept answer, in a round trip of its own."""
        async with asyncio.timeout(self._most_s):
            found: Any = await self.redis.get(PREFIX + ANSWER + key)
        return bytes(found) if found is not None else None

    async def keep(self, key: str, blob: bytes, ttl_ms: int) -> None:
        """Keep an answer, in a round trip of its own."""
        async with asyncio.timeout(self._most_s):
            await self.redis.set(PREFIX + ANSWER + key, blob, px=ttl_ms)

    async def close(self) -> None:
        """End the connections."""
        await self.redis.aclose()
