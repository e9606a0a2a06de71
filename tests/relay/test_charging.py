"""Recorded and charged cost of a request: tiers, markups, budgets."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.providers.prices import price_for
from gateway.providers.profile import Price
from gateway.relay.limits.max_rates import max_rates
from gateway.routing.limits import UNITS, Budget
from gateway.routing.snapshot import Route, Snapshot, Target, model_of
from tests.relay.harness import (
    DONE,
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
MESSAGES = "/v1/messages"
FLEX = Price(input=Decimal("0.5"), output=Decimal(1), source="custom; tier flex")
PRICE = Price(input=Decimal(1), output=Decimal(2), tiers={"flex": FLEX}, source="list")
USAGE = {"prompt_tokens": 0, "completion_tokens": 100, "total_tokens": 100}
CLAUDE_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "c",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
}
# 100 tokens at 2 dollars a million.
COST = Decimal("0.0002")


def priced_route(price: Price = PRICE, **of_provider: Any) -> Route:
    test_route = route("r", msgspec.structs.replace(provider("one"), **of_provider))
    targets = tuple(
        msgspec.structs.replace(t, model=msgspec.structs.replace(t.model, price=price))
        for t in test_route.targets
    )
    return msgspec.structs.replace(test_route, targets=targets)


def registry(test_route: Route, *, markup: Decimal | None = None, **of_key: Any) -> Snapshot:
    base = snapshot(test_route)
    ((digest, key),) = base.keys.items()
    changed = msgspec.structs.replace(key, **of_key)
    return msgspec.structs.replace(base, keys={digest: changed}, markup=markup)


def body(**more: Any) -> dict[str, Any]:
    return {"model": "r", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10, **more}


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_response_has_its_charged_amount(tmp_path: Path, path: str) -> None:
    """The charge includes the markup: the header must not reveal the gateway's cost."""
    test_snapshot = registry(priced_route(), markup=Decimal("1.5"))
    async with gateway(tmp_path, test_snapshot, one=lambda _: completion(usage=USAGE)) as gw:
        reply = await gw.post(path, body())
    assert reply.headers["x-dragoman-cost-usd"] == "0.00030"
    assert reply.headers["x-litellm-response-cost"] == "0.00030"


async def test_an_unknown_cost_and_a_stream_have_no_header(tmp_path: Path) -> None:
    unpriced = registry(route("r", provider("one", preset="custom"), model="nobody-knows"))
    async with gateway(tmp_path, unpriced, one=lambda _: completion(usage=USAGE)) as gw:
        unknown = await gw.post(CHAT, body())
        gw.upstreams.responses["one"] = lambda _: sse(chunk("hi"), chunk(finish="stop"), DONE)
        stream = await gw.post(CHAT, body(stream=True))
    for reply in (unknown, stream):
        assert reply.status == 200
        assert "x-dragoman-cost-usd" not in reply.headers


@pytest.mark.parametrize(
    ("of_key", "of_provider", "of_all", "factor"),
    [
        (None, None, None, "1"),
        (None, None, "1.5", "1.5"),
        (None, "1.2", "1.5", "1.2"),
        ("2", "1.2", "1.5", "2"),
        ("0", "1.2", "1.5", "0"),
    ],
    ids=["none", "the settings'", "the provider's before it", "the key's first", "nothing at all"],
)
async def test_cost_and_charge_are_both_recorded(
    tmp_path: Path, of_key: Any, of_provider: Any, of_all: Any, factor: str
) -> None:
    def number(text: str | None) -> Decimal | None:
        return None if text is None else Decimal(text)

    base = registry(priced_route(markup=number(of_provider)), markup=number(of_all))
    ((digest, key),) = base.keys.items()
    marked_up_keys = {digest: msgspec.structs.replace(key, markup=number(of_key))}
    test_snapshot = msgspec.structs.replace(base, keys=marked_up_keys)
    async with gateway(tmp_path, test_snapshot, one=lambda _: completion(usage=USAGE)) as live:
        await live.post(CHAT, body())
        row = await live.record()
    assert row.cost_usd == COST
    assert row.charged_usd == COST * Decimal(factor)


async def test_an_unknown_cost_is_charged_as_unknown(tmp_path: Path) -> None:
    test_registry = registry(priced_route(Price()), markup=Decimal(2))
    async with gateway(tmp_path, test_registry, one=lambda _: completion(usage=USAGE)) as live:
        await live.post(CHAT, body())
        row = await live.record()
    assert (row.cost_usd, row.charged_usd) == (None, None)


async def test_a_budget_counts_what_is_charged(tmp_path: Path) -> None:
    """Two requests cost 0.0004; with the markup they are charged 0.0012."""
    test_route = priced_route()
    base = registry(test_route, budget=Budget(total_usd=Decimal("0.001")), markup=Decimal(3))
    async with gateway(tmp_path, base, one=lambda _: completion(usage=USAGE)) as live:
        replies = [(await live.post(CHAT, body())).status for _ in range(3)]
        offset = live.runtime.limiter.counters.counter_offset("key:1/usd/total")
        assert offset is not None
        counted = live.runtime.limiter.counters.local_slot[offset + 2]
    assert replies == [200, 200, 429]
    assert counted == int(Decimal("0.0012") * UNITS)


async def test_the_tier_that_the_response_names_sets_the_price(tmp_path: Path) -> None:
    async with gateway(
        tmp_path,
        registry(priced_route()),
        one=lambda _: completion(usage=USAGE, service_tier="flex"),
    ) as live:
        await live.post(CHAT, body(service_tier="flex"))
        row = await live.record()
    assert (row.service_tier, row.cost_usd) == ("flex", COST / 2)
    assert row.price_source == "custom; tier flex"


async def test_a_requested_tier_that_was_not_granted_is_not_billed(tmp_path: Path) -> None:
    async with gateway(
        tmp_path,
        registry(priced_route()),
        one=lambda _: completion(usage=USAGE, service_tier="default"),
    ) as live:
        await live.post(CHAT, body(service_tier="flex"))
        row = await live.record()
    assert (row.service_tier, row.cost_usd) == ("", COST)


async def test_without_a_tier_in_the_response_the_requested_one_is_billed(tmp_path: Path) -> None:
    async with gateway(
        tmp_path, registry(priced_route()), one=lambda _: completion(usage=USAGE)
    ) as live:
        await live.post(CHAT, body(service_tier="flex"))
        row = await live.record()
    assert (row.service_tier, row.cost_usd) == ("flex", COST / 2)


async def test_the_service_tier_of_a_stream_sets_the_price(tmp_path: Path) -> None:
    parts = (
        chunk("hi", service_tier="flex"),
        chunk(finish="stop", service_tier="flex"),
        chunk(usage=USAGE, service_tier="flex"),
        DONE,
    )
    async with gateway(tmp_path, registry(priced_route()), one=lambda _: sse(*parts)) as live:
        for path in (CHAT, MESSAGES):
            await live.post(path, body(stream=True, stream_options={"include_usage": True}))
        rows = await live.rows(2)
    assert [row.service_tier for row in rows] == ["flex", "flex"]
    assert [row.cost_usd for row in rows] == [COST / 2, COST / 2]


@pytest.mark.parametrize("tier", [None, "flex"])
@pytest.mark.parametrize("path", [CHAT, "/v1beta/models/r:generateContent"])
async def test_image_tokens_have_their_own_price(
    tmp_path: Path, path: str, tier: str | None
) -> None:
    """An image of Gemini costs twelve times as much as text of as many tokens."""
    metadata = {
        "promptTokenCount": 100,
        "candidatesTokenCount": 1300,
        "candidatesTokensDetails": [
            {"modality": "TEXT", "tokenCount": 10},
            {"modality": "IMAGE", "tokenCount": 1290},
        ],
        "totalTokenCount": 1400,
    }
    parts = [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    response = {"candidates": [candidate], "usageMetadata": metadata}
    upstream = provider("one", "gemini", preset="gemini")
    list_price = price_for("gemini", "gemini-2.5-flash-image")
    assert (list_price.input, list_price.output) == (Decimal("0.3"), Decimal("2.5"))
    flex = Price(input=Decimal("0.15"), output=Decimal("1.25"))
    price = msgspec.structs.replace(list_price, tiers={"flex": flex})
    model = msgspec.structs.replace(model_of(upstream, "gemini-2.5-flash-image"), price=price)
    test_route = route("r", upstream, targets=(Target(id=1, model=model, order=1),))
    text: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    chat = body(**({"service_tier": tier} if tier else {}))
    text |= {"serviceTier": tier} if tier else {}
    async with gateway(
        tmp_path, registry(test_route), one=lambda _: httpx.Response(200, json=response)
    ) as live:
        reply = await live.post(path, chat if path == CHAT else text)
        row = await live.record()
    assert reply.status == 200
    expected = Decimal(100 * 3 + 10 * 25 + 1290 * 300) / 10**7
    assert row.cost_usd == (expected / 2 if tier else expected)
    assert max_rates(test_route.targets)[1] == 30 * UNITS // 10**6


@pytest.mark.parametrize(
    ("tiers", "factor", "source"),
    [
        ({"fast": Price(input=Decimal(2), output=Decimal(4), source="fast")}, 2, "fast"),
        ({}, 1, "list; standard price, no price known for the tier fast"),
    ],
    ids=["priced", "no price"],
)
async def test_fast_mode_of_claude_is_a_tier_of_its_own(
    tmp_path: Path, tiers: dict[str, Price], factor: int, source: str
) -> None:
    """It costs twice as much, and its `service_tier` is standard all the same."""
    usage = {"input_tokens": 0, "output_tokens": 100, "service_tier": "standard"}
    responses = iter(
        httpx.Response(200, json={**CLAUDE_MESSAGE, "usage": {**usage, "speed": speed}})
        for speed in ("fast", "standard")
    )
    price = msgspec.structs.replace(PRICE, tiers=tiers)
    upstream = priced_route(price, dialect="anthropic_messages", preset="anthropic")
    async with gateway(tmp_path, registry(upstream), one=lambda _: next(responses)) as live:
        for _ in range(2):
            await live.post(MESSAGES, body(speed="fast"))
        fast, standard = await live.rows(2)
    assert (fast.service_tier, fast.cost_usd) == ("fast", COST * factor)
    assert fast.price_source == source
    assert (standard.service_tier, standard.cost_usd) == ("", COST)


@pytest.mark.parametrize("priced", ["priority", "fast"])
@pytest.mark.parametrize("reported", ["priority", "fast", None])
async def test_fast_is_openais_new_name_of_priority(
    tmp_path: Path, priced: str, reported: str | None
) -> None:
    tiers = {priced: Price(input=Decimal(2), output=Decimal(4))}
    test_route = priced_route(msgspec.structs.replace(PRICE, tiers=tiers))
    response = completion(usage=USAGE, **({"service_tier": reported} if reported else {}))
    async with gateway(tmp_path, registry(test_route), one=lambda _: response) as live:
        await live.post(CHAT, body(service_tier="fast"))
        row = await live.record()
    assert (row.service_tier, row.cost_usd) == (priced, COST * 2)


@pytest.mark.parametrize(
    ("preset", "count", "searches"),
    [
        ("anthropic", 3, 3),
        ("anthropic", 0, 0),
        ("anthropic", -1, 0),
        ("anthropic", "3", 0),
        ("anthropic", None, 0),
        ("custom", 3, 0),
    ],
)
async def test_web_searches_of_claude_cost_a_cent_each(
    tmp_path: Path, preset: str, count: Any, searches: int
) -> None:
    usage = {
        "input_tokens": 0,
        "output_tokens": 100,
        "server_tool_use": {"web_search_requests": count, "web_fetch_requests": 5},
    }
    response = httpx.Response(200, json={**CLAUDE_MESSAGE, "usage": usage})
    test_route = priced_route(dialect="anthropic_messages", preset=preset)
    async with gateway(
        tmp_path, registry(test_route, markup=Decimal(2)), one=lambda _: response
    ) as live:
        await live.post(MESSAGES, body())
        row = await live.record()
    assert row.cost_usd == COST + Decimal("0.01") * searches
    assert row.charged_usd == row.cost_usd * 2


OPENAI_RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "completed",
    "output": [],
    "usage": {"input_tokens": 0, "output_tokens": 100, "total_tokens": 100},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/responses", CHAT])
@pytest.mark.parametrize(
    ("tool_usage", "searches"),
    [
        ({"web_search": {"num_requests": 3}, "image_gen": {"output_tokens": 9}}, 3),
        ({"web_search": {"num_requests": 10**15}}, 0),
        ({"web_search": {"num_requests": -1}}, 0),
        ({"web_search": [3]}, 0),
        ([3], 0),
        (None, 0),
    ],
)
async def test_web_searches_of_openai_cost_a_cent_each(
    tmp_path: Path, path: str, stream: bool, tool_usage: Any, searches: int
) -> None:
    """The official SDK: `tool_usage.web_search.num_requests` counts the searches that are billed."""
    response = {**OPENAI_RESPONSE, "tool_usage": tool_usage}
    created = {**OPENAI_RESPONSE, "status": "in_progress", "usage": None}
    events = [
        {"type": "response.created", "sequence_number": 0, "response": created},
        {"type": "response.completed", "sequence_number": 1, "response": response},
    ]
    parts = (b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)
    reply = sse(*parts) if stream else httpx.Response(200, json=response)
    test_route = priced_route(dialect="openai_responses", preset="openai_responses")
    request = body(stream=stream)
    if path == "/v1/responses":
        request = {"model": "r", "input": "hi", "stream": stream}
    async with gateway(tmp_path, registry(test_route), one=lambda _: reply) as live:
        await live.post(path, request)
        row = await live.record()
    assert row.cost_usd == COST + Decimal("0.01") * searches


@pytest.mark.parametrize(
    ("preset", "region", "factor"),
    [
        ("anthropic", "us", "1.1"),
        ("anthropic", "global", "1"),
        ("anthropic", "not_available", "1"),
        ("anthropic", ["us"], "1"),
        ("custom", "us", "1"),
    ],
)
async def test_inference_in_the_us_only_costs_more(
    tmp_path: Path, preset: str, region: Any, factor: str
) -> None:
    usage = {
        "input_tokens": 0,
        "output_tokens": 100,
        "inference_geo": region,
        "server_tool_use": {"web_search_requests": 1},
    }
    response = httpx.Response(200, json={**CLAUDE_MESSAGE, "usage": usage})
    test_route = priced_route(dialect="anthropic_messages", preset=preset)
    async with gateway(tmp_path, registry(test_route), one=lambda _: response) as live:
        await live.post(MESSAGES, body())
        row = await live.record()
    searches = 1 if preset == "anthropic" else 0
    assert row.cost_usd == COST * Decimal(factor) + Decimal("0.01") * searches
    assert ("region us" in row.price_source) == (factor != "1")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [MESSAGES, CHAT])
async def test_iterations_that_the_usage_does_not_include_are_billed(
    tmp_path: Path, path: str, stream: bool
) -> None:
    """A compaction reads the whole conversation; an advisor has the price of its own model."""
    counts = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    iterations = [
        {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500, **counts},
        {"type": "message", "input_tokens": 23_000, "output_tokens": 1000, **counts},
        {
            "type": "advisor_message",
            "model": "claude-opus-4-6",
            "input_tokens": 1000,
            "output_tokens": 100,
            **counts,
        },
        *({"type": "compaction", "input_tokens": value} for value in (-5, "7", None)),
        "not an object",
    ]
    usage = {"input_tokens": 23_000, "output_tokens": 1000, "iterations": iterations}
    events = [
        {"type": "message_start", "message": {**CLAUDE_MESSAGE, "content": [], "usage": counts}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop"},
    ]
    parts = (b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)
    response = (
        sse(*parts) if stream else httpx.Response(200, json={**CLAUDE_MESSAGE, "usage": usage})
    )
    long_prompt = Price(input=Decimal(99), output=Decimal(99), source="list")
    price = msgspec.structs.replace(PRICE, above=((200_000, long_prompt),))
    test_route = priced_route(price, dialect="anthropic_messages", preset="anthropic")
    async with gateway(tmp_path, registry(test_route), one=lambda _: response) as live:
        reply = await live.post(path, body(stream=stream))
        row = await live.record()
    own = Decimal(23_000 + 180_000 + 2 * (1000 + 3500)) / 10**6
    advice = Decimal(1000 * 5 + 100 * 25) / 10**6
    assert row.cost_usd == own + advice
    assert (row.input_tokens, row.output_tokens) == (204_000, 4600)
    if not stream:
        reported = reply.json()["usage"]
        assert reported.get("input_tokens", reported.get("prompt_tokens")) == 23_000


async def test_a_tier_without_a_price_is_billed_as_standard_and_marked(tmp_path: Path) -> None:
    async with gateway(
        tmp_path,
        registry(priced_route()),
        one=lambda _: completion(usage=USAGE, service_tier="priority"),
    ) as live:
        await live.post(CHAT, body(service_tier="priority"))
        row = await live.record()
    assert (row.service_tier, row.cost_usd) == ("priority", COST)
    assert "no price known for the tier priority" in row.price_source


async def test_tags_of_request_and_key_are_in_the_log(tmp_path: Path) -> None:
    test_registry = registry(priced_route(), tags=("team-a",))
    async with gateway(tmp_path, test_registry, one=lambda _: completion(usage=USAGE)) as live:
        await live.post(CHAT, body(), headers={"x-dragoman-tags": "ci, nightly"})
        row = await live.record()
    assert row.tags == ["ci", "nightly", "team-a"]


def test_reservations_cover_every_tier_and_markup() -> None:
    long = Price(input=Decimal(4), output=Decimal(9))
    priority = Price(input=Decimal(3), output=Decimal(20), above=((10, Price(input=Decimal(7))),))
    price = Price(
        input=Decimal(1), output=Decimal(2), above=((5, long),), tiers={"priority": priority}
    )
    test_route = priced_route(price, markup=Decimal("1.5"))
    assert max_rates(test_route.targets) == (int(Decimal("10.5") * 10_000), 30 * 10_000)
    assert max_rates(test_route.targets, None, Decimal(9)) == max_rates(test_route.targets)


@pytest.mark.parametrize("header", ["x-dragoman-session", "session_id", "x-litellm-session-id"])
async def test_the_log_reads_the_session_headers_of_routes(tmp_path: Path, header: str) -> None:
    async with gateway(
        tmp_path, registry(priced_route()), one=lambda _: completion(usage=USAGE)
    ) as live:
        await live.post(CHAT, body(), headers={header: "s-1"})
        assert (await live.record()).session == "s-1"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_client_that_leaves_before_the_response_pays_for_its_prompt(
    tmp_path: Path, path: str, stream: bool
) -> None:
    """The provider has read the prompt; else a client with a short time limit is never charged."""
    called: list[bool] = []

    async def never_answer(_: httpx.Request) -> httpx.Response:
        called.append(True)
        await asyncio.sleep(3600)
        raise AssertionError

    test_snapshot = registry(priced_route(), budget=Budget(day_usd=Decimal(1)))
    request = body(stream=stream) | {"messages": [{"role": "user", "content": "word " * 1000}]}
    async with gateway(tmp_path, test_snapshot, one=never_answer) as gw:
        await gw.post(path, request, disconnect_once=lambda _: bool(called))
        row = await gw.record()
    assert (row.status, row.outcome, row.usage_source) == (499, "client_closed", "estimated")
    assert row.input_tokens == pytest.approx(1000, rel=0.1)
    assert row.output_tokens == 0
    assert row.cost_usd == row.input_tokens * Decimal("0.000001")


async def test_a_client_that_leaves_during_the_backoff_pays_nothing(tmp_path: Path) -> None:
    called: list[bool] = []

    def fail(_: httpx.Request) -> httpx.Response:
        called.append(True)
        return refusal(500)

    backing_off = msgspec.structs.replace(priced_route(), retries=1, backoff_s=60.0)
    async with gateway(tmp_path, registry(backing_off), one=fail) as gw:
        await gw.post(CHAT, body(), disconnect_once=lambda _: bool(called))
        row = await gw.record()
    assert (row.outcome, row.input_tokens, row.cost_usd) == ("client_closed", None, None)
