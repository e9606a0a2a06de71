"""Ollama's clients and servers through the relay: lines, defaults, and small endpoints."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.relay.run import stream as relay_reply
from gateway.routing.snapshot import Provider
from tests.relay.harness import (
    DONE,
    PacedBody,
    chunk,
    completion,
    gateway,
    provider,
    route,
    snapshot,
    sse,
)
from tests.waits import WAIT_TIMEOUT_S

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def ollama(name: str = "local", **changes: Any) -> Provider:
    return provider(name, "ollama", preset="ollama", auth="none", **changes)


def line(content: str = "", **more: Any) -> bytes:
    message = {"role": "assistant", "content": content}
    row = {"model": "up", "created_at": "t", "message": message, "done": False, **more}
    return json.dumps(row).encode() + b"\n"


LAST = line(done=True, done_reason="stop", prompt_eval_count=7, eval_count=3)


def lines(*parts: bytes | float | Exception) -> httpx.Response:
    return httpx.Response(
        200, headers={"content-type": "application/x-ndjson"}, stream=PacedBody(*parts)
    )


def rows(body: bytes) -> list[Any]:
    return [json.loads(text) for text in body.splitlines()]


async def test_a_stream_passes_through_byte_for_byte(tmp_path: Path) -> None:
    wire = line("he") + line("llo") + LAST
    pieces = [wire[i : i + 50] for i in range(0, len(wire), 50)]
    registry = snapshot(route("m", ollama()))
    async with gateway(tmp_path, registry, local=lambda _: lines(*pieces)) as gw:
        reply = await gw.post("/api/chat", REQUEST)
        record = await gw.record()
    assert reply.body == wire.replace(b'"up"', b'"m"')
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert all(part.endswith(b"\n") for part in reply.parts if part)
    (upstream_request,) = gw.upstreams.requests
    assert json.loads(upstream_request.content) == {**REQUEST, "model": "gpt-4.1"}
    assert record.passthrough
    assert record.stream
    assert (record.input_tokens, record.output_tokens, record.finish) == (7, 3, "stop")


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_a_request_passes_through_to_the_path_it_called(tmp_path: Path, path: str) -> None:
    request = {**REQUEST, "prompt": "x", "raw": True, "stream": False}
    registry = snapshot(route("m", ollama()))
    upstream_response = httpx.Response(200, content=line("hi", response="hi", done=True))
    async with gateway(tmp_path, registry, local=lambda _: upstream_response) as gw:
        await gw.post(path, request)
        record = await gw.record()
    (upstream_request,) = gw.upstreams.requests
    assert upstream_request.url.path == path
    assert json.loads(upstream_request.content)["raw"] is True
    assert record.endpoint == path


@pytest.mark.parametrize("stream", [None, True])
async def test_an_ollama_client_gets_lines_from_a_chat_provider(
    tmp_path: Path, stream: bool | None
) -> None:
    request = REQUEST if stream is None else {**REQUEST, "stream": stream}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    response = (
        chunk("he"),
        chunk("llo"),
        chunk(finish="stop"),
        chunk(choices=[], usage=usage),
        DONE,
    )
    registry = snapshot(route("m", provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: sse(*response)) as gw:
        reply = await gw.post("/api/chat", request)
        record = await gw.record()
    assert json.loads(gw.upstreams.requests[0].content)["stream"] is True
    log_row = rows(reply.body)
    assert "".join(row["message"]["content"] for row in log_row) == "hello"
    assert log_row[-1]["done"] is True
    assert (log_row[-1]["prompt_eval_count"], log_row[-1]["eval_count"]) == (7, 3)
    assert {row["model"] for row in log_row} == {"m"}
    assert record.stream
    assert not record.passthrough


async def test_an_ollama_client_gets_one_object_where_it_refuses_a_stream(tmp_path: Path) -> None:
    registry = snapshot(route("m", provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: completion("hello")) as gw:
        chat = await gw.post("/api/chat", {**REQUEST, "stream": False})
        prompt = await gw.post("/api/generate", {"model": "m", "prompt": "x", "stream": False})
    assert chat.json()["message"]["content"] == "hello"
    assert (prompt.json()["response"], prompt.json()["eval_count"]) == ("hello", 3)


async def test_a_chat_client_gets_events_from_an_ollama(tmp_path: Path) -> None:
    registry = snapshot(route("m", ollama()))
    upstream = lines(line("he"), line("llo")[:20], line("llo")[20:], LAST)
    async with gateway(tmp_path, registry, local=lambda _: upstream) as gw:
        reply = await gw.post("/v1/chat/completions", {**REQUEST, "stream": True})
        record = await gw.record()
    assert gw.upstreams.requests[0].url.path == "/api/chat"
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.body.endswith(DONE)
    assert reply.body.count(b'"content":"') == 3
    assert (record.upstream_dialect, record.input_tokens) == ("ollama", 7)
    assert record.first_token_ms is not None


async def test_a_chat_client_gets_a_complete_response_from_ollama(tmp_path: Path) -> None:
    registry = snapshot(route("m", ollama()))
    upstream_response = httpx.Response(200, content=line("hello", done=True, done_reason="length"))
    async with gateway(tmp_path, registry, local=lambda _: upstream_response) as gw:
        reply = await gw.post("/v1/chat/completions", REQUEST)
    (choice,) = reply.json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("hello", "length")
    assert json.loads(gw.upstreams.requests[0].content)["stream"] is False


@pytest.mark.parametrize("dialect", ["ollama", "openai_chat"])
async def test_a_stream_that_breaks_ends_with_an_error_line(tmp_path: Path, dialect: str) -> None:
    same = dialect == "ollama"
    upstream = lines(line("he"), line("llo")[:9]) if same else sse(chunk("he"))
    maker = ollama("a") if same else provider("a")
    async with gateway(tmp_path, snapshot(route("m", maker)), a=lambda _: upstream) as gw:
        reply = await gw.post("/api/chat", REQUEST)
        record = await gw.record()
    row = rows(reply.body)
    assert isinstance(row[-1]["error"], str)
    assert len(row) == 2
    assert row[0]["message"]["content"] == "he"
    assert record.outcome == "cut"


async def test_an_error_before_the_first_line_is_a_status(tmp_path: Path) -> None:
    early = lines(b'{"error":"server busy, please try again"}\n')
    registry = snapshot(route("m", ollama("a"), ollama("b")))
    refused_response = httpx.Response(500, json={"error": "boom"})
    async with gateway(tmp_path, registry, a=lambda _: early, b=lambda _: refused_response) as gw:
        reply = await gw.post("/api/chat", REQUEST)
    assert len(gw.upstreams.requests) == 2
    assert (reply.status, reply.json()) == (500, {"error": "boom"})


async def test_an_idle_stream_gets_keepalive_blanks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_reply, "PING_S", 0.6)
    registry = snapshot(route("m", ollama()))
    upstream = lines(line("he"), 1.0, line("llo"), LAST)
    async with gateway(tmp_path, registry, local=lambda _: upstream) as gw:
        reply = await gw.post("/api/chat", REQUEST)
    assert b" " in reply.parts
    bodies = [json.loads(text) for text in reply.body.decode().splitlines()]
    assert "".join(row["message"]["content"] for row in bodies) == "hello"


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/api/generate", {"model": "m"}, "load"),
        ("/api/generate", {"model": "m", "prompt": ""}, "load"),
        ("/api/chat", {"model": "m", "messages": []}, "load"),
        ("/api/chat", {"model": "m", "messages": [], "keep_alive": 0}, "unload"),
    ],
)
async def test_a_model_is_loaded_without_a_call(
    tmp_path: Path, path: str, body: dict[str, Any], reason: str
) -> None:
    async with gateway(tmp_path, snapshot(route("m", provider("a")))) as gw:
        reply = await gw.post(path, body)
        record = await gw.record()
    (row,) = rows(reply.body)
    assert (row["done"], row["done_reason"]) == (True, reason)
    assert ("response" in row) == (path == "/api/generate")
    assert not gw.upstreams.requests
    assert (record.status, record.outcome, record.error, record.attempts) == (200, "ok", "", [])


async def test_a_model_with_tools_in_responses_only_is_loaded(tmp_path: Path) -> None:
    """The ollama SDK always sends `tools`."""
    registry = snapshot(route("m", provider("a"), model="gpt-5.6-sol"))
    async with gateway(tmp_path, registry) as gw:
        reply = await gw.post("/api/chat", {"model": "m", "messages": [], "tools": []})
    assert reply.json()["done_reason"] == "load"


async def get(gw: Any, path: str, **more: Any) -> Any:
    return await gw.post(path, b"", method="GET", **more)


async def test_ollama_version_tags_and_show_are_answered(tmp_path: Path) -> None:
    registry = snapshot(route("m", provider("a")), route("hidden", provider("a"), hidden=True))
    async with gateway(tmp_path, registry) as gw:
        tags = await get(gw, "/api/tags")
        version = await get(gw, "/api/version")
        running = await get(gw, "/api/ps")
        response = await gw.post("/api/show", {"model": "m:latest"})
        older = await gw.post("/api/show", {"name": "m"})
        below = await get(gw, "/ollama/api/tags")
        alive = await gw.post("/ollama", b"", method="HEAD")
    assert [row["name"] for row in tags.json()["models"]] == ["m"]
    assert below.json() == tags.json()
    assert version.json()["version"].count(".") == 2
    assert running.json() == {"models": []}
    assert {"completion", "tools", "vision"} <= set(response.json()["capabilities"])
    assert response.json()["model_info"]["dragoman.context_length"] > 100_000
    assert older.json() == response.json()
    assert alive.status == 200


@pytest.mark.parametrize(
    ("path", "method", "body", "key", "status"),
    [
        ("/api/show", "POST", b"{}", None, 400),
        ("/api/show", "POST", b"nonsense", None, 400),
        ("/api/show", "POST", b'{"model":"x"}', None, 404),
        ("/api/show", "GET", b"", None, 405),
        ("/api/tags", "POST", b"", None, 405),
        ("/api/tags", "GET", b"", "sk-nobody", 401),
        ("/api/show", "POST", b'{"model":"m"}', "sk-nobody", 401),
        ("/api/show", "POST", b" " * 70_000, None, 413),
        ("/ollama/api/pull", "POST", b"{}", None, 404),
    ],
)
async def test_an_invalid_request_gets_an_ollama_error(
    tmp_path: Path, path: str, method: str, body: bytes, key: str | None, status: int
) -> None:
    async with gateway(tmp_path, snapshot(route("m", provider("a")))) as gw:
        more = {} if key is None else {"key": key}
        reply = await gw.post(path, body, method=method, **more)
    assert reply.status == status
    assert isinstance(reply.json()["error"], str)


async def test_a_client_that_disconnects_closes_the_upstream(tmp_path: Path) -> None:
    registry = snapshot(route("m", ollama()))
    upstream = lines(line("he"), WAIT_TIMEOUT_S, LAST)
    async with gateway(tmp_path, registry, local=lambda _: upstream) as gw:
        await gw.post("/api/chat", REQUEST, disconnect_once=lambda reply: reply.body)
        record = await gw.record()
        await asyncio.sleep(0)
    assert record.outcome == "client_closed"
    assert gw.upstreams.closed == ["local"]
