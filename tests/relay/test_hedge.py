"""Hedged requests: the first response wins, the other is closed and written off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.providers.profile import Price
from gateway.relay.translate.media import MediaFetch
from gateway.routing.limits import FIRST_BUCKET, RESERVED, SUM, UNITS, Budget, Limits
from gateway.routing.snapshot import Provider, Route, Snapshot, Team, Timeouts
from tests.relay.harness import (
    DONE,
    Gateway,
    Reply,
    chunk,
    completion,
    gateway,
    refusal,
    route,
    snapshot,
    sse,
)
from tests.relay.harness import provider as briefly
from tests.waits import WAIT_TIMEOUT_S, wait_until_async

CHAT = "/v1/chat/completions"
LONG_S = 2 * WAIT_TIMEOUT_S


def provider(name: str, **changes: Any) -> Provider:
    """Return a provider without timeouts."""
    long_timeouts = Timeouts(connect_s=LONG_S, first_byte_s=LONG_S, idle_s=LONG_S, total_s=LONG_S)
    return briefly(name, timeouts=long_timeouts, **changes)


A, B, C = provider("a"), provider("b"), provider("c")


def chat_request(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}


async def never_answer(_: httpx.Request) -> Any:
    """Never respond during a test."""
    await asyncio.sleep(LONG_S)


def answer_once(true: Callable[[], object], response: Any) -> Any:
    """Return an upstream that responds once a condition is true."""

    async def answer_late(_: httpx.Request) -> Any:
        await wait_until_async(true)
        return response

    return answer_late


def stream(text: str) -> httpx.Response:
    return sse(chunk(text), chunk(finish="stop"), DONE)


def has_received(reply: Reply) -> object:
    """Return whether the client has received a chunk of the response."""
    return reply.body


def hosts(live: Gateway) -> list[str]:
    return [request.url.host[0] for request in live.upstreams.requests]


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
async def test_a_slow_target_is_replaced_by_its_hedge(tmp_path: Path, streamed: bool) -> None:
    upstream_response = stream if streamed else completion
    registry = snapshot(route("m", A, B, hedge_after_s=0.05))
    async with gateway(
        tmp_path, registry, a=never_answer, b=lambda _: upstream_response("quick")
    ) as live:
        reply = await live.post(CHAT, chat_request(stream=streamed))
        row = await live.record()
        assert len(live.records) == 1
    assert reply.status == 200 and reply.ended
    assert b"quick" in reply.body
    assert hosts(live) == ["a", "b"]
    loser, winner = row.attempts
    assert (loser.target, loser.error_kind, loser.error) == (
        "a/gpt-4.1",
        "hedge_loser",
        "another target responded first",
    )
    assert loser.cost_usd is not None and loser.cost_usd > 0
    assert (winner.target, winner.error_kind, winner.cost_usd) == ("b/gpt-4.1", None, None)
    assert (row.provider, row.outcome, row.status) == ("b", "ok", 200)
    assert live.runtime.health == {}, "a target that was overtaken has not failed"


async def test_a_stream_that_trickles_before_its_first_event_is_closed(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=0.05))
    silent_stream = sse(b": wait\n\n", LONG_S)
    async with gateway(
        tmp_path, registry, a=lambda _: silent_stream, b=lambda _: stream("quick")
    ) as live:
        reply = await live.post(CHAT, chat_request(stream=True))
        assert b"wait" not in reply.body and reply.body.endswith(DONE)
        assert "a" in live.upstreams.closed, "the loser's connection is closed at once"


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
async def test_the_first_target_may_win_after_the_hedge_delay(
    tmp_path: Path, streamed: bool
) -> None:
    upstream_response = stream if streamed else completion
    registry = snapshot(route("m", A, B, hedge_after_s=0.05))
    asked_hosts: list[httpx.Request] = []
    first = answer_once(lambda: asked_hosts, upstream_response("first"))

    def second(request: httpx.Request) -> Any:
        asked_hosts.append(request)
        return never_answer(request)

    async with gateway(tmp_path, registry, a=first, b=second) as live:
        reply = await live.post(CHAT, chat_request(stream=streamed))
        row = await live.record()
    assert b"first" in reply.body
    assert [(a.target[0], a.error_kind) for a in row.attempts] == [
        ("b", "hedge_loser"),
        ("a", None),
    ]


async def test_no_hedge_is_sent_when_the_first_target_is_fast(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=LONG_S))
    async with gateway(tmp_path, registry, a=lambda _: completion()) as live:
        await live.post(CHAT, chat_request())
        row = await live.record()
    assert hosts(live) == ["a"]
    assert [a.error_kind for a in row.attempts] == [None]


async def test_a_failure_before_the_delay_is_an_ordinary_fallback(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=LONG_S))
    async with gateway(
        tmp_path, registry, a=lambda _: refusal(500), b=lambda _: completion()
    ) as live:
        assert (await live.post(CHAT, chat_request())).status == 200
        row = await live.record()
    assert [a.error_kind for a in row.attempts] == ["upstream_error", None]


async def test_a_failed_hedged_attempt_waits_for_the_other(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, C, hedge_after_s=0.05))
    async with gateway(
        tmp_path,
        registry,
        a=answer_once(lambda: live.runtime.health, completion("first")),
        b=lambda _: refusal(500),
        c=lambda _: completion("never"),
    ) as live:
        reply = await live.post(CHAT, chat_request())
        row = await live.record()
    assert b"first" in reply.body
    assert {(a.target[0], a.error_kind) for a in row.attempts} == {
        ("b", "upstream_error"),
        ("a", None),
    }


async def test_if_both_hedged_attempts_fail_the_next_target_is_tried(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, C, hedge_after_s=0.05))
    async with gateway(
        tmp_path,
        registry,
        a=answer_once(lambda: live.runtime.health, refusal(500)),
        b=lambda _: refusal(503),
        c=lambda _: completion("third"),
    ) as live:
        reply = await live.post(CHAT, chat_request())
        row = await live.record()
    assert b"third" in reply.body
    assert [a.target[0] for a in row.attempts] == ["a", "b", "c"]


async def test_if_all_hedged_attempts_fail_the_client_gets_one_error(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=0.05))
    async with gateway(
        tmp_path,
        registry,
        a=answer_once(lambda: live.runtime.health, refusal(500)),
        b=lambda _: refusal(500),
    ) as live:
        reply = await live.post(CHAT, chat_request())
        row = await live.record()
        assert len(live.records) == 1
    assert reply.status >= 500
    assert (row.outcome, len(row.attempts)) == ("error", 2)


async def test_a_client_that_disconnects_closes_both_hedged_attempts(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=0.03))
    started_hosts: list[str] = []
    answer_slowly = lambda _: sse(b": wait\n\n", lambda: started_hosts.append("one"), LONG_S)  # noqa: E731
    async with gateway(tmp_path, registry, a=answer_slowly, b=answer_slowly) as live:
        await live.post(
            CHAT, chat_request(stream=True), disconnect_once=lambda _: len(started_hosts) == 2
        )
        row = await live.record()
        assert len(live.records) == 1
        assert sorted(live.upstreams.closed) == ["a", "b"]
    assert (row.outcome, row.status) == ("client_closed", 499)


async def test_a_winner_whose_client_disconnects_is_closed_and_logged_once(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=0.03))
    async with gateway(
        tmp_path,
        registry,
        a=never_answer,
        b=lambda _: sse(chunk("begun"), LONG_S),
    ) as live:
        await live.post(CHAT, chat_request(stream=True), disconnect_once=has_received)
        row = await live.record()
        assert len(live.records) == 1
    assert (row.outcome, row.provider) == ("client_closed", "b")
    assert row.output_tokens is not None and row.output_tokens > 0


async def test_reservations_of_the_hedge_loser_are_released(tmp_path: Path) -> None:
    limited = [provider(n, id=i, limits=Limits(concurrency=1)) for i, n in ((1, "a"), (2, "b"))]
    registry = snapshot(route("m", *limited, hedge_after_s=0.03))
    async with gateway(tmp_path, registry, a=never_answer, b=lambda _: completion("b")) as live:
        for _ in range(3):
            assert (await live.post(CHAT, chat_request())).status == 200
        rows = await live.rows(3)
    assert [len([a for a in row.attempts if a.skipped is None]) for row in rows] == [2, 2, 2]


async def test_a_broken_stream_of_the_winner_is_reported(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=0.03))
    async with gateway(
        tmp_path,
        registry,
        a=never_answer,
        b=lambda _: sse(chunk("begun"), httpx.ReadError("reset")),
    ) as live:
        reply = await live.post(CHAT, chat_request(stream=True))
        row = await live.record()
    assert reply.ended and b"[DONE]" not in reply.body and b"error" in reply.body
    assert row.outcome == "cut"


# --- what the loser used counts ------------------------------------------------------------

# 0.5 and 4 dollars a million tokens: the loser's price is not the winner's.
CHEAP = Price(input=Decimal("0.5"), output=Decimal(4), source="list a")
DEAR = Price(input=Decimal(10), output=Decimal(40), source="list b")
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def priced_registry_route(**of_providers: Any) -> Route:
    """Return a route to providers a and b with token limits and different prices."""
    counted = Limits(tokens_per_day=10**9, concurrency=5)
    providers = [provider(n, id=i, limits=counted, **of_providers) for i, n in ((1, "a"), (2, "b"))]
    upstream_response = route(
        "m", *providers, hedge_after_s=0.05, limits=Limits(tokens_per_hour=10**9)
    )
    targets = tuple(
        msgspec.structs.replace(t, model=msgspec.structs.replace(t.model, price=p))
        for t, p in zip(upstream_response.targets, (CHEAP, DEAR), strict=True)
    )
    return msgspec.structs.replace(upstream_response, targets=targets)


def with_budgets(upstream_response: Route, **of_key: Any) -> Snapshot:
    team = Team(id=9, name="t", budget=Budget(total_usd=Decimal(10)))
    ((digest, key),) = snapshot(upstream_response).keys.items()
    key = msgspec.structs.replace(
        key,
        budget=Budget(total_usd=Decimal(10)),
        limits=Limits(tokens_per_day=10**9),
        team=team,
        **of_key,
    )
    return snapshot(upstream_response, keys={digest: key}, markup=Decimal(2))


def counted_and_reserved(live: Gateway, name: str) -> tuple[int, int]:
    """Return the counted and the reserved amount of a rule."""
    board = live.runtime.limiter.counters
    offset = board.locked_counter_offset(name)
    assert offset is not None, name
    counter_field = FIRST_BUCKET if name.split("/")[1] == "usd" else SUM
    return board.local_slot[offset + counter_field], board.local_slot[offset + RESERVED]


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
async def test_a_hedge_losers_usage_counts_for_key_team_and_route(
    tmp_path: Path, streamed: bool
) -> None:
    ended = [chunk("quick"), chunk(finish="stop"), chunk(usage=USAGE), DONE]
    quick = (lambda _: sse(*ended)) if streamed else (lambda _: completion("quick"))
    async with gateway(
        tmp_path, with_budgets(priced_registry_route()), a=never_answer, b=quick
    ) as live:
        await live.post(CHAT, chat_request(stream=streamed))
        row = await live.record()
        loser, _ = row.attempts
        tokens = {
            n: counted_and_reserved(live, n) for n in ("key:1/tokens/day", "route:1/tokens/hour")
        }
        spent = {n: counted_and_reserved(live, n) for n in ("key:1/usd/total", "team:9/usd/total")}
        of_a, of_b = (counted_and_reserved(live, f"provider:{n}/tokens/day") for n in (1, 2))
        at_once = [counted_and_reserved(live, f"provider:{n}/concurrency/")[1] for n in (1, 2)]
    read = loser.input_tokens
    assert read is not None and 0 < read < 20
    assert (loser.usage_source, loser.price_source, loser.output_tokens) == (
        "estimated",
        "list a",
        0,
    )
    assert loser.cost_usd == Decimal("0.5") * read / 1_000_000
    assert loser.charged_usd == loser.cost_usd * 2
    assert row.cost_usd == Decimal(7 * 10 + 3 * 40) / 1_000_000, "the row's cost is its own"
    assert set(tokens.values()) == {(10 + read, 0)}
    total_units = int((row.cost_usd + loser.cost_usd) * 2 * UNITS)
    assert set(spent.values()) == {(total_units, 0)}
    assert (of_a, of_b) == ((read, 0), (10, 0)), "each provider has counted its own"
    assert at_once == [0, 0]


@pytest.mark.parametrize(
    ("status", "prices"),
    [(None, ["0.5", "10"]), (503, ["10"]), (400, ["10"])],
    ids=["client disconnects", "first fails, client disconnects", "first refuses the request"],
)
async def test_without_a_winner_each_target_that_read_the_prompt_counts(
    tmp_path: Path, status: int | None, prices: list[str]
) -> None:
    asked_hosts: list[str] = []

    async def first(request: httpx.Request) -> Any:
        await wait_until_async(lambda: "b" in asked_hosts)
        return refusal(status) if status is not None else await never_answer(request)

    async def second(request: httpx.Request) -> Any:
        asked_hosts.append("b")
        return await never_answer(request)

    def disconnects(_: Reply) -> bool:
        if status is None:
            return "b" in asked_hosts
        has_failed = counted_and_reserved(live, "provider:1/tokens/day")[1] == 0
        return status == 503 and "b" in asked_hosts and has_failed

    async with gateway(tmp_path, with_budgets(priced_registry_route()), a=first, b=second) as live:
        await live.post(CHAT, chat_request(), disconnect_once=disconnects)
        row = await live.record()
        spent, reserved = counted_and_reserved(live, "key:1/usd/total")
        at_b = counted_and_reserved(live, "provider:2/tokens/day")
    costs = [row.cost_usd, *(attempt.cost_usd for attempt in row.attempts)]
    read = at_b[0]
    assert 0 < read < 20
    assert reserved == at_b[1] == 0
    assert sorted(usd for usd in costs if usd is not None) == [
        Decimal(price) * read / 1_000_000 for price in prices
    ]
    assert spent == sum(int(Decimal(price) * 2 * read * UNITS / 1_000_000) for price in prices)


async def test_a_loser_that_was_not_sent_yet_costs_nothing(tmp_path: Path) -> None:
    """No connection was made, so the provider bills nothing."""
    registry = with_budgets(priced_registry_route())
    async with gateway(
        tmp_path, registry, a=lambda _: completion("never"), b=lambda _: completion("quick")
    ) as live:

        async def stuck(*_: Any) -> None:
            await asyncio.sleep(LONG_S)

        gather = MediaFetch(1)
        gather.gather = lambda call, *_: stuck() if call.attempts[-1].provider == "a" else done()  # type: ignore[method-assign,assignment]

        async def done() -> None:
            return

        live.runtime.media = gather
        await live.post(CHAT, chat_request())
        row = await live.record()
        of_a = counted_and_reserved(live, "provider:1/tokens/day")
    assert (row.attempts[0].error_kind, row.attempts[0].cost_usd) == ("hedge_loser", None)
    assert of_a == (0, 0)


async def test_a_hedged_request_releases_all_reservations(tmp_path: Path) -> None:
    """Both targets fail; the client disconnects before a response, and after."""
    names = ("key:1/tokens/day", "key:1/usd/total", "team:9/usd/total", "route:1/tokens/hour")
    names += ("provider:1/concurrency/", "provider:2/concurrency/", "provider:2/tokens/day")
    asked_hosts: list[str] = []
    started_hosts: list[str] = []
    ways: list[tuple[Callable[[], httpx.Response], Callable[[Reply], object] | None]] = [
        (lambda: refusal(500), None),
        (
            lambda: sse(b": wait\n\n", lambda: started_hosts.append("one"), LONG_S),
            lambda _: len(started_hosts) == 2,
        ),
        (lambda: sse(chunk("begun"), LONG_S), has_received),
    ]
    turn = 0

    async def first(_: httpx.Request) -> Any:
        await wait_until_async(lambda: len(asked_hosts) > turn)
        return ways[turn][0]()

    def second(_: httpx.Request) -> Any:
        asked_hosts.append("b")
        return ways[turn][0]()

    async with gateway(tmp_path, with_budgets(priced_registry_route()), a=first, b=second) as live:
        for turn in range(3):
            await live.post(CHAT, chat_request(stream=True), disconnect_once=ways[turn][1])
            await live.rows(turn + 1)
        counts_by_name = {name: counted_and_reserved(live, name)[1] for name in names}
    assert counts_by_name == dict.fromkeys(names, 0)


async def test_a_second_target_is_not_called_once_the_first_has_answered(tmp_path: Path) -> None:
    """The first target may respond while Redis decides about the second one."""
    registry = with_budgets(priced_registry_route())
    looking, first_answered = asyncio.Event(), asyncio.Event()

    async def first(_: httpx.Request) -> httpx.Response:
        await looking.wait()
        first_answered.set()
        return completion("first")

    async with gateway(tmp_path, registry, a=first, b=lambda _: completion("never")) as live:
        original_admit = live.runtime.limiter.admit

        async def admit_slowly(call: Any, route: Any, target: Any) -> Any:
            full = await original_admit(call, route, target)
            if target.model.provider.name == "b":
                looking.set()
                await first_answered.wait()
                await live.rows(1)
            return full

        live.runtime.limiter.admit = admit_slowly  # type: ignore[method-assign]
        reply = await live.post(CHAT, chat_request())
        row = await live.record()
        counts = counted_and_reserved(live, "provider:2/concurrency/")
    assert b"first" in reply.body
    assert hosts(live) == ["a"] and len(row.attempts) == 1
    assert counts[1] == 0
