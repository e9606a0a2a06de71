"""CPU time of translation per request and per chunk, for every pair of dialects.

    python -m tests.bench.dialects              print tables: microseconds, best of the rounds
    python -m tests.bench.dialects --check      fail above 3 x Chat<->Messages

A request is decoded, parsed, rendered for the provider and encoded. A chunk is one event of a
provider's stream: decoded, parsed, counted and rendered for the client. If client and provider
share a dialect, a chunk passes through unchanged and is only parsed for its usage.
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
from tests.dialects.crossing.upstreams import UPSTREAMS, fake_response, scripted_response
from tests.fakes import Call, ScriptedResponse
from tests.relay.harness import Gateway, gateway, snapshot

MAX_RATIO = 3.0
# Highest ratio between the passthrough times of two dialects.
MAX_PASSTHROUGH_RATIO = 3.0
TEXT = "The quick brown fox jumps over the lazy dog, " * 30
CHUNK_CHARS = 5
HEADERS = {"anthropic-version": "2023-06-01"}
Times = dict[tuple[str, str], float]
BASE = (("openai_chat", "anthropic_messages"), ("anthropic_messages", "openai_chat"))
COLUMNS = tuple(name for name in UPSTREAMS if "/" not in name)


@dataclass(frozen=True)
class Samples:
    """The translated data: a request of each client and streams of each provider.

    Attributes:
        requests: encoded request by client.
        texts: events of a text stream by provider.
        calls: events of a stream with one long tool call by provider; empty if the provider
            sends a call in one event.
    """

    requests: dict[str, bytes]
    texts: dict[str, list[bytes]]
    calls: dict[str, list[bytes]]


def collect_samples() -> Samples:
    """Return requests with a history of tool calls, and streams of several hundred events."""
    return asyncio.run(_collect_samples())


async def _collect_samples() -> Samples:
    """Send a request of each client, then request a long stream from each provider."""
    responses: dict[str, Any] = {}
    routes, fakes = [], {}
    streams: dict[str, bytes] = {}
    for upstream in (UPSTREAMS[name] for name in COLUMNS):
        fake = fakes[upstream.name] = upstream.fake()
        host = upstream.name.replace("_", "-")
        fake.script.default = scripted_response("text", upstream)  # type: ignore[attr-defined]
        long_call = (Call("get_weather", {"city": TEXT}, "call_2"),) if upstream.tools else ()
        fake.script.on("a long call", ScriptedResponse(calls=long_call, chunk_chars=CHUNK_CHARS))  # type: ignore[attr-defined]
        call = (Call("get_weather", ARGUMENTS, "call_1"),) if upstream.tools else ()
        fake.script.on("a long text", ScriptedResponse(text=TEXT, chunk_chars=CHUNK_CHARS))  # type: ignore[attr-defined]
        fake.script.on("the tools please", ScriptedResponse(text="I look.", calls=call))  # type: ignore[attr-defined]
        model = model_of(upstream.provider(host), upstream.model(""))
        traits = msgspec.structs.replace(model.traits, **upstream.changes)
        target = Target(id=1, model=msgspec.structs.replace(model, traits=traits))
        routes.append(Route(id=len(routes) + 1, name=host, targets=(target,), retries=0))
        responses[host] = _recording_response(fake, streams, upstream.name)
    requests: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with gateway(Path(folder), snapshot(*routes), **responses) as gw:
            for client in CLIENTS.values():
                feature = request_of("tools" if "tools" in client.can else "text", stream=False)
                host = "anthropic-messages"
                body = client.body(host, feature)
                reply = await gw.post(client.path(host, feature), body, headers=HEADERS)
                response = READERS[client.name].parse(reply.json())
                tool_results = tuple(
                    (call_id, name, result)
                    for (call_id, name, _), result in zip(response.calls, RESULTS, strict=False)
                )
                if tool_results:
                    feature = FeatureRequest(
                        user=feature.user,
                        tools=feature.tools,
                        previous_response=response.native,
                        results=tool_results,
                    )
                request = client.body("m", feature) | {"model": "m"}
                requests[client.name] = msgspec.json.encode(request)
            texts = await _stream_events(
                gw, streams, FeatureRequest(user="a long text", stream=True)
            )
            feature = FeatureRequest(user="a long call", stream=True, tools=(WEATHER,))
            calls = await _stream_events(gw, streams, feature)
    calls = {name: events if len(events) > 50 else [] for name, events in calls.items()}
    return Samples(requests, texts, calls)


async def _stream_events(
    gw: Gateway, streams: dict[str, bytes], feature: FeatureRequest
) -> dict[str, list[bytes]]:
    """Return the events that each provider streams in response to a request."""
    body = CLIENTS["openai_chat"].body
    for name in COLUMNS:
        await gw.post("/v1/chat/completions", body(name.replace("_", "-"), feature))
    return {name: _stream_frames(UPSTREAMS[name].dialect, streams[name]) for name in COLUMNS}


def _recording_response(fake: Any, streams: dict[str, bytes], name: str) -> Callable[[Any], Any]:
    async def respond(request: Any) -> Any:
        response = await fake_response(fake, request)
        data = b"".join([part async for part in response.stream])
        streams[name] = data
        headers = response.headers
        return type(response)(response.status_code, headers=headers, content=data)

    return respond


def _stream_frames(dialect: str, data: bytes) -> list[bytes]:
    return [frame_bytes(dialect, name, value) for name, value in read_frames(dialect, data)]


# --- Measurements ------------------------------------------------------------------------


def request_translation(client: str, upstream: str, body: bytes) -> Callable[[], object]:
    """Return a function that translates one request."""
    target = UPSTREAMS[upstream]
    parse = DIALECTS[client].client.parse_request
    render = DIALECTS[target.dialect].provider.render_request
    traits = msgspec.structs.replace(traits_for(target.preset, target.model("")), **target.changes)
    decode, encode = msgspec.json.decode, msgspec.json.encode
    return lambda: encode(render(parse(decode(body), HEADERS), traits).body)


def stream_translation(client: str, upstream: str, frames: list[bytes]) -> Callable[[], object]:
    """Return a function that translates one stream, or parses it if the dialects are equal."""
    target = UPSTREAMS[upstream]
    dialect = DIALECTS[target.dialect]
    traits = traits_for(target.preset, target.model(""))
    context = ResponseContext(id="1", created=1, model="m", include_usage=True)
    passthrough = client == target.dialect

    def translate() -> bytes:
        decoder = STREAM_FORMATS[dialect.framing].new_decoder()
        parser = dialect.provider.stream_parser(traits, None)
        renderer = DIALECTS[client].client.stream_renderer(context)
        tap = UsageTap()
        output = b""
        for data in frames:
            events = [event for frame in decoder.feed(data) for event in parser.feed(frame)]
            if events:
                tap.feed(events)
            output = data if passthrough else b"".join(map(renderer.feed, events))
        return output

    return translate


def best_us(work: Callable[[], object], *, rounds: int, repeats: int) -> float:
    """Return the CPU microseconds of one call: the mean of the fastest round."""
    work()
    minimum = float("inf")
    for _ in range(rounds):
        start = time.process_time_ns()
        for _ in range(repeats):
            work()
        minimum = min(minimum, (time.process_time_ns() - start) / repeats)
    return minimum / 1000


@dataclass(frozen=True)
class Report:
    """Microseconds by client and provider: per request, per chunk of text and of a call."""

    requests: Times
    texts: Times
    calls: Times


def measure_crossings(rounds: int) -> Report:
    """Return the CPU times of every pair of client and provider."""
    samples = collect_samples()
    report = Report({}, {}, {})
    gc.disable()
    try:
        for client in CLIENTS:
            for upstream in COLUMNS:
                _measure_crossing(report, samples, client, upstream, rounds)
            gc.collect()
    finally:
        gc.enable()
    return report


def _measure_crossing(
    report: Report, samples: Samples, client: str, upstream: str, rounds: int
) -> None:
    key = (client, upstream)
    work = request_translation(client, upstream, samples.requests[client])
    report.requests[key] = best_us(work, rounds=rounds, repeats=50)
    for times, streams in (
        (report.texts, samples.texts),
        (report.calls, samples.calls),
    ):
        if frames := streams[upstream]:
            work = stream_translation(client, upstream, frames)
            times[key] = best_us(work, rounds=rounds, repeats=3) / len(frames)


# --- Reports -----------------------------------------------------------------------------


def base_us(times: Times) -> float:
    """Return the time of Chat<->Messages, in the slower direction."""
    return max(times[key] for key in BASE)


def crossings_over(times: Times, maximum: float = MAX_RATIO) -> dict[str, float]:
    """Return the ratios to Chat<->Messages that are above `maximum`, by crossing."""
    base = base_us(times)
    crossings = {k: v for k, v in times.items() if k[0] != UPSTREAMS[k[1]].dialect}
    return {f"{c} -> {u}": v / base for (c, u), v in crossings.items() if v > maximum * base}


def passthrough_times(chunks: Times) -> dict[str, float]:
    """Return the microseconds per passthrough chunk by dialect."""
    return {c: v for (c, u), v in chunks.items() if c == UPSTREAMS[u].dialect}


def table(title: str, times: Times) -> str:
    """Return a text table with a row per client and a column per provider."""
    base = base_us(times)
    lines = [f"{title} (us; x Chat<->Messages = {base:.1f} us)"]
    lines.append(f"{'client':20}" + "".join(f"{name[:16]:>18}" for name in COLUMNS))
    for client in CLIENTS:
        cells = (_cell(times.get((client, upstream)), base) for upstream in COLUMNS)
        lines.append(f"{client:20}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def _cell(value: float | None, base: float) -> str:
    return "" if value is None else f"{value:.1f} ({value / base:.1f}x)"


def failures(report: Report) -> dict[str, float]:
    """Return the ratios that are above their maximum, by description."""
    tables = (("request", report.requests), ("text", report.texts), ("call", report.calls))
    exceeded = {
        f"{unit}: {k}": v for unit, times in tables for k, v in crossings_over(times).items()
    }
    passthrough = passthrough_times(report.texts)
    spread = max(passthrough.values()) / min(passthrough.values())
    return exceeded | ({"passthrough": spread} if spread > MAX_PASSTHROUGH_RATIO else {})


def main() -> None:
    """Measure and print the tables; with --check, exit with status 1 above the maxima."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with status 1 above the maxima")
    parser.add_argument(
        "-n", "--rounds", type=int, default=7, help="number of rounds; the best counts"
    )
    options = parser.parse_args()
    report = measure_crossings(options.rounds)
    for title, times in (
        ("per request", report.requests),
        ("per chunk of text", report.texts),
        ("per chunk of a call's arguments", report.calls),
    ):
        print(table(title, times), end="\n\n")
    passthrough = passthrough_times(report.texts)
    print("passthrough, per chunk: " + ", ".join(f"{k} {v:.1f}" for k, v in passthrough.items()))
    exceeded = failures(report)
    for description, ratio in exceeded.items():
        print(f"above the maximum: {description} ({ratio:.1f} x)")
    if options.check and exceeded:
        sys.exit(1)


if __name__ == "__main__":
    main()
