"""Google's clients and models through the whole gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.framing.sse import Decoder
from tests.relay.harness import DONE, gateway, provider, route, snapshot, sse

STREAM = "/v1beta/models/m:streamGenerateContent"
REQUEST = {"contents": {"parts": {"text": "hi"}}}
GOOGLE = provider("up", "gemini", preset="gemini")


def frames(data: bytes) -> list[Any]:
    return [json.loads(f.data) for f in Decoder().feed(data) if f.data != b"[DONE]"]


@pytest.mark.parametrize("query", ["?alt=sse", ""], ids=["events", "array"])
async def test_a_refused_prompt_has_the_form_of_the_stream(tmp_path: Path, query: str) -> None:
    body = {"error": {"message": "filtered", "code": "content_filter"}}
    response = httpx.Response(400, json=body)
    async with gateway(
        tmp_path, snapshot(route("m", provider("up"))), up=lambda _: response
    ) as live:
        reply = await live.post(STREAM + query, REQUEST)
    responses_by_index = frames(reply.body) if query else reply.json()
    assert [chunk["promptFeedback"]["blockReason"] for chunk in responses_by_index] == [
        "PROHIBITED_CONTENT"
    ]
    kind = "text/event-stream" if query else "application/json"
    assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (200, kind)


async def test_googles_non_standard_json_passes_through_unchanged(tmp_path: Path) -> None:
    response = httpx.Response(200, json={"candidates": [], "promptFeedback": {"blockReason": "X"}})
    registry = snapshot(route("m", GOOGLE, model="gemini-2.5-flash"))
    async with gateway(tmp_path, registry, up=lambda _: response) as live:
        reply = await live.post("/v1beta/models/m:generateContent", REQUEST)
        upstream_body = json.loads(live.upstreams.requests[0].content)
    assert (reply.status, upstream_body) == (200, REQUEST)


def candidate(index: int, text: str, finish: str | None) -> dict[str, Any]:
    candidate_fields = {"index": index, "content": {"role": "model", "parts": [{"text": text}]}}
    return candidate_fields if finish is None else {**candidate_fields, "finishReason": finish}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_chat_client_gets_all_requested_choices(tmp_path: Path, stream: bool) -> None:
    pieces = [
        {"candidates": [candidate(0, "a", None), candidate(1, "b", None)]},
        {"candidates": [candidate(1, "", "MAX_TOKENS"), candidate(0, "", "STOP")]},
    ]
    response_body = {"candidates": [candidate(0, "a", "STOP"), candidate(1, "b", "MAX_TOKENS")]}

    def up(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content)["generationConfig"] == {"candidateCount": 2}
        if not stream:
            return httpx.Response(200, json=response_body)
        return sse(*(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces))

    request_body = {
        "model": "m",
        "n": 2,
        "stream": stream,
        "messages": [{"role": "user", "content": "x"}],
    }
    registry = snapshot(route("m", GOOGLE, model="gemini-2.5-flash"))
    async with gateway(tmp_path, registry, up=up) as live:
        reply = await live.post("/v1/chat/completions", request_body)
    responses_by_index: dict[int, list[Any]] = {0: ["", None], 1: ["", None]}
    for chunk in frames(reply.body) if stream else [reply.json()]:
        for choice in chunk["choices"]:
            content = choice["delta" if stream else "message"].get("content") or ""
            responses_by_index[choice["index"]][0] += content
            responses_by_index[choice["index"]][1] = choice["finish_reason"]
    assert responses_by_index == {0: ["a", "stop"], 1: ["b", "length"]}
    assert reply.body.endswith(DONE) is stream
