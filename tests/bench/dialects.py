"""What translation costs in this process: CPU time per request and per chunk, every crossing.

    python -m tests.bench.dialects              the tables, microseconds, the best of the rounds
    python -m tests.bench.dialects --check      fails over 3 x Chat<->Messages

A request is read from bytes, understood, written for the provider and encoded. A chunk
is one piece of a provider's stream: cut, understood, counted and printed for the client.
The diagonal of the chunks is passthrough: the bytes go on as they are and are only read along.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.framing.formats import STREAM_FORMATS
from gateway.providers.capabilities import traits_for
from gateway.relay.exchange.usage import UsageTap
from gateway.routing.snapshot import Route, Target, model_of
from tests.dialects.crossing.clients import CLIENTS
from tests.dialects.crossing.feature_requests import (
    ARGUMENTS,
    RESULTS,
    WEATHER,
    FeatureRequest,
    request_of,
)
from tests.dialects.crossing.readers import READERS
from tests.dialects.crossing.stream_faults import frame_bytes, read_frames
from tests.dialects.crossing.upstreams import UPSTREAMS, fake_response, scripted_answer
from tests.fakes import Call, ScriptedAnswer
from tests.relay.harness import Gateway, gateway, snapshot

MOST = 3.0
# How far passthrough of one dialect may be from that of another.
PASSED_MOST = 3.0
TEXT = "The quick brown fox jumps over the lazy dog, " * 30
PIECES = 5
HEADERS = {"anthropic-version": "2023-06-01"}
Times = dict[tuple[str, str], float]
BASE = (("openai_chat", "anthropic_messages"), ("anthropic_messages", "openai_chat"))
COLUMNS = tuple(name for name in UPSTREAMS if "/" not in name)


@dataclass(frozen=True)
class Samples:
    """What is translated: each client's request, and each provider's streams, cut at its events.

    `calls` are streams of one long call; empty where a call comes in one piece.
    """

    requests: dict[str, bytes]
    texts: dict[str, list[bytes]]
    calls: dict[str, list[bytes]]


def samples() -> Samples:
    """Requests with a history of tool calls; streams of several hundred pieces."""
    return asyncio.run(_samples())


async def _samples() -> Samples:
    """Ask each client's question, then each provider for a long stream."""
    answers: dict[str, Any] = {}
    routes, fakes = [], {}
    result: dict[str, bytes] = {}
    for upstream in (UPSTREAMS[name] for name in COLUMNS):
        fake = fakes[upstream.name] = upstream.fake()
        host = upstream.name.replace("_", "-")
        fake.script.default = scripted_answer("text", upstream)  # type: ignore[attr-defined]
        wordy = (Call("get_weather", {"city": TEXT}, "call_2"),) if upstream.tools else ()
        fake.script.on("the long call", ScriptedAnswer(calls=wordy, piece=PIECES))  # type: ignore[attr-defined]
        call = (Call("get_weather", ARGUMENTS, "call_1"),) if upstream.tools else ()
        fake.script.on("the long one", ScriptedAnswer(text=TEXT, piece=PIECES))  # type: ignore[attr-defined]
        fake.script.on("the tools please", ScriptedAnswer(text="I look.", calls=call))  # type: ignore[attr-defined]
        model = model_of(upstream.provider(host), upstream.model(""))
        traits = msgspec.structs.replace(model.traits, **upstream.changes)
        target = Target(id=1, model=msgspec.structs.replace(model, traits=traits))
        routes.append(Route(id=len(routes) + 1, name=host, targets=(target,), retries=0))
        answers[host] = _recording(fake, result, upstream.name)
    requests: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with gateway(Path(folder), snapshot(*routes), **answers) as live:
            for client in CLIENTS.values():
                ask = request_of("tools" if "tools" in client.can else "text", stream=False)
                host = "anthropic-messages"
                body = client.body(host, ask)
                reply = await live.post(client.path(host, ask), body, headers=HEADERS)
                response = READERS[client.name].parse(reply.json())
                back = tuple(
                    (i, n, w) for (i, n, _), w in zip(response.calls, RESULTS, strict=False)
                )
                if back:
                    ask = FeatureRequest(
                        user=ask.user,
                        tools=ask.tools,
                        previous_response=response.native,
                        results=back,
                    )
                request = client.body("m", ask) | {"model": "m"}
                requests[client.name] = msgspec.json.encode(request)
            texts = await _streams(live, result, FeatureRequest(user="the long one", stream=True))
            ask = FeatureRequest(user="the long call", stream=True, tools=(WEATHER,))
            calls = await _streams(live, result, ask)
    return Samples(requests, texts, {name: p if len(p) > 50 else [] for name, p in calls.items()})


async def _streams(
    live: Gateway, result: dict[str, bytes], ask: FeatureRequest
) -> dict[str, list[bytes]]:
    """What each provider streams to this, event by event."""
    body = CLIENTS["openai_chat"].body
    for name in COLUMNS:
        await live.post("/v1/chat/completions", body(name.replace("_", "-"), ask))
    return {name: _stream_frames(UPSTREAMS[name].dialect, result[name]) for name in COLUMNS}


def _recording(fake: Any, result: dict[str, bytes], name: str) -> Callable[[Any], Any]:
    async def answer(request: Any) -> Any:
        response = await fake_response(fake, request)
        data = b"".join([part async for part in response.stream])
        result[name] = data
        headers = response.headers
        return type(response)(response.status_code, headers=headers, content=data)

    return answer


def _stream_frames(dialect: str, data: bytes) -> list[bytes]:
    return [frame_bytes(dialect, name, value) for name, value in read_frames(dialect, data)]


# --- what is measured --------------------------------------------------------------------


def request_work(client: str, upstream: str, body: bytes) -> Callable[[], object]:
    """Translating one request."""
    target = UPSTREAMS[upstream]
    parse = DIALECTS[client].client.parse_request
    render = DIALECTS[target.dialect].provider.render_request
    traits = msgspec.structs.replace(traits_for(target.preset, target.model("")), **target.changes)
    decode, encode = msgspec.json.decode, msgspec.json.encode
    return lambda: encode(render(parse(decode(body), HEADERS), traits).body)


def chunk_work(client: str, upstream: str, pieces: list[bytes]) -> Callable[[], object]:
    """Translating one stream; the same dialect is only read along."""
    target = UPSTREAMS[upstream]
    dialect = DIALECTS[target.dialect]
    traits = traits_for(target.preset, target.model(""))
    exchange = ResponseContext(id="1", created=1, model="m", include_usage=True)
    passes = client == target.dialect

    def work() -> bytes:
        decoder = STREAM_FORMATS[dialect.framing].new_decoder()
        parser = dialect.provider.stream_parser(traits, None)
        renderer = DIALECTS[client].client.stream_renderer(exchange)
        tap = UsageTap()
        out = b""
        for data in pieces:
            events = [event for frame in decoder.feed(data) for event in parser.feed(frame)]
            if events:
                tap.feed(events)
            out = data if passes else b"".join(map(renderer.feed, events))
        return out

    return work


def best(work: Callable[[], object], *, rounds: int, times: int) -> float:
    """CPU microseconds of one run: the best round's mean."""
    work()
    minimum = float("inf")
    for _ in range(rounds):
        began = time.process_time_ns()
        for _ in range(times):
            work()
        minimum = min(minimum, (time.process_time_ns() - began) / times)
    return minimum / 1000


@dataclass(frozen=True)
class Report:
    """Microseconds by client and provider: per request, per chunk of text and of a call."""

    requests: Times
    texts: Times
    calls: Times


def measure_crossings(rounds: int) -> Report:
    """Measure every crossing."""
    input_samples = samples()
    report = Report({}, {}, {})
    gc.disable()
    try:
        for client in CLIENTS:
            for upstream in COLUMNS:
                _measure(report, input_samples, client, upstream, rounds)
            gc.collect()
    finally:
        gc.enable()
    return report


def _measure(
    report: Report, input_samples: Samples, client: str, upstream: str, rounds: int
) -> None:
    key = (client, upstream)
    work = request_work(client, upstream, input_samples.requests[client])
    report.requests[key] = best(work, rounds=rounds, times=50)
    for times, streams in (
        (report.texts, input_samples.texts),
        (report.calls, input_samples.calls),
    ):
        if pieces := streams[upstream]:
            work = chunk_work(client, upstream, pieces)
            times[key] = best(work, rounds=rounds, times=3) / len(pieces)


# --- what is said of it ------------------------------------------------------------------


def base(times: Times) -> float:
    """Chat<->Messages: the dearer way."""
    return max(times[key] for key in BASE)


def crossings_over(times: Times, maximum: float = MOST) -> dict[str, float]:
    """The crossings that cost more than `most` times Chat<->Messages, and how many."""
    limit = base(times)
    crossings = {k: v for k, v in times.items() if k[0] != UPSTREAMS[k[1]].dialect}
    return {f"{c} -> {u}": v / limit for (c, u), v in crossings.items() if v > maximum * limit}


def passing(chunks: Times) -> dict[str, float]:
    """Passthrough by dialect: microseconds per chunk."""
    return {c: v for (c, u), v in chunks.items() if c == UPSTREAMS[u].dialect}


def table(title: str, times: Times) -> str:
    """The times as text, clients down and providers across, with multiples of the base."""
    limit = base(times)
    lines = [f"{title} (us; x Chat<->Messages = {limit:.1f} us)"]
    lines.append(f"{'client':20}" + "".join(f"{name[:16]:>18}" for name in COLUMNS))
    for client in CLIENTS:
        cells = (_cell(times.get((client, upstream)), limit) for upstream in COLUMNS)
        lines.append(f"{client:20}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def _cell(value: float | None, limit: float) -> str:
    return "" if value is None else f"{value:.1f} ({value / limit:.1f}x)"


def failures(report: Report) -> dict[str, float]:
    """What is over the ceilings, and how many times the base it costs."""
    named = (("request", report.requests), ("text", report.texts), ("call", report.calls))
    by_text = {f"{what}: {k}": v for what, times in named for k, v in crossings_over(times).items()}
    passed = passing(report.texts)
    spread = max(passed.values()) / min(passed.values())
    return by_text | ({"passthrough": spread} if spread > PASSED_MOST else {})


def main() -> None:
    """Measure and print; with --check, exit with 1 over the ceilings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail over the ceilings")
    parser.add_argument("-n", "--rounds", type=int, default=7, help="rounds; the best counts")
    options = parser.parse_args()
    report = measure_crossings(options.rounds)
    for title, times in (
        ("per request", report.requests),
        ("per chunk of text", report.texts),
        ("per chunk of a call's arguments", report.calls),
    ):
        print(table(title, times), end="\n\n")
    passed = passing(report.texts)
    print("passthrough, per chunk: " + ", ".join(f"{k} {v:.1f}" for k, v in passed.items()))
    failed = failures(report)
    for what, times in failed.items():
        print(f"over the ceiling: {what} ({times:.1f} x)")
    if options.check and failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
