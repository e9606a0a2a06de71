"""Limits and budgets skip a target or provider; if all are exhausted, the request is refused."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.edge.admission import key_digest
from gateway.routing import limits as counting
from gateway.routing.limits import UNITS, Budget, Limits
from gateway.routing.snapshot import ApiKey, Route
from tests.relay.harness import (
    PEPPER,
    Gateway,
    completion,
    gateway,
    provider,
    refusal,
    route,
    snapshot,
)
from tests.relay.test_limiter import CHAT, body, priced_route, reserved_amounts, response_with_usage

ONE, TWO = provider("one"), provider("two", id=2)
# The 50 tokens of `used(50)`, at two dollars for a million.
RESPONSE = Decimal("0.0001")


def with_first_limits(test_route: Route, **changes: Any) -> Route:
    """Return the route with limits or a budget of its first target."""
    first, *other_targets = test_route.targets
    return msgspec.structs.replace(
        test_route, targets=(msgspec.structs.replace(first, **changes), *other_targets)
    )


async def send_chat(live: Gateway, **more: Any) -> tuple[int, str]:
    """Return the status, and the provider that answered."""
    reply = await live.post(CHAT, body(**more))
    target = reply.headers.get("x-dragoman-target", "")
    return reply.status, target.partition("/")[0]


def responses(**more: Any) -> dict[str, Any]:
    return {
        "one": lambda _: response_with_usage(50),
        "two": lambda _: response_with_usage(50),
        **more,
    }


async def test_a_target_at_its_limit_is_skipped_with_a_reason(tmp_path: Path) -> None:
    registry = snapshot(
        with_first_limits(priced_route(ONE, TWO), limits=Limits(requests_per_minute=1))
    )
    async with gateway(tmp_path, registry, **responses()) as live:
        assert await send_chat(live) == (200, "one")
        assert await send_chat(live) == (200, "two")
        skipped, answering = (await live.rows(2))[-1].attempts
    assert skipped.skipped is not None
    assert "the target one/gpt-4.1 is limited to 1 request per minute" in skipped.skipped
    assert answering.skipped is None


async def test_a_full_only_target_refuses_the_request(tmp_path: Path) -> None:
    registry = snapshot(with_first_limits(priced_route(ONE), limits=Limits(requests_per_minute=1)))
    async with gateway(tmp_path, registry, **responses()) as live:
        await send_chat(live)
        reply = await live.post(CHAT, body())
    assert reply.status == 429
    assert 0 < int(reply.headers["retry-after"]) <= 65


async def test_each_target_has_limits_of_its_own(tmp_path: Path) -> None:
    """Two targets of one provider, and two routes, are counted separately."""
    limits = Limits(requests_per_minute=1)
    first = with_first_limits(priced_route(ONE, ONE), limits=limits)
    only = msgspec.structs.replace(first.targets[0], id=9)
    other = msgspec.structs.replace(first, id=2, name="s", targets=(only,))
    registry = snapshot(first, other)
    async with gateway(tmp_path, registry, **responses()) as live:
        assert (await live.post(CHAT, body())).status == 200
        assert (await live.post(CHAT, body())).status == 200, "the second target of the route"
        assert (await live.post(CHAT, body(model="s"))).status == 200
        assert (await live.post(CHAT, body(model="s"))).status == 429


async def test_a_targets_concurrency_is_limited(tmp_path: Path) -> None:
    registry = snapshot(with_first_limits(priced_route(ONE, TWO), limits=Limits(concurrency=1)))
    event, may_continue = asyncio.Event(), asyncio.Event()

    async def slow(_: httpx.Request) -> httpx.Response:
        event.set()
        await may_continue.wait()
        return response_with_usage(50)

    async with gateway(tmp_path, registry, **responses(one=slow)) as live:
        first = asyncio.create_task(send_chat(live))
        await event.wait()
        assert await send_chat(live) == (200, "two")
        may_continue.set()
        assert await first == (200, "one")
        assert await send_chat(live) == (200, "one")
        await live.rows(3)
        assert reserved_amounts(live, "target:1/concurrency/") == [0]


async def test_a_failed_attempt_releases_its_reservation(tmp_path: Path) -> None:
    limits = Limits(concurrency=1, tokens_per_minute=10**6)
    test_snapshot = with_first_limits(
        priced_route(ONE, TWO), limits=limits, budget=Budget(day_usd=Decimal(1))
    )
    async with gateway(
        tmp_path, snapshot(test_snapshot), **responses(one=lambda _: refusal(503))
    ) as live:
        assert await send_chat(live) == (200, "two")
        await live.rows(1)
        names = ("target:1/concurrency/", "target:1/tokens/minute", "target:1/usd/day")
        assert reserved_amounts(live, *names) == [0, 0, 0]
        assert await spent_usd(live, "target:1/usd/day", "day") == 0


@pytest.mark.parametrize("owner", ["target", "provider"])
async def test_a_target_with_a_spent_budget_is_skipped(tmp_path: Path, owner: str) -> None:
    """LiteLLM's budget routing: the call that exceeds the budget is the last one."""
    budget = Budget(day_usd=RESPONSE / 2)
    test_snapshot = with_first_limits(priced_route(ONE, TWO), budget=budget)
    if owner == "provider":
        test_snapshot = priced_route(msgspec.structs.replace(ONE, budget=budget), TWO)
    async with gateway(tmp_path, snapshot(test_snapshot), **responses()) as live:
        assert await send_chat(live) == (200, "one")
        await live.rows(1)
        assert await spent_usd(live, f"{owner}:1/usd/day", "day") == RESPONSE
        assert await send_chat(live) == (200, "two")
        row = (await live.rows(2))[-1]
    assert row.attempts[0].skipped is not None
    assert "the daily budget of 0.00005 USD" in row.attempts[0].skipped


async def test_all_budgets_spent_is_a_quota(tmp_path: Path) -> None:
    test_snapshot = with_first_limits(priced_route(ONE), budget=Budget(total_usd=RESPONSE / 2))
    async with gateway(tmp_path, snapshot(test_snapshot), **responses()) as live:
        await send_chat(live)
        await live.rows(1)
        reply = await live.post(CHAT, body())
    assert (reply.status, reply.json()["error"]["code"]) == (429, "insufficient_quota")


async def test_a_budget_is_not_overrun_by_many_at_a_time(tmp_path: Path) -> None:
    test_snapshot = with_first_limits(priced_route(ONE, TWO), budget=Budget(day_usd=RESPONSE * 2))
    async with gateway(tmp_path, snapshot(test_snapshot), **responses()) as live:
        results = await asyncio.gather(*(send_chat(live, max_tokens=50) for _ in range(8)))
        await live.rows(8)
        assert await spent_usd(live, "target:1/usd/day", "day") <= RESPONSE * 2
    assert {status for status, _ in results} == {200}


async def test_a_markup_counts_in_the_budget_of_a_provider(tmp_path: Path) -> None:
    doubled = msgspec.structs.replace(
        ONE, markup=Decimal(2), budget=Budget(day_usd=RESPONSE * Decimal("1.5"))
    )
    async with gateway(tmp_path, snapshot(priced_route(doubled, TWO)), **responses()) as live:
        assert await send_chat(live) == (200, "one")
        await live.rows(1)
        assert await spent_usd(live, "provider:1/usd/day", "day") == RESPONSE * 2
        assert await send_chat(live) == (200, "two")


async def test_all_requests_share_the_limits_of_the_gateway(tmp_path: Path) -> None:
    other = msgspec.structs.replace(priced_route(ONE), id=2, name="s")
    registry = snapshot(priced_route(ONE), other, limits=Limits(requests_per_minute=2))
    async with gateway(tmp_path, registry, **responses()) as live:
        assert (await live.post(CHAT, body())).status == 200
        assert (await live.post(CHAT, body(model="s"))).status == 200
        reply = await live.post(CHAT, body())
    assert reply.status == 429
    assert "the gateway is limited to 2 requests per minute" in reply.json()["error"]["message"]


async def test_all_requests_share_the_budget_of_the_gateway(tmp_path: Path) -> None:
    registry = snapshot(priced_route(ONE), budget=Budget(month_usd=RESPONSE / 2))
    async with gateway(tmp_path, registry, **responses()) as live:
        assert (await live.post(CHAT, body())).status == 200
        await live.rows(1)
        reply = await live.post(CHAT, body())
        assert len(live.upstreams.requests) == 1
    assert (reply.status, reply.json()["error"]["code"]) == (429, "insufficient_quota")


async def test_each_key_has_the_limits_of_a_route(tmp_path: Path) -> None:
    test_route = msgspec.structs.replace(
        priced_route(ONE), key_limits=Limits(requests_per_minute=1)
    )
    second = ApiKey(id=2, prefix="sk-dgm-tw", name="two", digest=key_digest("sk-dgm-two", PEPPER))
    registry = snapshot(test_route)
    registry = msgspec.structs.replace(registry, keys={**registry.keys, second.digest: second})
    async with gateway(tmp_path, registry, **responses()) as live:
        assert (await live.post(CHAT, body())).status == 200
        reply = await live.post(CHAT, body())
        assert (await live.post(CHAT, body(), key="sk-dgm-two")).status == 200
    assert reply.status == 429
    text = "this API key on the model r is limited to 1 request per minute"
    assert text in reply.json()["error"]["message"]


async def test_a_retry_precedes_the_next_target_where_configured(
    tmp_path: Path,
) -> None:
    """For the same failure, live traffic retries the first target or calls the second."""
    for first, expected in ((True, ["one", "one"]), (False, ["one", "two"])):
        broken = iter([refusal(503)])
        test_route = route(
            "r",
            ONE,
            TWO,
            retries=1,
            retry_before_fallback=first,
            backoff_s=0.0,
            strategy="weighted",
        )
        answer_by_host = {"one": lambda _, broken=broken: next(broken, completion())}
        directory = tmp_path / str(first)
        directory.mkdir()
        async with gateway(directory, snapshot(test_route), **responses(**answer_by_host)) as live:
            assert (await live.post(CHAT, body())).status == 200
            assert [
                upstream_request.url.host.split(".")[0]
                for upstream_request in live.upstreams.requests
            ] == expected


async def spent_usd(live: Gateway, name: str, span: str) -> Decimal:
    """Return the US dollars that a budget has counted."""
    board, limiter = live.runtime.limiter.counters, live.runtime.limiter
    offset = board.counter_offset(name)
    assert offset is not None
    window = limiter.windows(limiter.now())[span]
    return Decimal(counting.window_spend(board.local_slot, offset, window)) / UNITS
