"""Clients of Mistral and xAI, whose form of Chat differs: all calls of a stream are in one event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.framing.sse import Decoder
from gateway.routing.cache_policy import CachePolicy
from tests.relay.harness import DONE, chunk, completion, gateway, provider, route, snapshot, sse

PATH = "/v1/chat/completions"
HELLO = (chunk("hello"), chunk(finish="stop"))
SDK = {"user-agent": "mistral-client-python/3.7.0"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"city":"Oslo"}'}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "", "tool_calls": [{**CALL, "index": 0}], "prefix": False},
    {"role": "tool", "tool_call_id": "a", "name": "f", "content": "sun"},
]


def call_delta(index: int, **call: Any) -> bytes:
    delta = {"tool_calls": [{"index": index, **call}]}
    return chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}])


def streamed_calls() -> httpx.Response:
    """A stream of two calls; the arguments of the first arrive in two pieces, of the second never."""
    named = [{"type": "function", "function": {"name": n, "arguments": ""}} for n in ("f", "g")]
    return sse(
        chunk("hello"),
        call_delta(0, id="a", **named[0]),
        call_delta(0, function={"arguments": '{"city":'}),
        call_delta(0, function={"arguments": '"Oslo"}'}),
        call_delta(1, id="b", **named[1]),
        chunk(finish="tool_calls"),
        DONE,
    )


def deltas(data: bytes) -> list[dict[str, Any]]:
    chunks = [json.loads(f.data) for f in Decoder().feed(data) if f.data != b"[DONE]"]
    return [chunk["choices"][0]["delta"] for chunk in chunks]


@pytest.mark.parametrize(
    "user_agent",
    [
        "mistral-client-python/3.7.0",
        "mistral-client-typescript/2.7.0",
        "speakeasy-sdk/typescript 2.2.1 2.881.4 1.0.0 @mistralai/mistralai",
        "ai/7.0.173 ai-sdk/xai/4.0.60 ai-sdk/provider-utils/5.0.31 runtime/node.js/v22",
        "ai-sdk-mistral/4.0.87 ai-sdk-provider-utils/5.0.81 node.js/v20.20.2",
    ],
)
async def test_the_streamed_calls_are_in_one_event(tmp_path: Path, user_agent: str) -> None:
    registry = snapshot(route("m", provider("up")))
    request = {"model": "m", "stream": True, "messages": MESSAGES[:1]}
    async with gateway(tmp_path, registry, up=lambda _: streamed_calls()) as live:
        reply = await live.post(PATH, request, headers={"user-agent": user_agent})
    assert reply.headers["content-type"].startswith("text/event-stream")
    calls = [delta["tool_calls"] for delta in deltas(reply.body) if "tool_calls" in delta]
    empty = {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    assert calls == [[{"index": 0, **CALL}, {"index": 1, **empty}]]
    assert "".join(delta.get("content") or "" for delta in deltas(reply.body)) == "hello"


@pytest.mark.parametrize("preset", ["mistral", "xai"])
async def test_a_provider_that_streams_whole_calls_receives_the_clients_body(
    tmp_path: Path, preset: str
) -> None:
    registry = snapshot(route("m", provider("up", preset=preset)))
    request = {"model": "gpt-4.1", "messages": MESSAGES[:1], "safe_prompt": True}
    async with gateway(tmp_path, registry, up=lambda _: completion()) as live:
        await live.post(PATH, {**request, "model": "m"}, headers=SDK)
        sent = json.loads(live.upstreams.requests[0].content)
    assert sent == request


@pytest.mark.parametrize(
    "user_agent",
    [
        SDK["user-agent"],
        "ai/7.0.173 ai-sdk/mistral/3.0.69 ai-sdk/provider-utils/4.0.56 runtime/node.js/v20.20.2",
        "ai-sdk-mistral/4.0.87 ai-sdk-provider-utils/5.0.81 node.js/v20.20.2",
    ],
)
async def test_the_last_event_has_the_usage(tmp_path: Path, user_agent: str) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    events = (chunk("hello"), chunk(finish="stop"), chunk(choices=[], usage=usage), DONE)
    registry = snapshot(route("m", provider("up")))
    request = {"model": "m", "stream": True, "messages": MESSAGES[:1]}
    async with gateway(tmp_path, registry, up=lambda _: sse(*events)) as live:
        reply = await live.post(PATH, request, headers={"user-agent": user_agent})
    *_, last = [json.loads(f.data) for f in Decoder().feed(reply.body) if f.data != b"[DONE]"]
    assert (last["choices"][0]["finish_reason"], last["usage"]) == ("stop", usage)


async def test_other_clients_get_the_stream_unchanged(tmp_path: Path) -> None:
    registry = snapshot(route("m", provider("up")))
    request = {"model": "m", "stream": True, "messages": MESSAGES[:1]}
    async with gateway(tmp_path, registry, up=lambda _: streamed_calls()) as live:
        reply = await live.post(PATH, request, headers={"user-agent": "OpenAI/Python 3.52"})
    assert len([delta for delta in deltas(reply.body) if "tool_calls" in delta]) == 4


async def test_the_cache_does_not_mix_both_forms(tmp_path: Path) -> None:
    registry = snapshot(route("m", provider("up"), cache=CachePolicy()))
    request = {"model": "m", "stream": True, "temperature": 0, "messages": MESSAGES[:1]}
    async with gateway(tmp_path, registry, up=lambda _: streamed_calls()) as live:
        counts = []
        for headers in ({}, SDK, {}, SDK):
            reply = await live.post(PATH, request, headers=headers)
            counts.append(len([delta for delta in deltas(reply.body) if "tool_calls" in delta]))
    assert counts == [4, 1, 4, 1]


async def test_the_request_has_the_form_of_the_target(tmp_path: Path) -> None:
    registry = snapshot(route("m", provider("up")))
    async with gateway(tmp_path, registry, up=lambda _: completion()) as live:
        reply = await live.post(PATH, {"model": "m", "messages": MESSAGES}, headers=SDK)
        sent = json.loads(live.upstreams.requests[0].content)
    assert reply.status == 200
    assert "prefix" not in sent["messages"][1]
    assert sent["messages"][1]["tool_calls"] == [CALL]
    assert sent["messages"][2] == {"role": "tool", "tool_call_id": "a", "content": "sun"}


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]}


def reasoned(*, stream: bool) -> httpx.Response:
    if not stream:
        message = {"role": "assistant", "content": "hello", "reasoning_content": "hmm"}
        return completion(choices=[{"index": 0, "message": message, "finish_reason": "stop"}])
    delta = {"reasoning_content": "hmm"}
    return sse(chunk(choices=[{"index": 0, "delta": delta}]), *HELLO, DONE)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("user_agent", "shows_chunks"),
    [
        ("mistral-client-python/3.7.0", True),
        ("mistral-client-typescript/2.7.0", True),
        ("ai/6.0.9 ai-sdk/mistral/3.0.69 ai-sdk/provider-utils/4.0.56 runtime/node.js/v20", True),
        ("ai-sdk-mistral/4.0.87 ai-sdk-provider-utils/5.0.81 node.js/v20.20.2", True),
        # Older ones reject chunks of a type that they do not know.
        ("mistral-client-python/1.8.0", False),
        ("ai/7.0.173 ai-sdk/xai/4.0.60 ai-sdk/provider-utils/5.0.31 runtime/node.js/v22", False),
    ],
)
async def test_reasoning_is_a_chunk_of_the_content(
    tmp_path: Path, user_agent: str, shows_chunks: bool, stream: bool
) -> None:
    registry = snapshot(route("m", provider("up", preset="deepseek")))
    request = {"model": "m", "stream": stream, "messages": MESSAGES[:1]}
    async with gateway(tmp_path, registry, up=lambda _: reasoned(stream=stream)) as live:
        reply = await live.post(PATH, request, headers={"user-agent": user_agent})
    if stream:
        contents = [delta["content"] for delta in deltas(reply.body) if delta.get("content")]
        assert contents == ([[THINKING], "hello"] if shows_chunks else ["hello"])
    else:
        content = reply.json()["choices"][0]["message"]["content"]
        chunks = [THINKING, {"type": "text", "text": "hello"}]
        assert content == (chunks if shows_chunks else "hello")
    assert (b"reasoning_content" in reply.body) is not shows_chunks
