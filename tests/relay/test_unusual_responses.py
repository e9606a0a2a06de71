"""Unusual but valid upstream responses."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.relay.harness import completion, gateway, provider, refusal, route, snapshot

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
MESSAGES = {**REQUEST, "max_tokens": 5}
VERSION = {"anthropic-version": "2023-06-01"}


async def test_a_byte_order_mark_before_json_is_ignored(tmp_path: Path) -> None:
    marked = b"\xef\xbb\xbf" + completion().content
    registry = snapshot(route("m", provider("a")))

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=marked, headers={"content-type": "application/json"})

    async with gateway(tmp_path, registry, a=answer) as live:
        passed = await live.post("/v1/chat/completions", REQUEST)
        translated = await live.post("/v1/messages", MESSAGES, headers=VERSION)
    assert passed.json()["choices"][0]["message"]["content"] == "hello"
    assert translated.json()["content"][0]["text"] == "hello"


async def test_a_reset_date_works_without_a_date_header(tmp_path: Path) -> None:
    then = formatdate(time.time() + 30, usegmt=True)
    only = msgspec.structs.replace(route("m", provider("a")), retries=0)
    async with gateway(
        tmp_path, snapshot(only), a=lambda _: refusal(429, retry_after=then)
    ) as live:
        reply = await live.post("/v1/chat/completions", REQUEST)
    assert reply.status == 429
    assert 25 <= int(reply.headers["retry-after"]) <= 31


@pytest.mark.parametrize("counted", [True, False])
async def test_a_whole_response_to_a_streaming_client_has_the_usage_it_requested(
    tmp_path: Path, counted: bool
) -> None:
    registry = snapshot(route("m", provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: completion()) as live:
        options = {"stream": True, "stream_options": {"include_usage": counted}}
        reply = await live.post("/v1/chat/completions", {**REQUEST, **options})
        # Only the provider could say whether it accepts this message.
        unusual = {
            **REQUEST,
            **options,
            "messages": [{"role": "user", "content": [{"type": "hologram"}]}],
        }
        unknown = await live.post("/v1/chat/completions", unusual)
    usage = [json.loads(data)["usage"] for data in frames_with(reply.body, b'"usage"')]
    expected = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert usage == ([expected] if counted else [])
    assert unknown.status == 200


def frames_with(stream: bytes, text: bytes) -> list[bytes]:
    """Return the data of the events that contain a text."""
    events = stream.split(b"\n\n")
    return [event.removeprefix(b"data: ") for event in events if text in event]
