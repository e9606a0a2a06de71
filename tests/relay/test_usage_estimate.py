"""Usage estimates for providers that report none."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.relay.exchange.request_features import TOKENS_PER_IMAGE
from gateway.relay.exchange.usage_estimate import MAX_COUNTED_BYTES
from tests.relay.harness import DONE, chunk, gateway, provider, route, snapshot, sse

CHAT = "/v1/chat/completions"
WORDS = "The gateway keeps a short list of the models it knows and asks the first. "


def chat_request(*content: Any, **more: Any) -> dict[str, Any]:
    contents = content[0] if len(content) == 1 else list(content)
    return {
        "model": "m",
        "messages": [{"role": "user", "content": contents}],
        "stream": True,
        **more,
    }


async def logged_request(tmp_path: Path, body: Any, *parts: bytes) -> Any:
    parts = parts or (chunk("hello"), chunk(finish="stop"), DONE)
    registry = snapshot(route("m", provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: sse(*parts)) as live:
        assert (await live.post(CHAT, body)).status == 200
        return await live.record()


async def test_a_short_prompt_is_counted_by_its_text(tmp_path: Path) -> None:
    """Its JSON has four times the bytes: names, brackets, escapes."""
    tools = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    row = await logged_request(tmp_path, chat_request(WORDS * 4, tools=[tools]))
    assert row.usage_source == "estimated"
    # o200k_base has 61 tokens for the text, and the frames are 4 and 8.
    assert row.input_tokens == pytest.approx(61 + 12 + 8, rel=0.2)


async def test_a_long_prompt_is_counted_by_its_size(tmp_path: Path) -> None:
    text = WORDS * 1000
    assert len(text) > MAX_COUNTED_BYTES
    row = await logged_request(tmp_path, chat_request(text))
    assert row.usage_source == "estimated_size"
    assert row.input_tokens == pytest.approx(len(text) / 4, rel=0.01)


async def test_image_bytes_are_not_counted_as_tokens(tmp_path: Path) -> None:
    url = "data:image/png;base64," + base64.b64encode(bytes(300_000)).decode()
    picture = {"type": "image_url", "image_url": {"url": url}}
    row = await logged_request(tmp_path, chat_request({"type": "text", "text": "hi"}, picture))
    assert TOKENS_PER_IMAGE <= row.input_tokens < TOKENS_PER_IMAGE + 100


async def test_reported_input_tokens_stay_beside_estimated_output_tokens(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 77, "completion_tokens": None, "total_tokens": 77}
    parts = (chunk("four"), chunk("four"), chunk(finish="stop", usage=usage), DONE)
    row = await logged_request(tmp_path, chat_request("hi"), *parts)
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (77, 2, "estimated")


async def test_a_response_in_another_script_is_estimated_by_its_bytes(tmp_path: Path) -> None:
    """33 tokens in o200k_base; a quarter of its characters would be 12."""
    text = (
        "网关会记录每一次请求的内容、所用的模型以及花费，并在出现错误时自动尝试下一个可用的服务商。"
    )
    row = await logged_request(
        tmp_path, chat_request("hi"), chunk(text), chunk(finish="stop"), DONE
    )
    assert row.output_tokens == pytest.approx(33, rel=0.1)


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


MESSAGE_START = event(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 77, "output_tokens": 2},
    },
)
TEXT_BLOCK = event(
    "content_block_start", index=0, content_block={"type": "text", "text": ""}
) + event("content_block_delta", index=0, delta={"type": "text_delta", "text": WORDS * 20})
MESSAGE_DELTA = event(
    "message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 301}
)


@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
async def test_an_interrupted_stream_is_billed_by_its_text(tmp_path: Path, path: str) -> None:
    """Messages counts a few output tokens in `message_start`, and the others only at the end."""
    registry = snapshot(route("m", provider("a", "anthropic_messages")))
    parts: list[Any] = [MESSAGE_START, TEXT_BLOCK, 3600]
    body = chat_request("hi", max_tokens=500)
    async with gateway(tmp_path, registry, a=lambda _: sse(*parts)) as live:
        reply = await live.post(path, body, disconnect_once=lambda r: b"gateway" in r.body)
        left = await live.record()
        assert reply.status == 200
        parts[2:] = [httpx.ReadError("the upstream closed the connection")]
        await live.post(path, body)
        cut = (await live.rows(2))[1]
        parts[2:] = [event("content_block_stop", index=0), MESSAGE_DELTA, event("message_stop")]
        await live.post(path, body)
        whole = (await live.rows(3))[2]
    assert (left.outcome, cut.outcome, whole.outcome) == ("client_closed", "cut", "ok")
    for row in (left, cut):
        assert (row.input_tokens, row.usage_source) == (77, "estimated")
        assert row.output_tokens == pytest.approx(len(WORDS) * 20 / 4, rel=0.1)
    assert (whole.output_tokens, whole.usage_source) == (301, "reported")


async def test_an_interrupted_stream_keeps_a_larger_reported_count(tmp_path: Path) -> None:
    """Tokens that the client does not see, such as hidden reasoning, are counted."""
    start = MESSAGE_START.replace(b'"output_tokens": 2', b'"output_tokens": 2000')
    parts = (start, TEXT_BLOCK, httpx.ReadError("the upstream closed the connection"))
    registry = snapshot(route("m", provider("a", "anthropic_messages")))
    async with gateway(tmp_path, registry, a=lambda _: sse(*parts)) as live:
        await live.post(CHAT, chat_request("hi", max_tokens=500))
        row = await live.record()
    assert (row.output_tokens, row.usage_source) == (2000, "reported")


def gemini_chunk(text: str, usage: dict[str, int]) -> bytes:
    content = {"role": "model", "parts": [{"text": text}]}
    body = {"candidates": [{"content": content, "index": 0}], "usageMetadata": usage}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


CHAT_USAGES = [
    {"prompt_tokens": 77, "completion_tokens": n, "total_tokens": 77 + n} for n in (1, 9)
]
GEMINI_USAGES = [{"promptTokenCount": 77, "candidatesTokenCount": n} for n in (1, 9)]
LOST = httpx.ReadError("the upstream closed the connection")
OVERLOADED = b'data: {"error":{"message":"overloaded","code":503}}\n\n'


@pytest.mark.parametrize("end", [[LOST], [], [OVERLOADED], [3600]], ids=str)
@pytest.mark.parametrize(
    ("dialect", "parts"),
    [
        ("openai_chat", [chunk(WORDS[:9], usage=usage) for usage in CHAT_USAGES]),
        ("gemini", [gemini_chunk(WORDS[:9], usage) for usage in GEMINI_USAGES]),
    ],
    ids=["openai_chat", "gemini"],
)
async def test_an_interrupted_stream_keeps_the_usage_that_its_chunks_reported(
    tmp_path: Path, dialect: str, parts: list[Any], end: list[Any]
) -> None:
    """Many compatible servers report the tokens so far in every chunk."""
    registry = snapshot(route("m", provider("a", dialect)))
    leaving = end == [3600]
    async with gateway(tmp_path, registry, a=lambda _: sse(*parts, *end)) as live:
        disconnects = lambda reply: leaving and reply.body.count(b"gatew") == 2  # noqa: E731
        await live.post(CHAT, chat_request("hi"), disconnect_once=disconnects)
        row = await live.record()
    assert row.outcome == ("client_closed" if leaving else "cut")
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (77, 9, "reported")
