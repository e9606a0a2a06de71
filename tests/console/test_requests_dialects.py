"""The pages of a logged request, for each dialect of clients and upstreams.

The rows are produced by a real relay in process, with the demo provider or a scripted
upstream.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from django.test import Client

from console.dialects import CONSOLE_DIALECTS, path_of, with_path_fields
from console.pages.requests import streams, translation
from console.playground import client_request
from console.playground.plan_parser import parse
from console.playground.prefill import from_log
from gateway import store
from gateway.canon.errors import GatewayError
from gateway.framing.eventstream import encode
from gateway.models import RequestLog
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.run import playground_calls
from tests.console.test_playground_run import registry
from tests.console.test_requests import detail
from tests.relay.harness import gateway, provider, route, snapshot

pytestmark = pytest.mark.django_db

ASKS = "What is the weather? Use get_weather for “Paris”."
TOOL = {
    "name": "get_weather",
    "schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
MODEL = "demo/demo-fast@0ms"
OPEN = msgspec.structs.replace(registry(), open=True)


def playground_body(dialect: str, *, stream: bool, model: str = MODEL) -> dict[str, Any]:
    document = {
        "columns": [{"id": "A", "model": model}],
        "messages": [{"role": "user", "content": ASKS}],
        "system": "Be brief.",
        "params": {"max_tokens": 300, "temperature": 0.3},
        "tools": [TOOL],
    }
    plan = parse(document)
    return client_request.render_body(
        dialect, client_request.build_request(plan.columns[0], stream=stream)
    )[0]


def record_request(
    tmp_path: Path, path: str, body: Any, test_snapshot: Any = None, **upstreams: Any
) -> LogRecord:
    """Return the log record of a request at the edge."""

    async def ask() -> LogRecord:
        async with gateway(tmp_path, test_snapshot or OPEN, **upstreams) as live:
            await live.post(path, body)
            return await live.record()

    return asyncio.run(ask())


def stored_row(record: LogRecord) -> RequestLog:
    store.write([msgspec.structs.replace(record, started_at=time.time() - 30)])
    return RequestLog.objects.get(request_id=record.id)


def logged_request(tmp_path: Path, dialect: str, *, stream: bool) -> RequestLog:
    path = path_of(dialect, MODEL, stream=stream)
    return stored_row(record_request(tmp_path, path, playground_body(dialect, stream=stream)))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", CONSOLE_DIALECTS)
def test_every_request_tab_renders_for_every_client_dialect(
    admin_client: Client, tmp_path: Path, dialect: str, *, stream: bool
) -> None:
    row = logged_request(tmp_path, dialect, stream=stream)
    assert (row.status, row.client_dialect, row.stream) == (200, dialect, stream)
    bodies = store.load_bodies(row.pk)
    assert bodies is not None
    sides = translation.request_sides(row, bodies)
    assert sides["rows"], sides
    assert "reject" not in sides["notice"]
    assert "changed since" not in sides["notice"]
    assert streams.response_parts(row, bodies)
    for tab in ("overview", "translation", "response", "headers"):
        assert detail(admin_client, row, f"tab={tab}")
    if stream:
        stream_view = streams.stream_view(row, bodies)
        line = stream_view["line"]
        assert line.upstream_count > 1
        assert line.client_count > 1
        assert stream_view["linked"]
        assert "No upstream was called" not in detail(admin_client, row, "tab=stream").lower()
        events = [event for pair in line.pairs for event in pair.client]
        assert stream_view["passthrough"] or len(events) == line.client_count
        # Each upstream event stands beside what it made: the last of ours comes last.
        assert stream_view["passthrough"] or line.pairs[-1].client or line.pairs[-2].client
        return
    response = translation.response_sides(row, bodies)
    assert response["rows"]
    assert not response.get("unreadable")


def test_an_array_of_gemini_is_a_stream_too(admin_client: Client, tmp_path: Path) -> None:
    """Without `alt=sse`, Google's clients receive one JSON array, item by item."""
    path = path_of("gemini", MODEL, stream=True).partition("?")[0]
    row = stored_row(record_request(tmp_path, path, playground_body("gemini", stream=True)))
    bodies = store.load_bodies(row.pk)
    assert bodies is not None
    assert (bodies.client_response or b"").startswith(b"[")
    line = streams.stream_view(row, bodies)["line"]
    assert line.client_count == len(json.loads(bodies.client_response or b""))
    moments = [event.at_ms for pair in line.pairs for event in pair.client]
    assert None not in moments
    assert moments == sorted(moments)
    assert "candidates" in detail(admin_client, row, "tab=stream")


def ollama_lines() -> httpx.Response:
    rows = [
        {"model": "m", "message": {"role": "assistant", "content": "Hel"}, "done": False},
        {"model": "m", "message": {"role": "assistant", "content": "lo"}, "done": False},
        {
            "model": "m",
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 3,
            "eval_count": 2,
        },
    ]
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return httpx.Response(200, headers={"content-type": "application/x-ndjson"}, content=content)


def bedrock_events() -> httpx.Response:
    events: list[tuple[str, dict[str, Any]]] = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hello"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}}),
    ]
    content = b"".join(encode(json.dumps(data).encode(), name) for name, data in events)
    kind = "application/vnd.amazon.eventstream"
    return httpx.Response(200, headers={"content-type": kind}, content=content)


@pytest.mark.parametrize(
    ("dialect", "preset", "response", "count"),
    [
        ("ollama", "ollama", ollama_lines, 3),
        ("bedrock_converse", "bedrock", bedrock_events, 5),
    ],
)
def test_streams_other_than_sse_are_parsed(
    admin_client: Client, tmp_path: Path, dialect: str, preset: str, response: Any, count: int
) -> None:
    target_provider = provider("up", dialect, preset=preset)
    test_snapshot = snapshot(route("smart", target_provider, model="m"), log_bodies=True)
    body = {"model": "smart", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    record = record_request(
        tmp_path, "/v1/chat/completions", body, test_snapshot, up=lambda request: response()
    )
    assert record.outcome == "ok", record.error
    row = stored_row(record)
    bodies = store.load_bodies(row.pk)
    assert bodies is not None
    stream_view = streams.stream_view(row, bodies)
    assert stream_view["line"].upstream_count == count
    assert stream_view["linked"]
    assert [part["text"] for part in streams.response_parts(row, bodies)] == ["Hello"]
    assert "Hel" in detail(admin_client, row, "tab=stream")


@pytest.mark.parametrize("dialect", CONSOLE_DIALECTS)
def test_the_curl_command_uses_the_requests_path(
    admin_client: Client, tmp_path: Path, dialect: str
) -> None:
    row = logged_request(tmp_path, dialect, stream=True)
    text = unescape(detail(admin_client, row))
    assert f"http://testserver{path_of(dialect, MODEL, stream=True)}" in text
    assert not re.search(r"http://testserver[^ ]*\{id\}", text)


@pytest.mark.parametrize("dialect", sorted(set(CONSOLE_DIALECTS) - {"openai_completions"}))
def test_a_request_opens_in_the_playground(tmp_path: Path, dialect: str) -> None:
    row = logged_request(tmp_path, dialect, stream=True)
    settings = from_log(row)
    assert settings is not None
    assert settings["dialect"] == dialect
    assert settings["columns"][0]["model"] == MODEL
    assert settings["system"] == "Be brief."
    assert settings["tools"][0]["name"] == "get_weather"
    assert settings["messages"][0]["content"][0]["text"] == ASKS
    parse(settings)


@pytest.mark.parametrize("dialect", CONSOLE_DIALECTS)
def test_a_logged_request_can_be_replayed(tmp_path: Path, dialect: str) -> None:
    """A replay sends the client's own body to the client's own path."""
    first = record_request(
        tmp_path, path_of(dialect, MODEL, stream=True), playground_body(dialect, stream=True)
    )
    row = stored_row(first)
    bodies = store.load_bodies(row.pk)
    assert bodies is not None

    async def again() -> LogRecord:
        async with gateway(tmp_path, OPEN) as live:
            return await playground_calls.run_playground_call(
                live.runtime,
                dialect=row.client_dialect,
                body=bodies.client_request or b"",
                caller="replay",
                model=row.requested_model,
                stream=row.stream,
                endpoint=row.endpoint,
                verb=translation.verb_of(row),
            )

    record = asyncio.run(again())
    assert (record.status, record.outcome, record.stream) == (200, "ok", True)
    assert record.client_dialect == dialect
    assert record.bodies is not None
    assert record.bodies.upstream_request == bodies.upstream_request


def test_a_token_count_is_distinct_from_a_response(tmp_path: Path, admin_client: Client) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
    row = stored_row(record_request(tmp_path, "/v1/messages/count_tokens", body))
    assert translation.verb_of(row) == "count_tokens"
    for tab in ("overview", "translation", "response"):
        assert detail(admin_client, row, f"tab={tab}")


def vectors(request: httpx.Request) -> httpx.Response:
    rows = [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}]
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    body = {"object": "list", "model": "m", "data": rows, "usage": usage}
    return httpx.Response(200, json=body)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "vectors", "input": "Hello"}),
        ("/api/embed", {"model": "vectors", "input": "Hello"}),
        (
            "/v1beta/models/vectors:embedContent",
            {"content": {"parts": [{"text": "Hello"}]}},
        ),
    ],
)
def test_embeddings_have_two_sides(
    admin_client: Client, tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    test_snapshot = snapshot(route("vectors", provider("up"), model="m"), log_bodies=True)
    row = stored_row(record_request(tmp_path, path, body, test_snapshot, up=vectors))
    assert row.status == 200, row.error
    bodies = store.load_bodies(row.pk)
    assert bodies is not None
    for sides in (translation.request_sides, translation.response_sides):
        shown_sides = sides(row, bodies)
        assert shown_sides["rows"], shown_sides
        assert "reject" not in shown_sides["notice"]
    text = unescape(detail(admin_client, row))
    assert f"http://testserver{path}" in text
    assert re.search(r"https?://[^ ]+/embeddings", text)


@pytest.mark.parametrize("dialect", CONSOLE_DIALECTS)
def test_path_fields_are_added_only_for_parsing(dialect: str) -> None:
    body = playground_body(dialect, stream=True)
    read = with_path_fields(dialect, body, "m", stream=True)
    try:
        request = CONSOLE_DIALECTS[dialect].client.parse_request(read, {})
    except GatewayError as failure:
        pytest.fail(failure.error.message)
    assert request.stream is True
    if CONSOLE_DIALECTS[dialect].model_in_path:
        assert not {"model", "stream"} & set(body)
