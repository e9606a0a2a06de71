"""One run of one load against one program, and what a client that leaves costs."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.bench import meter
from tests.bench.programs import Dragoman, FakeProvider, Nginx, Program, build, pinned
from tests.bench.scenarios import DialectPair, Shape

PRACTICE_S = 0.5
_FIRST_TEXT = b"@T"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one run came to. Times are medians in milliseconds but for `chunk99_ms`.

    Attributes:
        failed: requests that broke or were answered by an error, with the first of them.
        cpu_us: CPU time of the program for each unit.
        peak_kb, idle_kb: memory at the most and before the load.
    """

    units: int
    failed: str
    cpu_us: float
    total_ms: float
    first_ms: float
    chunk99_ms: float
    peak_open: int
    idle_kb: int
    peak_kb: int


class GatewayStack(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that runs."""

    folder: Path
    fake_provider: FakeProvider
    nginx: Nginx
    dragoman: Dragoman
    start_s: float
    idle_mb: float


@contextmanager
def running_stack() -> Iterator[GatewayStack]:
    """The fake provider, nginx and a fresh gateway in front of it, for one block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as exit_stack:
            folder = Path(
                exit_stack.enter_context(tempfile.TemporaryDirectory(prefix="dragoman-bench-"))
            )
            build(folder)
            fake_provider = exit_stack.enter_context(FakeProvider(folder))
            nginx = exit_stack.enter_context(Nginx(folder, fake_provider.port))
            started = time.monotonic()
            dragoman = exit_stack.enter_context(Dragoman(folder, fake_provider.port))
            start_s = time.monotonic() - started
            yield GatewayStack(
                folder=folder,
                fake_provider=fake_provider,
                nginx=nginx,
                dragoman=dragoman,
                start_s=start_s,
                idle_mb=meter.memory_kb(_pids(dragoman)) / 1024,
            )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _pids(program: Program) -> list[int]:
    assert program.process is not None
    return meter.family(program.process.pid)


def load(
    stack: GatewayStack, program: Program, shape: Shape, pair: DialectPair, *, secs: float
) -> Result:
    """Send the load of a shape through a program, once for practice and once measured.

    Counted is all CPU time until the last log row is written. A shape whose connections
    come one by one is not practised: it says how long it takes to have them all.
    """
    command = [str(stack.folder / "load"), "-p", str(program.port), "-m", pair.model]
    command += ["-k", stack.dragoman.key, *shape.args.split()]
    command += ["-A"] if pair.client == "messages" else []
    if not shape.ramp_s:
        subprocess.run(
            _timed_command(command, PRACTICE_S, 0), stdout=subprocess.DEVNULL, check=True
        )
    program.settle()
    pids = _pids(program)
    idle_kb = meter.memory_kb(pids)
    with subprocess.Popen(
        _timed_command(command, shape.secs or secs, shape.ramp_s), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # from here on it counts
        before = meter.cpu_s(pids)
        peak_kb = _peak(process, pids)
        body = json.loads(process.stdout.read() or "{}")
    program.settle()
    return _result(body, shape, meter.cpu_s(pids) - before, idle_kb, peak_kb)


def _timed_command(command: list[str], secs: float, warm: float) -> list[str]:
    return pinned([*command, "-t", str(secs), "-w", str(warm)], 0)


def _peak(process: subprocess.Popen[str], pids: list[int]) -> int:
    """The most memory that was seen while the load ran."""
    peak = 0
    while True:
        try:
            process.wait(1.0)
            return peak or meter.memory_kb(pids)
        except subprocess.TimeoutExpired:
            peak = max(peak, meter.memory_kb(pids))


def _result(
    result: dict[str, Any], shape: Shape, used: float, idle_kb: int, peak_kb: int
) -> Result:
    units = result.get(shape.unit, 0)
    failed = result.get("err", 1) + result.get("bad_status", 0)
    reason = f"{failed} failed, first {result.get('first_bad')} {result.get('errbody', '')[:200]}"
    return Result(
        units=units,
        failed=reason if failed or not units else "",
        cpu_us=used / max(units, 1) * 1e6,
        total_ms=result.get("total_ms", {}).get("p50", 0.0),
        first_ms=result.get("first_ms", {}).get("p50", 0.0),
        chunk99_ms=result.get("chunk_ms", {}).get("p99", 0.0),
        peak_open=result.get("peak_open", 0),
        idle_kb=idle_kb,
        peak_kb=peak_kb,
    )


def leave(stack: GatewayStack, pair: DialectPair, *, stream: bool) -> float:
    """Seconds until the provider's connection is closed after a client has left in mid-answer.

    A stream is left after its first text, any other answer while the provider thinks.
    """
    text = "n=200,d=20,s=20" if stream else "n=20,d=0,s=5,l=5000"
    before = stack.fake_provider.counts()
    with socket.create_connection(("127.0.0.1", stack.dragoman.port), timeout=5) as client:
        client.sendall(_request(stack, pair, text, stream=stream))
        _until_under_way(stack, client, before["requests"], stream=stream)
    left = time.monotonic()
    while time.monotonic() < left + 5:
        if stack.fake_provider.counts()["aborted"] > before["aborted"]:
            break
        time.sleep(0.002)
    return time.monotonic() - left


def _until_under_way(
    stack: GatewayStack, client: socket.socket, count: int, *, stream: bool
) -> None:
    received = b""
    while stream and _FIRST_TEXT not in received:
        piece = client.recv(65536)
        if not piece:
            raise RuntimeError(f"the stream ended before its first text: {received!r}")
        received += piece
    while stack.fake_provider.counts()["requests"] == count:
        time.sleep(0.002)


def _request(stack: GatewayStack, pair: DialectPair, text: str, *, stream: bool) -> bytes:
    path = "/v1/messages" if pair.client == "messages" else "/v1/chat/completions"
    body = json.dumps(
        {
            "model": pair.model,
            "max_tokens": 100,
            "stream": stream,
            "messages": [{"role": "user", "content": f"bench:{text} "}],
        }
    ).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {stack.dragoman.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
