"""Passthrough responses have the model name that the client requested."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.relay.run.reply import replace_model
from gateway.relay.run.stream import StreamRenamer
from tests.relay.harness import DONE, chunk, completion, gateway, provider, route, snapshot, sse

PROVIDER_MODEL, REQUESTED_MODEL = "gpt-4o-2026-01-01", "my-route"


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize(
    "response",
    [
        {"id": "1", "model": PROVIDER_MODEL, "choices": []},
        {"candidates": [], "modelVersion": PROVIDER_MODEL},
        {
            "content": [{"type": "tool_use", "input": {"model": PROVIDER_MODEL}}],
            "model": PROVIDER_MODEL,
        },
        {
            "model": PROVIDER_MODEL,
            "content": [{"type": "tool_use", "input": {"model": PROVIDER_MODEL}}],
        },
        {"model": PROVIDER_MODEL, "content": f'He said "model":"{PROVIDER_MODEL}"'},
        {"model": REQUESTED_MODEL},
        {"choices": []},
    ],
)
def test_only_the_responses_own_name_is_replaced(
    response: Any, separators: tuple[str, str]
) -> None:
    data = json.dumps(response, separators=separators).encode()
    name = "modelVersion" if "modelVersion" in response else "model"
    body = json.loads(replace_model(data, response.get(name, ""), REQUESTED_MODEL))
    assert body == ({**response, name: REQUESTED_MODEL} if name in response else response)


def test_every_event_of_a_stream_has_the_name() -> None:
    renamer = StreamRenamer(REQUESTED_MODEL)
    event = b'data: {"id":"1","model":"%b","choices":[]}\n\n' % PROVIDER_MODEL.encode()
    out = (
        renamer.feed(b": ping\n\n", "")
        + renamer.feed(event, PROVIDER_MODEL)
        + renamer.feed(event * 2, "")
    )
    assert (
        out == b": ping\n\n" + event.replace(PROVIDER_MODEL.encode(), REQUESTED_MODEL.encode()) * 3
    )


def test_ollama_arguments_are_unchanged() -> None:
    call = {"function": {"name": "f", "arguments": {"model": PROVIDER_MODEL}}}
    line = json.dumps({"model": PROVIDER_MODEL, "message": {"tool_calls": [call]}}).encode() + b"\n"
    out = StreamRenamer(REQUESTED_MODEL).feed(line, PROVIDER_MODEL)
    assert json.loads(out) == {"model": REQUESTED_MODEL, "message": {"tool_calls": [call]}}


CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
STREAM = (chunk("Hi"), chunk(finish="stop"), DONE)


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_passthrough_response_names_the_requested_model(
    tmp_path: Path, stream: bool, echo: bool
) -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        return sse(*STREAM) if stream else completion()

    async with gateway(tmp_path, snapshot(route("m", provider("a"))), a=respond) as live:
        live.runtime.model_echo = echo
        reply = await live.post("/v1/chat/completions", {**CHAT, "stream": stream})
        row = await live.record()
    assert set(re.findall(rb'"model": ?"([^"]*)"', reply.body)) == {b"m" if echo else b"gpt-4.1"}
    assert row.model == "gpt-4.1"


async def test_an_embedding_response_names_the_requested_model(tmp_path: Path) -> None:
    row = {"object": "embedding", "index": 0, "embedding": [0.5]}
    body = {"object": "list", "data": [row], "model": "gpt-4.1", "usage": {"prompt_tokens": 1}}
    registry = snapshot(route("m", provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: httpx.Response(200, json=body)) as live:
        reply = await live.post("/v1/embeddings", {"model": "m", "input": "hi"})
    assert reply.json()["model"] == "m"
