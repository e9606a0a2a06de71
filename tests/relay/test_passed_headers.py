"""Rate-limit headers of providers reach clients of their dialect: responses, streams, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.routing.limits import Limits
from tests.relay.harness import (
    DONE,
    PacedBody,
    chunk,
    completion,
    gateway,
    provider,
    route,
    snapshot,
)

LIMITS = {
    "x-ratelimit-remaining-tokens": "150",
    "anthropic-ratelimit-requests-remaining": "4",
    "openai-processing-ms": "12",
    "set-cookie": "no=1",
    "x-ratelimit-note": "n" * 5000,
}
PASSED = {name: LIMITS[name] for name in list(LIMITS)[:3]}
BODY = {"model": "r", "messages": [{"role": "user", "content": "hi"}]}


def completion_with_limits() -> httpx.Response:
    return httpx.Response(200, headers=LIMITS, json=completion().json())


def stream() -> httpx.Response:
    kind = {"content-type": "text/event-stream"}
    parts = PacedBody(chunk("a"), chunk(None, "stop"), DONE)
    return httpx.Response(200, headers={**kind, **LIMITS}, stream=parts)


def refusal() -> httpx.Response:
    wait = {"retry-after": "7", "retry-after-ms": "6500"}
    error = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    return httpx.Response(429, headers={**LIMITS, **wait}, json=error)


@pytest.mark.parametrize(
    ("response", "streamed", "status"),
    [
        (completion_with_limits, False, 200),
        (stream, True, 200),
        (completion_with_limits, True, 200),
        (refusal, False, 429),
    ],
    ids=["answer", "stream", "answer rendered as a stream", "error"],
)
async def test_a_client_of_the_same_dialect_gets_rate_limit_headers(
    tmp_path: Path, response: Any, streamed: bool, status: int
) -> None:
    registry = snapshot(route("r", provider("one")))
    async with gateway(tmp_path, registry, one=lambda _: response()) as gw:
        reply = await gw.post("/v1/chat/completions", {**BODY, "stream": streamed})
    headers = reply.headers
    assert reply.status == status
    assert {name: headers.get(name) for name in PASSED} == PASSED
    assert "set-cookie" not in headers
    assert "x-ratelimit-note" not in headers
    if status == 429:
        assert (headers["retry-after"], headers["retry-after-ms"]) == ("7", "6500")


async def test_clients_of_other_dialects_get_only_retry_after(tmp_path: Path) -> None:
    body = {**BODY, "max_tokens": 9}
    registry = snapshot(route("r", provider("one")))
    async with gateway(tmp_path, registry, one=lambda _: refusal()) as gw:
        reply = await gw.post("/v1/messages", body)
    headers = reply.headers
    assert reply.status == 429
    assert headers["retry-after"] == "7"
    assert not [name for name in headers if "ratelimit" in name]


async def test_limit_headers_of_the_gateway_replace_the_providers(tmp_path: Path) -> None:
    limited = route("r", provider("one"), limits=Limits(requests_per_minute=5))
    async with gateway(tmp_path, snapshot(limited), one=lambda _: stream()) as gw:
        reply = await gw.post("/v1/chat/completions", {**BODY, "stream": True})
    limit_headers = {
        k: v for k, v in reply.headers.items() if k.startswith("x-ratelimit-remaining")
    }
    assert limit_headers == {"x-ratelimit-remaining-requests": "4"}
