"""Limits from a client's view: admission, refusal in its dialect, settlement."""

from __future__ import annotations

import asyncio
import json
import random
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.providers.profile import Price
from gateway.relay.limits.limit_headers import format_duration
from gateway.relay.limits.limiter import Limiter
from gateway.relay.limits.shared_counters import SharedCounters
from gateway.relay.run.playground_calls import run_playground_call
from gateway.routing.limits import (
    DAY,
    RESERVED,
    UNITS,
    Budget,
    Limits,
    add_spend,
    calendar_window,
    window_spend,
)
from gateway.routing.snapshot import Route, Snapshot, Team
from tests.relay.harness import (
    DONE,
    Gateway,
    Reply,
    chunk,
    completion,
    gateway,
    provider,
    refusal,
    route,
    snapshot,
    sse,
)
from tests.waits import wait_until_async

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
PRICE = Price(input=Decimal(1), output=Decimal(2), source="test")


def limited_registry(
    *routes: Route, limits: Limits | None = None, budget: Budget | None = None, **more: Any
) -> Snapshot:
    """Return a registry whose one key has these limits."""
    base = snapshot(*routes)
    ((digest, key),) = base.keys.items()
    changed = msgspec.structs.replace(
        key, limits=limits or Limits(), budget=budget or Budget(), **more
    )
    return msgspec.structs.replace(base, keys={digest: changed})


def priced_route(*providers: Any, **changes: Any) -> Route:
    """Return a route whose tokens cost 1 and 2 dollars per million."""
    test_route = route("r", *providers, **changes)
    targets = tuple(
        msgspec.structs.replace(t, model=msgspec.structs.replace(t.model, price=PRICE))
        for t in test_route.targets
    )
    return msgspec.structs.replace(test_route, targets=targets)


def body(**more: Any) -> dict[str, Any]:
    return {
        "model": "r",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 10,
        **more,
    }


def response_with_usage(tokens: int) -> httpx.Response:
    return completion(
        usage={"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}
    )


def reserved_amounts(live: Gateway, *names: str) -> list[int]:
    """Return the reserved amounts of these limits over all processes."""
    board = live.runtime.limiter.counters
    totals = []
    for name in names:
        offset = board.counter_offset(name)
        assert offset is not None
        totals.append(
            sum(counters[offset + RESERVED] for counters in (board.local_slot, *board.peer_slots))
        )
    return totals


async def test_requests_are_admitted_up_to_the_limit(tmp_path: Path) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(requests_per_minute=2))
    async with gateway(tmp_path, registry, one=lambda _: completion()) as live:
        replies = [await live.post(CHAT, body()) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    remaining = [reply.headers["x-ratelimit-remaining-requests"] for reply in replies]
    assert remaining == ["1", "0", "0"]
    assert {reply.headers["x-ratelimit-limit-requests"] for reply in replies} == {"2"}
    assert replies[0].headers["x-ratelimit-reset-requests"].endswith("s")
    refused_reply = replies[2]
    assert 0 < int(refused_reply.headers["retry-after"]) <= 65
    error = refused_reply.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert "this API key is limited to 2 requests per minute" in error["message"]
    assert len(live.upstreams.requests) == 2


async def test_a_messages_client_gets_anthropic_rate_limit_headers(tmp_path: Path) -> None:
    registry = limited_registry(
        route("r", provider("one")), limits=Limits(requests_per_minute=1, tokens_per_hour=500)
    )
    async with gateway(tmp_path, registry, one=lambda _: completion()) as live:
        first, second = [await live.post(MESSAGES, body()) for _ in range(2)]
    assert first.headers["anthropic-ratelimit-requests-limit"] == "1"
    assert first.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert first.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    assert first.headers["anthropic-ratelimit-tokens-limit"] == "500"
    assert second.status == 429
    assert second.json()["error"]["type"] == "rate_limit_error"
    assert "retry-after" in second.headers


async def test_tokens_of_the_response_count_and_the_reservation_ends(tmp_path: Path) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(tokens_per_minute=100))
    async with gateway(tmp_path, registry, one=lambda _: response_with_usage(60)) as live:
        first, second, third = [await live.post(CHAT, body()) for _ in range(3)]
        assert reserved_amounts(live, "key:1/tokens/minute") == [0]
    # 40 are left: the second is let in and goes over it, alone.
    assert [r.status for r in (first, second, third)] == [200, 200, 429]
    assert int(first.headers["x-ratelimit-remaining-tokens"]) == 100
    assert int(second.headers["x-ratelimit-remaining-tokens"]) == 40
    assert int(third.headers["x-ratelimit-remaining-tokens"]) == 0


async def test_the_reserved_maximum_blocks_others_during_a_request(tmp_path: Path) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(tokens_per_minute=100))
    may_continue = asyncio.Event()

    async def slow(_: httpx.Request) -> httpx.Response:
        await may_continue.wait()
        return response_with_usage(5)

    async with gateway(tmp_path, registry, one=slow) as live:
        running = asyncio.ensure_future(live.post(CHAT, body(max_tokens=60)))
        await wait_until_async(lambda: live.upstreams.requests)
        refused_response = await live.post(CHAT, body(max_tokens=60))
        assert (refused_response.status, refused_response.headers["retry-after"]) == (429, "1")
        may_continue.set()
        assert (await running).status == 200
        assert (await live.post(CHAT, body(max_tokens=60))).status == 200


async def test_concurrent_requests_are_released_however_they_end(tmp_path: Path) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(concurrency=1))
    responses: list[Any] = [
        refusal(500),
        httpx.ConnectError("no"),
        sse(chunk("a"), httpx.ReadError("cut")),
        sse(chunk("a"), 30.0),
        sse(chunk("a"), chunk(finish="stop"), DONE),
        completion(),
    ]
    async with gateway(tmp_path, registry, one=lambda _: responses.pop(0)) as live:
        for stream in (False, False, True):
            await live.post(CHAT, body(stream=stream))
            assert reserved_amounts(live, "key:1/concurrency/") == [0]
        await live.post(CHAT, body(stream=True), disconnect_once=lambda reply: reply.body)
        assert reserved_amounts(live, "key:1/concurrency/") == [0]
        assert (await live.post(CHAT, body(stream=True))).status == 200
        assert (await live.post(CHAT, body())).status == 200


async def test_a_concurrency_limit_of_one_admits_one_request(tmp_path: Path) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(concurrency=3))
    running = max_concurrent = 0

    async def slow(_: httpx.Request) -> httpx.Response:
        nonlocal running, max_concurrent
        running += 1
        max_concurrent = max(max_concurrent, running)
        await asyncio.sleep(0.02)
        running -= 1
        return completion()

    async with gateway(tmp_path, registry, one=slow) as live:
        replies = await asyncio.gather(*(live.post(CHAT, body()) for _ in range(20)))
    assert max_concurrent == 3
    assert sorted({reply.status for reply in replies}) == [200, 429]


async def test_a_budget_that_is_spent_refuses_until_its_window_ends(tmp_path: Path) -> None:
    budget = Budget(day_usd=Decimal("0.0002"))
    registry = limited_registry(priced_route(provider("one")), budget=budget)
    async with gateway(tmp_path, registry, one=lambda _: response_with_usage(50)) as live:
        replies = [await live.post(CHAT, body()) for _ in range(4)]
        anthropic = await live.post(MESSAGES, body())
        rows = await live.rows(5)
    # An answer costs 0.0001.
    assert [reply.status for reply in replies] == [200, 200, 429, 429]
    error = replies[2].json()["error"]
    assert error["code"] == "insufficient_quota"
    assert error["message"] == "the daily budget of 0.0002 USD of this API key is used up"
    assert replies[2].headers["x-should-retry"] == "false"
    assert 0 < int(replies[2].headers["retry-after"]) <= 86400
    assert (anthropic.status, anthropic.json()["error"]["type"]) == (402, "billing_error")
    assert sum(row.cost_usd or 0 for row in rows) == Decimal("0.0002")
    assert [row.error_kind for row in rows] == ["", "", "quota", "quota", "quota"]


async def test_the_response_of_a_stream_that_is_cut_short_is_paid_for(tmp_path: Path) -> None:
    registry = limited_registry(priced_route(provider("one")), budget=Budget(total_usd=Decimal(1)))
    text = "word " * 80
    async with gateway(tmp_path, registry, one=lambda _: sse(chunk(text), 30.0)) as live:
        await live.post(CHAT, body(stream=True), disconnect_once=lambda reply: reply.body)
        row = await live.record()
        offset = live.runtime.limiter.counters.counter_offset("key:1/usd/total")
        assert offset is not None
        assert row.cost_usd is not None and row.cost_usd > 0
        assert live.runtime.limiter.counters.local_slot[offset + 2] == int(row.cost_usd * UNITS)
        assert reserved_amounts(live, "key:1/usd/total") == [0]


async def test_a_soft_budget_warns_without_refusing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    budget = Budget(month_usd=Decimal("0.0004"), soft_percent=50)
    registry = limited_registry(priced_route(provider("one")), budget=budget)
    async with gateway(tmp_path, registry, one=lambda _: response_with_usage(50)) as live:
        replies = [await live.post(CHAT, body()) for _ in range(4)]
    assert [reply.status for reply in replies] == [200] * 4
    x_dragoman_budgets = [reply.headers.get("x-dragoman-budget") for reply in replies]
    assert x_dragoman_budgets == [
        None,
        None,
        "key month 50% of 0.0004 USD",
        "key month 75% of 0.0004 USD",
    ]
    assert caplog.text.count("the soft limit of a budget was exceeded") == 1


async def test_spend_of_the_database_is_counted(tmp_path: Path) -> None:
    registry = limited_registry(
        priced_route(provider("one")), budget=Budget(total_usd=Decimal("0.0003"))
    )
    async with gateway(tmp_path, registry, one=lambda _: response_with_usage(50)) as live:
        limiter = live.runtime.limiter
        limiter.sync_spend([("key:1/usd/total", 1, UNITS // 10_000)])
        assert (await live.post(CHAT, body())).status == 200
        # The log is behind: it adds nothing. Then it knows of more than these counters.
        limiter.sync_spend([("key:1/usd/total", 1, UNITS // 10_000)])
        limiter.sync_spend([("key:1/usd/total", 1, 2 * UNITS // 10_000)])
        assert (await live.post(CHAT, body())).status == 200
        assert (await live.post(CHAT, body())).status == 429


async def test_a_budget_applies_after_the_clock_was_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(day_usd=Decimal("0.0001"))
    registry = limited_registry(priced_route(provider("one")), budget=budget)
    real_time = time.time
    async with gateway(tmp_path, registry, one=lambda _: response_with_usage(50)) as live:
        for ahead_s in (DAY, 0):
            live.runtime.limiter._clock = clock = lambda ahead=ahead_s: real_time() + ahead
            monkeypatch.setattr(time, "time", clock)
            assert [(await live.post(CHAT, body())).status for _ in range(2)] == [200, 429]


async def test_recorded_spend_counts_after_the_clock_was_ahead() -> None:
    limiter = Limiter(SharedCounters())
    offset = limiter.counters.counter_offset("key:1/usd/day")
    assert offset is not None
    today = calendar_window(limiter.now(), "day")[0]
    add_spend(limiter.counters.local_slot, offset, today + 1, UNITS)
    limiter.sync_spend([("key:1/usd/day", today, 5)])
    assert window_spend(limiter.counters.local_slot, offset, today) == 5


async def test_a_team_is_limited_over_its_keys_and_a_rotated_key_is_the_same(
    tmp_path: Path,
) -> None:
    from gateway.edge.admission import key_digest
    from tests.relay.harness import PEPPER

    team = Team(id=4, name="blue", limits=Limits(requests_per_hour=3))
    base = limited_registry(
        route("r", provider("one")), team=team, limits=Limits(requests_per_day=2)
    )
    (key,) = base.keys.values()
    twins = [
        msgspec.structs.replace(key, digest=key_digest("sk-old", PEPPER), prefix="old"),
        msgspec.structs.replace(key, digest=key_digest("sk-mate", PEPPER), id=2, limits=Limits()),
    ]
    registry = msgspec.structs.replace(base, keys={k.digest: k for k in (key, *twins)})
    async with gateway(tmp_path, registry, one=lambda _: completion()) as live:
        request_keys = ["sk-dgm-test", "sk-old", "sk-old", "sk-mate", "sk-mate"]
        replies = [await live.post(CHAT, body(), key=token) for token in request_keys]
    assert [reply.status for reply in replies] == [200, 200, 429, 200, 429]
    assert "this API key is limited to 2 requests per day" in replies[2].json()["error"]["message"]
    assert "the team blue is limited to 3 requests" in replies[4].json()["error"]["message"]


async def test_a_route_has_limits_of_its_own(tmp_path: Path) -> None:
    limited_route = route("r", provider("one"), limits=Limits(requests_per_minute=1))
    other = msgspec.structs.replace(limited_route, id=2, name="s", limits=Limits())
    async with gateway(
        tmp_path, snapshot(limited_route, other), one=lambda _: completion()
    ) as live:
        statuses = [(await live.post(CHAT, body(model=m))).status for m in ("r", "r", "s", "s")]
    assert statuses == [200, 429, 200, 200]


async def test_a_provider_at_its_limit_is_skipped(tmp_path: Path) -> None:
    full = provider("one", limits=Limits(requests_per_minute=1))
    other = provider("two", id=2)
    registry = snapshot(route("r", full, other), route("alone", full))
    registry = msgspec.structs.replace(
        registry,
        routes={
            **registry.routes,
            "alone": msgspec.structs.replace(registry.routes["alone"], id=2),
        },
    )
    async with gateway(
        tmp_path, registry, one=lambda _: completion("a"), two=lambda _: completion("b")
    ) as live:
        first, second = [await live.post(CHAT, body()) for _ in range(2)]
        refused_response = await live.post(CHAT, body(model="alone"))
        rows = await live.rows(3)
    responses = [reply.json()["choices"][0]["message"]["content"] for reply in (first, second)]
    assert responses == ["a", "b"]
    assert refused_response.status == 429
    assert "the provider one is limited to 1 request per minute" in (
        rows[1].attempts[0].skipped or ""
    )
    assert live.runtime.health == {}


async def test_a_failed_attempt_frees_its_provider(tmp_path: Path) -> None:
    busy = Limits(concurrency=1, tokens_per_minute=1000)
    first, second = provider("one", limits=busy), provider("two", id=2, limits=busy)
    registry = snapshot(route("r", first, second))
    async with gateway(
        tmp_path, registry, one=lambda _: refusal(500), two=lambda _: response_with_usage(30)
    ) as live:
        assert (await live.post(CHAT, body())).status == 200
        names = [
            f"provider:{n}/{rule_name}"
            for n in (1, 2)
            for rule_name in ("concurrency/", "tokens/minute")
        ]
        assert reserved_amounts(live, *names) == [0, 0, 0, 0]
        board = live.runtime.limiter.counters
        counted = [
            sum(board.local_slot[board.counter_offset(n) + 2 :][:13]) for n in (names[1], names[3])
        ]
    assert counted == [0, 30]


async def test_playground_requests_count_against_no_key(tmp_path: Path) -> None:
    registry = limited_registry(route("r", provider("one")), limits=Limits(requests_per_minute=1))
    async with gateway(tmp_path, registry, one=lambda _: completion()) as live:
        for _ in range(3):
            record = await run_playground_call(
                live.runtime,
                dialect="openai_chat",
                body=json.dumps(body()).encode(),
                caller="playground",
            )
            assert record.status == 200
        assert (await live.post(CHAT, body())).status == 200


async def test_upstream_rate_limit_headers_do_not_replace_the_gateways(tmp_path: Path) -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        response = completion()
        response.headers["x-ratelimit-remaining-requests"] = "4999"
        response.headers["openai-version"] = "2020"
        return response

    free = snapshot(route("r", provider("one")))
    async with gateway(tmp_path / "a", free, one=respond) as live:
        reply = await live.post(CHAT, body())
        assert reply.headers["x-ratelimit-remaining-requests"] == "4999"
    own_registry = limited_registry(
        route("r", provider("one")), limits=Limits(requests_per_minute=9)
    )
    async with gateway(tmp_path / "b", own_registry, one=respond) as live:
        reply = await live.post(CHAT, body())
    assert reply.headers["x-ratelimit-remaining-requests"] == "8"
    assert reply.headers["openai-version"] == "2020"


async def test_no_reservation_is_left_after_many_concurrent_requests(tmp_path: Path) -> None:
    """Hundreds of concurrent requests with every outcome; sums equal the log exactly."""
    registry = limited_registry(
        priced_route(provider("one"), limits=Limits(concurrency=40)),
        limits=Limits(tokens_per_minute=10**9, concurrency=50),
        budget=Budget(total_usd=Decimal(5)),
    )
    draw = random.Random(7)

    async def respond(_: httpx.Request) -> Any:
        await asyncio.sleep(draw.random() / 50)
        kinds = (
            lambda: response_with_usage(draw.randrange(100)),
            lambda: refusal(500),
            lambda: httpx.ConnectError("no"),
            lambda: sse(chunk("some words"), httpx.ReadError("cut")),
            lambda: sse(chunk("some words"), 5.0),
            lambda: sse(chunk("words"), chunk(finish="stop"), DONE),
        )
        return draw.choice(kinds)()

    async with gateway(tmp_path, registry, one=respond) as live:

        async def one(n: int) -> Reply:
            stream = n % 2 == 0
            leave = draw.random() / 20 if n % 3 == 0 else 0.25
            return await live.post(CHAT, body(stream=stream), disconnect_after=leave)

        for _ in range(6):
            await asyncio.gather(*(one(n) for n in range(50)))
        rows = await live.rows(300)
        names = ("key:1/tokens/minute", "key:1/concurrency/", "key:1/usd/total")
        assert reserved_amounts(live, *names, "route:1/concurrency/") == [0, 0, 0, 0]
        board = live.runtime.limiter.counters
        offset = board.counter_offset("key:1/usd/total")
        assert offset is not None
        assert board.local_slot[offset + 2] == sum(int((row.cost_usd or 0) * UNITS) for row in rows)
        assert len({row.outcome for row in rows}) >= 3


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1s"), (59, "59s"), (60, "1m0s"), (360, "6m0s"), (3605, "1h0m5s")],
)
def test_reset_times_are_formatted_like_openais(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text
