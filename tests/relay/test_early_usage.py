"""Streams of Messages start with the input tokens, which Claude Code shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.relay.harness import DONE, chunk, gateway, provider, route, snapshot, sse

MESSAGES = "/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
PROMPT = "word " * 400
REQUEST = {
    "model": "m",
    "max_tokens": 50,
    "stream": True,
    "messages": [{"role": "user", "content": PROMPT}],
}
USAGE = {"prompt_tokens": 407, "completion_tokens": 3, "total_tokens": 410}


def events(body: bytes) -> list[dict[str, Any]]:
    lines = body.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


async def usage_of_stream(tmp_path: Path, *parts: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the usage at the start of the stream and at its end."""
    registry = snapshot(route("m", provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: sse(*parts)) as live:
        reply = await live.post(MESSAGES, REQUEST, headers=VERSION)
    events_by_type = {event["type"]: event for event in events(reply.body)}
    return events_by_type["message_start"]["message"]["usage"], events_by_type["message_delta"][
        "usage"
    ]


async def test_the_estimate_is_sent_first_and_the_count_at_the_end(tmp_path: Path) -> None:
    counted = chunk(finish="stop", usage=USAGE)
    first, last = await usage_of_stream(tmp_path, chunk("hello"), counted, DONE)
    assert 350 <= first["input_tokens"] <= 600
    assert first["output_tokens"] == 0
    assert last["input_tokens"] == 407


async def test_a_count_in_the_first_chunk_is_sent_at_once(tmp_path: Path) -> None:
    early = chunk("hello", usage={"prompt_tokens": 407, "completion_tokens": 0})
    first, last = await usage_of_stream(tmp_path, early, chunk(finish="stop", usage=USAGE), DONE)
    assert first["input_tokens"] == 407
    assert last["output_tokens"] == 3
