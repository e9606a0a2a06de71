"""One very large request does not hold up the others, whatever its dialects are.

Two things stop everybody: a turn of the event loop that computes for long, and a single step in
another thread that keeps Python's lock (one call into C, as a look through all of the body). Both
are measured in processor time, and compared with what a copy of the body takes here and now, so
that a slow or busy machine changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import msgspec
import pytest

from gateway.relay.event_loop import offload
from tests.relay.harness import Gateway, gateway, provider, route, snapshot
from tests.relay.websocket import Connection

BODY_BYTES = 16 * 1024 * 1024
# In copies of the body. One takes 2 ms for 16 MB on an ordinary machine, and a request may have
# 32 MB: no step is to take 50 ms. What makes a new body of the pieces takes 5, as its memory is new.
MAX_TURN, MAX_STEP = 6, 10
# A busy machine is not unlucky every time.
TRIES = 4
# What the recorder has to look at more closely, and what JSON escapes.
TEXT = 'the hf_ task-list, "as planned"\n'
PRESETS = {"gemini": "gemini", "ollama": "ollama", "bedrock_converse": "bedrock"}
PRESETS |= {"cohere": "cohere", "anthropic_messages": "anthropic"}
CASES = [
    *(("/v1/chat/completions", d) for d in ("openai_chat", "openai_responses", *PRESETS)),
    *(("/v1/messages", d) for d in ("anthropic_messages", "openai_chat")),
    *(("/v1/responses", d) for d in ("openai_responses", "anthropic_messages")),
    *(("websocket", d) for d in ("openai_responses", "anthropic_messages")),
    *(("/v1beta/models/m:generateContent", d) for d in ("gemini", "openai_chat")),
    *(("/api/chat", d) for d in ("ollama", "openai_chat")),
    ("/v1/completions", "openai_chat"),
]


def large_body(path: str) -> bytes:
    text = TEXT * (BODY_BYTES // len(TEXT))
    messages = [{"role": "user", "content": text}]
    fields: dict[str, Any] = {"model": "m"}
    match path:
        case "/v1/completions":
            fields["prompt"] = text
        case "/v1/responses" | "websocket":
            fields["input"] = text
        case "/v1beta/models/m:generateContent":
            fields = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
        case "/v1/messages":
            fields |= {"max_tokens": 9, "messages": messages}
        case _:
            fields |= {"messages": messages, "stream": False}
    if path == "websocket":
        fields["type"] = "response.create"
    return json.dumps(fields).encode()


class LongestStep:
    """The line of Python that took longest in the threads of `offload.run`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.line = ""

    async def run(self, size: int, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """`offload.run`, observed."""
        if size < offload.LARGE_BYTES:
            return work(*args, **kwargs)
        return await asyncio.to_thread(self._observe, lambda: work(*args, **kwargs))

    def _observe(self, work: Callable[[], Any]) -> Any:
        last_line, last_s = "", time.thread_time()

        def trace(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal last_line, last_s
            took_s = time.thread_time() - last_s
            if took_s > self.seconds:
                self.seconds, self.line = took_s, last_line
            last_line = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
            last_s = time.thread_time()
            return trace

        sys.settrace(trace)
        try:
            return work()
        finally:
            sys.settrace(None)


async def longest_turn_s(work: Callable[[], Any]) -> float:
    """The processor time of the longest turn of the loop while `work` is done."""
    longest = 0.0

    async def turn() -> None:
        nonlocal longest
        last_s = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now_s = time.thread_time()
            longest, last_s = max(longest, now_s - last_s), now_s

    turning = asyncio.create_task(turn())
    try:
        await work()
    finally:
        turning.cancel()
    return longest


def copy_s(body: bytes) -> float:
    """The processor time of a copy of the body."""
    times = []
    for _ in range(5):
        began = time.thread_time()
        bytearray(body)
        times.append(time.thread_time() - began)
    return statistics.median(times)


async def send_large(live: Gateway, path: str, body: bytes) -> None:
    if path != "websocket":
        assert (await live.post(path, body)).status == 400
        return
    connection = Connection()
    assert (await connection.ask(body.decode()))["status"] == 400
    await connection.leave()


def refuse(_: httpx.Request) -> httpx.Response:
    return httpx.Response(400, json={"error": {"message": "no", "type": "invalid_request_error"}})


@pytest.mark.parametrize(("path", "dialect"), CASES)
async def test_a_large_request_stalls_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, dialect: str
) -> None:
    body = large_body(path)
    target = provider("a", dialect=dialect)
    target = msgspec.structs.replace(target, preset=PRESETS.get(dialect, "openai"))
    registry = snapshot(route("m", target), log_bodies=True)
    measured: list[tuple[float, float, str]] = []
    async with gateway(tmp_path, registry, a=refuse) as live:
        for _ in range(TRIES):
            longest_step = LongestStep()
            monkeypatch.setattr(offload, "run", longest_step.run)
            turn_s = await longest_turn_s(lambda: send_large(live, path, body))
            copies = copy_s(body)
            turn, step = turn_s / copies, longest_step.seconds / copies
            if turn < MAX_TURN and step < MAX_STEP:
                return
            measured.append((turn, step, longest_step.line))
    pytest.fail(f"turn of the loop, longest step (in copies of the body): {measured}")
