"""Masked texts are neither in rows nor in logged bodies; upstream requests are unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from gateway.dialects import DIALECTS
from gateway.providers.masks import compile_mask
from gateway.relay.exchange.call import Call, Exchange
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.exchange.stored_response import StoredResponse
from gateway.relay.run.playground_calls import run_playground_call
from gateway.relay.run.response_state import mask_stored_response
from tests.each import each
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

SECRET = "acme-4711"
MASKS = (compile_mask(r"acme-\d{4}"),)
REQUEST = {"model": "m", "messages": [{"role": "user", "content": f"I am {SECRET}."}]}


def registry(dialect: str = "openai_chat"):
    return snapshot(route("m", provider("up", dialect)), masks=MASKS)


def stored_bodies_text(record: LogRecord) -> str:
    assert record.bodies is not None
    bodies = record.bodies
    dialect_responses = (bodies.client_request, bodies.upstream_request, bodies.upstream_response)
    return " ".join((wire or b"").decode() for wire in (*dialect_responses, bodies.client_response))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_stored_bodies_are_masked_and_sent_ones_are_not(tmp_path: Path, path: str) -> None:
    async with gateway(tmp_path, registry(), up=lambda _: completion(f"hello {SECRET}")) as live:
        reply = await live.post(path, {**REQUEST, "max_tokens": 9})
        record = await live.record()
    assert SECRET.encode() in reply.body
    assert SECRET.encode() in live.upstreams.requests[0].content
    assert SECRET not in stored_bodies_text(record)
    assert "I am *********." in stored_bodies_text(record)


async def test_a_masked_stream_keeps_the_lengths_of_its_chunks(tmp_path: Path) -> None:
    parts = (chunk(f"hello {SECRET}"), chunk(finish="stop"), DONE)
    async with gateway(tmp_path, registry(), up=lambda _: sse(*parts)) as live:
        await live.post("/v1/chat/completions", {**REQUEST, "stream": True})
        record = await live.record()
    assert record.bodies is not None
    upstream_response = record.bodies.upstream_response or b""
    assert SECRET.encode() not in upstream_response
    assert sum(piece.size for piece in record.bodies.upstream_chunks) == len(upstream_response)
    first = upstream_response[: len(parts[0])]
    assert json.loads(first.removeprefix(b"data: "))["choices"][0]["delta"]["content"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_text_split_across_deltas_is_masked(tmp_path: Path, path: str) -> None:
    parts = (chunk("hello ac"), chunk("me-47"), chunk("11, bye"), chunk(finish="stop"), DONE)
    async with gateway(tmp_path, registry(), up=lambda _: sse(*parts)) as live:
        await live.post(path, {**REQUEST, "stream": True, "max_tokens": 9})
        record = await live.record()
    assert "me-47" not in stored_bodies_text(record)
    assert "hello **" in stored_bodies_text(record) and "**, bye" in stored_bodies_text(record)


async def test_upstream_error_text_is_masked_in_the_log(tmp_path: Path) -> None:
    async with gateway(
        tmp_path, registry(), up=lambda _: refusal(400, f"what is {SECRET}?")
    ) as live:
        reply = await live.post("/v1/chat/completions", REQUEST)
        record = await live.record()
    assert SECRET.encode() in reply.body, "the client said it, and may read it"
    assert SECRET not in record.error
    assert "what is" in record.error
    assert [attempt.error for attempt in record.attempts if SECRET in (attempt.error or "")] == []


@each("model", [f"sk-{'a1' * 20}", "AIzaSyA0123456789_abcdefghijklmnopqrs", f"model-{SECRET}"])
async def test_a_key_sent_as_the_model_is_masked_in_the_log(tmp_path: Path, model: str) -> None:
    async with gateway(tmp_path, registry()) as live:
        reply = await live.post("/v1/chat/completions", {**REQUEST, "model": model})
        record = await live.record()
        await live.post("/v1/chat/completions", {**REQUEST, "model": "gpt-nope"})
        (_, ordinary_entry) = await live.rows(2)
    assert reply.status == 404
    assert "**" in record.requested_model
    assert model not in msgspec.json.encode(record).decode()
    assert "does not exist" in record.error
    assert ordinary_entry.requested_model == "gpt-nope"


async def test_a_rejected_model_name_is_shortened_in_the_log(tmp_path: Path) -> None:
    async with gateway(tmp_path, registry()) as live:
        reply = await live.post("/v1/chat/completions", {**REQUEST, "model": "x" * 100_000})
        record = await live.record()
    assert reply.status == 400
    assert record.requested_model == "x" * 256


async def test_the_playgrounds_calls_are_masked_too(tmp_path: Path) -> None:
    async with gateway(tmp_path, registry(), up=lambda _: completion()) as live:
        await run_playground_call(
            live.runtime,
            dialect="openai_chat",
            body=json.dumps(REQUEST).encode(),
            caller="playground",
        )
        record = await live.record()
    assert SECRET not in stored_bodies_text(record)


def test_stored_events_are_masked_across_their_deltas() -> None:
    """The events of a background response, which a client can read again."""
    exchange = Exchange(
        request_id="req_1",
        endpoint="/v1/responses",
        verb="generate",
        dialect=DIALECTS["openai_responses"],
        snapshot=snapshot(),
        headers={},
        started=0.0,
    )
    call = Call(exchange)
    call.recorder.masks = MASKS
    pieces = ("I am ac", "me-47", "11, bye ", "sk-a1a1", "a1a1a1a1a1a1a1a1")
    events = [
        b'{"type":"response.output_text.delta","delta":"%s"}' % piece.encode() for piece in pieces
    ]
    stored = StoredResponse(
        id="resp_1",
        owner="",
        created_at=0.0,
        status="completed",
        provider="",
        native_provider="",
        previous_items=b"[]",
        input=b'""',
        response=b"{}",
        events=events,
    )
    masked = mask_stored_response(call, stored).events
    texts = [json.loads(event)["delta"] for event in masked]
    assert texts == ["I am **", "*****", "**, bye ", "*" * 7, "*" * 16]
