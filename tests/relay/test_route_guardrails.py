"""Guardrails of the routes that serve a request without being named in it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.guardrails.guardrail import Guardrail, PatternSettings
from gateway.relay.exchange.stored_response import StoredResponse
from gateway.routing.cache_policy import CachePolicy
from gateway.routing.snapshot import Snapshot
from tests.relay.card_number import CARD, shows_card
from tests.relay.harness import DONE, chunk, completion, gateway, provider, route, snapshot, sse
from tests.relay.test_responses import DictStore
from tests.waits import wait_until_async

PII = PatternSettings(pii=("credit_card", "email"))
CHAT = "/v1/chat/completions"
BLOCK = Guardrail(name="cards", settings=PII)
MASK = Guardrail(name="cards", settings=PII, action="mask", check_responses=True)
UNAVAILABLE = httpx.Response(503, json={"error": {"message": "down"}})


def with_fallback(guardrail: Guardrail, **changes: Any) -> Snapshot:
    main = route("r", provider("one"), fallbacks=("guarded",), **changes)
    guarded = route("guarded", provider("two"), guardrails=(guardrail.name,))
    return snapshot(main, guarded, guardrails={guardrail.name: guardrail})


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "r", "messages": [{"role": "user", "content": text}], **more}


async def test_a_fallback_is_blocked_by_the_guardrails_of_its_route(tmp_path: Path) -> None:
    upstreams = {"one": lambda _: UNAVAILABLE, "two": lambda _: completion()}
    async with gateway(tmp_path, with_fallback(BLOCK), **upstreams) as live:
        reply = await live.post(CHAT, chat(CARD))
        passed = await live.post(CHAT, chat("hello"))
        await live.rows(2)
    assert (reply.status, reply.json()["error"]["code"]) == (400, "guardrail_blocked")
    assert passed.status == 200
    hosts = [request.url.host for request in live.upstreams.requests]
    assert hosts == ["one.test", "one.test", "two.test"]
    assert [record.guardrails[0].outcome for record in live.records] == ["blocked", "passed"]


async def test_the_guardrails_of_a_fallback_do_not_apply_to_the_first_route(tmp_path: Path) -> None:
    async with gateway(tmp_path, with_fallback(BLOCK), one=lambda _: completion()) as live:
        reply = await live.post(CHAT, chat(CARD))
        await live.rows(1)
    assert reply.status == 200
    assert live.records[0].guardrails == []


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_fallback_masks_its_request_and_its_response(
    tmp_path: Path, streamed: bool
) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        text = f"the card is {CARD}"
        return sse(chunk(text), chunk(finish="stop"), DONE) if streamed else completion(text)

    upstreams = {"one": lambda _: UNAVAILABLE, "two": answer}
    async with gateway(tmp_path, with_fallback(MASK), **upstreams) as live:
        reply = await live.post(CHAT, chat("mail ada@example.com", stream=streamed, seed=1))
        await live.rows(1)
    assert reply.status == 200
    assert not shows_card(reply.body)
    assert b"[CREDIT_CARD]" in reply.body
    first, second = (json.loads(request.content) for request in live.upstreams.requests)
    assert first["messages"][0]["content"] == "mail ada@example.com"
    assert second["messages"][0]["content"] == "mail [EMAIL]"
    assert second["seed"] == 1
    stages = [(result.stage, result.outcome) for result in live.records[0].guardrails]
    assert stages == [("request", "masked"), ("response", "masked")]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_a_translated_fallback_is_masked(tmp_path: Path, path: str) -> None:
    upstreams = {"one": lambda _: UNAVAILABLE, "two": lambda _: completion()}
    text = "mail ada@example.com"
    body: dict[str, Any] = {"model": "r", "input": text}
    if path == "/v1/messages":
        body = chat(text, max_tokens=9)
    async with gateway(tmp_path, with_fallback(MASK), **upstreams) as live:
        await live.post(path, body)
    assert b"ada@example.com" in live.upstreams.requests[0].content
    assert b"ada@example.com" not in live.upstreams.requests[1].content


async def test_each_guardrail_checks_a_request_once(tmp_path: Path) -> None:
    registered = with_fallback(MASK, guardrails=("cards",))
    upstreams = {"one": lambda _: UNAVAILABLE, "two": lambda _: completion()}
    async with gateway(tmp_path, registered, **upstreams) as live:
        await live.post(CHAT, chat("mail ada@example.com"))
        await live.rows(1)
    results = [r for r in live.records[0].guardrails if r.stage == "request"]
    assert [result.findings for result in results] == [{"email": 1}]


async def test_a_hedged_fallback_is_checked_without_a_change_to_the_first(tmp_path: Path) -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.3)
        return UNAVAILABLE

    upstreams = {"one": slow, "two": lambda _: completion(f"it is {CARD}")}
    registered = with_fallback(MASK, hedge_after_s=0.05)
    async with gateway(tmp_path, registered, **upstreams) as live:
        reply = await live.post(CHAT, chat("mail ada@example.com"))
        await live.rows(1)
    assert reply.status == 200
    assert not shows_card(reply.body)
    first, second = (request.content for request in live.upstreams.requests)
    assert b"ada@example.com" in first
    assert b"ada@example.com" not in second


async def test_a_hedge_that_is_blocked_leaves_the_first_target_alone(tmp_path: Path) -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.2)
        return completion()

    registered = with_fallback(BLOCK, hedge_after_s=0.05)
    async with gateway(tmp_path, registered, one=slow) as live:
        reply = await live.post(CHAT, chat(CARD))
    assert reply.status == 200
    assert [request.url.host for request in live.upstreams.requests] == ["one.test"]


@pytest.mark.parametrize(("guardrail", "expected"), [(BLOCK, None), (MASK, "mail [EMAIL]")])
async def test_a_shadow_request_is_checked_by_its_route(
    tmp_path: Path, guardrail: Guardrail, expected: str | None
) -> None:
    main = route("r", provider("one"), shadow="guarded", shadow_share=1.0)
    guarded = route("guarded", provider("two"), guardrails=("cards",))
    registered = snapshot(main, guarded, guardrails={"cards": guardrail})
    upstreams = {"one": lambda _: completion(), "two": lambda _: completion()}
    async with gateway(tmp_path, registered, **upstreams) as live:
        assert (await live.post(CHAT, chat("mail ada@example.com"))).status == 200
        await wait_until_async(lambda: len(live.records) == 2)
    contents = {r.url.host: json.loads(r.content) for r in live.upstreams.requests}
    assert contents["one.test"]["messages"][0]["content"] == "mail ada@example.com"
    shadowed = contents.get("two.test")
    assert (shadowed and shadowed["messages"][0]["content"]) == expected


async def test_a_prompt_is_embedded_only_as_the_embedding_route_allows(tmp_path: Path) -> None:
    policy = CachePolicy(ttl_s=60, semantic="guarded")
    main = route("r", provider("one"), cache=policy)
    guarded = route("guarded", provider("two"), guardrails=("cards",))
    registered = snapshot(main, guarded, guardrails={"cards": MASK})
    embedding = {"object": "list", "data": [{"index": 0, "embedding": [1.0, 0.0]}]}
    upstreams = {
        "one": lambda _: completion(),
        "two": lambda _: httpx.Response(200, json=embedding),
    }
    async with gateway(tmp_path, registered, **upstreams) as live:
        assert (await live.post(CHAT, chat("mail ada@example.com"))).status == 200
        await live.rows(2)
    contents = {r.url.host: json.loads(r.content) for r in live.upstreams.requests}
    assert contents["two.test"]["input"] == ["mail [EMAIL]"]


@pytest.mark.parametrize("native", [False, True])
async def test_a_continued_response_is_masked_for_a_fallback(tmp_path: Path, native: bool) -> None:
    stored = StoredResponse(
        id="resp_00000000000000000000000000000001",
        owner="key:1",
        created_at=time.time(),
        native_provider="two" if native else "",
        input=b'"mail ada@example.com"',
        response=b'{"id": "resp_00000000000000000000000000000001", "output": []}',
    )
    store = DictStore()
    store.save(stored)
    body = {"model": "r", "input": "and bob@example.com?", "previous_response_id": stored.id}
    upstreams = {"one": lambda _: UNAVAILABLE, "two": lambda _: completion()}
    registered = with_fallback(MASK)
    async with gateway(tmp_path, registered, responses=store.backend(), **upstreams) as live:
        await live.post("/v1/responses", body)
    sent = {request.url.host: request.content for request in live.upstreams.requests}
    assert b"@example.com" not in sent["two.test"]
    assert sent["two.test"].count(b"[EMAIL]") == 2
