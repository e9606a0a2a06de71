"""Two targets for one request: the first answer wins, the other is closed and written off."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.routing.limits import Limits
from tests.relay.harness import (
    DONE,
    Gateway,
    chunk,
    completion,
    gateway,
    provider,
    refusal,
    route,
    snapshot,
    sse,
)

CHAT = "/v1/chat/completions"
A, B, C = provider("a"), provider("b"), provider("c")


def asking(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}


def after(seconds: float, answer: Any) -> Any:
    async def slow(_: httpx.Request) -> Any:
        await asyncio.sleep(seconds)
        return answer() if callable(answer) else answer

    return slow


def stream(text: str) -> httpx.Response:
    return sse(chunk(text), chunk(finish="stop"), DONE)


def hosts(live: Gateway) -> list[str]:
    return [request.url.host[0] for request in live.upstreams.requests]


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
async def test_a_slow_target_is_overtaken(tmp_path: Path, streamed: bool) -> None:
    made = stream if streamed else completion
    registry = snapshot(route("m", A, B, hedge_after_s=0.05))
    async with gateway(
        tmp_path, registry, a=after(1.5, lambda: made("slow")), b=lambda _: made("quick")
    ) as live:
        reply = await live.post(CHAT, asking(stream=streamed))
        row = await live.entry()
        assert len(live.entries) == 1
    assert reply.status == 200 and reply.ended
    assert b"quick" in reply.body and b"slow" not in reply.body
    assert hosts(live) == ["a", "b"]
    lost, won = row.attempts
    assert (lost.target, lost.error_kind, lost.error) == (
        "a/gpt-4.1",
        "cancelled",
        "another target answered first",
    )
    assert lost.cost_usd is not None and lost.cost_usd > 0
    assert (won.target, won.error_kind, won.cost_usd) == ("b/gpt-4.1", None, None)
    assert (row.provider, row.outcome, row.status) == ("b", "ok", 200)
    assert live.runtime.health == {}, "a target that was overtaken has not failed"


async def test_a_stream_that_trickles_before_its_first_event_is_closed(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=0.05))
    dull = sse(b": wait\n\n", 5.0, chunk("slow"))
    async with gateway(tmp_path, registry, a=lambda _: dull, b=lambda _: stream("quick")) as live:
        reply = await live.post(CHAT, asking(stream=True))
        assert b"wait" not in reply.body and reply.body.endswith(DONE)
        assert "a" in live.upstreams.closed, "the loser's connection is closed at once"


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
async def test_the_first_may_still_win(tmp_path: Path, streamed: bool) -> None:
    made = stream if streamed else completion
    registry = snapshot(route("m", A, B, hedge_after_s=0.05))
    async with gateway(
        tmp_path, registry, a=after(0.15, lambda: made("first")), b=after(2, lambda: made("second"))
    ) as live:
        reply = await live.post(CHAT, asking(stream=streamed))
        row = await live.entry()
    assert b"first" in reply.body
    assert [(a.target[0], a.error_kind) for a in row.attempts] == [("b", "cancelled"), ("a", None)]


async def test_a_quick_target_is_asked_alone(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=0.5))
    async with gateway(tmp_path, registry, a=lambda _: completion()) as live:
        await live.post(CHAT, asking())
        row = await live.entry()
    assert hosts(live) == ["a"]
    assert [a.error_kind for a in row.attempts] == [None]


async def test_a_failure_before_the_delay_is_an_ordinary_fallback(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=5))
    async with gateway(
        tmp_path, registry, a=lambda _: refusal(500), b=lambda _: completion()
    ) as live:
        assert (await live.post(CHAT, asking())).status == 200
        row = await live.entry()
    assert [a.error_kind for a in row.attempts] == ["upstream_error", None]


async def test_if_one_fails_the_other_is_waited_for(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, C, hedge_after_s=0.05))
    async with gateway(
        tmp_path,
        registry,
        a=after(0.4, lambda: completion("first")),
        b=lambda _: refusal(500),
        c=lambda _: completion("never"),
    ) as live:
        reply = await live.post(CHAT, asking())
        row = await live.entry()
    assert b"first" in reply.body
    assert {(a.target[0], a.error_kind) for a in row.attempts} == {
        ("b", "upstream_error"),
        ("a", None),
    }


async def test_if_both_fail_the_next_is_tried(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, C, hedge_after_s=0.05))
    async with gateway(
        tmp_path,
        registry,
        a=after(0.2, refusal(500)),
        b=lambda _: refusal(503),
        c=lambda _: completion("third"),
    ) as live:
        reply = await live.post(CHAT, asking())
        row = await live.entry()
    assert b"third" in reply.body
    assert [a.target[0] for a in row.attempts] == ["a", "b", "c"]


async def test_if_all_fail_the_client_is_told_once(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=0.05))
    async with gateway(
        tmp_path, registry, a=after(0.2, refusal(500)), b=lambda _: refusal(500)
    ) as live:
        reply = await live.post(CHAT, asking())
        row = await live.entry()
        assert len(live.entries) == 1
    assert reply.status >= 500
    assert (row.outcome, len(row.attempts)) == ("error", 2)


async def test_a_client_that_leaves_closes_both(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=0.03))
    slow = lambda _: sse(b": wait\n\n", 30.0)  # noqa: E731
    async with gateway(tmp_path, registry, a=slow, b=slow) as live:
        await live.post(CHAT, asking(stream=True), leave_after=0.2)
        row = await live.entry()
        assert len(live.entries) == 1
        assert sorted(live.upstreams.closed) == ["a", "b"]
    assert (row.outcome, row.status) == ("client_closed", 499)


async def test_a_winner_whose_client_leaves_is_closed_and_logged_once(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=0.03))
    async with gateway(
        tmp_path,
        registry,
        a=after(30, lambda: stream("slow")),
        b=lambda _: sse(chunk("begun"), 30.0),
    ) as live:
        await live.post(CHAT, asking(stream=True), leave_after=0.3)
        row = await live.entry()
        assert len(live.entries) == 1
    assert (row.outcome, row.provider) == ("client_closed", "b")
    assert row.output_tokens is not None and row.output_tokens > 0


async def test_what_was_reserved_is_let_go(tmp_path: Path) -> None:
    limited = [provider(n, id=i, limits=Limits(concurrency=1)) for i, n in ((1, "a"), (2, "b"))]
    registry = snapshot(route("m", *limited, hedge_after_s=0.03))
    async with gateway(
        tmp_path, registry, a=after(0.2, lambda: completion("a")), b=lambda _: completion("b")
    ) as live:
        for _ in range(3):
            assert (await live.post(CHAT, asking())).status == 200
        rows = await live.rows(3)
    assert [len([a for a in row.attempts if a.skipped is None]) for row in rows] == [2, 2, 2]


async def test_a_stream_of_the_winner_that_breaks_is_told_as_such(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B, hedge_after_s=0.03))
    async with gateway(
        tmp_path,
        registry,
        a=after(5, lambda: stream("slow")),
        b=lambda _: sse(chunk("begun"), httpx.ReadError("reset")),
    ) as live:
        reply = await live.post(CHAT, asking(stream=True))
        row = await live.entry()
    assert reply.ended and b"[DONE]" not in reply.body and b"error" in reply.body
    assert row.outcome == "cut"
