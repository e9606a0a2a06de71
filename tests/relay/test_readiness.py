"""Readiness in LiteLLM's format, for the probes of its charts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.journal.log_writer import LogStore
from tests.relay.harness import Gateway, gateway, provider, route, snapshot
from tests.waits import wait_until_async


async def get_probe(live: Gateway, path: str) -> tuple[int, Any]:
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await live.app({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
    return messages[0]["status"], json.loads(b"".join(m.get("body", b"") for m in messages))


@pytest.mark.parametrize(
    ("away", "draining", "expected"),
    [
        (False, False, (200, {"status": "healthy", "db": "connected"})),
        (True, False, (200, {"status": "healthy", "db": "disconnected"})),
        (False, True, (503, {"status": "shutting_down"})),
    ],
)
async def test_readiness_has_litellms_format(
    tmp_path: Path, *, away: bool, draining: bool, expected: tuple[int, Any]
) -> None:
    async with gateway(tmp_path, snapshot(route("r", provider("one")))) as live:
        live.runtime.registry.failed, live.runtime.draining = away, draining
        assert await get_probe(live, "/health/readiness") == expected
        live.runtime.draining = False


def raise_unavailable() -> None:
    raise OSError("the database is away")


async def test_ready_reports_problems_and_stays_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.relay.journal.journal.RETRY_S", 0.01)
    async with gateway(tmp_path, snapshot(route("r", provider("one")))) as live:
        assert await get_probe(live, "/health/ready") == (200, {"status": "ready", "reasons": []})
        live.runtime.log_writer.store = LogStore(write=lambda _: raise_unavailable())
        live.runtime.journal.append(LogRecord(id="one", started_at=1.0))
        await wait_until_async(lambda: live.runtime.journal.status.failing_s)
        problems = ["log_writes_failing"]
        assert await get_probe(live, "/health/ready") == (
            200,
            {"status": "degraded", "reasons": problems},
        )
        _, summary = await get_probe(live, "/health")
        assert (summary["status"], summary["reasons"]) == ("degraded", problems)


async def test_refused_rows_are_in_health_and_metrics(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("r", provider("one")))) as live:
        live.runtime.log_writer.store = LogStore(write=len)
        live.runtime.journal.append(LogRecord(id="one", started_at=1.0))
        await wait_until_async(lambda: live.runtime.journal.status.refusing)
        problems = ["log_rows_refused"]
        assert await get_probe(live, "/health/ready") == (
            200,
            {"status": "degraded", "reasons": problems},
        )
        assert live.runtime.journal.counters.rows_refused == 1


async def test_a_node_that_cannot_store_log_rows_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.relay.journal.journal.RETRY_S", 0.01)
    monkeypatch.setattr("gateway.relay.journal.segments.Segment", full)
    async with gateway(tmp_path, snapshot(route("r", provider("one")))) as live:
        live.runtime.log_writer.store = LogStore(write=lambda _: raise_unavailable())
        live.runtime.journal.append(LogRecord(id="one", started_at=1.0))
        status, body = await get_probe(live, "/health/ready")
        assert status == 503
        assert body["status"] == "unready"
        assert "log_not_on_disk" in body["reasons"]
