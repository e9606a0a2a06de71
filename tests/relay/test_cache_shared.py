"""Cached responses shared by several processes, through the store and on Redis."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from gateway.relay.cache import store as cache_store
from gateway.relay.cache.backend import CacheRow, DatabaseBackend
from gateway.relay.cache.memory import MemoryCache
from gateway.relay.exchange.cached_response import unpack
from gateway.relay.limits.redis_client import CACHE_PREFIX, PREFIX
from gateway.relay.limits.redis_limiter import RedisLimiter
from gateway.routing.limits import Limits
from gateway.routing.snapshot import RouteStep
from tests.redis_server import RedisServer
from tests.relay.harness import Gateway, completion, gateway
from tests.relay.test_cache import CHAT, REQUEST, CountingUpstream, cached, registry, response_text
from tests.waits import WAIT_TIMEOUT_S, wait_until_async


class FakeTable:
    """An in-memory table; changes of other threads are visible at once."""

    def __init__(self) -> None:
        self.rows: dict[str, CacheRow] = {}
        self.failing = False
        self.reads = 0

    def read(self, key: str) -> bytes | None:
        self.reads += 1
        if self.failing:
            raise OSError("away")
        row = self.rows.get(key)
        return row.blob if row is not None else None

    def write(self, rows: list[CacheRow]) -> None:
        if self.failing:
            raise OSError("away")
        self.rows |= {row.key: row for row in rows}

    async def filled(self, count: int = 1) -> None:
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while len(self.rows) < count:
                await asyncio.sleep(0.01)


def use_database_cache(gw: Gateway, table: FakeTable) -> None:
    gw.runtime.cache.backend = DatabaseBackend(table.read, table.write, None)


def reset_process_state(gw: Gateway) -> None:
    """Reset the process state, as after a start."""
    gw.runtime.cache.memory = MemoryCache(cache_store.MEMORY_BYTES)


async def test_a_cached_response_survives_a_restart(tmp_path: Path) -> None:
    table, upstream = FakeTable(), CountingUpstream()
    async with gateway(tmp_path, registry(cached()), one=upstream) as gw:
        use_database_cache(gw, table)
        first = await gw.post(CHAT, REQUEST)
        await table.filled()
        reset_process_state(gw)
        second_reply = await gw.post(CHAT, REQUEST)
        table.rows.clear()
        third = await gw.post(CHAT, REQUEST)
    assert second_reply.headers["x-dragoman-cache"] == third.headers["x-dragoman-cache"] == "hit"
    assert first.body == second_reply.body == third.body
    assert upstream.count == 1


async def test_an_unavailable_database_disables_only_the_cache(tmp_path: Path) -> None:
    table, upstream = FakeTable(), CountingUpstream()
    table.failing = True
    async with gateway(tmp_path, registry(cached()), one=upstream) as gw:
        use_database_cache(gw, table)
        assert (await gw.post(CHAT, REQUEST)).status == 200
        assert (await gw.post(CHAT, REQUEST)).headers["x-dragoman-cache"] == "hit"
        reset_process_state(gw)
        assert (await gw.post(CHAT, REQUEST)).headers["x-dragoman-cache"] == "miss"


async def test_a_route_without_a_cache_never_queries_it(tmp_path: Path) -> None:
    table, upstream = FakeTable(), CountingUpstream()
    plain = msgspec.structs.replace(cached(), cache=None)
    async with gateway(tmp_path, registry(plain), one=upstream) as gw:
        use_database_cache(gw, table)
        for _ in range(2):
            assert "x-dragoman-cache" not in (await gw.post(CHAT, REQUEST)).headers
        await gw.runtime.cache.backend.close()
    assert table.reads == 0 and not table.rows


@pytest.mark.parametrize(
    "blob",
    [b"", b"x\x9c", b"\x78\x9c\x00", b"\x92\x01\x02", b"\xff" * 40],
)
async def test_a_damaged_cache_row_is_a_miss(tmp_path: Path, blob: bytes) -> None:
    table, upstream = FakeTable(), CountingUpstream()
    async with gateway(tmp_path, registry(cached()), one=upstream) as gw:
        use_database_cache(gw, table)
        await gw.post(CHAT, REQUEST)
        await table.filled()
        (key,) = table.rows
        table.rows[key] = table.rows[key]._replace(blob=blob)
        reset_process_state(gw)
        assert (await gw.post(CHAT, REQUEST)).headers["x-dragoman-cache"] == "miss"
    assert unpack(blob) is None


@pytest.mark.parametrize(
    ("change", "response"),
    [
        ({"key": False}, "x"),
        ({"route": False}, "x"),
        ({"masks": True}, "the secret word"),
        ({}, "sk-" + "a" * 30),
    ],
    ids=["key-stores-nothing", "route-stores-nothing", "masked", "key-like"],
)
async def test_unstorable_responses_are_cached_in_memory_only(
    tmp_path: Path, change: dict[str, Any], response: str
) -> None:
    table, upstream = FakeTable(), CountingUpstream(lambda n: completion(response))
    test_snapshot = registry(
        msgspec.structs.replace(cached(), log_bodies=change.get("route")),
        log_bodies=change.get("key"),
    )
    if "masks" in change:
        masks = (re.compile(b"secret"),)
        test_snapshot = msgspec.structs.replace(test_snapshot, masks=masks)
    async with gateway(tmp_path, test_snapshot, one=upstream) as gw:
        use_database_cache(gw, table)
        await gw.post(CHAT, REQUEST)
        assert (await gw.post(CHAT, REQUEST)).headers["x-dragoman-cache"] == "hit"
        await gw.runtime.cache.close()
    assert not table.rows


async def test_cache_keys_reveal_nothing_and_differ_by_installation(tmp_path: Path) -> None:
    """Another installation on the same Redis, with the same rows, has other keys."""
    keys = []
    for number, pepper in enumerate((b"one", b"two", b"one")):
        table = FakeTable()
        async with gateway(
            tmp_path / str(number), registry(cached()), one=CountingUpstream()
        ) as gw:
            gw.runtime.cache.key_scopes = type(gw.runtime.cache.key_scopes)(pepper)
            use_database_cache(gw, table)
            await gw.post(CHAT, REQUEST)
            await table.filled()
        keys += list(table.rows)
    assert keys[0] == keys[2] != keys[1]
    assert all(len(key) <= 64 for key in keys)


# --- Redis ------------------------------------------------------------------------------


@asynccontextmanager
async def gateway_on_redis(tmp_path: Path, test_snapshot: Any, url: str, upstream: Any) -> Any:
    """Run a gateway whose limits and cached responses are on Redis."""
    async with gateway(tmp_path, test_snapshot, one=upstream) as gw:
        live = gw.runtime
        live.redis_limiter = live.limiter = RedisLimiter(live.limiter.counters, url)
        live.redis_limiter.start()
        live.cache = cache_store.create_cache_store(
            b"pepper", 10**7, live.redis_limiter, None, None, None
        )
        yield gw


async def cached_keys(url: str, count: int = 1) -> list[bytes]:
    client = Redis.from_url(url)
    try:
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while len(keys := await client.keys(PREFIX + CACHE_PREFIX + "*")) < count:
                await asyncio.sleep(0.01)
        return [(await client.ttl(key)) for key in keys]
    finally:
        await client.aclose()


@pytest.mark.redis
@pytest.mark.parametrize("limits", [Limits(), Limits(requests_per_minute=9, tokens_per_minute=999)])
async def test_machines_share_responses_on_redis(
    tmp_path: Path, redis: RedisServer, limits: Limits
) -> None:
    upstream = CountingUpstream()
    test_snapshot = registry(cached(ttl_s=77), limits=limits)
    async with gateway_on_redis(tmp_path / "a", test_snapshot, redis.url, upstream) as first:
        response = await first.post(CHAT, REQUEST)
        (ttl,) = await cached_keys(redis.url)
        assert 77 - WAIT_TIMEOUT_S < ttl <= 77
    async with gateway_on_redis(tmp_path / "b", test_snapshot, redis.url, upstream) as second:
        second_reply = await second.post(CHAT, REQUEST)
        (row,) = await second.rows(1)
        assert not second.runtime.redis_limiter.settlements.waiting_rows or limits.tokens_per_minute
    assert second_reply.headers["x-dragoman-cache"] == "hit"
    assert second_reply.body == response.body
    assert upstream.count == 1
    assert (row.cache, row.cost_usd) == ("hit", 0)
    if limits.requests_per_minute:
        assert second_reply.headers["x-ratelimit-remaining-requests"] == "7"


@pytest.mark.redis
@pytest.mark.parametrize("actual_cached", [True, False])
@pytest.mark.parametrize("limits", [Limits(), Limits(requests_per_minute=99)])
async def test_limits_and_cached_response_are_read_in_one_redis_round_trip(
    tmp_path: Path, redis: RedisServer, limits: Limits, actual_cached: bool
) -> None:
    """Counted where the library writes: a pipeline is one write and one read."""
    upstream = CountingUpstream()
    test_snapshot = registry(cached(), limits=limits)
    async with gateway_on_redis(tmp_path, test_snapshot, redis.url, upstream) as gw:
        await gw.post(CHAT, REQUEST)
        await cached_keys(redis.url)
        limiter = gw.runtime.redis_limiter  # what the first one used is settled
        await wait_until_async(
            lambda: (
                not (
                    limiter.settlements.waiting_rows
                    or limiter._pending_cache_writes
                    or limiter._tasks
                )
            )
        )
        reset_process_state(gw)
        trips = _count_round_trips(gw.runtime.redis_limiter)
        reply = await gw.post(CHAT, REQUEST if actual_cached else {**REQUEST, "seed": 5})
        before_the_response = list(trips)
    assert reply.headers["x-dragoman-cache"] == ("hit" if actual_cached else "miss")
    assert before_the_response == [("EVALSHA", "GET") if limits.requests_per_minute else ("GET",)]


def _count_round_trips(limiter: Any) -> list[tuple[str, ...]]:
    """Count the writes to Redis from now on, without heartbeats."""
    rows: list[tuple[str, ...]] = []
    client, pipeline = limiter.client.redis.execute_command, limiter.client.redis.pipeline

    async def alone(*args: Any, **more: Any) -> Any:
        if args[0] == "GET" or args[0] == "EVALSHA" and b'"reserve":[]' not in args[-1]:
            rows.append((args[0],))
        return await client(*args, **more)

    def many(**more: Any) -> Any:
        pipe = pipeline(**more)
        execute = pipe.execute

        async def counted() -> Any:
            rows.append(tuple(command[0][0] for command in pipe.command_stack))
            return await execute()

        pipe.execute = counted
        return pipe

    limiter.client.redis.execute_command, limiter.client.redis.pipeline = alone, many
    return rows


@pytest.mark.redis
async def test_without_redis_the_memory_cache_is_used(tmp_path: Path, redis: RedisServer) -> None:
    upstream = CountingUpstream()
    async with gateway_on_redis(tmp_path, registry(cached()), redis.url, upstream) as gw:
        await gw.post(CHAT, REQUEST)
        redis.stop()
        start = time.monotonic()
        assert response_text(await gw.post(CHAT, REQUEST)) == "answer 1"
        assert (await gw.post(CHAT, {**REQUEST, "seed": 1})).status == 200
        assert time.monotonic() - start < 15


@pytest.mark.redis
async def test_a_redis_hit_is_served_while_no_target_is_usable(
    tmp_path: Path, redis: RedisServer
) -> None:
    upstream = CountingUpstream()
    shut = msgspec.structs.replace(cached(), steps=(RouteStep(order=1, min_context=10**6),))
    async with gateway_on_redis(tmp_path, registry(cached()), redis.url, upstream) as gw:
        await gw.post(CHAT, REQUEST)
        await cached_keys(redis.url)
        reset_process_state(gw)
        gw.runtime.swap(registry(shut))
        assert response_text(await gw.post(CHAT, REQUEST)) == "answer 1"
        assert (await gw.post(CHAT, {**REQUEST, "seed": 1})).status == 400
