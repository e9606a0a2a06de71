"""Shadow requests: sent after the response, logged with a link, invisible to the client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec

from gateway.relay.run import shadow
from gateway.routing.limits import Limits
from tests.relay.harness import completion, gateway, provider, refusal, route, snapshot
from tests.waits import wait_until_async

CHAT = "/v1/chat/completions"
A, B = provider("a"), provider("b")


def chat_request(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}


def registry(share: float = 1.0) -> Any:
    return snapshot(route("m", A, shadow="next", shadow_share=share), route("next", B))


async def test_a_request_is_repeated_on_the_other_route(tmp_path: Path) -> None:
    async with gateway(
        tmp_path, registry(), a=lambda _: completion("seen"), b=lambda _: completion("unseen")
    ) as live:
        reply = await live.post(CHAT, chat_request(), headers={"x-session-id": "s1"})
        original, repeated = await live.rows(2)
    assert b"seen" in reply.body and b"unseen" not in reply.body
    assert (original.shadow_of, original.session) == ("", "s1")
    assert repeated.shadow_of == original.id and repeated.id != original.id
    assert (repeated.route, repeated.provider, repeated.key_prefix) == ("next", "b", "shadow")
    assert (repeated.key_id, repeated.session, repeated.status) == (0, "", 200)
    assert repeated.cost_usd is not None and repeated.cost_usd > 0
    assert repeated.bodies is not None and b"unseen" in (repeated.bodies.upstream_response or b"")


async def test_the_response_does_not_wait_for_the_shadow(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow(_: httpx.Request) -> httpx.Response:
        await gate.wait()
        return completion()

    async with gateway(tmp_path, registry(), a=lambda _: completion(), b=slow) as live:
        assert (await live.post(CHAT, chat_request())).status == 200
        assert len(await live.rows(1)) == 1
        gate.set()
        await live.rows(2)


async def test_a_share_of_zero_sends_no_shadow_and_failures_are_not_repeated(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path, registry(0.0), a=lambda _: completion()) as live:
        await live.post(CHAT, chat_request())
        await asyncio.sleep(0.05)
        assert len(live.upstreams.requests) == 1
    async with gateway(tmp_path, registry(), a=lambda _: refusal(500)) as live:
        await live.post(CHAT, chat_request())
        await asyncio.sleep(0.05)
        assert len(live.upstreams.requests) == 1


async def test_a_shadow_that_fails_is_a_row_and_nothing_else(tmp_path: Path) -> None:
    async with gateway(
        tmp_path, registry(), a=lambda _: completion(), b=lambda _: refusal(500)
    ) as live:
        reply = await live.post(CHAT, chat_request())
        rows = await live.rows(2)
    assert reply.status == 200
    assert (rows[1].outcome, rows[1].error_kind) == ("error", "upstream_error")


async def test_concurrent_shadow_requests_are_bounded(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow(_: httpx.Request) -> httpx.Response:
        await gate.wait()
        return completion()

    async with gateway(tmp_path, registry(), a=lambda _: completion(), b=slow) as live:
        for _ in range(shadow.MAX_SHADOWS + 5):
            assert (await live.post(CHAT, chat_request())).status == 200
        await wait_until_async(lambda: len(live.upstreams.requests) >= 2 * shadow.MAX_SHADOWS + 5)
        await asyncio.sleep(0.05)
        hosts = [request.url.host for request in live.upstreams.requests]
        assert hosts.count("b.test") == shadow.MAX_SHADOWS
        gate.set()
        await live.rows(2 * shadow.MAX_SHADOWS + 5)


async def test_shadows_count_against_no_limit_of_the_client(tmp_path: Path) -> None:
    test_registry = registry()
    keys = {
        digest: msgspec.structs.replace(key, limits=Limits(requests_per_minute=2))
        for digest, key in test_registry.keys.items()
    }
    limited = msgspec.structs.replace(test_registry, keys=keys)
    upstreams = {name: lambda _: completion() for name in "ab"}
    async with gateway(tmp_path, limited, **upstreams) as live:
        statuses = [(await live.post(CHAT, chat_request())).status for _ in range(3)]
        await live.rows(5)
    assert statuses == [200, 200, 429]


async def test_shadow_requests_in_flight_end_with_the_process(tmp_path: Path) -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return completion()

    async with gateway(tmp_path, registry(), a=lambda _: completion(), b=slow) as live:
        await live.post(CHAT, chat_request())
        await wait_until_async(lambda: len(live.upstreams.requests) == 2)
    assert [row.outcome for row in live.records] == ["ok", "error"]
