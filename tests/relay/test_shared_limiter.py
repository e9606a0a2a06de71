"""Limits on Redis behave for several machines as local counters do for one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from gateway.canon.errors import GatewayError
from gateway.dialects import DIALECTS
from gateway.relay.cache import store as cache_store
from gateway.relay.cache.memory import MemoryCache
from gateway.relay.exchange.call import Call, Exchange
from gateway.relay.limits import redis_limiter
from gateway.relay.limits.limiter import Limiter
from gateway.relay.limits.redis_client import PREFIX, RedisUnavailable
from gateway.relay.limits.redis_limiter import RedisLimiter
from gateway.relay.limits.shared_counters import SharedCounters
from gateway.routing.cache_policy import CachePolicy
from gateway.routing.limits import UNITS, Budget, Limits
from gateway.routing.snapshot import Route, Snapshot
from tests.redis_server import RedisServer
from tests.relay.harness import gateway, provider, route
from tests.relay.test_limiter import CHAT, body, limited_registry, priced_route, response_with_usage
from tests.waits import WAIT_TIMEOUT_S

pytestmark = pytest.mark.redis
NOW = 1_800_000_000.0


class Clock:
    """A clock that only moves when set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class LimiterNode:
    """A limiter of one of several machines."""

    def __init__(self, url: str, registry: Snapshot, clock: Clock) -> None:
        self.limiter = RedisLimiter(SharedCounters(), url, clock=clock)
        self.registry = registry
        self.clock = clock

    def call(self, max_tokens: int = 10) -> Call:
        (key,) = self.registry.keys.values()
        exchange = Exchange(
            request_id="r",
            endpoint="/v1/chat/completions",
            verb="generate",
            dialect=DIALECTS["openai_chat"],
            snapshot=self.registry,
            headers={},
            started=0.0,
        )
        exchange.started_at = self.clock.now
        exchange.key, exchange.route = key, self.route
        exchange.fields = {"max_tokens": msgspec.Raw(b"%d" % max_tokens)}
        return Call(exchange)

    @property
    def route(self) -> Route:
        return self.registry.routes["r"]

    async def enter(self, max_tokens: int = 10) -> Call | GatewayError:
        call = self.call(max_tokens)
        admission = await self.limiter.admit(call, self.route, self.route.targets[0])
        if admission.refusal is None:
            return call
        if not admission.ends_request:
            await self.leave(call)
        return GatewayError(admission.refusal)

    async def leave(self, call: Call, tokens: int = 0, units: int = 0) -> None:
        self.limiter.settle(call, tokens, units)
        await self.limiter.flush()


@asynccontextmanager
async def machines(
    url: str, registry: Snapshot, count: int = 2
) -> AsyncIterator[tuple[list[LimiterNode], Clock]]:
    clock = Clock()
    created_machines = [LimiterNode(url, registry, clock) for _ in range(count)]
    try:
        yield created_machines, clock
    finally:
        for node in created_machines:
            await node.limiter.close()


def kind(call: Call | GatewayError) -> str:
    return call.error.kind if isinstance(call, GatewayError) else "ok"


async def test_machines_share_a_limit_of_requests(redis: RedisServer) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(requests_per_minute=5))
    async with machines(redis.url, registry) as ((first, second), clock):
        kinds = [kind(await node.enter()) for node in (first, second) * 4]
        assert kinds == ["ok"] * 5 + ["rate_limit"] * 3
        refusal = await first.enter()
        assert isinstance(refusal, GatewayError)
        wait = refusal.error.retry_after_s
        assert wait is not None and 60 <= wait <= 66
        clock.now += wait
        assert kind(await second.enter()) == "ok"


async def test_concurrent_requests_never_exceed_the_limit(redis: RedisServer) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(requests_per_hour=37))
    async with machines(redis.url, registry, 4) as (many, _):
        results = await asyncio.gather(*(node.enter() for node in many * 30))
    assert [kind(f) for f in results].count("ok") == 37


async def test_the_redis_script_equals_the_python_limiter(redis: RedisServer) -> None:
    """The same schedule on Redis and on local counters, step by step."""
    test_route = priced_route(provider("one", limits=Limits(tokens_per_day=4000)))
    target = msgspec.structs.replace(
        test_route.targets[0], limits=Limits(concurrency=3), budget=Budget(week_usd=Decimal("0.01"))
    )
    registry = limited_registry(
        msgspec.structs.replace(
            test_route, targets=(target,), key_limits=Limits(requests_per_hour=90)
        ),
        limits=Limits(requests_per_minute=20, tokens_per_minute=300, concurrency=4),
        budget=Budget(day_usd=Decimal("0.004"), total_usd=Decimal("0.02")),
    )
    registry = msgspec.structs.replace(registry, limits=Limits(tokens_per_hour=5000))
    draw = random.Random(11)
    async with machines(redis.url, registry, 1) as ((far,), clock):
        near = Limiter(SharedCounters(), clock=clock)
        running: list[tuple[Call, Call]] = []
        values = set()
        for _ in range(600):
            clock.now += draw.choice([0.0, 0.1, 1.0, 4.9, 30.0, 61.0, 4000.0, 90_000.0])
            if running and draw.random() < 0.5:
                near_call, far_call = running.pop(draw.randrange(len(running)))
                tokens, units = draw.randrange(90), draw.randrange(UNITS // 3000)
                near.settle(near_call, tokens, units)
                await far.leave(far_call, tokens, units)
                continue
            amount = draw.choice([10, 40, 200])
            far_call = await far.enter(amount)
            near_call: Any = far.call(amount)
            admission = await near.admit(near_call, far.route, far.route.targets[0])
            if admission.refusal is not None:
                if not admission.ends_request:
                    near.settle(near_call, 0, 0)
                near_call = GatewayError(admission.refusal)
            assert kind(far_call) == kind(near_call)
            values.add(kind(near_call))
            if isinstance(far_call, GatewayError):
                assert far_call.error == near_call.error
            else:
                assert far_call.limit_headers == near_call.limit_headers
                running.append((near_call, far_call))
        assert values == {"ok", "rate_limit", "quota"}


async def test_reservations_of_a_dead_machine_expire(redis: RedisServer) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(concurrency=1))
    async with machines(redis.url, registry) as ((first, second), clock):
        assert kind(await first.enter()) == "ok"
        clock.now += redis_limiter.LEASE_S - 1
        assert kind(await second.enter()) == "rate_limit"
        clock.now += 2
        assert kind(await second.enter()) == "ok"


async def test_scripts_under_way_end_before_the_last_one(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later one would renew the lease of a process that has ended, on a new connection."""
    limiter = RedisLimiter(SharedCounters(), redis.url)
    run, started = limiter.client.run_script, asyncio.Event()
    leases: list[float] = []

    async def run_slowly(payload: bytes, *args: Any) -> Any:
        lease_s = msgspec.json.decode(payload)["lease_s"]
        started.set()
        await asyncio.sleep(0.2 if lease_s else 0)
        leases.append(lease_s)
        return await run(payload, *args)

    monkeypatch.setattr(limiter.client, "run_script", run_slowly)
    limiter.sync_spend([("key:1:total", 0, 1)])
    await asyncio.wait_for(started.wait(), WAIT_TIMEOUT_S)
    await limiter.close()
    await asyncio.sleep(0.5)
    assert len(leases) > 1
    assert leases[-1] == 0


async def test_a_machine_with_heartbeats_keeps_its_reservations(
    redis: RedisServer,
) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(concurrency=1))
    async with machines(redis.url, registry) as ((first, second), clock):
        reservation = await first.enter()
        for _ in range(4):
            clock.now += redis_limiter.LEASE_S - 1
            await first.limiter.flush()
            assert kind(await second.enter()) == "rate_limit"
        assert isinstance(reservation, Call)
        await first.leave(reservation)
        assert kind(await second.enter()) == "ok"


async def test_a_client_that_disconnects_during_the_redis_call_frees_its_slot(
    redis: RedisServer,
) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(concurrency=1))
    async with machines(redis.url, registry) as ((first, second), _):
        asking = asyncio.ensure_future(first.enter())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while kind(await second.enter()) != "ok":
                await first.limiter.flush()


async def test_spend_is_settled_exactly(redis: RedisServer) -> None:
    registry = limited_registry(priced_route(provider("one")), budget=Budget(total_usd=Decimal(3)))
    async with machines(redis.url, registry, 3) as (many, _):
        amounts = [random.Random(n).randrange(1, UNITS // 50) for n in range(90)]

        async def one(number: int, units: int) -> None:
            node = many[number % 3]
            call = await node.enter()
            assert isinstance(call, Call)
            await node.leave(call, 5, units)

        await asyncio.gather(*(one(*breaker_pair) for breaker_pair in enumerate(amounts)))
        client: Redis = Redis.from_url(redis.url)
        stored_hash = await client.hgetall(f"{PREFIX}key:1/usd/total")
        await client.aclose()
    assert {name: int(value) for name, value in stored_hash.items()} == {b"w1": sum(amounts)}


async def test_a_machine_whose_clock_is_ahead_does_not_end_the_budget_of_others(
    redis: RedisServer,
) -> None:
    registry = limited_registry(priced_route(provider("one")), budget=Budget(day_usd=Decimal(1)))
    async with machines(redis.url, registry) as ((first, second), _):
        first.clock = Clock()
        first.clock.now += 3600 * 24
        for node in (first, second):
            call = await node.enter()
            assert isinstance(call, Call)
            await node.leave(call, 5, UNITS)
            assert kind(await node.enter()) == "quota"


async def test_spend_of_old_windows_is_deleted_from_redis(redis: RedisServer) -> None:
    registry = limited_registry(priced_route(provider("one")), budget=Budget(day_usd=Decimal(1)))
    async with machines(redis.url, registry, 1) as ((node,), clock):
        for _ in range(60):
            call = await node.enter()
            assert isinstance(call, Call)
            await node.leave(call, 5, UNITS // 2)
            clock.now += 3600 * 24
        client: Redis = Redis.from_url(redis.url)
        assert await client.hlen(f"{PREFIX}key:1/usd/day") < 45
        await client.aclose()


async def test_counts_of_a_redis_whose_clock_was_ahead_do_not_block_until_then(
    redis: RedisServer,
) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(requests_per_minute=2))
    async with machines(redis.url, registry, 1) as ((node,), clock):
        for shift in (3600, -3600):
            clock.now += shift
            kinds = [kind(await node.enter()) for _ in range(3)]
            assert kinds == ["ok", "ok", "rate_limit"]


async def test_a_repeated_settlement_after_a_lost_reply_counts_once(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = limited_registry(priced_route(provider("one")), budget=Budget(total_usd=Decimal(3)))
    async with machines(redis.url, registry) as ((first, second), _):
        calls = [await node.enter() for node in (first, second)]
        run = first.limiter.client.run_script

        async def answer_lost(*args: Any) -> Any:
            await run(*args)
            raise RedisUnavailable("lost")

        monkeypatch.setattr(first.limiter.client, "run_script", answer_lost)
        for node, call, units in zip((first, second), calls, (1000, 200), strict=True):
            assert isinstance(call, Call)
            await node.leave(call, 5, units)
        assert not first.limiter.is_up
        monkeypatch.undo()
        away = await first.enter()  # Redis is taken for away: counted there alone
        assert isinstance(away, Call)
        await first.leave(away, 5, 30)
        for _ in range(2):
            await first.limiter.flush()
        assert first.limiter.is_up
        assert await units_on(redis) == 1230


async def test_a_concurrent_repeated_settlement_counts_once(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restarted process must not count usage that it is already sending to Redis."""
    registry = limited_registry(priced_route(provider("one")), budget=Budget(total_usd=Decimal(3)))
    async with machines(redis.url, registry, 1) as ((first,), _):
        call = await first.enter()
        assert isinstance(call, Call)
        first.limiter.lease.epoch = ""  # as if it had never asked
        run = first.limiter.client.run_script

        async def slow(*args: Any) -> Any:
            response = await run(*args)
            if response[0] == -1 and call.reservations:
                first.limiter.settle(call, 5, 700)
                monkeypatch.undo()
            return response

        monkeypatch.setattr(first.limiter.client, "run_script", slow)
        await first.limiter.flush()
        await first.limiter.flush()
        assert await units_on(redis) == 700


async def units_on(redis: RedisServer) -> int:
    client: Redis = Redis.from_url(redis.url)
    spent = await client.hget(f"{PREFIX}key:1/usd/total", "w1")
    await client.aclose()
    return int(spent or 0)


async def test_spend_of_the_database_is_counted_once(redis: RedisServer) -> None:
    registry = limited_registry(priced_route(provider("one")), budget=Budget(total_usd=Decimal(1)))
    async with machines(redis.url, registry) as ((first, second), _):
        for node in (first, second):
            node.limiter.sync_spend([("key:1/usd/total", 1, UNITS * 9 // 10)])
            await node.limiter.flush()
        call = await first.enter()
        assert isinstance(call, Call)
        await first.leave(call, 5, UNITS // 10)
        assert kind(await second.enter()) == "quota"


async def test_one_request_is_one_redis_round_trip(redis: RedisServer) -> None:
    registry = limited_registry(
        priced_route(provider("one", limits=Limits(concurrency=9))),
        limits=Limits(requests_per_minute=90, tokens_per_hour=10**6),
        budget=Budget(month_usd=Decimal(1)),
    )
    async with machines(redis.url, registry, 1) as ((first,), _):
        await first.enter()
        client: Redis = Redis.from_url(redis.url)
        before = (await client.info("commandstats"))["cmdstat_evalsha"]["calls"]
        reservation = None
        for _ in range(20):
            if reservation is not None:
                first.limiter.settle(reservation, 10, 10)  # goes along with the next
            reservation = await first.enter()
            assert isinstance(reservation, Call)
        after = (await client.info("commandstats"))["cmdstat_evalsha"]["calls"]
        await client.aclose()
    assert after - before == 20


async def test_without_redis_each_machine_counts_alone(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(redis_limiter, "RECONNECT_S", 0.1)
    registry = limited_registry(route("r", provider("one")), limits=Limits(requests_per_minute=3))
    async with machines(redis.url, registry) as ((first, second), _):
        assert kind(await first.enter()) == "ok"
        redis.stop()
        kinds = [kind(await node.enter()) for node in (first, second) * 5]
        assert kinds.count("ok") == 6, "three of each"
        redis.start()
        await asyncio.sleep(0.2)
        kinds = [kind(await node.enter()) for node in (first, second) * 5]
        assert kinds.count("ok") == 3, "Redis has forgotten, and counts for both again"
    assert caplog.text.count("Redis is unavailable") == 2
    assert caplog.text.count("Redis is available again") == 2


class RoundTripCounter:
    """A proxy in front of Redis that counts round trips; pipelined commands are one."""

    def __init__(self, port: int) -> None:
        self.count = 0
        self._port = port
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, out = await asyncio.open_connection("127.0.0.1", self._port)
        is_waiting = False

        async def ask() -> None:
            nonlocal is_waiting
            while data := await reader.read(1 << 20):
                self.count += not is_waiting
                is_waiting = True
                out.write(data)
            out.close()

        async def respond() -> None:
            nonlocal is_waiting
            while data := await theirs.read(1 << 20):
                is_waiting = False
                writer.write(data)
            writer.close()

        await asyncio.gather(ask(), respond())


async def test_limits_budget_and_cache_of_a_request_are_one_redis_round_trip(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settlement, reservation, cache lookup and cache write are one pipeline."""
    monkeypatch.setattr(redis_limiter, "FLUSH_S", 60.0)
    registry = limited_registry(
        priced_route(provider("one", limits=Limits(concurrency=9)), cache=CachePolicy()),
        limits=Limits(requests_per_minute=900, tokens_per_hour=10**7, concurrency=5),
        budget=Budget(month_usd=Decimal(1)),
    )
    round_trips = RoundTripCounter(redis.port)
    url = await round_trips.start()
    async with gateway(tmp_path, registry, one=lambda _: response_with_usage(5)) as live:
        runtime = live.runtime
        runtime.redis_limiter = runtime.limiter = RedisLimiter(runtime.limiter.counters, url)
        runtime.cache = cache_store.create_cache_store(
            b"pepper", 10**7, runtime.redis_limiter, None, None, None
        )
        await live.post(CHAT, body(seed=0))  # the connection, and the script
        for number in range(1, 21):
            before = round_trips.count
            reply = await live.post(CHAT, body(seed=number))
            assert (reply.status, reply.headers["x-dragoman-cache"]) == (200, "miss")
            assert round_trips.count - before == 1
        await runtime.redis_limiter.flush()
        runtime.cache.memory = MemoryCache(10**7)
        before = round_trips.count
        second_reply = await live.post(CHAT, body(seed=0))
        assert second_reply.headers["x-dragoman-cache"] == "hit"
        assert round_trips.count - before == 1
    await round_trips.close()
