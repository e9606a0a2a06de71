"""Spending that Redis gets twice, from a machine and from the database, counts once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.relay.exchange.call import Call
from gateway.relay.limits import redis_limiter
from gateway.routing.limits import UNITS, Budget
from tests.redis_server import RedisServer, running_server
from tests.relay.harness import provider
from tests.relay.test_limiter import limited_registry, priced_route
from tests.relay.test_redis_away import enter, restart, stop
from tests.relay.test_shared_limiter import LimiterNode, kind, machines, units_on

pytestmark = pytest.mark.redis
NAME = "key:1/usd/total"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with running_server(tmp_path) as server:
        yield server


@pytest.fixture(autouse=True)
def reconnects_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_limiter, "RECONNECT_S", 0.0)


async def reach(node: LimiterNode) -> None:
    """Run the script until Redis answers; idle connections may have ended."""
    for _ in range(20):
        await node.limiter.flush()
        if node.limiter.is_up:
            return
    raise AssertionError("Redis does not answer")


@pytest.mark.parametrize("recorded_first", [True, False])
async def test_spend_during_an_outage_is_not_counted_again_from_the_database(
    redis: RedisServer, recorded_first: bool
) -> None:
    registry = limited_registry(priced_route(provider("one")), budget=Budget(total_usd=Decimal(1)))
    async with machines(redis.url, registry) as ((first, second), _):
        first.limiter.sync_spend([(NAME, 1, UNITS // 10)])
        await reach(first)
        await reach(second)
        await stop(redis)
        await first.leave(await enter(first), 5, UNITS * 4 // 10)
        second.limiter.sync_spend([(NAME, 1, UNITS // 2)])  # the log has it
        redis.start()
        for node in (second, first) if recorded_first else (first, second):
            await reach(node)
        assert await units_on(redis) == UNITS // 2
        await second.leave(await enter(second), 5, UNITS // 4)
        assert await units_on(redis) == UNITS * 3 // 4


async def test_spend_that_the_database_does_not_have_yet_counts_after_a_reset(
    redis: RedisServer,
) -> None:
    registry = limited_registry(priced_route(provider("one")), budget=Budget(total_usd=Decimal(1)))
    async with machines(redis.url, registry) as ((first, second), _):
        for node in (first, second):
            node.limiter.sync_spend([(NAME, 1, UNITS * 6 // 10)])
            await reach(node)
        await stop(redis)
        await first.leave(await enter(first), 5, UNITS * 4 // 10)
        redis.start()
        await reach(second)
        await reach(first)
        assert kind(await second.enter()) == "quota"


@pytest.mark.parametrize("seed", range(4))
async def test_redis_and_the_database_agree_after_outages(redis: RedisServer, seed: int) -> None:
    """No cent is lost and none is counted twice, whoever sends what it knows first."""
    draw = random.Random(seed)
    registry = limited_registry(priced_route(provider("one")), budget=Budget(total_usd=Decimal(99)))
    spent_units = recorded_units = 0
    async with machines(redis.url, registry, 3) as (nodes, _):
        for turn in range(12):
            if turn % 4 == 1:
                await stop(redis)
            elif turn % 4 == 3:
                await restart(redis)
            for _ in range(6):
                node = draw.choice(nodes)
                call = await node.enter()
                assert isinstance(call, Call)
                units = draw.randrange(UNITS // 50)
                await node.leave(call, 5, units)
                spent_units += units
                if draw.random() < 0.4:
                    recorded_units = draw.randrange(recorded_units, spent_units + 1)
                    draw.choice(nodes).limiter.sync_spend([(NAME, 1, recorded_units)])
        draw.shuffle(nodes)
        for node in nodes:
            await reach(node)
        assert await units_on(redis) <= spent_units, "spending was counted twice"
        nodes[0].limiter.sync_spend([(NAME, 1, spent_units)])
        await reach(nodes[0])
        assert await units_on(redis) == spent_units
