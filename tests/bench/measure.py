"""Measurement of one load against one program, and of client disconnects."""

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
from tests.bench.programs import Dragoman, FakeProvider, Nginx, Program, build, pin_to_core
from tests.bench.scenarios import DialectPair, Shape

WARM_UP_S = 0.5
_FIRST_TEXT = b"@T"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of one load against one program.

    Attributes:
        units: responses or streamed chunks, as the shape counts them.
        failed: number of failed requests and the first error; empty if all succeeded.
        cpu_us: CPU time of the program per unit, in microseconds.
        total_ms: median time until the end of the response.
        first_ms: median time until the first text.
        chunk99_ms: 99th percentile of the delay of a chunk.
        peak_open: most connections that were open at once.
        idle_kb: memory of the program before the load.
        peak_kb: most memory of the program during the load.
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
    """The running programs of a benchmark: fake provider, nginx and gateway."""

    folder: Path
    fake_provider: FakeProvider
    nginx: Nginx
    dragoman: Dragoman
    start_s: float
    idle_mb: float


@contextmanager
def running_stack() -> Iterator[GatewayStack]:
    """Start the fake provider, nginx and a new gateway; stop them when the block ends."""
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
            start = time.monotonic()
            dragoman = exit_stack.enter_context(Dragoman(folder, fake_provider.port))
            start_s = time.monotonic() - start
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
    return meter.process_tree(program.process.pid)


def measure_load(
    stack: GatewayStack, program: Program, shape: Shape, pair: DialectPair, *, duration_s: float
) -> Result:
    """Return the measurements of a shape's load through a program.

    The load first runs unmeasured, except for shapes that open their connections gradually.
    CPU time is counted until the last log row is written.
    """
    command = [str(stack.folder / "load"), "-p", str(program.port), "-m", pair.model]
    command += ["-k", stack.dragoman.key, *shape.args.split()]
    command += ["-A"] if pair.client == "messages" else []
    if not shape.ramp_s:
        subprocess.run(_timed_command(command, WARM_UP_S, 0), stdout=subprocess.DEVNULL, check=True)
    program.settle()
    pids = _pids(program)
    idle_kb = meter.memory_kb(pids)
    with subprocess.Popen(
        _timed_command(command, shape.duration_s or duration_s, shape.ramp_s),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # "warm": the warm-up is over
        cpu_s_before = meter.cpu_s(pids)
        peak_kb = _peak_memory_kb(process, pids)
        body = json.loads(process.stdout.read() or "{}")
    program.settle()
    return _result(body, shape, meter.cpu_s(pids) - cpu_s_before, idle_kb, peak_kb)


def _timed_command(command: list[str], duration_s: float, warm_up_s: float) -> list[str]:
    return pin_to_core([*command, "-t", str(duration_s), "-w", str(warm_up_s)], 0)


def _peak_memory_kb(process: subprocess.Popen[str], pids: list[int]) -> int:
    """Return the most memory that was sampled until the process ended."""
    peak_kb = 0
    while True:
        try:
            process.wait(1.0)
            return peak_kb or meter.memory_kb(pids)
        except subprocess.TimeoutExpired:
            peak_kb = max(peak_kb, meter.memory_kb(pids))


def _result(
    result: dict[str, Any], shape: Shape, used_cpu_s: float, idle_kb: int, peak_kb: int
) -> Result:
    units = result.get(shape.unit, 0)
    failure_count = result.get("err", 1) + result.get("bad_status", 0)
    reason = (
        f"{failure_count} failed, first {result.get('first_bad')} {result.get('errbody', '')[:200]}"
    )
    return Result(
        units=units,
        failed=reason if failure_count or not units else "",
        cpu_us=used_cpu_s / max(units, 1) * 1e6,
        total_ms=result.get("total_ms", {}).get("p50", 0.0),
        first_ms=result.get("first_ms", {}).get("p50", 0.0),
        chunk99_ms=result.get("chunk_ms", {}).get("p99", 0.0),
        peak_open=result.get("peak_open", 0),
        idle_kb=idle_kb,
        peak_kb=peak_kb,
    )


def measure_disconnect(stack: GatewayStack, pair: DialectPair, *, stream: bool) -> float:
    """Return the seconds from a client's disconnect to the end of the upstream request.

    The client disconnects from a stream after its first text, and from any other request
    while the provider delays its response.
    """
    mock_options = "n=200,d=20,s=20" if stream else "n=20,d=0,s=5,l=5000"
    counts_before = stack.fake_provider.counts()
    with socket.create_connection(("127.0.0.1", stack.dragoman.port), timeout=5) as client:
        client.sendall(_request(stack, pair, mock_options, stream=stream))
        _wait_for_upstream_request(stack, client, counts_before["requests"], stream=stream)
    disconnected_at = time.monotonic()
    while time.monotonic() < disconnected_at + 5:
        if stack.fake_provider.counts()["aborted"] > counts_before["aborted"]:
            break
        time.sleep(0.002)
    return time.monotonic() - disconnected_at


def _wait_for_upstream_request(
    stack: GatewayStack, client: socket.socket, count: int, *, stream: bool
) -> None:
    received = b""
    while stream and _FIRST_TEXT not in received:
        data = client.recv(65536)
        if not data:
            raise RuntimeError(f"the stream ended before its first text: {received!r}")
        received += data
    while stack.fake_provider.counts()["requests"] == count:
        time.sleep(0.002)


def _request(stack: GatewayStack, pair: DialectPair, mock_options: str, *, stream: bool) -> bytes:
    path = "/v1/messages" if pair.client == "messages" else "/v1/chat/completions"
    body = json.dumps(
        {
            "model": pair.model,
            "max_tokens": 100,
            "stream": stream,
            "messages": [{"role": "user", "content": f"bench:{mock_options} "}],
        }
    ).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {stack.dragoman.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
