"""Upstreams whose streams have no end: what a parser keeps of them must not fill the memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.relay.run import reply
from tests.relay.harness import chunk, gateway, provider, route, snapshot

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
VERSION = {"anthropic-version": "2023-06-01"}
# Events that an upstream sends unless the gateway closes the connection: 4 MB of text.
MAX_EVENTS = 4000
TEXT = "x" * 1000


def call_chunk(index: int, arguments: str) -> bytes:
    function = {"name": "f", "arguments": arguments}
    call = {"index": index, "id": f"c{index}", "type": "function", "function": function}
    choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
    return chunk(choices=[choice])


class EndlessBody(httpx.AsyncByteStream):
    """An event stream, and how many events of it were read."""

    def __init__(self, kind: str) -> None:
        self.kind, self.count = kind, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.kind == "text beside an open call":
            yield call_chunk(0, '{"a":"')
        while self.count < MAX_EVENTS:
            self.count += 1
            yield call_chunk(self.count, "{}") if self.kind == "calls" else chunk(TEXT)
        yield chunk(finish="stop")
        yield b"data: [DONE]\n\n"


@pytest.mark.parametrize("kind", ["text", "text beside an open call", "calls"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_an_endless_stream_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, path: str, streamed: bool
) -> None:
    monkeypatch.setattr(reply, "MAX_STREAM_BYTES", 1_000_000)
    monkeypatch.setattr(reply, "MAX_WITHHELD_BYTES", 300_000)
    monkeypatch.setattr(reply, "MAX_BLOCKS", 100)
    body = EndlessBody(kind)

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body)

    registry = snapshot(msgspec.structs.replace(route("m", provider("a")), retries=0))
    request: dict[str, Any] = {**CHAT, "stream": streamed}
    if path == "/v1/responses":
        request = {"model": "m", "input": "hi", "stream": streamed}
    headers = VERSION if path == "/v1/messages" else {}
    async with gateway(tmp_path, registry, a=respond) as live:
        response = await live.post(path, request, headers=headers)
        (row,) = await live.rows(1)
    assert row.error_kind == "upstream_error"
    assert row.outcome == ("cut" if response.status == 200 else "error")
    assert b"the upstream's response is too large" in response.body
    assert body.count < MAX_EVENTS // 3


async def test_a_long_stream_is_not_ended(tmp_path: Path) -> None:
    body = EndlessBody("text")

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body)

    async with gateway(tmp_path, snapshot(route("m", provider("a"))), a=respond) as live:
        response = await live.post("/v1/messages", {**CHAT, "stream": True}, headers=VERSION)
    texts = [
        json.loads(event.partition(b"data: ")[2])["delta"].get("text", "")
        for event in response.body.split(b"\n\n")
        if b"content_block_delta" in event
    ]
    assert "".join(texts) == TEXT * MAX_EVENTS
