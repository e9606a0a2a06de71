"""A Redis that stops, forgets or resets connections fails no request and loses no money."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from gateway.relay.exchange.call import Call
from gateway.relay.health.shared_circuit_breaker import KEY, RedisBreaker
from gateway.relay.limits import redis_client, redis_limiter
from gateway.relay.limits.redis_client import PREFIX, RedisUnavailable
from gateway.routing.cache_policy import CachePolicy
from gateway.routing.circuit_breaker import CircuitState
from gateway.routing.limits import UNITS, Budget, Limits
from tests.redis_server import RedisServer, running_server
from tests.relay.harness import gateway, provider, route
from tests.relay.test_limiter import CHAT, body, limited_registry, priced_route, response_with_usage
from tests.relay.test_shared_limiter import LimiterNode, kind, machines
from tests.waits import WAIT_TIMEOUT_S

pytestmark = pytest.mark.redis


async def stop(redis: RedisServer) -> None:
    await asyncio.to_thread(redis.stop)


async def restart(redis: RedisServer) -> None:
    await asyncio.to_thread(redis.stop)
    await asyncio.to_thread(redis.start)


async def flush(redis: RedisServer) -> None:
    client: Redis = Redis.from_url(redis.url)
    await client.flushall()
    await client.aclose()


async def kill_connections(redis: RedisServer) -> None:
    client: Redis = Redis.from_url(redis.url)
    await client.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")
    await client.aclose()


async def pause(redis: RedisServer) -> None:
    client: Redis = Redis.from_url(redis.url)
    await client.execute_command("CLIENT", "PAUSE", "3000", "ALL")
    await client.aclose()


FAULTS = {f.__name__: f for f in (stop, restart, flush, kill_connections, pause)}


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_request_fails_while_redis_is_unavailable(
    redis: RedisServer, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "TIMEOUT_S", 0.3)
    test_route = priced_route(provider("one", limits=Limits(concurrency=500)), cache=CachePolicy())
    registry = limited_registry(
        test_route,
        limits=Limits(requests_per_minute=10_000, tokens_per_hour=10**9, concurrency=400),
        budget=Budget(month_usd=Decimal(100)),
    )
    url = f"redis://127.0.0.1:{redis.port}/0"
    counts: Counter[int] = Counter()
    async with gateway(
        tmp_path, registry, one=lambda _: response_with_usage(5), redis_url=url
    ) as live:

        async def client(number: int) -> None:
            for turn in range(20):
                reply = await live.post(CHAT, body(seed=number * 1000 + turn))
                counts[reply.status] += 1
                await asyncio.sleep(0.01)

        clients = [asyncio.ensure_future(client(number)) for number in range(10)]
        await asyncio.sleep(0.05)
        await FAULTS[fault](redis)
        await asyncio.gather(*clients)
    assert counts == {200: 200}


class ResettingProxy:
    """A proxy in front of Redis that resets connections, some in the middle of a reply."""

    def __init__(self, port: int) -> None:
        self.resetting = False
        self.port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        waits = f"socket_timeout={WAIT_TIMEOUT_S}&socket_connect_timeout={WAIT_TIMEOUT_S}"
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0?{waits}"

    def begin(self) -> None:
        self.resetting = True
        for writer in list(self._writers):
            reset(writer)

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        theirs, out = await asyncio.open_connection("127.0.0.1", self.port)
        sending = asyncio.ensure_future(pass_on(reader, out))
        self._tasks += [asyncio.current_task(), sending]  # type: ignore[list-item]
        try:
            while data := await theirs.read(1 << 16):
                if self.resetting:
                    writer.write(data[: len(data) // 2])
                    await asyncio.sleep(0)
                    reset(writer)
                    break
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            sending.cancel()
            self._writers.discard(writer)
            out.close()
            writer.close()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)


def reset(writer: asyncio.StreamWriter) -> None:
    socket_ = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


RAISED = (RuntimeError, EOFError, AttributeError, IndexError, ConnectionResetError, TimeoutError)


@pytest.mark.parametrize("error_class", RAISED)
async def test_no_redis_exception_fails_a_request(
    redis: RedisServer,
    tmp_path: Path,
    error_class: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With uvloop, sending on a connection that was reset is a RuntimeError."""
    registry = limited_registry(
        priced_route(provider("one", limits=Limits(concurrency=50)), cache=CachePolicy()),
        limits=Limits(requests_per_minute=10_000, concurrency=40),
    )

    async def send(*args: object, **options: object) -> None:
        raise error_class("the handler is closed")

    async with gateway(
        tmp_path, registry, one=lambda _: response_with_usage(5), redis_url=redis.url
    ) as live:
        assert (await live.post(CHAT, body(seed=1))).status == 200
        monkeypatch.setattr(AbstractConnection, "send_packed_command", send)
        posts = [live.post(CHAT, body(seed=number)) for number in range(20)]
        counts = Counter(reply.status for reply in await asyncio.gather(*posts))
        monkeypatch.undo()
    assert counts == {200: 20}


async def test_a_restarted_redis_does_not_reset_a_budget(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_limiter, "RECONNECT_S", 0.0)
    registry = limited_registry(priced_route(provider("one")), budget=Budget(total_usd=Decimal(1)))
    for fault in (restart, flush):
        async with machines(redis.url, registry) as ((first, second), _):
            for machine in (first, second):
                machine.limiter.sync_spend([("key:1/usd/total", 1, UNITS * 6 // 10)])
            call = await first.enter()
            assert not isinstance(call, Exception)
            await first.leave(call, 5, UNITS * 4 // 10)
            assert kind(await second.enter()) == "quota"
            # The log has it a moment later; the other machine hears of it from there alone.
            second.limiter.sync_spend([("key:1/usd/total", 1, UNITS)])
            await fault(redis)
            assert kind(await first.enter()) == "quota"
            assert kind(await second.enter()) == "quota"
        await flush(redis)


async def test_spend_during_a_redis_outage_counts_afterwards(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_limiter, "RECONNECT_S", 0.0)
    registry = limited_registry(priced_route(provider("one")), budget=Budget(total_usd=Decimal(1)))
    async with machines(redis.url, registry) as ((first, second), _):
        assert kind(await first.enter(1)) == "ok"
        await stop(redis)
        call = await first.enter()
        assert not isinstance(call, Exception)
        await first.leave(call, 5, UNITS)
        await asyncio.to_thread(redis.start)
        # On a busy machine, `second` has not read the end of its idle connections yet.
        await second.limiter.client.redis.connection_pool.disconnect()
        assert kind(await first.enter()) == "quota"
        assert kind(await second.enter()) == "quota"


async def test_a_slot_of_an_unanswered_reservation_is_released(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_limiter, "RECONNECT_S", 0.0)
    registry = limited_registry(route("r", provider("one")), limits=Limits(concurrency=2))
    resets = ResettingProxy(redis.port)
    url = await resets.start()
    async with machines(url, registry, 1) as ((first,), clock):
        await first.limiter.flush()
        resets.resetting = True  # the script runs, its response does not arrive
        call = await first.enter()
        assert not isinstance(call, Exception)
        await first.leave(call)
        resets.resetting = False
        clock.now += redis_limiter.LEASE_S + 1
        event_kinds = [kind(await first.enter()) for _ in range(3)]
        assert event_kinds == ["ok", "ok", "rate_limit"]
    await resets.stop()


@pytest.mark.parametrize("phase", ["reply lost", "stopped", "in flight"])
async def test_an_outage_leaves_no_reservation_in_a_budget(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    """The counter of a budget without a period never expires."""
    monkeypatch.setattr(redis_limiter, "RECONNECT_S", 0.0)
    registry = limited_registry(priced_route(provider("one")), budget=Budget(total_usd=Decimal(9)))
    resets = ResettingProxy(redis.port)
    async with machines(await resets.start(), registry, 1) as ((first,), _):
        calls = [await enter(first)]
        resets.begin()
        if phase == "reply lost":  # the script runs, its response does not arrive
            calls.append(await enter(first))
        if phase != "in flight":
            await first.leave(calls.pop(), 5, 1)
        await first.limiter.flush()
        resets.resetting = False
        for call in [*calls, await enter(first)]:
            await first.leave(call, 5, 1)
        client: Redis = Redis.from_url(redis.url)
        fields = await client.hkeys(PREFIX + "key:1/usd/total")
        await client.aclose()
    assert [field for field in fields if field.startswith(b"r")] == []
    await resets.stop()


async def enter(machine: LimiterNode) -> Call:
    call = await machine.enter()
    assert isinstance(call, Call)
    return call


async def kinds(*pending_calls: LimiterNode) -> list[str]:
    return [kind(await machine.enter()) for machine in pending_calls]


@pytest.mark.parametrize("fault", [restart, flush])
async def test_requests_in_flight_at_a_reset_keep_their_slots(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    monkeypatch.setattr(redis_limiter, "RECONNECT_S", 0.0)
    registry = limited_registry(
        route("r", provider("one", limits=Limits(concurrency=9))), limits=Limits(concurrency=4)
    )
    async with machines(redis.url, registry) as ((first, second), _):
        calls = [(machine, await enter(machine)) for machine in (first, second, second)]
        await fault(redis)
        for machine in (first, second):  # as their heartbeats do
            await machine.limiter.flush()
        assert await kinds(first, second, first) == ["ok", "rate_limit", "rate_limit"]
        for machine, call in calls:
            await machine.leave(call)
        assert await kinds(first, second, first, second) == ["ok", "ok", "ok", "rate_limit"]


@pytest.mark.parametrize("first_caller", ["known", "new"])
async def test_slots_that_ended_after_the_snapshot_of_a_restarted_redis_are_free(
    redis: RedisServer, first_caller: str
) -> None:
    """A restart between two calls is no error: idle connections are replaced silently."""
    registry = limited_registry(route("r", provider("one")), limits=Limits(concurrency=3))
    async with machines(redis.url, registry, 3) as ((first, second, new), _):
        calls = [(machine, await enter(machine)) for machine in (first, second)]
        client: Redis = Redis.from_url(redis.url)
        await client.save()
        await client.aclose()
        for machine, call in calls:
            await machine.leave(call)
        await restart(redis)
        for machine in (first, second):
            await machine.limiter.client.redis.connection_pool.disconnect()
        callers = [new, first, second] if first_caller == "new" else [first, second]
        for machine in callers:  # as their heartbeats do
            await machine.limiter.flush()
        assert await kinds(first, second, first, second) == ["ok", "ok", "ok", "rate_limit"]


async def test_limits_are_shared_by_a_user_that_may_not_run_info(redis: RedisServer) -> None:
    client: Redis = Redis.from_url(redis.url)
    await client.execute_command("ACL", "SETUSER", "default", "-info")
    await client.aclose()
    registry = limited_registry(route("r", provider("one")), limits=Limits(concurrency=2))
    async with machines(redis.url, registry) as ((first, second), _):
        assert await kinds(first, second, first) == ["ok", "ok", "rate_limit"]


async def test_a_slot_that_was_answered_only_after_the_reset_counts(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(concurrency=2))
    async with machines(redis.url, registry) as ((first, second), _):
        await first.limiter.flush()
        run = first.limiter.client.run_script
        reset_seen = asyncio.Event()

        async def answer_late(*args: Any) -> Any:
            monkeypatch.undo()
            response = await run(*args)
            await flush(redis)
            await first.limiter.flush()
            reset_seen.set()
            return response

        monkeypatch.setattr(first.limiter.client, "run_script", answer_late)
        late_call = await enter(first)
        assert reset_seen.is_set()
        assert await kinds(first, second) == ["ok", "rate_limit"]
        await first.leave(late_call)
        assert await kinds(second, second) == ["ok", "rate_limit"]


async def test_requests_in_flight_count_during_and_after_a_redis_outage(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_limiter, "RECONNECT_S", 0.0)
    registry = limited_registry(route("r", provider("one")), limits=Limits(concurrency=3))
    async with machines(redis.url, registry) as ((first, second), _):
        before = await enter(first)
        await stop(redis)
        away = await enter(first)
        assert await kinds(first, first) == ["ok", "rate_limit"], "it counts alone, and all it has"
        await first.leave(before)
        assert await kinds(first, first) == ["ok", "rate_limit"]
        await asyncio.to_thread(redis.start)
        await first.limiter.flush()
        assert await kinds(second) == ["rate_limit"], "what began while Redis was away counts"
        await first.leave(away)
        assert await kinds(second, second) == ["ok", "rate_limit"]


async def reserved_amounts(redis: RedisServer) -> list[int]:
    client: Redis = Redis.from_url(redis.url)
    fields = await client.hgetall(f"{PREFIX}key:1/concurrency/")
    await client.aclose()
    return [int(amount) for name, amount in fields.items() if name.startswith(b"r")]


@pytest.mark.parametrize("seed", range(3))
async def test_concurrency_slots_are_exact_after_any_resets_and_lost_replies(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(redis_limiter, "RECONNECT_S", 0.0)
    draw = random.Random(seed)
    registry = limited_registry(route("r", provider("one")), limits=Limits(concurrency=6))
    async with machines(redis.url, registry) as ((first, second), _):
        running: list[tuple[LimiterNode, Call]] = []

        async def lose_an_answer(machine: LimiterNode) -> None:
            client = machine.limiter.client
            run = client.run_script

            async def run_and_lose(*args: Any) -> Any:
                await run(*args)
                raise RedisUnavailable("lost")

            with monkeypatch.context() as patch:
                patch.setattr(client, "run_script", run_and_lose)
                await machine.limiter.flush()

        for _ in range(150):
            machine = draw.choice([first, second])
            step = draw.random()
            if step < 0.05:
                await flush(redis)
            elif step < 0.1:
                await lose_an_answer(machine)
            elif running and step < 0.5:
                machine, call = running.pop(draw.randrange(len(running)))
                machine.limiter.settle(call, 0, 0)
            for limiter_node in (first, second):
                await limiter_node.limiter.flush()
            admitted = await machine.enter()
            assert kind(admitted) == ("ok" if len(running) < 6 else "rate_limit")
            if isinstance(admitted, Call):
                running.append((machine, admitted))
        for machine, call in running:
            await machine.leave(call)
        assert min(await reserved_amounts(redis), default=0) >= 0
        assert await kinds(first, second, *[first] * 5) == ["ok"] * 6 + ["rate_limit"]


async def make_replica(redis: RedisServer, primary: RedisServer) -> None:
    client: Redis = Redis.from_url(redis.url)
    await client.replicaof("127.0.0.1", primary.port)  # type: ignore[no-untyped-call]
    await client.aclose()


async def test_limits_follow_the_host_name_to_the_new_primary_after_a_failover(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old primary stays up as a replica: it keeps connections, and rejects all writes."""
    monkeypatch.setattr(redis_limiter, "RECONNECT_S", 0.0)
    registry = limited_registry(route("r", provider("one")), limits=Limits(concurrency=2))
    host_name = ResettingProxy(redis.port)
    url = await host_name.start()
    with running_server(tmp_path) as new_primary:
        async with machines(url, registry) as ((first, second), _):
            calls = [(machine, await enter(machine)) for machine in (first, second)]
            await make_replica(redis, new_primary)
            host_name.port = new_primary.port
            for machine in (first, second) * 2:  # as their heartbeats do
                await machine.limiter.flush()
            assert [first.limiter.is_up, second.limiter.is_up] == [True, True]
            assert await kinds(first, second) == ["rate_limit", "rate_limit"]
            for machine, call in calls:
                await machine.leave(call)
    await host_name.stop()


async def test_circuits_are_published_to_the_new_primary_after_a_failover(
    redis: RedisServer, tmp_path: Path
) -> None:
    host_name = ResettingProxy(redis.port)
    breaker = RedisBreaker(tmp_path / "breaker", await host_name.start())
    with running_server(tmp_path) as new_primary:
        client: Redis = Redis.from_url(new_primary.url)
        await breaker._push_states("p/one", CircuitState())
        await make_replica(redis, new_primary)
        host_name.port = new_primary.port
        state = CircuitState(open_until=time.monotonic() + 60)
        for _ in range(2):
            await breaker._push_states("p/one", state)
        assert await client.hkeys(KEY) == [b"p/one"]
        await client.aclose()
        await breaker.stop()
    await host_name.stop()
