"""Unusual but valid upstream responses."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import httpx
import msgspec

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
