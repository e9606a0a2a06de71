"""Dry run and live traffic agree: same targets, same order, same bytes."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from console.pages.routes.samples import SAMPLES, body
from gateway.edge.admission import find_route
from gateway.relay.exchange.log_record import LogRecord
from gateway.routing.snapshot import Route, RouteStep, Snapshot, Target, model_of
from gateway.simulate.dry_run import SIMULATED_FAILURES, DryRun, RoutingState, build_call, dry_run
from tests.relay.harness import (
    Gateway,
    Reply,
    completion,
    gateway,
    provider,
    refusal,
    snapshot,
)

PATHS = {"openai_chat": "/v1/chat/completions", "anthropic_messages": "/v1/messages"}
A, B = provider("a"), provider("b", "anthropic_messages")
C = provider("c")
LABELS = ("a/gpt-4.1", "b/claude-haiku-4-5", "c/gpt-4.1")


def stepped_registry(*steps: RouteStep, **changes: Any) -> Snapshot:
    """Return a route over three providers of two dialects, with one target per step."""
    names = ("gpt-4.1", "claude-haiku-4-5", "gpt-4.1")
    targets = tuple(
        Target(id=n, model=model_of(p, name), order=n)
        for n, (p, name) in enumerate(zip((A, B, C), names, strict=True), start=1)
    )
    base = Route(id=1, name="m", targets=targets, steps=steps, retries=0)
    return snapshot(msgspec.structs.replace(base, **changes))


def step(order: int, *on: str, **more: Any) -> RouteStep:
    return RouteStep(order=order, fallback_on=on, **more)


def upstream_response(failure: str | None) -> Any:
    """Return an upstream of either dialect that fails this way, or answers."""

    def respond(request: httpx.Request) -> httpx.Response | Exception:
        if failure == "timeout":
            return httpx.ReadTimeout("no response")
        if failure is not None:
            return refusal(SIMULATED_FAILURES[failure] or 500, "pretended")
        return completion() if request.url.path.endswith("completions") else message()

    return respond


def message() -> httpx.Response:
    content = [{"type": "text", "text": "hello"}]
    rendered_message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
    }
    usage = {"input_tokens": 7, "output_tokens": 3}
    more = {"content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
    return httpx.Response(200, json={**rendered_message, **more})


def dry(live: Gateway, registry: Snapshot, dialect: str, request: Any, failing: Any) -> DryRun:
    call = build_call(registry, dialect, request)
    health, latency_by_target = dict(live.runtime.health), dict(live.runtime.latency.stats)
    stage = RoutingState(
        snapshot=registry,
        health=health,
        latency_by_target=latency_by_target,
        now=time.monotonic(),
        draw=lambda: 0.5,
        simulated_failures=failing,
    )
    return dry_run(stage, call, find_route(registry, None, call.exchange.model))


WAYS = {
    "plain": stepped_registry(),
    "stepped": stepped_registry(step(1), step(2), step(3)),
    "on 429": stepped_registry(step(1), step(2, "rate_limit"), step(3)),
    "on timeout": stepped_registry(step(1), step(2, "timeout"), step(3, "timeout")),
    "not support images": stepped_registry(
        step(1, excludes=("images",)), step(2), step(3, "upstream_error")
    ),
    "able": stepped_registry(
        step(1, require_capabilities=True), step(2, max_context=100_000), step(3, min_context=10)
    ),
    "tools only": stepped_registry(
        step(1, requires=("tools",)), step(2, requires=("schema",)), step(3)
    ),
    "strict": stepped_registry(strict=True),
}
FAILING = [
    {},
    {LABELS[0]: "429"},
    {LABELS[0]: "529"},
    {LABELS[0]: "timeout"},
    {LABELS[0]: "500", LABELS[1]: "429"},
    dict.fromkeys(LABELS, "500"),
]


SAMPLE_REQUESTS = [
    *((dialect, sample) for dialect in PATHS for sample in SAMPLES if sample != "long"),
]


@pytest.mark.parametrize("failing", FAILING, ids=lambda f: ",".join(f.values()) or "none")
@pytest.mark.parametrize("name", WAYS)
async def test_dry_run_and_live_traffic_agree(
    tmp_path: Path, name: str, failing: dict[str, str]
) -> None:
    """Sequential requests, so that cooldowns after failures are included."""
    registry = WAYS[name]
    upstreams = {label[0]: upstream_response(failing.get(label)) for label in LABELS}
    async with gateway(tmp_path, registry, **upstreams) as live:
        outcomes = []
        for dialect, sample in SAMPLE_REQUESTS:
            request_body = {**body(dialect, sample, "m"), "stream": False}
            run = dry(live, registry, dialect, request_body, failing)
            headers = {"anthropic-version": "2023-06-01"}
            reply = await live.post(PATHS[dialect], request_body, headers=headers)
            outcomes.append((run, reply, live.upstreams.requests[-1:]))
        rows = await live.rows(len(outcomes))
    for (run, reply, upstream_requests), row in zip(outcomes, rows, strict=True):
        agrees(run, reply, upstream_requests, row)


def agrees(
    run: DryRun, reply: Reply, upstream_requests: list[httpx.Request], row: LogRecord
) -> None:
    pairs = [(t.candidate.target.model.label, t.outcome == "skipped") for t in run.targets]
    assert pairs == [(a.target, a.skipped is not None) for a in row.attempts]
    kinds = [t.error.kind for t in run.targets if t.error is not None]
    assert kinds == [a.error_kind for a in row.attempts if a.error_kind]
    if run.prepared_request is None:
        assert run.error is not None
        assert (row.status >= 400, row.error_kind) == (True, run.error.kind)
        return
    assert reply.status == 200
    assert json.loads(upstream_requests[-1].content) == json.loads(run.prepared_request.content)
    assert upstream_requests[-1].url.path == run.prepared_request.path


async def test_a_dry_run_has_no_side_effects(tmp_path: Path) -> None:
    registry = WAYS["stepped"]
    async with gateway(tmp_path, registry, a=upstream_response(None)) as live:
        dry(live, registry, "openai_chat", body("openai_chat", "tools", "m"), FAILING[-1])
        assert live.upstreams.requests == []
        assert live.runtime.health == {}
        assert live.runtime.latency.stats == {}


async def test_a_plain_route_does_not_parse_the_request(tmp_path: Path) -> None:
    """Without conditions, a body that only its dialect can parse still passes through."""
    unknown_format = {
        **body("openai_chat", "text", "m"),
        "response_format": {"type": "from-the-future"},
    }
    async with gateway(tmp_path, stepped_registry(), a=upstream_response(None)) as live:
        reply = await live.post(PATHS["openai_chat"], unknown_format)
    assert reply.status == 200


async def test_an_unparsed_body_is_estimated_by_its_length(tmp_path: Path) -> None:
    long = [{"role": "user", "content": "x" * 4000}]
    unknown_format = {
        "model": "m",
        "messages": long,
        "response_format": {"type": "from-the-future"},
    }
    registry = stepped_registry(
        step(1, max_context=500), step(2, max_context=600), step(3, min_context=900)
    )
    async with gateway(tmp_path, registry, c=upstream_response(None)) as live:
        reply = await live.post(PATHS["openai_chat"], unknown_format)
    assert reply.status == 200


async def test_a_step_times_out_if_its_first_token_is_late(tmp_path: Path) -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(1.5)
        return completion()

    registry = stepped_registry(
        step(1, first_token_s=0.2), step(2, "upstream_error"), step(3, "timeout")
    )
    async with gateway(tmp_path, registry, a=slow, c=upstream_response(None)) as live:
        reply = await live.post(PATHS["openai_chat"], body("openai_chat", "text", "m"))
        row = await live.record()
    assert reply.status == 200
    assert [(a.error_kind, bool(a.skipped)) for a in row.attempts] == [
        ("timeout", False),
        (None, True),
        (None, False),
    ]


async def test_the_fastest_strategy_uses_measured_latency(tmp_path: Path) -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.1)
        return completion()

    targets = tuple(Target(id=n, model=model_of(p, "gpt-4.1")) for n, p in ((1, A), (2, C)))
    registry = snapshot(Route(id=1, name="m", targets=targets, strategy="fastest"))
    request_body = {**body("openai_chat", "text", "m"), "stream": False}
    async with gateway(tmp_path, registry, a=slow, c=upstream_response(None)) as live:
        for _ in range(12):
            await live.post(PATHS["openai_chat"], request_body)
        latency_by_target = live.runtime.latency.stats
    hosts = [request.url.host for request in live.upstreams.requests]
    assert hosts.count("c.test") > hosts.count("a.test")
    assert latency_by_target["c/gpt-4.1"].first_ms < latency_by_target["a/gpt-4.1"].first_ms


async def test_a_request_that_no_step_is_for_is_refused_with_the_reason(tmp_path: Path) -> None:
    only = tuple(step(n, requires=("images",)) for n in (1, 2, 3))
    async with gateway(tmp_path, stepped_registry(*only)) as live:
        reply = await live.post(PATHS["openai_chat"], body("openai_chat", "text", "m"))
    assert reply.status == 400
    assert "only for requests with images" in reply.json()["error"]["message"]
