"""Spans of requests, as a collector receives them over OTLP."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.config.otel import OtelSettings
from gateway.config.telemetry import start_telemetry
from gateway.relay.exchange import trace
from gateway.relay.exchange.trace import Telemetry
from gateway.telemetry import spans
from tests.fakes.otlp import Collector, attributes
from tests.relay.harness import DONE as STREAM_END
from tests.relay.harness import Gateway, chunk, completion, gateway, provider, route, snapshot, sse
from tests.waits import wait_until_async

CHAT = {
    "model": "r",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "secret"}],
}
PARENT = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    headers = {"x-api-key": "collector-key"}
    with Collector(headers=headers) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=collector-key")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        yield collector
        assert collector.refusals == []


def telemetry(**options: Any) -> Telemetry:
    started = start_telemetry(OtelSettings(traces=True, **options), "1.2.3", access_log=False)
    assert started is not None
    return started


def failure(_: httpx.Request) -> httpx.Response:
    return httpx.Response(503, json={"error": {"message": "down", "type": "server_error"}})


async def spans_of(gw: Gateway, collector: Collector, count: int) -> list[Any]:
    """Return the first `count` spans by start time; the request's own span is the first."""
    await wait_until_async(lambda: len(collector.spans) >= count or bool(collector.refusals))
    return sorted(collector.spans, key=lambda s: (s.start_time_unix_nano, s.kind != 2))


async def test_a_request_has_a_span_with_a_child_for_each_attempt(
    tmp_path: Path, collector: Collector
) -> None:
    usage = {
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    registry = snapshot(route("r", provider("one"), provider("two")))
    responses = {"one": failure, "two": lambda _: completion(usage=usage)}
    async with gateway(tmp_path, registry, start_telemetry=telemetry, **responses) as gw:
        reply = await gw.post(
            "/v1/chat/completions",
            CHAT,
            headers={"traceparent": f"00-{PARENT}-01", "x-session-id": "s-1"},
        )
        assert reply.status == 200
        request, first, second = await spans_of(gw, collector, 3)
        traceparents = [upstream.headers["traceparent"] for upstream in gw.upstreams.requests]
        row = await gw.record()
    trace_id, parent_id = PARENT.split("-")
    assert {span.trace_id.hex() for span in collector.spans} == {trace_id}
    assert request.parent_span_id.hex() == parent_id
    assert (request.kind, first.kind, second.kind) == (2, 3, 3)  # server, client
    assert {first.parent_span_id, second.parent_span_id} == {request.span_id}
    # Each upstream continues the trace below its own attempt.
    assert traceparents == [f"00-{trace_id}-{span.span_id.hex()}-01" for span in (first, second)]
    assert (request.name, second.name) == ("POST /v1/chat/completions", "chat gpt-4.1")
    assert first.status.code == 2
    assert attributes(first)["error.type"] == "overloaded"
    assert attributes(first)["http.response.status_code"] == 503
    assert "gen_ai.usage.input_tokens" not in attributes(first)
    values = attributes(second)
    assert values["gen_ai.provider.name"] == "openai"
    assert values["gen_ai.operation.name"] == "chat"
    assert values["gen_ai.request.model"] == "gpt-4.1"
    assert values["gen_ai.conversation.id"] == "s-1"
    assert values["gen_ai.usage.input_tokens"] == 12
    assert values["gen_ai.usage.cache_read.input_tokens"] == 4
    assert values["gen_ai.usage.output_tokens"] == 5
    assert values["gen_ai.response.finish_reasons"] == ["stop"]
    assert values["server.address"] == "two.test"
    assert attributes(request)["dragoman.request.id"] == row.id
    assert attributes(request)["http.response.status_code"] == 200
    assert collector.resources[0]["service.name"] == "dragoman"
    assert collector.resources[0]["service.version"] == "1.2.3"
    assert collector.resources[0]["deployment.environment.name"] == "test"
    # Neither prompts nor keys are exported by default.
    for secret in (b"secret", b"Be brief", b"sk-dgm-test"):
        assert secret not in collector.payload


@pytest.mark.parametrize(
    ("options", "parent_flag", "exported"),
    [
        ({"ratio": 0.0}, "01", True),
        ({"ratio": 1.0}, "00", False),
        ({"ratio": 0.0, "parent_based": False}, "01", False),
        ({"ratio": 1.0, "parent_based": False}, "00", True),
        ({"ratio": 0.0}, None, False),
    ],
)
async def test_spans_are_sampled_by_ratio_and_parent(
    tmp_path: Path,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    parent_flag: str | None,
    exported: bool,
) -> None:
    contexts = count_constructions(trace, "TraceContext", monkeypatch)
    headers = {"tracestate": "vendor=1"}
    if parent_flag:
        headers["traceparent"] = f"00-{PARENT}-{parent_flag}"
    registry = snapshot(route("r", provider("one")))
    start = lambda: telemetry(**options)  # noqa: E731
    async with gateway(tmp_path, registry, start_telemetry=start, one=lambda _: completion()) as gw:
        await gw.post("/v1/chat/completions", CHAT, headers=headers)
        row = await gw.record()
        sent_headers = gw.upstreams.requests[0].headers
    # Closing the gateway has exported all that was queued.
    assert bool(collector.spans) is bool(contexts) is exported
    assert sent_headers["traceparent"][-2:] == ("01" if exported else "00")
    # The client's trace is continued in any case.
    if parent_flag:
        assert sent_headers["traceparent"][3:35] == row.trace_id == PARENT.split("-")[0]
        assert row.parent_span_id == PARENT.split("-")[1]
        assert sent_headers["tracestate"] == "vendor=1"


def count_constructions(target: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace a constructor by a counting one: the list grows by one for each call."""
    names: list[str] = []
    construct = getattr(target, name)

    def count(*values: Any, **named: Any) -> Any:
        names.append(name)
        return construct(*values, **named)

    monkeypatch.setattr(target, name, count)
    return names


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
async def test_unsampled_requests_build_no_spans(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch, ratio: float
) -> None:
    """The trace id alone decides about sampling; metrics have every request."""
    requests = 20
    sdk_spans = count_constructions(spans, "ReadableSpan", monkeypatch)
    contexts = count_constructions(trace, "TraceContext", monkeypatch)
    monkeypatch.setattr(random, "getrandbits", random.Random(7).getrandbits)
    registry = snapshot(route("r", provider("one")))
    start = lambda: telemetry(ratio=ratio, metrics=True)  # noqa: E731
    async with gateway(tmp_path, registry, start_telemetry=start, one=lambda _: completion()) as gw:
        for _ in range(requests):
            await gw.post("/v1/chat/completions", CHAT)
        rows = await gw.rows(requests)
        traceparents = [upstream.headers["traceparent"] for upstream in gw.upstreams.requests]
    sampled = [value for value in traceparents if value.endswith("-01")]
    expected = [value for value in traceparents if int(value[19:35], 16) < round(ratio * 2**64)]
    assert sampled == expected
    assert (0 < len(sampled) < requests) if ratio == 0.3 else (len(sampled) == requests * ratio)
    assert len(set(traceparents)) == requests
    # A span for the request and one for its attempt, of sampled requests only.
    assert len(collector.spans) == len(sdk_spans) == 2 * len(sampled)
    assert len(contexts) == len(sampled)
    assert {span.trace_id.hex() for span in collector.spans} == {v[3:35] for v in sampled}
    assert sorted(row.trace_id for row in rows if row.trace_id) == sorted(v[3:35] for v in sampled)
    assert all(bool(row.span_id) is bool(row.trace_id) for row in rows)
    durations = [m for m in collector.metrics if m.name == "gen_ai.client.operation.duration"]
    assert sum(p.count for p in durations[-1].histogram.data_points) == requests


async def test_invented_model_names_do_not_become_labels_of_metrics(
    tmp_path: Path, collector: Collector
) -> None:
    """Each name would take a series, and the SDK merges all series beyond the first 2,000."""
    registry = snapshot(route("r", provider("one")))
    start = lambda: telemetry(ratio=0.0, metrics=True)  # noqa: E731
    async with gateway(tmp_path, registry, start_telemetry=start, one=lambda _: completion()) as gw:
        for model in ("r", "one/invented-1", "one/invented-2"):
            response = await gw.post("/v1/chat/completions", {**CHAT, "model": model})
            assert response.status == 200
        await gw.rows(3)
    metrics = [m for m in collector.metrics if m.name == "gen_ai.client.operation.duration"]
    points = metrics[-1].histogram.data_points
    counts = {attributes(point)["gen_ai.request.model"]: point.count for point in points}
    assert counts == {"gpt-4.1": 1, "other": 2}


async def test_attempts_of_an_unsampled_request_share_a_trace(
    tmp_path: Path, collector: Collector
) -> None:
    registry = snapshot(route("r", provider("one"), provider("two")))
    start = lambda: telemetry(ratio=0.0)  # noqa: E731
    responses = {"one": failure, "two": lambda _: completion()}
    async with gateway(tmp_path, registry, start_telemetry=start, **responses) as gw:
        await gw.post("/v1/chat/completions", CHAT)
        first, second = [upstream.headers["traceparent"] for upstream in gw.upstreams.requests]
    assert first == second
    assert first.endswith("-00")
    assert collector.spans == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("capture_content", [False, True])
async def test_prompt_content_is_in_spans_only_if_enabled(
    tmp_path: Path, collector: Collector, stream: bool, capture_content: bool
) -> None:
    registry = snapshot(route("r", provider("one")), log_bodies=True)
    response = sse(chunk("hel"), chunk("lo"), chunk(finish="stop"), STREAM_END)
    start = lambda: telemetry(capture_content=capture_content)  # noqa: E731
    async with gateway(
        tmp_path,
        registry,
        start_telemetry=start,
        one=lambda _: response if stream else completion("hello"),
    ) as gw:
        await gw.post("/v1/chat/completions", {**CHAT, "stream": stream})
    _, attempt = sorted(collector.spans, key=lambda span: span.kind)
    values = attributes(attempt)
    if not capture_content:
        assert not any(name.endswith("messages") for name in values)
        return
    assert json.loads(values["gen_ai.system_instructions"]) == [
        {"type": "text", "content": "Be brief."}
    ]
    assert json.loads(values["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "secret"}]}
    ]
    assert json.loads(values["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "hello"}],
            "finish_reason": "stop",
        }
    ]


async def test_an_unreachable_collector_blocks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    registry = snapshot(route("r", provider("one")))
    async with gateway(
        tmp_path, registry, start_telemetry=telemetry, one=lambda _: completion()
    ) as gw:
        for _ in range(3):
            assert (await gw.post("/v1/chat/completions", CHAT)).status == 200
    messages = [m for m in caplog.messages if m.startswith("OpenTelemetry")]
    assert len(messages) == 1
    assert "127.0.0.1" in messages[0] or "export" in messages[0].lower()
