"""Pings of an idle stream before its first event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.dialects import DIALECTS
from gateway.relay.run import stream as relay_stream
from gateway.routing.snapshot import Timeouts
from tests.relay.harness import DONE, chunk, gateway, provider, route, snapshot, sse

RESPONSES = replace(provider("a", "openai_responses", preset="openai"), passthrough=False)
MESSAGES = [{"role": "user", "content": "hi"}]
CHAT_BODY = {"model": "m", "messages": MESSAGES, "max_tokens": 9, "stream": True}
FIELDS = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}


def event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


CREATED = event("response.created", response=FIELDS)
TEXT = event(
    "response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta="Hello"
)
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}
ITEMS = (
    event("response.output_item.added", output_index=0, item={**MESSAGE, "content": []}),
    TEXT,
    event("response.output_item.done", output_index=0, item=MESSAGE),
    event("response.completed", response={**FIELDS, "status": "completed", "output": [MESSAGE]}),
)
FAILED_CHUNK = b'data: {"error":{"message":"down","type":"server_error"}}\n\n'
FAILED = event(
    "response.failed",
    response={**FIELDS, "status": "failed", "error": {"code": "server_error", "message": "boom"}},
)


@pytest.fixture(autouse=True)
def _short_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_stream, "PING_S", 0.2)


@pytest.mark.parametrize(
    ("dialect", "path", "body"),
    [
        ("openai_chat", "/v1/chat/completions", CHAT_BODY),
        ("anthropic_messages", "/v1/messages", CHAT_BODY),
        (
            "gemini",
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        ),
        ("ollama", "/api/chat", CHAT_BODY),
        ("openai_responses", "/v1/responses", {"model": "m", "input": "hi", "stream": True}),
    ],
)
async def test_a_response_without_items_is_pinged(
    tmp_path: Path, dialect: str, path: str, body: Any
) -> None:
    """OpenAI may send a response's first item minutes after the response was created."""
    registry = snapshot(route("m", RESPONSES))
    async with gateway(tmp_path, registry, a=lambda _: sse(CREATED, 1.0, *ITEMS)) as live:
        reply = await live.post(path, body)
        row = await live.record()
    assert reply.status == 200
    assert reply.parts[0] == DIALECTS[dialect].keepalive
    assert b"Hello" in reply.body
    assert row.outcome == "ok"
    assert not row.passthrough


@pytest.mark.parametrize("passthrough", [True, False])
async def test_a_stream_that_begins_with_comments_is_pinged(
    tmp_path: Path, passthrough: bool
) -> None:
    """OpenRouter sends comments until a provider responds."""
    registry = snapshot(route("m", replace(provider("a"), passthrough=passthrough)))
    parts = (b": PROCESSING\n\n", 0.5, chunk("Hello"), chunk(finish="stop"), DONE)
    async with gateway(tmp_path, registry, a=lambda _: sse(*parts)) as live:
        reply = await live.post("/v1/chat/completions", CHAT_BODY)
        row = await live.record()
    assert reply.parts[0] == DIALECTS["openai_chat"].keepalive
    assert reply.body.count(b"Hello") == 1
    assert (b"PROCESSING" in reply.body) is row.passthrough is passthrough
    assert row.outcome == "ok"
    assert row.attempts[0].first_byte_ms is not None
    assert row.attempts[0].first_byte_ms > 400


@pytest.mark.parametrize("hedge_after_s", [None, 0.01])
@pytest.mark.parametrize("responds", [True, False])
async def test_another_target_is_tried_after_a_ping(
    tmp_path: Path, responds: bool, hedge_after_s: float | None
) -> None:
    """The error of the last one ends the stream, whose status has been sent."""
    registry = snapshot(route("m", RESPONSES, provider("b"), hedge_after_s=hedge_after_s))
    second_response = (chunk("Hello"), chunk(finish="stop"), DONE) if responds else (FAILED_CHUNK,)
    async with gateway(
        tmp_path,
        registry,
        a=lambda _: sse(CREATED, 0.4, FAILED),
        b=lambda _: sse(b": wait\n\n", 0.6, *second_response),
    ) as live:
        reply = await live.post("/v1/chat/completions", CHAT_BODY)
        row = await live.record()
    assert len(live.upstreams.requests) == 2
    assert reply.heads == 1
    assert reply.status == row.status == 200
    assert reply.parts[0] == DIALECTS["openai_chat"].keepalive
    assert reply.body.count(b"Hello") == responds
    assert (b'"error"' in reply.body) is not responds
    assert row.outcome == ("ok" if responds else "error")
    assert reply.ended


async def test_a_response_without_items_still_has_the_time_of_a_first_event(
    tmp_path: Path,
) -> None:
    """The idle timeout, which may be shorter, starts with the first item."""
    slow = replace(RESPONSES, timeouts=Timeouts(first_byte_s=60.0, idle_s=0.5))
    registry = snapshot(route("m", slow))
    async with gateway(tmp_path, registry, a=lambda _: sse(CREATED, 1.5, *ITEMS)) as live:
        reply = await live.post("/v1/chat/completions", CHAT_BODY)
        row = await live.record()
    assert b"Hello" in reply.body
    assert row.outcome == "ok"


async def test_one_of_two_hedged_responses_is_pinged(tmp_path: Path) -> None:
    other = replace(RESPONSES, name="b", base_url="https://b.test/v1")
    registry = snapshot(route("m", RESPONSES, other, hedge_after_s=0.01))
    parts = (CREATED, 1.0, *ITEMS)
    async with gateway(tmp_path, registry, a=lambda _: sse(*parts), b=lambda _: sse(*parts)) as gw:
        reply = await gw.post("/v1/chat/completions", CHAT_BODY)
        row = await gw.record()
    assert reply.parts[0] == DIALECTS["openai_chat"].keepalive
    assert reply.body.count(b"Hello") == 1
    assert row.outcome == "ok"
