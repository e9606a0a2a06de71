"""Several choices (`n`) from providers that return one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import httpx2
import msgspec
import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState

from gateway.dialects import DIALECTS
from gateway.providers.profile import Price
from gateway.relay.exchange.call import Exchange
from gateway.relay.limits.max_rates import estimate_usage
from gateway.relay.runtime import Config
from gateway.routing.snapshot import Provider, Target, model_of
from tests.fakes import anthropic_rules, ollama_rules
from tests.relay.harness import (
    DONE,
    KEY,
    Part,
    chunk,
    completion,
    gateway,
    provider,
    refusal,
    route,
    snapshot,
    sse,
)

Json = dict[str, Any]
Handler = Callable[[httpx.Request], Any]

REQUEST: Json = {
    "model": "m",
    "messages": [{"role": "user", "content": "hi"}],
    "n": 3,
    "max_tokens": 50,
}
CLAUDE = provider("a", "anthropic_messages", preset="anthropic")
VERSION = {"anthropic-version": "2023-06-01"}


def event(kind: str, **fields: Any) -> bytes:
    return (
        f"event: {kind}\ndata: ".encode() + json.dumps({"type": kind, **fields}).encode() + b"\n\n"
    )


def claude(texts: list[str], *, pause_s: float = 0.0, after: tuple[Part, ...] = ()) -> Handler:
    """Respond as a Claude that returns the next text for each request and does not support `n`.

    `after` follows a complete stream.
    """
    remaining_texts = list(texts)

    def respond(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        refusal = anthropic_rules.refusal(body, VERSION, counting=False)
        if refusal is not None:
            error = {"type": refusal.type, "message": refusal.message}
            return httpx.Response(refusal.status, json={"type": "error", "error": error})
        text = remaining_texts.pop(0)
        usage = {"input_tokens": 10, "output_tokens": len(text)}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "c"}
        if not body.get("stream"):
            content = [{"type": "text", "text": text}]
            full = {**message, "content": content, "stop_reason": "end_turn", "usage": usage}
            return httpx.Response(200, json=full)
        start = {**message, "content": [], "usage": {**usage, "output_tokens": 0}}
        deltas = [
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": letter})
            for letter in text
        ]
        parts: list[Any] = []
        for delta in deltas:
            parts += [delta, pause_s] if pause_s else [delta]
        return sse(
            event("message_start", message=start),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            *parts,
            event("content_block_stop", index=0),
            event(
                "message_delta",
                delta={"stop_reason": "end_turn"},
                usage={"output_tokens": len(text)},
            ),
            event("message_stop"),
            *after,
        )

    return respond


def priced_route(upstream: Provider, model: str = "claude-sonnet-4-5", **changes: Any) -> Any:
    price = Price(input=Decimal(1), output=Decimal(2), source="list")
    priced = msgspec.structs.replace(model_of(upstream, model), price=price)
    return route("m", upstream, targets=(Target(id=1, model=priced, order=1),), **changes)


def chunks(body: bytes) -> list[Json]:
    lines = [line for line in body.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


async def test_choices_are_merged_with_their_indexes_and_their_sum(tmp_path: Path) -> None:
    test_route = priced_route(CLAUDE)
    async with gateway(tmp_path, snapshot(test_route), a=claude(["a", "bb", "ccc"])) as gw:
        reply = await gw.post("/v1/chat/completions", REQUEST)
        row = await gw.record()
    body = reply.json()
    assert reply.status == 200, body
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    texts = [choice["message"]["content"] for choice in body["choices"]]
    assert sorted(texts) == ["a", "bb", "ccc"]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (30, 6)
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (30, 6, "reported")
    assert row.cost_usd == Decimal("0.000042")
    [attempt] = row.attempts
    assert sorted(c.output_tokens or 0 for c in attempt.calls) == [1, 2, 3]
    assert len(gw.records) == 1 and len(gw.upstreams.requests) == 3
    assert "n" not in reply.headers.get("x-dragoman-dropped", "").split(", ")


async def test_a_stream_interleaves_its_choices(tmp_path: Path) -> None:
    texts = ["alpha", "bravo", "chars"]
    body = {**REQUEST, "stream": True, "stream_options": {"include_usage": True}}
    upstream = claude(texts, pause_s=0.01)
    async with gateway(tmp_path, snapshot(priced_route(CLAUDE)), a=upstream) as gw:
        reply = await gw.post("/v1/chat/completions", body)
        row = await gw.record()
    stream_chunks = chunks(reply.body)
    state: Any = ChatCompletionStreamState()
    for part in stream_chunks:
        state.handle_chunk(openai.types.chat.ChatCompletionChunk.model_validate(part))
    final = state.get_final_completion()
    assert sorted(c.message.content for c in final.choices) == texts
    assert [c.finish_reason for c in final.choices] == ["stop"] * 3
    order = [
        part["choices"][0]["index"]
        for part in stream_chunks
        if part["choices"] and part["choices"][0]["delta"].get("content")
    ]
    assert sorted(order) != order, "the choices come one after the other"
    assert stream_chunks[0]["choices"][0]["index"] == 0
    assert stream_chunks[-1]["usage"]["prompt_tokens"] == 30
    assert reply.body.count(b"[DONE]") == 1
    assert (row.input_tokens, row.output_tokens, row.cost_usd) == (30, 15, Decimal("0.00006"))


@pytest.mark.parametrize("stream", [False, True])
async def test_openais_sdk_reads_all_choices(tmp_path: Path, stream: bool) -> None:
    registry = snapshot(priced_route(CLAUDE))
    async with gateway(tmp_path, registry, a=claude(["a", "bb", "ccc"])) as gw:
        http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=gw.app))  # type: ignore[arg-type]
        async with openai.AsyncOpenAI(
            base_url="http://gw/v1", api_key=KEY, http_client=http, max_retries=0
        ) as sdk:
            if stream:
                indexes = {
                    part.choices[0].index
                    async for part in await sdk.chat.completions.create(**REQUEST, stream=True)
                }
            else:
                response = await sdk.chat.completions.create(**REQUEST)
                indexes = {choice.index for choice in response.choices}
    assert indexes == {0, 1, 2}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/completions", {"model": "m", "prompt": "hi", "n": 2, "max_tokens": 9}),
        (
            "/v1beta/models/m:generateContent",
            {
                "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                "generationConfig": {"candidateCount": 2, "maxOutputTokens": 9},
            },
        ),
    ],
    ids=["completions", "gemini"],
)
async def test_clients_of_other_dialects_get_choices_at_the_end(
    tmp_path: Path, path: str, fields: Json, stream: bool
) -> None:
    if stream and "generate" in path:
        path = path.replace("generateContent", "streamGenerateContent?alt=sse")
    elif stream:
        fields = {**fields, "stream": True}
    async with gateway(tmp_path, snapshot(priced_route(CLAUDE)), a=claude(["a", "bb"])) as gw:
        reply = await gw.post(path, fields)
    assert reply.status == 200, reply.body
    bodies = chunks(reply.body) if stream else [reply.json()]
    field = "candidates" if "v1beta" in path else "choices"
    rows = [row for body in bodies for row in body.get(field) or ()]
    assert {row["index"] for row in rows} == {0, 1}
    written = json.dumps(rows)
    assert '"a"' in written and "bb" in written


async def test_ollama_is_called_for_each_choice(tmp_path: Path) -> None:
    def ollama(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert ollama_rules.refusal("/api/chat", body) is None
        message = {"role": "assistant", "content": "hi"}
        counts = {"prompt_eval_count": 5, "eval_count": 2}
        return httpx.Response(
            200,
            json={"model": "q", "message": message, "done": True, "done_reason": "stop", **counts},
        )

    upstream = provider("a", "ollama", preset="ollama")
    test_route = priced_route(upstream, "qwen3")
    async with gateway(tmp_path, snapshot(test_route), a=ollama) as gw:
        reply = await gw.post("/v1/chat/completions", {**REQUEST, "seed": 7})
        upstream_bodies = [json.loads(r.content) for r in gw.upstreams.requests]
    assert len(reply.json()["choices"]) == 3
    assert sorted(body["options"]["seed"] for body in upstream_bodies) == [7, 8, 9]


async def test_a_provider_with_native_choices_is_called_once(tmp_path: Path) -> None:
    async with gateway(
        tmp_path, snapshot(route("m", provider("a"))), a=lambda _: completion()
    ) as gw:
        await gw.post("/v1/chat/completions", REQUEST)
    (upstream_request,) = gw.upstreams.requests
    assert json.loads(upstream_request.content)["n"] == 3


async def test_a_failed_choice_fails_the_request(tmp_path: Path) -> None:
    """The error is returned, and the running calls are cancelled."""
    count = 0

    async def second_fails(request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        if count == 2:
            return httpx.Response(
                529,
                json={"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
            )
        await asyncio.sleep(3600)
        raise AssertionError

    async with gateway(tmp_path, snapshot(priced_route(CLAUDE)), a=second_fails) as gw:
        reply = await gw.post("/v1/chat/completions", REQUEST)
        row = await gw.record()
    assert (reply.status, reply.json()["error"]["message"]) == (503, "busy")
    assert row.outcome == "error"


async def test_a_failure_in_a_stream_ends_it_with_the_error(tmp_path: Path) -> None:
    first = claude(["a", "b", "c"])
    count = 0

    async def last_fails(request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        if count < 3:
            return first(request)  # type: ignore[no-any-return]
        await asyncio.sleep(0.1)
        return httpx.Response(
            529, json={"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
        )

    async with gateway(tmp_path, snapshot(priced_route(CLAUDE)), a=last_fails) as gw:
        reply = await gw.post("/v1/chat/completions", {**REQUEST, "stream": True})
        row = await gw.record()
    assert chunks(reply.body)[-1]["error"]["message"] == "busy"
    assert b"[DONE]" not in reply.body
    assert row.outcome == "cut"


@pytest.mark.parametrize(
    "after", [3600.0, httpx.ReadError("reset by peer")], ids=["stays-open", "is-reset"]
)
async def test_complete_streams_need_no_end_of_their_connections(
    tmp_path: Path, after: Part
) -> None:
    upstream = claude(["a", "b", "c"], after=(after,))
    async with gateway(tmp_path, snapshot(priced_route(CLAUDE)), a=upstream) as gw:
        reply = await gw.post("/v1/chat/completions", {**REQUEST, "stream": True})
        row = await gw.record()
    assert reply.body.endswith(DONE)
    choices = [choice for part in chunks(reply.body) for choice in part["choices"]]
    ends = [choice["index"] for choice in choices if choice["finish_reason"]]
    assert sorted(ends) == [0, 1, 2]
    assert (row.outcome, row.usage_source) == ("ok", "reported")


async def test_a_fallback_serves_all_choices(tmp_path: Path) -> None:
    test_route = route("m", CLAUDE, provider("b"), model="claude-sonnet-4-5")
    async with gateway(
        tmp_path,
        snapshot(test_route),
        a=lambda _: refusal(500),
        b=lambda _: completion("hi"),
    ) as gw:
        reply = await gw.post("/v1/chat/completions", REQUEST)
    assert reply.status == 200
    assert {r.url.host for r in gw.upstreams.requests} == {"a.test", "b.test"}


async def test_a_client_that_disconnects_ends_all_calls(tmp_path: Path) -> None:
    async def hangs(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    async with gateway(tmp_path, snapshot(priced_route(CLAUDE)), a=hangs) as gw:
        await gw.post("/v1/chat/completions", REQUEST, disconnect_after=0.2)
        row = await gw.record()
    assert row.outcome == "client_closed"


async def test_an_interrupted_stream_is_billed_the_prompt_of_each_choice(tmp_path: Path) -> None:
    """Unknown, the cost would not count for any budget."""
    body = {**REQUEST, "stream": True, "messages": [{"role": "user", "content": "word " * 100}]}
    upstream = claude(["alpha", "bravo", "chars"], pause_s=0.3)
    async with gateway(tmp_path, snapshot(priced_route(CLAUDE)), a=upstream) as gw:
        await gw.post("/v1/chat/completions", body, disconnect_once=lambda r: r.parts)
        row = await gw.record()
    assert row.outcome == "client_closed"
    assert row.usage_source == "estimated"
    assert row.input_tokens is not None and 270 <= row.input_tokens <= 390
    assert row.output_tokens is not None and row.output_tokens >= 1
    expected = Decimal(row.input_tokens + 2 * row.output_tokens) / 1_000_000
    assert row.cost_usd == expected


@pytest.mark.parametrize("stream", [False, True])
async def test_the_service_tier_of_each_call_sets_its_price(tmp_path: Path, stream: bool) -> None:
    def in_tier(tier: str) -> Any:
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        if not stream:
            return completion("a", usage=usage, service_tier=tier)
        finish = chunk(finish="stop", service_tier=tier)
        return sse(chunk("a", service_tier=tier), finish, chunk(usage=usage), DONE)

    tiers = ["flex", "default", "flex"]
    test_route = priced_route(provider("a", preset="mistral"), "m")
    [target] = test_route.targets
    price = msgspec.structs.replace(
        target.model.price, tiers={"flex": Price(input=Decimal("0.5"), output=Decimal(1))}
    )
    traits = msgspec.structs.replace(target.model.traits, n_max=1)
    model = msgspec.structs.replace(target.model, price=price, traits=traits)
    test_route = route("m", model.provider, targets=(Target(id=1, model=model, order=1),))
    body = {**REQUEST, "stream": stream, "service_tier": "flex"}
    async with gateway(tmp_path, snapshot(test_route), a=lambda _: in_tier(tiers.pop())) as gw:
        reply = await gw.post("/v1/chat/completions", body)
        row = await gw.record()
    assert reply.status == 200 and len(gw.upstreams.requests) == 3
    costs = sorted(call.cost_usd or 0 for call in row.attempts[0].calls)
    assert costs == [Decimal("0.00001"), Decimal("0.00001"), Decimal("0.00002")]
    assert row.cost_usd == Decimal("0.00004")


async def test_a_setting_limits_the_number_of_choices(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(priced_route(CLAUDE)), a=claude([])) as gw:
        config: Config = msgspec.structs.replace(gw.runtime.config, max_choices=2)
        gw.runtime.config = config
        reply = await gw.post("/v1/chat/completions", REQUEST)
    error = reply.json()["error"]
    assert (reply.status, error["param"]) == (400, "n")
    assert "at most 2" in error["message"]
    assert not gw.upstreams.requests


def test_the_reservation_is_for_all_choices() -> None:
    one_choice = reserved_tokens({**REQUEST, "n": 1})
    assert reserved_tokens(REQUEST) >= 3 * one_choice - 9
    gemini = {"generationConfig": {"candidateCount": 3, "maxOutputTokens": 50}}
    single = {"generationConfig": {"candidateCount": 1, "maxOutputTokens": 50}}
    assert reserved_tokens(gemini) == 3 * reserved_tokens(single)


def reserved_tokens(body: Json) -> int:
    """Return the tokens that are reserved for a request."""
    exchange = Exchange(
        request_id="r",
        endpoint="chat",
        verb="generate",
        dialect=DIALECTS["openai_chat"],
        snapshot=snapshot(),
        headers={},
        started=0.0,
    )
    exchange.body = json.dumps(body).encode()
    exchange.fields = msgspec.json.decode(exchange.body, type=dict[str, msgspec.Raw])
    return estimate_usage(exchange, 8192, (1, 1)).tokens
