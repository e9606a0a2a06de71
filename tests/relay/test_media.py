"""Media by URL through the relay: which providers get bytes, and what is reported."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.relay.translate.media import MediaFetch
from gateway.routing.snapshot import Provider, Route
from tests.relay.harness import Gateway, completion, gateway, provider, refusal, route, snapshot
from tests.relay.media_server import PNG, MediaServer, http_response, media

URL = "https://media.example/a"
LIMIT = 32 * 1024 * 1024
DATA = base64.b64encode(PNG).decode()
PDF = b"%PDF-1.7 " + b"x" * 50


def media_request(*urls: str, **more: Any) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content = [{"type": "text", "text": "what is it?"}, *parts]
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def gemini_response(_: httpx.Request) -> httpx.Response:
    parts = {"parts": [{"text": "a cat"}], "role": "model"}
    return httpx.Response(200, json={"candidates": [{"content": parts, "finishReason": "STOP"}]})


def ollama_response(_: httpx.Request) -> httpx.Response:
    message = {"role": "assistant", "content": "a cat"}
    return httpx.Response(200, json={"model": "up", "message": message, "done": True})


def bedrock_response(_: httpx.Request) -> httpx.Response:
    text = {"message": {"role": "assistant", "content": [{"text": "a cat"}]}}
    return httpx.Response(200, json={"output": text, "stopReason": "end_turn", "usage": {}})


def google(name: str = "g") -> Provider:
    return provider(name, "gemini", preset="gemini")


def enable_fetching(gw: Gateway, site: MediaServer, maximum: int = LIMIT) -> None:
    gw.runtime.media = MediaFetch(maximum, site.fetcher())


def upstream_body(gw: Gateway, index: int = -1) -> str:
    return gw.upstreams.requests[index].content.decode()


CASES: list[Any] = [
    pytest.param(google("u"), gemini_response, "gemini-2.5-pro", id="gemini"),
    pytest.param(provider("u", "ollama", preset="ollama"), ollama_response, "llava", id="ollama"),
    pytest.param(
        provider("u", "bedrock_converse", preset="bedrock"),
        bedrock_response,
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        id="bedrock",
    ),
]


@pytest.mark.parametrize(("host", "message", "model"), CASES)
async def test_providers_that_fetch_no_urls_get_the_bytes(
    tmp_path: Path, host: Provider, message: Any, model: str
) -> None:
    registry = snapshot(route("m", host, model=model), log_bodies=True)
    async with (
        media(tmp_path, a=http_response(PNG)) as site,
        gateway(tmp_path, registry, u=message) as gw,
    ):
        enable_fetching(gw, site)
        reply = await gw.post("/v1/chat/completions", media_request(f"{URL}?sig=secret", URL))
        record = await gw.record()
    assert reply.status == 200, reply.body
    assert upstream_body(gw).count(DATA) == 2
    rows = [row for row in record.adaptations if row["action"] == "approximated"]
    assert rows[0] == {
        "field": "messages[0].content[1]",
        "action": "approximated",
        "note": "fetched: this provider does not support URLs",
        "from": URL,
        "to": f"image/png, {len(PNG)} bytes",
    }
    assert record.bodies is not None
    for body in (record.bodies.client_request, record.bodies.upstream_request):
        assert DATA.encode() not in (body or b"")
    assert b"bytes of image/png, fetched" in (record.bodies.upstream_request or b"")


@pytest.mark.parametrize(("host", "message", "model"), CASES)
async def test_with_fetching_off_media_is_dropped_with_a_note_how_to_enable_it(
    tmp_path: Path, host: Provider, message: Any, model: str
) -> None:
    registry = snapshot(route("m", host, model=model))
    async with gateway(tmp_path, registry, u=message) as gw:
        assert gw.runtime.media is None
        reply = await gw.post("/v1/chat/completions", media_request(URL))
        record = await gw.record()
    assert reply.status == 200
    (row,) = [row for row in record.adaptations if row["field"] == "messages[0].content[1]"]
    assert row["action"] == "dropped"
    assert "DRAGOMAN_FETCH_MEDIA" in row["note"]
    assert "DRAGOMAN" not in upstream_body(gw)


async def test_a_document_by_unsupported_url_is_refused_with_advice(
    tmp_path: Path,
) -> None:
    document = {"type": "document", "source": {"type": "url", "url": URL}}
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [document]}]}
    registry = snapshot(route("m", provider("u")))
    async with (
        media(tmp_path, a=http_response(PDF, "")) as site,
        gateway(tmp_path, registry, u=lambda _: completion()) as gw,
    ):
        off = await gw.post("/v1/messages", body)
        enable_fetching(gw, site)
        on = await gw.post("/v1/messages", body)
    assert off.status == 400
    assert "messages[0].content[0]" in off.json()["error"]["message"]
    assert "DRAGOMAN_FETCH_MEDIA" in off.json()["error"]["message"]
    assert on.status == 200
    assert base64.b64encode(PDF).decode() in upstream_body(gw)


async def test_plain_text_becomes_a_text_document(tmp_path: Path) -> None:
    document = {"type": "document", "source": {"type": "url", "url": URL}}
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [document]}]}
    async with (
        media(tmp_path, a=http_response("wörter".encode(), "text/plain; charset=utf-8")) as site,
        gateway(tmp_path, snapshot(route("m", provider("u"))), u=lambda _: completion()) as gw,
    ):
        enable_fetching(gw, site)
        assert (await gw.post("/v1/messages", body)).status == 200
        assert "wörter" in json.loads(upstream_body(gw))["messages"][0]["content"]


async def test_image_urls_are_passed_to_providers_that_fetch_them(tmp_path: Path) -> None:
    """Neither passthrough nor translated requests are fetched for such a provider."""
    claude = provider("c", "anthropic_messages")
    body = {"type": "message", "role": "assistant", "content": [], "model": "x", "id": "i"}
    body |= {"stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}
    same = snapshot(route("m", provider("u")), route("n", claude))
    async with (
        media(tmp_path, a=http_response(PNG)) as site,
        gateway(
            tmp_path, same, u=lambda _: completion(), c=lambda _: httpx.Response(200, json=body)
        ) as gw,
    ):
        enable_fetching(gw, site)
        assert (await gw.post("/v1/chat/completions", media_request(URL))).status == 200
        assert (await gw.post("/v1/chat/completions", media_request(URL, model="n"))).status == 200
        assert not site.request_heads
    assert all(URL in upstream_body(gw, index) for index in (0, 1))


async def test_passthrough_bodies_are_unchanged(tmp_path: Path) -> None:
    """Even for a provider that is known not to fetch URLs of such a part."""
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": URL}}
    body = {"model": "m", "messages": [{"role": "user", "content": [file]}]}
    async with (
        media(tmp_path, a=http_response(PDF, "")) as site,
        gateway(tmp_path, snapshot(route("m", provider("u"))), u=lambda _: completion()) as gw,
    ):
        enable_fetching(gw, site)
        assert (await gw.post("/v1/chat/completions", body)).status == 200
        assert (await gw.record()).passthrough
        assert not site.request_heads
    assert json.loads(upstream_body(gw))["messages"] == body["messages"]


async def test_google_file_uris_are_not_fetched_by_the_gateway(tmp_path: Path) -> None:
    async with (
        media(tmp_path) as site,
        gateway(tmp_path, snapshot(route("m", google())), g=gemini_response) as gw,
    ):
        enable_fetching(gw, site)
        reply = await gw.post("/v1/chat/completions", media_request("gs://bucket/cat.png"))
    assert reply.status == 200
    assert not site.looked_up
    assert "gs://bucket/cat.png" in upstream_body(gw)


async def test_media_are_fetched_once_for_all_targets(tmp_path: Path) -> None:
    google_route: Route = route("m", google("g"), google("h"), model="gemini-2.5-pro")
    async with (
        media(tmp_path, a=http_response(PNG)) as site,
        gateway(
            tmp_path, snapshot(google_route), g=lambda _: refusal(503), h=gemini_response
        ) as gw,
    ):
        enable_fetching(gw, site)
        reply = await gw.post("/v1/chat/completions", media_request(URL, URL))
    assert reply.status == 200
    assert reply.headers["x-dragoman-attempts"] == "2"
    assert len(site.request_heads) == 1
    assert all(DATA in upstream_body(gw, index) for index in (0, 1))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://media.example/gone", "status 404"),
        ("https://media.example/page", "it is text/html, not an image"),
        ("https://media.example/lie", "it is text/plain, not an image"),
        ("https://inside.example/a", "no public address"),
        ("http://media.example/a", "must begin with https://"),
        ("https://media.example:8443/a", "a port other than"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
async def test_unfetchable_media_are_an_error_that_names_the_field(
    tmp_path: Path, path: str, url: str, reason: str
) -> None:
    body = media_request(url)
    field = "messages[0].content[1]"
    if path == "/v1/responses":
        picture = {"type": "input_image", "image_url": url, "detail": "auto"}
        body = {"model": "m", "input": [{"role": "user", "content": [picture]}]}
        field = "input[0].content[0]"
    if path == "/v1/messages":
        picture = {"type": "image", "source": {"type": "url", "url": url}}
        text_part = {"type": "text", "text": "?"}
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user"}]}
        body["messages"][0]["content"] = [text_part, picture]
    pages = {
        "page": http_response(b"<html>", "text/html"),
        "lie": http_response(b"<html>", "image/png"),
    }
    async with (
        media(tmp_path, **pages) as site,
        gateway(tmp_path, snapshot(route("m", google())), g=gemini_response) as gw,
    ):
        site.names["inside.example"] = ["10.0.0.7"]
        enable_fetching(gw, site)
        reply = await gw.post(path, body)
        record = await gw.record()
    error = reply.json()["error"]
    assert (reply.status, record.error_kind) == (400, "invalid_request")
    assert reason in error["message"]
    assert field in error["message"]
    assert error.get("param", field) == field
    assert "10.0.0.7" not in error["message"]
    assert not gw.upstreams.requests


async def test_fetched_files_are_limited_by_number_and_size(tmp_path: Path) -> None:
    async with (
        media(tmp_path, a=http_response(PNG), b=http_response(PNG)) as site,
        gateway(tmp_path, snapshot(route("m", google())), g=gemini_response) as gw,
    ):
        enable_fetching(gw, site, maximum=len(PNG) + 5)
        many = await gw.post(
            "/v1/chat/completions", media_request(*(f"{URL}?{n}" for n in range(21)))
        )
        assert not site.request_heads
        large = await gw.post("/v1/chat/completions", media_request(URL, "https://media.example/b"))
        reply = await gw.post("/v1/chat/completions", media_request(URL))
    assert (many.status, large.status, reply.status) == (400, 400, 200)
    assert "at most 20 files" in many.json()["error"]["message"]
    assert "bytes" in large.json()["error"]["message"]


async def test_a_strict_route_fetches_nothing(tmp_path: Path) -> None:
    strict = snapshot(route("m", google(), strict=True))
    async with (
        media(tmp_path, a=http_response(PNG)) as site,
        gateway(tmp_path, strict, g=gemini_response) as gw,
    ):
        enable_fetching(gw, site)
        reply = await gw.post("/v1/chat/completions", media_request(URL))
        assert (reply.status, site.request_heads) == (400, [])
    assert "this route rejects unsupported fields" in reply.json()["error"]["message"]


async def test_an_image_in_a_tool_result_is_fetched(tmp_path: Path) -> None:
    picture = {"type": "image", "source": {"type": "url", "url": URL}}
    call = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [picture]}
    body = {
        "model": "m",
        "max_tokens": 9,
        "tools": [{"name": "look", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "look"},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ],
    }
    async with (
        media(tmp_path, a=http_response(PNG)) as site,
        gateway(tmp_path, snapshot(route("m", google())), g=gemini_response) as gw,
    ):
        enable_fetching(gw, site)
        assert (await gw.post("/v1/messages", body)).status == 200
    assert DATA in upstream_body(gw)
