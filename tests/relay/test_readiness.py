"""Readiness in LiteLLM's words, for the probes that its charts set up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.edge.app import app
from tests.relay.harness import gateway, provider, route, snapshot


async def probed(path: str) -> tuple[int, Any]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
    return sent[0]["status"], json.loads(b"".join(m.get("body", b"") for m in sent))


@pytest.mark.parametrize(
    ("away", "draining", "told"),
    [
        (False, False, (200, {"status": "healthy", "db": "connected"})),
        (True, False, (200, {"status": "healthy", "db": "disconnected"})),
        (False, True, (503, {"status": "shutting_down"})),
    ],
)
async def test_readiness_as_litellm_tells_it(
    tmp_path: Path, *, away: bool, draining: bool, told: tuple[int, Any]
) -> None:
    async with gateway(tmp_path, snapshot(route("r", provider("one")))) as live:
        live.runtime.database_away, live.runtime.draining = away, draining
        assert await probed("/health/readiness") == told
        live.runtime.draining = False
