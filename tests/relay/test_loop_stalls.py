"""A very large request does not block others, whatever its dialects are.

Two things block all requests: an event loop turn that computes for long, and a single step in
another thread that holds the GIL (one call into C). Both are measured in CPU time relative to
copying the body, so that a slow or busy machine does not matter.
"""

from __future__ import annotations

import asyncio
import json
import math
import resource
import socket
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import msgspec
import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.management.start.connection_deadlines import ConnectionLimits
from gateway.management.start.protocol import Protocol
from gateway.relay.event_loop import offload
from tests.relay.harness import KEY, Gateway, gateway, provider, route, snapshot
from tests.relay.websocket import Connection

BODY_BYTES = 16 * 1024 * 1024
# In copies of the body. One takes 2 ms for 16 MB on an ordinary machine, and a request may have
# 32 MB: no step is to take 50 ms. What makes a new body of the pieces takes 5, as its memory is new.
MAX_TURN, MAX_STEP = 6, 10
# A busy machine is not unlucky every time.
ROUNDS = 5
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


def large_body(path: str, unit: str = TEXT) -> bytes:
    text = unit * (BODY_BYTES // len(unit))
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


class LongestSteps:
    """The longest time of each line of Python in the threads of `offload.run`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    async def run(self, size: int, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run `offload.run` with measurement."""
        if size < offload.LARGE_BYTES:
            return work(*args, **kwargs)
        return await asyncio.to_thread(self._observe, lambda: work(*args, **kwargs))

    def _observe(self, work: Callable[[], Any]) -> Any:
        last_line, last_s, last_kernel_s = "", time.thread_time(), kernel_s()

        def trace(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal last_line, last_s, last_kernel_s
            elapsed_s = time.thread_time() - last_s
            if elapsed_s > 0.0005:
                elapsed_s -= kernel_s() - last_kernel_s
                self.seconds[last_line] = max(self.seconds.get(last_line, 0.0), elapsed_s)
                last_kernel_s = kernel_s()
            last_line = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
            last_s = time.thread_time()
            return trace

        sys.settrace(trace)
        try:
            return work()
        finally:
            sys.settrace(None)


def kernel_s() -> float:
    """Return the kernel CPU time of this thread."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_stime


@dataclass
class StallMeter:
    """The longest turn of the loop and the longest step of a thread, the minimum of all rounds.

    A step is a line of Python. Kernel time is excluded: mapping memory for new bodies takes 0.6 to
    3 ms per MB, depending on the host of a virtual machine.
    """

    monkeypatch: pytest.MonkeyPatch
    turn_s: float = math.inf
    steps_s: dict[str, float] | None = None

    async def measure(self, send: Callable[[], Any]) -> None:
        """Add a round."""
        steps = LongestSteps()
        self.monkeypatch.setattr(offload, "run", steps.run)
        self.turn_s = min(self.turn_s, await longest_turn_s(send))
        before = steps.seconds if self.steps_s is None else self.steps_s
        self.steps_s = {
            line: min(seconds, before[line])
            for line, seconds in steps.seconds.items()
            if line in before
        }

    @property
    def step(self) -> tuple[float, str]:
        """Return the seconds of the longest step, and its line."""
        return max(
            ((seconds, line) for line, seconds in (self.steps_s or {}).items()), default=(0.0, "")
        )


async def longest_turn_s(work: Callable[[], Any]) -> float:
    """Return the CPU time of the longest loop turn while `work` runs."""
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
    """Return the CPU time of copying the body."""
    times = []
    for _ in range(5):
        start = time.thread_time()
        bytearray(body)
        times.append(time.thread_time() - start)
    return statistics.median(times)


async def send_large(live: Gateway, path: str, body: bytes) -> None:
    if path != "websocket":
        assert (await live.post(path, body)).status == 400
        return
    connection = Connection(live)
    assert (await connection.ask(body.decode()))["status"] == 400
    await connection.disconnect()


def refuse(_: httpx.Request) -> httpx.Response:
    return httpx.Response(400, json={"error": {"message": "no", "type": "invalid_request_error"}})


@pytest.mark.parametrize(("path", "dialect"), CASES)
@pytest.mark.wide(every=3)
async def test_a_large_request_does_not_stall_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, dialect: str
) -> None:
    await check_stalls(tmp_path, monkeypatch, path, dialect, large_body(path))


@pytest.mark.parametrize("unit", ["~", "dgm~", "a" * 300 + "-dgm~ "])
async def test_text_like_ids_of_resources_does_not_stall_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    path = "/v1/chat/completions"
    await check_stalls(tmp_path, monkeypatch, path, "openai_chat", large_body(path, unit))


async def check_stalls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, dialect: str, body: bytes
) -> None:
    target = provider("a", dialect=dialect)
    target = msgspec.structs.replace(target, preset=PRESETS.get(dialect, "openai"))
    registry = snapshot(route("m", target), log_bodies=True)
    stalls = StallMeter(monkeypatch)
    async with gateway(tmp_path, registry, a=refuse) as live:
        for _ in range(ROUNDS):
            await stalls.measure(lambda: send_large(live, path, body))
            copies = copy_s(body)
            turn, step = stalls.turn_s / copies, stalls.step[0] / copies
            if turn < MAX_TURN and step < MAX_STEP:
                return
    pytest.fail(f"{turn} and {step} copies of the body in {stalls}")


# The longest stall that a body of 31 MB may cause to others.
MAX_STALL_S = 0.05


def connect(live: Gateway) -> Protocol:
    """Open a connection to the gateway as `up` serves it."""
    config = Config(live.app, log_config=None, access_log=False, lifespan="off")
    protocol = Protocol(config=config, server_state=ServerState(), app_state={})
    protocol.limits = ConnectionLimits()
    return protocol


def send_over_socket(port: int, path: str, body: bytes) -> bytes:
    """Send a body over a socket and return the first line of the response."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode())
        connection.sendall(body)
        return connection.recv(4096).partition(b"\r\n")[0]


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages"])
async def test_a_body_of_31_mb_over_a_socket_stalls_others_less_than_50_ms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    """Measured are loop turns and thread steps that hold the GIL, both in CPU time, so that other
    programs do not matter.
    """
    path, text = "/v1/chat/completions", TEXT * (28 * 1024 * 1024 // len(TEXT))
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    assert 30 * 1024 * 1024 < len(body) < 32 * 1024 * 1024
    target = provider("a", dialect=dialect)
    target = msgspec.structs.replace(target, preset=PRESETS.get(dialect, "openai"))
    registry = snapshot(route("m", target), log_bodies=True)
    stalls = StallMeter(monkeypatch)
    async with gateway(tmp_path, registry, a=refuse) as live:
        server = await asyncio.get_running_loop().create_server(
            partial(connect, live), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]

        async def send() -> None:
            line = await asyncio.to_thread(send_over_socket, port, path, body)
            assert line.startswith(b"HTTP/1.1 400")

        for _ in range(ROUNDS):
            await stalls.measure(send)
            if max(stalls.turn_s, stalls.step[0]) < MAX_STALL_S:
                break
        server.close()
        await server.wait_closed()
    assert stalls.turn_s < MAX_STALL_S, stalls
    assert stalls.step[0] < MAX_STALL_S, stalls


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/rerank", "websocket"])
@pytest.mark.parametrize("size", [offload.SCANNED_BYTES - 1000, 3 * offload.SCANNED_BYTES])
async def test_many_fields_inside_of_values_do_not_stall_the_loop(
    tmp_path: Path, path: str, size: int
) -> None:
    """The top-level fields are counted one token at a time."""
    rerank_target = provider("a", dialect="cohere", preset="cohere")
    target = rerank_target if path == "/v1/rerank" else provider("a")
    values = b",".join([b'{"a":1}'] * (size // 8))
    body = b'{"model":"gone","type":"response.create","zzz":[%b]}' % values
    turns_s = []
    async with gateway(tmp_path, snapshot(route("m", target)), a=refuse) as live:

        async def send() -> None:
            await asyncio.sleep(0)  # the measurement begins
            if path != "websocket":
                assert (await live.post(path, body)).status in {400, 404}
                return
            connection = Connection(live)
            assert (await connection.ask(body.decode()))["type"] == "error"
            await connection.disconnect()

        for _ in range(3):
            turns_s.append(await longest_turn_s(send))
            if turns_s[-1] < MAX_STALL_S:
                break
    assert min(turns_s) < MAX_STALL_S, turns_s
