"""Limits for clients of each dialect: headers, and refusals in their formats."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.routing.limits import Budget, Limits
from tests.relay.harness import (
    DONE,
    Gateway,
    chunk,
    completion,
    gateway,
    provider,
    refusal,
    route,
    sse,
)
from tests.relay.test_limiter import (
    CHAT,
    MESSAGES,
    body,
    limited_registry,
    priced_route,
    reserved_amounts,
    response_with_usage,
)
from tests.waits import WAIT_TIMEOUT_S

TURN = {"role": "user", "content": "hi"}
GEMINI = "/v1beta/models/r:generateContent"
# A dialect's path -> the shortest request of it.
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"model": "r", "messages": [TURN]}),
    "messages": (MESSAGES, {"model": "r", "messages": [TURN], "max_tokens": 9}),
    "responses": ("/v1/responses", {"model": "r", "input": "hi"}),
    "completions": ("/v1/completions", {"model": "r", "prompt": "hi"}),
    "gemini": (GEMINI, {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
    "ollama": ("/api/chat", {"model": "r", "messages": [TURN], "stream": False}),
}
OPENAI = r"x-ratelimit-{field}-{what}"
ANTHROPIC = r"anthropic-ratelimit-{what}-{field}"


def header_values(headers: dict[str, str], template: str, metric: str) -> list[str]:
    names = [template.format(what=metric, field=field) for field in ("limit", "remaining", "reset")]
    return [headers[name] for name in names]


@pytest.mark.parametrize("dialect", REQUESTS)
async def test_responses_have_the_remaining_limits(tmp_path: Path, dialect: str) -> None:
    registry = limited_registry(
        route("r", provider("one", preset="groq")),
        limits=Limits(
            requests_per_minute=5,
            requests_per_day=3,
            tokens_per_hour=10**6,
            tokens_per_minute=90_000,
        ),
    )
    path, request_body = REQUESTS[dialect]
    async with gateway(tmp_path, registry, one=lambda _: completion()) as live:
        reply = await live.post(path, request_body)
    template = ANTHROPIC if dialect == "messages" else OPENAI
    assert reply.status == 200, reply.body
    limit, remaining, resets = header_values(reply.headers, template, "requests")
    assert (limit, remaining) == ("3", "2"), "what ends first is told, not what was set first"
    assert header_values(reply.headers, template, "tokens")[0] == "90000"
    if dialect == "messages":
        reset_at = datetime.strptime(resets, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert 0 < (reset_at - datetime.now(UTC)).total_seconds() <= 86400 * 13 / 12 + 1
    else:
        assert re.fullmatch(r"(\d+h)?(\d+m)?\d+s", resets)
    other = ANTHROPIC if template == OPENAI else OPENAI
    assert other.split("{")[0] not in "".join(reply.headers)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", REQUESTS)
async def test_a_rate_limit_error_is_in_the_clients_dialect(
    tmp_path: Path, dialect: str, *, stream: bool
) -> None:
    """The status and the delay are also sent for streams, which have not started."""
    registry = limited_registry(route("r", provider("one")), limits=Limits(requests_per_minute=1))
    path, fields = REQUESTS[dialect]
    if stream:
        fields = {**fields, "stream": True}
        path = path.replace(":generateContent", ":streamGenerateContent")
        if dialect == "gemini":
            del fields["stream"]
    async with gateway(tmp_path, registry, one=lambda _: completion()) as live:
        await live.post(*REQUESTS[dialect])
        reply = await live.post(path, fields)
        row = (await live.rows(2))[-1]
    assert (reply.status, row.status, row.error_kind) == (429, 429, "rate_limit")
    wait = int(reply.headers["retry-after"])
    assert 0 < wait <= 65
    assert_refused(dialect, reply.json(), "rate_limit", wait)
    assert (
        header_values(reply.headers, ANTHROPIC if dialect == "messages" else OPENAI, "requests")[1]
        == "0"
    )


def assert_refused(dialect: str, text: Any, kind: str, wait: int | None = None) -> None:
    message = (
        "this API key is limited to 1 request per minute" if kind == "rate_limit" else "is used up"
    )
    if dialect == "ollama":
        assert message in text["error"]
        return
    error = text["error"] if isinstance(text, dict) else text[0]["error"]
    assert message in error["message"]
    if dialect == "gemini":
        assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
        if wait is not None:
            retry = [d for d in error["details"] if d["@type"].endswith("RetryInfo")]
            assert retry[0]["retryDelay"] == f"{wait}s"
    elif dialect == "messages":
        assert text["type"] == "error"
        assert error["type"] == ("rate_limit_error" if kind == "rate_limit" else "billing_error")
    else:
        code = "rate_limit_exceeded" if kind == "rate_limit" else "insufficient_quota"
        assert error["code"] == code


@pytest.mark.parametrize("dialect", REQUESTS)
async def test_a_spent_budget_error_has_the_clients_dialect(tmp_path: Path, dialect: str) -> None:
    registry = limited_registry(
        priced_route(provider("one")), budget=Budget(total_usd=Decimal("0.0001"))
    )
    async with gateway(tmp_path, registry, one=lambda _: response_with_usage(50)) as live:
        assert (await live.post(CHAT, body())).status == 200
        reply = await live.post(*REQUESTS[dialect])
    assert reply.status == (402 if dialect == "messages" else 429)
    assert "retry-after" not in reply.headers, "no wait ends it"
    assert_refused(dialect, reply.json(), "quota")


# --- however a call ends ------------------------------------------------------------------


async def spent_units(live: Gateway, name: str = "key:1/usd/total") -> int:
    offset = live.runtime.limiter.counters.counter_offset(name)
    assert offset is not None
    return int(live.runtime.limiter.counters.local_slot[offset + 2])


async def test_retries_reserve_once_and_charge_the_successful_attempt(tmp_path: Path) -> None:
    registry = limited_registry(
        priced_route(provider("one"), provider("two", id=2), retries=2, backoff_s=0.001),
        limits=Limits(requests_per_minute=9, concurrency=1),
        budget=Budget(total_usd=Decimal(1)),
    )
    async with gateway(
        tmp_path, registry, one=lambda _: refusal(503), two=lambda _: response_with_usage(50)
    ) as live:
        reply = await live.post(CHAT, body())
        assert reply.headers["x-ratelimit-remaining-requests"] == "8"
        assert await spent_units(live) == 50 * 2 * 10_000
        assert reserved_amounts(live, "key:1/usd/total", "key:1/concurrency/") == [0, 0]


async def test_a_hedged_request_leaves_no_reservation(tmp_path: Path) -> None:
    busy = Limits(concurrency=1, tokens_per_minute=10**6)
    first, second = provider("one", limits=busy), provider("two", id=2, limits=busy)
    registry = limited_registry(
        priced_route(first, second, hedge_after_s=0.05),
        limits=Limits(concurrency=1),
        budget=Budget(total_usd=Decimal(1)),
    )

    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(WAIT_TIMEOUT_S)
        return response_with_usage(9)

    async with gateway(tmp_path, registry, one=slow, two=lambda _: response_with_usage(50)) as live:
        assert (await live.post(CHAT, body())).status == 200
        row = await live.record()
        names = ("key:1/concurrency/", "provider:1/concurrency/", "provider:2/concurrency/")
        assert reserved_amounts(live, *names, "provider:1/tokens/minute") == [0, 0, 0, 0]
        loser, winner = row.attempts
        assert (loser.target, winner.target) == ("one/gpt-4.1", "two/gpt-4.1")
        assert row.cost_usd is not None
        assert loser.cost_usd is not None
        assert loser.cost_usd > 0
        assert await spent_units(live) == int((row.cost_usd + loser.cost_usd) * 10**10)


@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_disconnected_client_is_charged_for_received_tokens(
    tmp_path: Path, pieces: int
) -> None:
    registry = limited_registry(priced_route(provider("one")), budget=Budget(total_usd=Decimal(1)))
    parts = [chunk("word " * 20)] * pieces + [WAIT_TIMEOUT_S, chunk(finish="stop"), DONE]
    async with gateway(tmp_path, registry, one=lambda _: sse(*parts)) as live:
        await live.post(
            CHAT,
            body(stream=True),
            disconnect_once=lambda reply: reply.body.count(b"data: ") >= pieces,
        )
        row = await live.record()
        assert row.cost_usd
        assert await spent_units(live) == int(row.cost_usd * 10**10)
        assert reserved_amounts(live, "key:1/usd/total") == [0]


async def test_a_passthrough_request_is_counted_and_settled(tmp_path: Path) -> None:
    """A speech request passes through unparsed: it counts as a request and releases everything."""
    registry = limited_registry(
        route("r", provider("one")),
        limits=Limits(requests_per_minute=1, concurrency=1, tokens_per_minute=10**6),
        budget=Budget(total_usd=Decimal(1)),
    )
    request = {"model": "r", "input": "hi", "voice": "alloy"}
    sound = httpx.Response(200, content=b"sound", headers={"content-type": "audio/mpeg"})
    async with gateway(tmp_path, registry, one=lambda _: sound) as live:
        first = await live.post("/v1/audio/speech", request)
        names = ("key:1/concurrency/", "key:1/tokens/minute", "key:1/usd/total")
        assert reserved_amounts(live, *names) == [0, 0, 0]
        second = await live.post("/v1/audio/speech", request)
    assert (first.status, second.status) == (200, 429)
    assert second.json()["error"]["code"] == "rate_limit_exceeded"


# --- projects -----------------------------------------------------------------------------


async def test_limits_of_a_projects_team_apply_beside_the_project(tmp_path: Path) -> None:
    from gateway.edge.admission import key_digest
    from gateway.routing.snapshot import Team
    from tests.relay.harness import PEPPER

    team = Team(id=4, name="blue", limits=Limits(requests_per_hour=3))
    app = Team(id=5, name="app", parent=team, limits=Limits(requests_per_hour=2))
    site = Team(id=6, name="site", parent=team)
    base = limited_registry(route("r", provider("one")), team=app)
    (key,) = base.keys.values()
    mate = msgspec.structs.replace(key, id=2, digest=key_digest("sk-mate", PEPPER), team=site)
    registry = msgspec.structs.replace(base, keys={k.digest: k for k in (key, mate)})
    async with gateway(tmp_path, registry, one=lambda _: completion()) as live:
        request_keys = ["sk-dgm-test", "sk-dgm-test", "sk-dgm-test", "sk-mate", "sk-mate"]
        replies = [await live.post(CHAT, body(), key=token) for token in request_keys]
    assert [reply.status for reply in replies] == [200, 200, 429, 200, 429]
    assert "the project app is limited to 2 requests" in replies[2].json()["error"]["message"]
    assert "the team blue is limited to 3 requests" in replies[4].json()["error"]["message"]
