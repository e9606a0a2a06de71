"""Token counts of an upstream that fails: the client gets the gateway's estimate."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.relay.run import count_tokens
from tests.relay.harness import (
    PacedBody,
    completion,
    gateway,
    provider,
    refusal,
    route,
    snapshot,
)

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hello " * 50}]}
VERSION = {"anthropic-version": "2023-06-01"}


def counted(tokens: Any) -> httpx.Response:
    return httpx.Response(200, json={"input_tokens": tokens})


async def hang(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(30)
    raise AssertionError


def stall(_: httpx.Request) -> httpx.Response:
    kind = {"content-type": "application/json"}
    return httpx.Response(200, headers=kind, stream=PacedBody(b'{"input_', 30.0))


@pytest.mark.parametrize(
    "respond",
    [
        lambda _: httpx.ConnectError("refused"),
        lambda _: refusal(500),
        lambda _: refusal(429, retry_after="9"),
        lambda _: httpx.Response(200, content=b"<html>"),
        lambda _: counted("12"),
        lambda _: counted(-3),
        lambda _: counted(None),
        lambda _: counted(True),
        hang,
        stall,
    ],
    ids=[
        *("refused", "500", "429", "page", "text", "negative", "null", "true"),
        *("hang", "stall"),
    ],
)
async def test_a_count_that_fails_is_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, respond: Any
) -> None:
    monkeypatch.setattr(count_tokens, "_TIMEOUT_S", 0.2)
    registry = snapshot(route("m", provider("a", "anthropic_messages")))
    async with gateway(tmp_path, registry, a=respond) as live:
        reply = await live.post("/v1/messages/count_tokens", REQUEST, headers=VERSION)
        record = await live.record()
    assert reply.status == 200, reply.body
    assert reply.headers["x-dragoman-token-count"] == "estimate"
    assert 40 < reply.json()["input_tokens"] < 200
    assert (record.status, record.outcome) == (200, "ok")


async def test_a_dialect_without_token_counts_is_not_asked_to_generate(tmp_path: Path) -> None:
    """The model has an endpoint for counts in Responses, which this provider does not serve."""
    base = route("m", provider("a"))
    (target,) = base.targets
    traits = msgspec.structs.replace(target.model.traits, responses=False, count_tokens="endpoint")
    model = msgspec.structs.replace(target.model, traits=traits)
    targets = (msgspec.structs.replace(target, model=model),)
    registry = snapshot(msgspec.structs.replace(base, targets=targets))
    async with gateway(tmp_path, registry, a=lambda _: completion()) as live:
        reply = await live.post("/v1/messages/count_tokens", REQUEST, headers=VERSION)
    assert reply.status == 200, reply.body
    assert reply.headers["x-dragoman-token-count"] == "estimate"
    assert live.upstreams.requests == []
