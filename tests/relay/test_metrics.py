"""Metrics: labels of the registry only, correct over several workers, failures logged."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import subprocess
import sys
import textwrap
from decimal import Decimal
from pathlib import Path

import httpx
import msgspec
import pytest

from gateway.config.log_format import KeyValueFormatter
from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.relay.journal import metrics
from gateway.relay.journal.metrics import Metrics, NodeValues, ProcessValues
from gateway.routing.limits import Budget, Limits
from tests.relay.harness import (
    DONE,
    Gateway,
    chunk,
    completion,
    gateway,
    provider,
    route,
    snapshot,
    sse,
)
from tests.waits import WAIT_TIMEOUT_S

ROOT = Path(__file__).resolve().parents[2]


async def metrics_page(gw: Gateway) -> str:
    """Return the metrics as served to this machine."""
    transport = httpx.ASGITransport(gw.app, client=("127.0.0.1", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.get("/metrics")
    assert response.status_code == 200
    return response.text


def metric_value(text: str, name: str, **labels: str) -> float | None:
    """Return the value of a series; None if there is none."""
    for line in text.splitlines():
        match = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if match and dict(re.findall(r'(\w+)="([^"]*)"', match[1] or "")) == labels:
            return float(match[2])
    return None


def make_record(name: str, number: int = 0) -> LogRecord:
    attempt = Attempt(target=f"one/{name}", provider="one", model=name, dialect="openai_chat")
    return LogRecord(
        id=f"req_{number}",
        started_at=1.0,
        route=name,
        provider="one",
        model=name,
        status=200,
        duration_ms=5.0,
        attempts=[attempt],
    )


def test_unknown_model_names_share_one_metric_label() -> None:
    recorded_metrics = Metrics("1")
    recorded_metrics.use_names(snapshot(route("known", provider("one"))))
    recorded_metrics.record(make_record("known"))
    before = len(recorded_metrics.exposition(NodeValues(), ProcessValues()))
    for number in range(1500):
        recorded_metrics.record(make_record("x" * 150 + str(number), number))
    text = recorded_metrics.exposition(NodeValues(), ProcessValues()).decode()
    assert len(text) < 3 * before
    assert "xxx" not in text
    shared = {"dialect": "", "stream": "false", "status_class": "2xx"}
    labels = {"route": "known", "provider": "one", "model": "other"}
    other = {"route": "other", "provider": "one", "model": "other"}
    assert metric_value(text, "dragoman_requests_total", **other, **shared) == 1500
    assert metric_value(text, "dragoman_requests_total", **labels, **shared) == 1


def test_a_request_of_a_wildcard_counts_for_its_route() -> None:
    registry = snapshot(route("gpt-*", provider("one")))
    recorded_metrics = Metrics("1")
    recorded_metrics.use_names(msgspec.structs.replace(registry, wildcards=(("gpt-*", "gpt-*"),)))
    recorded_metrics.record(make_record("gpt-5"))
    text = recorded_metrics.exposition(NodeValues(), ProcessValues()).decode()
    assert 'route="gpt-*"' in text
    assert "gpt-5" not in text


def test_the_number_of_metric_series_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "MAX_CHILDREN", 30)
    recorded_metrics = Metrics("1")
    routes = [route(f"r{number}", provider("one")) for number in range(200)]
    recorded_metrics.use_names(snapshot(*routes))
    for number in range(200):
        recorded_metrics.record(make_record(f"r{number}", number))
    text = recorded_metrics.exposition(NodeValues(), ProcessValues()).decode()
    assert len(set(re.findall(r'route="(\w+)"', text))) < 35


WORKERS = """
    import subprocess, sys, time
    from gateway.relay.journal.metrics import Metrics, NodeValues, ProcessValues

    worker = '''
    import sys, time
    from gateway.relay.journal.metrics import Metrics, ProcessValues
    found = Metrics("1")
    found.requests_in_flight += 10
    found.sample(ProcessValues(spool_rows=3))
    print("ready", flush=True)
    sys.stdin.read()
    '''
    import textwrap
    args = [sys.executable, "-c", textwrap.dedent(worker)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    workers = [subprocess.Popen(args, **pipes) for _ in range(2)]
    for one in workers:
        one.stdout.readline()
    from gateway.routing.snapshot import Provider, Route, Snapshot, Target, model_of
    one = Provider(id=1, name="one", preset="openai", dialect="openai_chat", base_url="http://x")
    targets = (Target(id=1, model=model_of(one, "m")),)
    found = Metrics("1")
    routes = {"r": Route(id=1, name="r", targets=targets)}
    found.use_names(Snapshot(version=7, routes=routes, providers={"one": one}))
    node = NodeValues(version=7, targets={"one/m": 2})
    print(found.exposition(node, ProcessValues()).decode())
    print("--")
    for one in workers:
        one.kill()
        one.wait()
    print(found.exposition(NodeValues(version=7, targets={"one/m": 0}), ProcessValues()).decode())
"""


def test_metrics_of_workers_are_summed_and_end_with_them(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WORKERS)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    alive, dead = done.stdout.split("--")
    for text in (alive, dead):
        assert metric_value(text, "dragoman_build_info", version="1") == 1
        assert metric_value(text, "dragoman_config_version") == 7
    assert metric_value(alive, "dragoman_in_flight_requests") == 20
    assert metric_value(alive, "dragoman_log_spool_rows") == 6
    assert metric_value(dead, "dragoman_in_flight_requests") == 0
    assert metric_value(alive, "dragoman_deployment_state", target="one/m") == 2
    assert metric_value(dead, "dragoman_deployment_state", target="one/m") == 0


BODY = {"model": "r", "messages": [{"role": "user", "content": "hi"}]}


async def test_metrics_include_limits_budgets_and_circuit_states(tmp_path: Path) -> None:
    registry = provider("one", budget=Budget(day_usd=Decimal(5)))
    limited = route("r", registry, limits=Limits(requests_per_minute=1))
    async with gateway(tmp_path, snapshot(limited), one=lambda _: completion()) as gw:
        assert (await gw.post("/v1/chat/completions", BODY)).status == 200
        assert (await gw.post("/v1/chat/completions", BODY)).status == 429
        await gw.rows(2)
        text = await metrics_page(gw)
    assert metric_value(text, "dragoman_limit_refusals_total", owner="route", limit="requests") == 1
    budget_left_usd = metric_value(text, "dragoman_budget_left_usd", owner="provider:1", span="day")
    assert budget_left_usd is not None
    assert 4.9 < budget_left_usd <= 5
    assert metric_value(text, "dragoman_deployment_state", target="one/gpt-4.1") == 0
    assert metric_value(text, "dragoman_database_up") == 1
    assert metric_value(text, "dragoman_in_flight_limit") == gw.runtime.config.max_requests
    assert (metric_value(text, "dragoman_process_memory_bytes") or 0) > 1_000_000
    assert "dragoman_redis_up " not in text


async def test_the_state_metric_of_a_recovered_target_is_usable(tmp_path: Path) -> None:
    responses = [httpx.Response(429, json={"error": {"message": "slow"}}), completion()]
    target = {"target": "one/gpt-4.1"}
    fast = route("r", provider("one"), cooldown_s=0.01)
    async with gateway(tmp_path, snapshot(fast), one=lambda _: responses.pop(0)) as gw:
        assert (await gw.post("/v1/chat/completions", BODY)).status == 429
        assert metric_value(await metrics_page(gw), "dragoman_deployment_state", **target) in {1, 2}
        assert (await gw.post("/v1/chat/completions", BODY)).status == 200
        assert metric_value(await metrics_page(gw), "dragoman_deployment_state", **target) == 0


async def test_a_failed_request_leaves_one_line_with_its_ids(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = httpx.Response(500, json={"error": {"message": "secret prompt"}})
    headers = {"x-request-id": "mine-1"}
    async with gateway(tmp_path, snapshot(route("r", provider("one"))), one=lambda _: broken) as gw:
        await gw.post("/v1/chat/completions", BODY, headers=headers)
        row = await gw.rows(1)
        gw.runtime.metrics.flush()
    lines = [
        KeyValueFormatter("%(message)s").format(record)
        for record in caplog.records
        if record.getMessage() == "a request failed"
    ]
    assert len(lines) == 1
    assert f"request_id={row[0].id}" in lines[0]
    assert "target=one/gpt-4.1" in lines[0]
    assert "secret" not in lines[0]


def test_a_log_line_is_one_line_for_any_data() -> None:
    record = logging.makeLogRecord({"msg": "m", "a": "x\ny", "b": 'q"', "c": 1, "d": ["no"]})
    assert KeyValueFormatter("%(message)s").format(record) == "m a='x\\ny' b='q\"' c=1"


async def test_the_time_between_chunks_is_measured(tmp_path: Path) -> None:
    parts = [chunk("a"), 0.05, chunk("b"), 0.05, chunk("c"), chunk(None, "stop"), DONE]
    registry = snapshot(route("r", provider("one")))
    async with gateway(tmp_path, registry, one=lambda _: sse(*parts)) as gw:
        await gw.post("/v1/chat/completions", {**BODY, "stream": True})
        (row,) = await gw.rows(1)
        text = await metrics_page(gw)
    assert row.chunk_gap_ms is not None
    assert row.chunk_gap_ms > 20
    labels = {"route": "r", "provider": "one", "model": "gpt-4.1"}
    assert metric_value(text, "dragoman_inter_chunk_seconds_count", **labels) == 1


async def test_a_checkpoint_that_stalls_the_loop_is_named(tmp_path: Path) -> None:
    def copy_pages(batch: list[LogRecord]) -> None:
        sum(range(60_000_000))  # one call that keeps Python's lock

    registry = snapshot(route("fast", provider("up")))
    async with gateway(tmp_path, registry, checkpoint=copy_pages, up=lambda _: completion()) as gw:
        await gw.post("/v1/chat/completions", BODY)
        stalls: float | None = None
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while not stalls:
                await asyncio.sleep(0.05)
                text = await metrics_page(gw)
                stalls = metric_value(text, "dragoman_event_loop_stalls_total", cause="checkpoint")
