"""Streams that are passed on and fail: how the client's copy ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.relay.harness import DONE, chunk, gateway, provider, route, snapshot, sse

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def messages_event(name: str, **fields: Any) -> bytes:
    body = json.dumps({"type": name, **fields})
    return f"event: {name}\ndata: {body}\n\n".encode()


MESSAGES_START = messages_event(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": {"input_tokens": 3, "output_tokens": 1},
    },
) + messages_event("content_block_start", index=0, content_block={"type": "text", "text": ""})
MESSAGES_TEXT = messages_event(
    "content_block_delta", index=0, delta={"type": "text_delta", "text": "more"}
)


@pytest.mark.parametrize(
    "failure",
    [
        b'data: {"object": "error", "message": "boom", "code": 500}\n\n',
        b'data: {"detail": "boom"}\r\n\r\n',
        b'data: {"error": "boom"}\n\n',
        b"event: error\ndata: boom\n\n",
        b'data: {"choices": [{"del\xff\xfe\n\n',
        b"data: <html>\n\n",
    ],
)
async def test_a_chat_stream_passed_on_ends_with_an_error_that_clients_read(
    tmp_path: Path, failure: bytes
) -> None:
    """Clients read `choices` of each event, unless it has an `error`."""
    registry = snapshot(route("m", provider("up")))
    parts = (chunk("some"), 0.02, chunk("more") + failure, 0.02, DONE)
    async with gateway(tmp_path, registry, up=lambda _: sse(*parts)) as live:
        reply = await live.post("/v1/chat/completions", {**REQUEST, "stream": True})
        record = await live.record()
    *texts, last = [json.loads(line[6:]) for line in reply.body.split(b"\n\n") if line]
    assert [event["choices"][0]["delta"]["content"] for event in texts] == ["some", "more"]
    assert last["error"]["message"]
    assert (record.outcome, record.error_kind) == ("cut", "upstream_error")


@pytest.mark.parametrize(
    "failure",
    [
        b'data: {"error": {"message": "boom", "type": "server_error"}}\n\n',
        b"event: error\ndata: boom\n\n",
        b'event: error\ndata: {"message": "boom"}\n\n',
        b"data: <html>\n\n",
    ],
)
async def test_a_messages_stream_passed_on_ends_with_an_error_that_clients_read(
    tmp_path: Path, failure: bytes
) -> None:
    """Anthropic's SDK ignores events without a name: the message would look complete."""
    registry = snapshot(route("m", provider("up", "anthropic_messages")))
    parts = (MESSAGES_START, 0.02, MESSAGES_TEXT + failure)
    async with gateway(tmp_path, registry, up=lambda _: sse(*parts)) as live:
        body = {**REQUEST, "max_tokens": 5, "stream": True}
        reply = await live.post("/v1/messages", body, headers={"anthropic-version": "2023-06-01"})
    start, last = reply.body.split(MESSAGES_TEXT)
    assert start == MESSAGES_START
    assert last.startswith(b'event: error\ndata: {"type":"error","error":{"type":"api_error"')


async def test_an_error_in_the_form_of_the_clients_api_is_passed_on(tmp_path: Path) -> None:
    registry = snapshot(route("m", provider("up")))
    failure = b'data: {"error": {"message": "boom", "code": 502, "metadata": {"a": 1}}}\n\n'
    parts = (chunk("some"), 0.02, failure)
    async with gateway(tmp_path, registry, up=lambda _: sse(*parts)) as live:
        reply = await live.post("/v1/chat/completions", {**REQUEST, "stream": True})
    assert reply.body.endswith(failure)
