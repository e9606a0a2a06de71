"""Unusual but valid upstream responses."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.relay.upstream import client as upstream_client
from gateway.relay.upstream.client import UpstreamResponse
from gateway.relay.upstream.http1 import Transport
from gateway.routing.snapshot import Snapshot
from tests.relay.harness import (
    DONE,
    PacedBody,
    chunk,
    completion,
    gateway,
    provider,
    refusal,
    route,
    snapshot,
    sse,
)
from tests.relay.test_http1 import post, scripted_server, server

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
MESSAGES = {**REQUEST, "max_tokens": 5}
VERSION = {"anthropic-version": "2023-06-01"}


async def test_a_byte_order_mark_before_json_is_ignored(tmp_path: Path) -> None:
    marked = b"\xef\xbb\xbf" + completion().content
    registry = snapshot(route("m", provider("a")))

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=marked, headers={"content-type": "application/json"})

    async with gateway(tmp_path, registry, a=respond) as live:
        passed = await live.post("/v1/chat/completions", REQUEST)
        translated = await live.post("/v1/messages", MESSAGES, headers=VERSION)
    assert passed.json()["choices"][0]["message"]["content"] == "hello"
    assert translated.json()["content"][0]["text"] == "hello"


async def test_a_reset_date_works_without_a_date_header(tmp_path: Path) -> None:
    then = formatdate(time.time() + 30, usegmt=True)
    only = msgspec.structs.replace(route("m", provider("a")), retries=0)
    async with gateway(
        tmp_path, snapshot(only), a=lambda _: refusal(429, retry_after=then)
    ) as live:
        reply = await live.post("/v1/chat/completions", REQUEST)
    assert reply.status == 429
    assert 25 <= int(reply.headers["retry-after"]) <= 31


@pytest.mark.parametrize("counted", [True, False])
async def test_a_whole_response_to_a_streaming_client_has_the_usage_it_requested(
    tmp_path: Path, counted: bool
) -> None:
    registry = snapshot(route("m", provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: completion()) as live:
        options = {"stream": True, "stream_options": {"include_usage": counted}}
        reply = await live.post("/v1/chat/completions", {**REQUEST, **options})
        # Only the provider could say whether it accepts this message.
        unusual = {
            **REQUEST,
            **options,
            "messages": [{"role": "user", "content": [{"type": "hologram"}]}],
        }
        unknown = await live.post("/v1/chat/completions", unusual)
    usage = [json.loads(data)["usage"] for data in frames_with(reply.body, b'"usage"')]
    expected = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert usage == ([expected] if counted else [])
    assert unknown.status == 200


def frames_with(stream: bytes, text: bytes) -> list[bytes]:
    """Return the data of the events that contain a text."""
    events = stream.split(b"\n\n")
    return [event.removeprefix(b"data: ") for event in events if text in event]


def one_try_route() -> Snapshot:
    return snapshot(msgspec.structs.replace(route("m", provider("a")), retries=0))


@pytest.mark.parametrize("status", [203, 206, 226, 299, 600, 999])
async def test_a_status_without_meaning_for_an_api_is_an_upstream_error(
    tmp_path: Path, status: int
) -> None:
    """A client would take 2xx for success, and 600 is not a status (RFC 9110, section 15)."""
    body = completion().content

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body, headers={"content-type": "application/json"})

    async with gateway(tmp_path, one_try_route(), a=respond) as live:
        passed = await live.post("/v1/chat/completions", REQUEST)
        translated = await live.post("/v1/messages", MESSAGES, headers=VERSION)
        rows = await live.rows(2)
    assert passed.status == 502
    assert str(status) in passed.json()["error"]["message"]
    assert translated.status == 500
    assert [row.error_kind for row in rows] == ["upstream_error"] * 2


@pytest.mark.parametrize("status", [201, 202])
async def test_a_created_or_accepted_response_with_a_body_is_a_response(
    tmp_path: Path, status: int
) -> None:
    """Server frameworks such as NestJS answer every POST with 201; SDKs accept each 2xx."""

    def respond(request: httpx.Request) -> httpx.Response:
        streamed = json.loads(request.content).get("stream") is True
        response = sse(chunk("hello"), chunk(finish="stop"), DONE) if streamed else completion()
        response.status_code = status
        return response

    async with gateway(tmp_path, one_try_route(), a=respond) as live:
        passed = await live.post("/v1/chat/completions", REQUEST)
        streamed = await live.post("/v1/chat/completions", {**REQUEST, "stream": True})
        translated = await live.post("/v1/messages", MESSAGES, headers=VERSION)
    assert [reply.status for reply in (passed, streamed, translated)] == [200] * 3
    assert passed.json()["choices"][0]["message"]["content"] == "hello"
    assert streamed.body.endswith(DONE)
    assert translated.json()["content"][0]["text"] == "hello"


@pytest.mark.parametrize("body", [b"", b'{"requestId":"r","status":"pending-evaluation"}'])
async def test_an_accepted_response_without_a_completion_is_an_upstream_error(
    tmp_path: Path, body: bytes
) -> None:
    """NVIDIA's API answers 202 to a request that it is still computing."""

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(202, content=body, headers={"content-type": "application/json"})

    async with gateway(tmp_path, one_try_route(), a=respond) as live:
        passed = await live.post("/v1/chat/completions", REQUEST)
        translated = await live.post("/v1/messages", MESSAGES, headers=VERSION)
    assert [passed.status, translated.status] == [502, 500]


CONTEXT_ERROR = "This model's maximum context length is 8 tokens. However, you requested 9 tokens."


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
async def test_a_context_length_error_without_the_code_has_it_for_clients(
    tmp_path: Path, path: str
) -> None:
    """Agents compact the conversation on OpenAI's code, which vLLM does not send."""
    error = {"message": CONTEXT_ERROR, "type": "BadRequestError", "param": None, "code": 400}
    body = {"model": "m", "input": "hi"} if path.endswith("embeddings") else REQUEST

    async with gateway(
        tmp_path, one_try_route(), a=lambda _: httpx.Response(400, json={"error": error})
    ) as live:
        reply = await live.post(path, body)
    assert reply.status == 400
    assert reply.json()["error"]["message"] == CONTEXT_ERROR
    assert reply.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    "body",
    [
        {"code": "invalid argument", "error": "no such voice"},
        {"object": "error", "message": "no such voice", "type": "BadRequestError", "code": 400},
        {"detail": "no such voice"},
        {"errors": [{"message": "no such voice", "code": 7}], "success": False},
    ],
    ids=["xai", "vllm", "fastapi", "cloudflare"],
)
async def test_an_error_in_another_form_has_the_form_of_the_clients_api(
    tmp_path: Path, body: dict[str, Any]
) -> None:
    """Clients read `error.message`; compatible servers have other fields for it."""
    async with gateway(
        tmp_path, one_try_route(), a=lambda _: httpx.Response(400, json=body)
    ) as live:
        reply = await live.post("/v1/chat/completions", REQUEST)
    assert reply.status == 400
    error = reply.json()["error"]
    assert (error["message"], error["type"]) == ("no such voice", "invalid_request_error")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("prompt is too long: 9 tokens > 8 maximum", "prompt is too long: 9 tokens > 8 maximum"),
        (
            "input length and `max_tokens` exceed context limit: 9 + 9 > 8",
            "input length and `max_tokens` exceed context limit: 9 + 9 > 8",
        ),
        (
            "invalid params, context window exceeds limit (2013)",
            "prompt is too long: invalid params, context window exceeds limit (2013)",
        ),
    ],
)
async def test_claude_code_recognizes_the_context_length_error_of_each_messages_api(
    tmp_path: Path, message: str, expected: str
) -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    registry = snapshot(route("m", provider("a", "anthropic_messages")))
    async with gateway(tmp_path, registry, a=lambda _: httpx.Response(400, json=error)) as live:
        reply = await live.post("/v1/messages", MESSAGES, headers=VERSION)
    assert reply.status == 400
    assert reply.json()["error"]["message"] == expected


@pytest.mark.parametrize("kind", ["Text/Event-Stream", "TEXT/EVENT-STREAM; charset=UTF-8"])
async def test_a_content_type_is_compared_without_case(tmp_path: Path, kind: str) -> None:
    """RFC 9110, section 8.3.1."""

    def respond(_: httpx.Request) -> httpx.Response:
        response = sse(chunk("hello"), chunk(finish="stop"), DONE)
        response.headers["content-type"] = kind
        return response

    async with gateway(tmp_path, one_try_route(), a=respond) as live:
        reply = await live.post("/v1/chat/completions", {**REQUEST, "stream": True})
    assert reply.status == 200
    assert reply.body.endswith(DONE)


def _encoded(encoding: str, data: bytes, status: int = 200, **headers: str) -> httpx.Response:
    """Return a response whose body is sent as it is, as httpx would decode `content`."""
    head = {"content-type": "application/json", "content-encoding": encoding}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers={**head, **named}, stream=PacedBody(data))


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("GZIP", gzip.compress),
        ("Identity", lambda data: data),
        ("gzip", lambda data: gzip.compress(data[:40]) + gzip.compress(data[40:])),
        ("gzip", lambda data: gzip.compress(data) + b"\x1ftrash"),
        ("deflate", zlib.compress),
    ],
    ids=["upper case", "identity", "two members", "trailing bytes", "deflate"],
)
async def test_each_form_of_compression_is_read(
    tmp_path: Path, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    """RFC 9110, section 8.4.1: names have no case; RFC 1952, section 2.2: several members."""
    data = compress(completion().content)
    async with gateway(tmp_path, one_try_route(), a=lambda _: _encoded(encoding, data)) as live:
        reply = await live.post("/v1/chat/completions", REQUEST)
    assert reply.status == 200, reply.body
    assert reply.json()["choices"][0]["message"]["content"] == "hello"


async def test_members_of_a_compressed_stream_arrive_one_by_one(tmp_path: Path) -> None:
    parts = [gzip.compress(part) for part in (chunk("hello"), chunk(finish="stop"), DONE)]

    def respond(_: httpx.Request) -> httpx.Response:
        response = sse(*parts)
        response.headers["content-encoding"] = "gzip"
        return response

    async with gateway(tmp_path, one_try_route(), a=respond) as live:
        reply = await live.post("/v1/chat/completions", {**REQUEST, "stream": True})
    assert reply.body.count(b"data: ") == 3
    assert reply.body.endswith(DONE)


async def test_a_bomb_of_many_members_is_too_large(tmp_path: Path) -> None:
    member = gzip.compress(b" " * (4 * 1024 * 1024))
    async with gateway(
        tmp_path, one_try_route(), a=lambda _: _encoded("gzip", member * 12)
    ) as live:
        reply = await live.post("/v1/chat/completions", REQUEST)
    assert reply.status == 502
    assert "too large" in reply.json()["error"]["message"]


async def _read_in_pieces(response: UpstreamResponse) -> tuple[list[int], int]:
    """Return the sizes of the pieces of a body, and how often another task ran meanwhile."""
    turns = 0

    async def run_beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(run_beside())
    sizes = []
    while data := await response.read():
        sizes.append(len(data))
    beside.cancel()
    return sizes, turns


@pytest.mark.parametrize("members", [1, 8], ids=["one member", "several members"])
async def test_a_compressed_response_is_decompressed_in_small_pieces(members: int) -> None:
    """A few bytes become 8 MiB, in which the gateway would serve nobody else."""
    size = 8 * 1024 * 1024
    data = gzip.compress(b" " * (size // members)) * members
    sizes, turns = await _read_in_pieces(UpstreamResponse(_encoded("gzip", data)))
    assert sum(sizes) == size
    assert max(sizes) <= 64 * 1024
    assert turns >= len(sizes)


async def test_a_compressed_response_that_has_arrived_is_read_to_its_end() -> None:
    """Its last piece is not the last that was received."""
    body = b" " * 300_000 + b"{}"
    packed = gzip.compress(body)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
    transport = Transport()
    async with server(scripted_server(head % len(packed) + packed)) as url:
        request = post(url)
        response = UpstreamResponse(
            await transport.exchange("POST", request.url, request.headers, b"{}")
        )
        assert await response.read_all() == body
        await response.close()
        await transport.aclose()


_REFUSAL = refusal(429, "slow down").content
PRESETS = {"openai_chat": "openai", "anthropic_messages": "anthropic", "cohere": "cohere"}


@pytest.mark.parametrize(
    "response",
    [
        lambda: _encoded("br", b"\x0b\x02\x80abc\x03", 429, retry_after="9"),
        lambda: _encoded("gzip", b"not gzip", 429, retry_after="9"),
        lambda: _encoded("identity", b" " * 2_000_000, 429, retry_after="9"),
        lambda: httpx.Response(
            429,
            headers={"retry-after": "9"},
            stream=PacedBody(_REFUSAL[:5], httpx.ReadError("the upstream closed the connection")),
        ),
        lambda: httpx.Response(
            429, headers={"retry-after": "9"}, stream=PacedBody(_REFUSAL[:5], 30.0)
        ),
    ],
    ids=["unknown encoding", "invalid gzip", "too large", "cut off", "stalled"],
)
@pytest.mark.parametrize(
    ("dialect", "path", "body"),
    [
        ("openai_chat", "/v1/chat/completions", REQUEST),
        ("anthropic_messages", "/v1/chat/completions", {**REQUEST, "n": 2}),
        ("cohere", "/v1/embeddings", {"model": "m", "input": ["a"] * 100}),
    ],
    ids=["one", "choices", "embeddings"],
)
async def test_an_error_keeps_its_status_if_its_body_cannot_be_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    response: Callable[[], httpx.Response],
    dialect: str,
    path: str,
    body: dict[str, Any],
) -> None:
    """The status says what happened, and `Retry-After` when to come back."""
    monkeypatch.setattr(upstream_client, "ERROR_BODY_S", 0.2)
    registry = snapshot(route("m", provider("a", dialect, preset=PRESETS[dialect])))
    async with gateway(tmp_path, registry, a=lambda _: response()) as live:
        reply = await live.post(path, body)
        row = await live.record()
    assert reply.status == 429, reply.body
    assert reply.headers["retry-after"] == "9"
    assert reply.json()["error"]["code"] == "rate_limit_exceeded"
    assert row.error_kind == "rate_limit"


EVENTS = [chunk("hel"), chunk("lo"), chunk(finish="stop"), b"data: [DONE]\n\n"]
TYPES = ["application/json", "text/plain; charset=utf-8", "Text/Event-Stream", "", "binary/x"]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("comment", [b"", b": ping\n\n", b"\xef\xbb\xbf\r\n"])
async def test_a_stream_of_another_content_type_is_relayed(
    tmp_path: Path, kind: str, comment: bytes
) -> None:
    """The official SDKs read a stream whatever its type is, so clients do so without a gateway."""
    headers = {"content-type": kind} if kind else {}

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=comment + b"".join(EVENTS), headers=headers)

    async with gateway(tmp_path, snapshot(route("m", provider("a"))), a=respond) as live:
        passed = await live.post("/v1/chat/completions", {**REQUEST, "stream": True})
        translated = await live.post("/v1/messages", {**MESSAGES, "stream": True}, headers=VERSION)
    for reply in (passed, translated):
        assert reply.status == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
    assert b"".join(EVENTS).replace(b'"gpt-4.1"', b'"m"') in passed.body
    assert b'"text":"lo"' in translated.body


@pytest.mark.parametrize("stream", [True, False])
async def test_lines_of_another_content_type_are_relayed(tmp_path: Path, stream: bool) -> None:
    line = {"model": "up", "created_at": "2026-01-01T00:00:00Z", "done": False}
    text = {**line, "message": {"role": "assistant", "content": "hel"}}
    last = {**line, "message": {"role": "assistant", "content": "lo"}, "done": True}
    body = b"".join(json.dumps(value).encode() + b"\n" for value in (text, last))
    if not stream:
        body = json.dumps({**last, "message": {"role": "assistant", "content": "hello"}}).encode()
    kind = {"content-type": "application/json"}

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body, headers=kind)

    registry = snapshot(route("m", provider("a", "ollama")))
    async with gateway(tmp_path, registry, a=respond) as live:
        reply = await live.post("/v1/messages", {**MESSAGES, "stream": True}, headers=VERSION)
    assert reply.status == 200
    assert reply.body.count(b'"text_delta"') == (2 if stream else 1)
    assert b"message_stop" in reply.body


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_an_error_instead_of_a_stream_keeps_its_kind(tmp_path: Path, kind: str) -> None:
    error = {"message": "slow down", "type": "tokens", "code": "rate_limit_exceeded"}
    headers = {"content-type": kind}
    only = msgspec.structs.replace(route("m", provider("a")), retries=0)

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=json.dumps({"error": error}), headers=headers)

    async with gateway(tmp_path, snapshot(only), a=respond) as live:
        reply = await live.post("/v1/messages", {**MESSAGES, "stream": True}, headers=VERSION)
    assert reply.status == 429
    assert reply.json()["error"] == {"type": "rate_limit_error", "message": "slow down"}


async def test_an_unrequested_stream_ends_with_its_last_event(tmp_path: Path) -> None:
    """Its connection may stay open: the response would be lost at the deadline."""
    parts = (chunk("hello"), chunk(finish="stop"), DONE, 3600)
    async with gateway(tmp_path, one_try_route(), a=lambda _: sse(*parts)) as live:
        reply = await live.post("/v1/chat/completions", REQUEST)
    assert reply.status == 200
    assert reply.json()["choices"][0]["message"]["content"] == "hello"


async def test_an_unknown_finish_reason_is_a_stop_and_is_reported(tmp_path: Path) -> None:
    """vLLM ends some responses with `repetition`, which no client's API has."""

    def respond(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content).get("stream"):
            return sse(chunk("hello"), chunk(finish="repetition"), DONE)
        body = completion().json()
        body["choices"][0]["finish_reason"] = "repetition"
        return httpx.Response(200, json=body)

    async with gateway(tmp_path, one_try_route(), a=respond) as live:
        complete = await live.post("/v1/messages", MESSAGES, headers=VERSION)
        streamed = await live.post("/v1/messages", {**MESSAGES, "stream": True}, headers=VERSION)
        passed = await live.post("/v1/chat/completions", REQUEST)
        rows = await live.rows(3)
    assert complete.json()["stop_reason"] == "end_turn"
    assert b'"stop_reason":"end_turn"' in streamed.body
    assert complete.headers["x-dragoman-approximated"] == "finish_reason"
    assert "x-dragoman-approximated" not in passed.headers
    assert [[row["field"] for row in record.adaptations] for record in rows] == [
        ["finish_reason"],
        ["finish_reason"],
        [],
    ]
