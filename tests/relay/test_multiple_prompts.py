"""Several prompts in one request, at providers that accept one per request."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.routing.snapshot import Timeouts
from tests.relay.harness import (
    DONE,
    chunk,
    completion,
    gateway,
    provider,
    refusal,
    route,
    snapshot,
    sse,
)

REQUEST = {"model": "m", "prompt": ["one", "two"], "max_tokens": 9}


def prompt_of(request: httpx.Request) -> str:
    """Return the upstream prompt."""
    content: str = json.loads(request.content)["messages"][-1]["content"]
    return content


def echo_prompt(request: httpx.Request) -> httpx.Response:
    """Respond with the prompt."""
    body = json.loads(request.content)
    text = f"<{prompt_of(request)}>"
    if not body.get("stream"):
        return completion(text)
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return sse(chunk(text), chunk(finish="stop"), chunk(choices=[], usage=usage), DONE)


def frames(body: bytes) -> list[Any]:
    data = [text.removeprefix("data: ") for text in body.decode().split("\n\n") if text]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


async def test_each_prompt_is_a_call_of_its_own(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("m", provider("a"))), a=echo_prompt) as gw:
        reply = await gw.post("/v1/completions", REQUEST)
        rows = await gw.rows(3)
    body = reply.json()
    assert [(c["index"], c["text"]) for c in body["choices"]] == [(0, "<one>"), (1, "<two>")]
    assert body["usage"] == {"prompt_tokens": 14, "completion_tokens": 6, "total_tokens": 20}
    assert [prompt_of(request) for request in gw.upstreams.requests] == ["one", "two"]
    request_row = next(row for row in rows if row.id == reply.headers["x-request-id"])
    parts = [row for row in rows if row is not request_row]
    assert [row.input_tokens for row in parts] == [7, 7]
    assert (
        request_row.input_tokens,
        request_row.cost_usd,
        request_row.status,
        len(request_row.attempts),
    ) == (None, None, 200, 2)


@pytest.mark.parametrize("counted", [True, False])
async def test_streams_follow_each_other_and_end_once(tmp_path: Path, counted: bool) -> None:
    body = {**REQUEST, "stream": True, "stream_options": {"include_usage": counted}}
    async with gateway(tmp_path, snapshot(route("m", provider("a"))), a=echo_prompt) as gw:
        reply = await gw.post("/v1/completions", body)
    *rows, end = frames(reply.body)
    assert end == "[DONE]"
    pairs = [(c["index"], c["text"]) for row in rows for c in row["choices"] if c["text"]]
    assert pairs == [(0, "<one>"), (1, "<two>")]
    usages = [row["usage"]["total_tokens"] for row in rows if row.get("usage")]
    assert usages == ([20] if counted else [])


async def test_a_failure_before_anything_went_out_is_a_status(tmp_path: Path) -> None:
    registry = snapshot(route("m", provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: refusal(429, "slow")) as gw:
        reply = await gw.post("/v1/completions", {**REQUEST, "stream": True})
    assert (reply.status, reply.json()["error"]["message"]) == (429, "slow")


async def test_a_failure_in_the_middle_is_reported_without_an_end_event(tmp_path: Path) -> None:
    def second_fails(request: httpx.Request) -> httpx.Response:
        return echo_prompt(request) if prompt_of(request) == "one" else refusal(503, "busy")

    registry = snapshot(route("m", provider("a")))
    async with gateway(tmp_path, registry, a=second_fails) as gw:
        reply = await gw.post("/v1/completions", {**REQUEST, "stream": True})
        response = await gw.post("/v1/completions", REQUEST)
        rows = await gw.rows(3)
    assert frames(reply.body)[-1]["error"]["message"] == "busy"
    assert DONE not in reply.body
    assert response.status == 503
    assert {row.outcome for row in rows} >= {"ok", "error"}


async def test_several_prompts_are_sent_together_if_supported(tmp_path: Path) -> None:
    older = provider("a", "openai_completions", preset="custom-completions")
    response = {"id": "x", "choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}]}
    registry = snapshot(route("m", older))
    async with gateway(tmp_path, registry, a=lambda _: httpx.Response(200, json=response)) as gw:
        await gw.post("/v1/completions", REQUEST)
    (upstream_request,) = gw.upstreams.requests
    assert json.loads(upstream_request.content)["prompt"] == ["one", "two"]


@pytest.mark.parametrize("prompt", [[1, 2], [[1], [2]], ["a"] * 200])
async def test_an_unsplittable_prompt_is_refused(tmp_path: Path, prompt: Any) -> None:
    async with gateway(tmp_path, snapshot(route("m", provider("a"))), a=echo_prompt) as gw:
        reply = await gw.post("/v1/completions", {**REQUEST, "prompt": prompt})
    assert (reply.status, reply.json()["error"]["param"]) == (400, "prompt")
    assert not gw.upstreams.requests


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("leaves", "expected"),
    [
        (True, (499, "client_closed", "client_gone")),
        (False, (504, "error", "timeout")),
    ],
    ids=["client", "deadline"],
)
async def test_the_row_of_a_prompt_that_was_stopped_says_so(
    tmp_path: Path, *, stream: bool, leaves: bool, expected: tuple[int, str, str]
) -> None:
    async def respond(request: httpx.Request) -> httpx.Response:
        if prompt_of(request) == "two":
            await asyncio.sleep(30)
        return echo_prompt(request)

    timeouts = Timeouts(first_byte_s=30 if leaves else 0.3)
    registry = snapshot(route("m", provider("a", timeouts=timeouts)))
    async with gateway(tmp_path, registry, a=respond) as gw:
        await gw.post(
            "/v1/completions",
            {**REQUEST, "stream": stream},
            disconnect_after=0.5 if leaves else None,
        )
        rows = await gw.rows(3)
    by_prompt = {row.id.rpartition("-")[2]: row for row in rows if "-" in row.id}
    first, second = by_prompt["1"], by_prompt["2"]
    assert (first.status, first.outcome) == (200, "ok")
    assert (second.status, second.outcome, second.error_kind) == expected
