"""Clients of OpenRouter, whose Chat has fields of its own, on providers with other fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.framing.sse import Decoder
from tests.relay.harness import DONE, chunk, completion, gateway, provider, route, snapshot, sse

PATH = "/api/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hi"}]
# As `@openrouter/ai-sdk-provider` 2.10 sends it.
REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": MESSAGES,
    "reasoning": {"effort": "high"},
    "usage": {"include": True},
}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def streamed_reasoning() -> httpx.Response:
    delta = {"role": "assistant", "reasoning_content": "well"}
    return sse(
        chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}]),
        chunk("hello"),
        chunk(finish="stop"),
        chunk(choices=[], usage=USAGE),
        DONE,
    )


def payloads(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(frame.data) for frame in Decoder().feed(data) if frame.data != b"[DONE]"]


async def test_the_reasoning_is_requested_with_the_field_of_the_provider(tmp_path: Path) -> None:
    registry = snapshot(route("m", provider("up"), model="gpt-5.1"))
    async with gateway(tmp_path, registry, up=lambda _: completion()) as live:
        await live.post(PATH, REQUEST)
        sent = json.loads(live.upstreams.requests[0].content)
    assert sent.keys() == {"model", "messages", "reasoning_effort"}


@pytest.mark.parametrize("preset", ["openrouter", "vercel"])
async def test_a_provider_with_the_same_fields_receives_the_clients_body(
    tmp_path: Path, preset: str
) -> None:
    registry = snapshot(route("m", provider("up", preset=preset)))
    async with gateway(tmp_path, registry, up=lambda _: completion()) as live:
        await live.post(PATH, {**REQUEST, "transforms": []})
        sent = json.loads(live.upstreams.requests[0].content)
    assert sent == {**REQUEST, "transforms": [], "model": "gpt-4.1"}


async def test_a_stream_ends_with_the_usage_and_names_reasoning_as_openrouter(
    tmp_path: Path,
) -> None:
    registry = snapshot(route("m", provider("up", preset="deepseek")))
    request = {"model": "m", "messages": MESSAGES, "stream": True}
    async with gateway(tmp_path, registry, up=lambda _: streamed_reasoning()) as live:
        reply = await live.post(PATH, request)
    events = payloads(reply.body)
    assert events[-1]["usage"] == USAGE
    assert [
        event["choices"][0]["delta"]["reasoning"]
        for event in events
        if event["choices"] and "reasoning" in event["choices"][0]["delta"]
    ] == ["well"]


async def test_other_paths_have_the_usage_only_on_request(tmp_path: Path) -> None:
    registry = snapshot(route("m", provider("up", preset="deepseek")))
    request = {"model": "m", "messages": MESSAGES, "stream": True}
    async with gateway(tmp_path, registry, up=lambda _: streamed_reasoning()) as live:
        reply = await live.post("/v1/chat/completions", request)
    assert b'"reasoning":' not in reply.body


async def test_a_whole_response_has_the_fields_that_openrouters_sdk_requires(
    tmp_path: Path,
) -> None:
    registry = snapshot(route("m", provider("up")))
    async with gateway(tmp_path, registry, up=lambda _: completion()) as live:
        reply = await live.post(PATH, {"model": "m", "messages": MESSAGES})
    assert json.loads(reply.body)["system_fingerprint"] is None


async def test_the_code_of_an_error_is_its_status(tmp_path: Path) -> None:
    registry = snapshot(route("m", provider("up")))
    async with gateway(tmp_path, registry, up=lambda _: completion()) as live:
        reply = await live.post(PATH, {"model": "unknown", "messages": MESSAGES})
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (404, 404)


async def test_the_code_of_a_passed_error_is_its_status(tmp_path: Path) -> None:
    fields = {"message": "no such tool", "type": "invalid_request_error", "param": None}

    def upstream(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"error": {**fields, "code": "bad_tool"}})

    registry = snapshot(route("m", provider("up", preset="vercel")))
    async with gateway(tmp_path, registry, up=upstream) as live:
        reply = await live.post(PATH, {"model": "m", "messages": MESSAGES})
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"], error["message"]) == (400, 400, "no such tool")


async def test_an_error_within_a_stream_ends_its_choice(tmp_path: Path) -> None:
    failure = b'data: {"error":{"message":"too busy","type":"server_error"}}\n\n'
    registry = snapshot(route("m", provider("up")))
    request = {"model": "m", "messages": MESSAGES, "stream": True}
    async with gateway(tmp_path, registry, up=lambda _: sse(chunk("hello"), failure)) as live:
        reply = await live.post(PATH, request)
    last = payloads(reply.body)[-1]
    assert last["error"] == {"code": 502, "message": "too busy"}
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "error"}]
    assert last["object"] == "chat.completion.chunk"
