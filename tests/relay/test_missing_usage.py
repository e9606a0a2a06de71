"""If a provider reports no usage, clients get the logged estimate, never zeros."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.relay.harness import DONE, chunk, completion, gateway, provider, route, snapshot, sse

Json = dict[str, Any]

PROMPT = "Tell me of the sea, of its tides, and of who sails on it. "
RESPONSE = "The sea is wide."
MESSAGES = [{"role": "user", "content": PROMPT}]
CONTENTS = [{"role": "user", "parts": [{"text": PROMPT}]}]
STREAM_OPTIONS = {"stream_options": {"include_usage": True}}
# Client -> path for a whole response, path for a stream, and body.
CLIENTS: dict[str, tuple[str, str, Json]] = {
    "chat": ("/v1/chat/completions",) * 2 + ({"messages": MESSAGES},),
    "completions": ("/v1/completions",) * 2 + ({"prompt": PROMPT},),
    "responses": ("/v1/responses",) * 2 + ({"input": PROMPT},),
    "messages": ("/v1/messages",) * 2 + ({"messages": MESSAGES, "max_tokens": 99},),
    "gemini": (
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        {"contents": CONTENTS},
    ),
    "ollama": ("/api/chat",) * 2 + ({"messages": MESSAGES},),
    "cohere": ("/v2/chat",) * 2 + ({"messages": MESSAGES},),
}
# Their names for the two counts.
COUNTS = {
    "chat": ("prompt_tokens", "completion_tokens"),
    "completions": ("prompt_tokens", "completion_tokens"),
    "responses": ("input_tokens", "output_tokens"),
    "messages": ("input_tokens", "output_tokens"),
    "gemini": ("promptTokenCount", "candidatesTokenCount"),
    "ollama": ("prompt_eval_count", "eval_count"),
    "cohere": ("input_tokens", "output_tokens"),
}


def google(usage: Json, *, stream: bool) -> httpx.Response:
    content = {"role": "model", "parts": [{"text": RESPONSE}]}
    body = {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}], **usage}
    if stream:
        return sse(b"data: " + json.dumps(body).encode() + b"\n\n")
    return httpx.Response(200, json=body)


def openai(usage: Json, *, stream: bool) -> httpx.Response:
    if not stream:
        return completion(RESPONSE, **({"usage": None} | usage))
    return sse(chunk(RESPONSE), chunk(finish="stop", **usage), DONE)


def last_usage(client: str, body: bytes) -> list[tuple[int, int]]:
    """Return the last usage in a response or its stream; empty if there is none."""
    names = COUNTS[client]
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n")]
    rows: list[tuple[int, int]] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if any(name in value for name in names):
                rows.append((value.get(names[0]), value.get(names[1])))
            for inner in value.values():
                look(inner)

    for line in lines:
        if line.startswith(b"{"):
            look(json.loads(line))
    return rows[-1:]


async def reported_usage(
    tmp_path: Path, client: str, usage: Json, *, stream: bool, **more: Any
) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Return the usage that the client and the log get for an upstream's usage."""
    response_body, streamed, body = CLIENTS[client]
    is_google = client not in {"gemini"}
    if is_google:
        maker = provider("a", "gemini", preset="gemini")
        registry = snapshot(route("m", maker, model="gemini-2.5-flash"))
    else:
        registry = snapshot(route("m", provider("a")))
    answering = google if is_google else openai
    request = {"model": "m", **body, **more}
    if client != "gemini":
        request["stream"] = stream
    async with gateway(tmp_path, registry, a=lambda _: answering(usage, stream=stream)) as live:
        reply = await live.post(streamed if stream else response_body, request)
        assert reply.status == 200, reply.body
        row = await live.record()
    assert row.input_tokens is not None
    assert row.output_tokens is not None
    return last_usage(client, reply.body), (row.input_tokens, row.output_tokens)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_gets_the_logged_token_counts(
    tmp_path: Path, client: str, stream: bool
) -> None:
    """Codex compacts conversations by them; smolagents and Strands Agents fail without."""
    more = STREAM_OPTIONS if stream and client in {"chat", "completions"} else {}
    counts_seen, logged = await reported_usage(tmp_path, client, {}, stream=stream, **more)
    assert logged[0] > 10
    assert logged[1] == 4
    assert counts_seen == [logged]


@pytest.mark.parametrize("client", ["chat", "completions"])
async def test_a_stream_has_no_usage_unless_requested(tmp_path: Path, client: str) -> None:
    counts_seen, _ = await reported_usage(tmp_path, client, {}, stream=True)
    assert counts_seen == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_missing_count_is_estimated_beside_the_reported_one(
    tmp_path: Path, client: str, stream: bool
) -> None:
    usage: Json = {"usageMetadata": {"promptTokenCount": 77}}
    if client == "gemini":
        usage = {"usage": {"prompt_tokens": 77, "completion_tokens": None}}
    more = STREAM_OPTIONS if stream and client in {"chat", "completions"} else {}
    text, logged = await reported_usage(tmp_path, client, usage, stream=stream, **more)
    assert logged == (77, 4)
    assert text == [logged]
