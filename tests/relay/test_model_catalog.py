"""Fetching the model list of a provider: formats, prices, failures, deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from gateway.canon.errors import Error, GatewayError
from gateway.demo import MODELS
from gateway.dialects import DIALECTS
from gateway.providers.profile import Secret
from gateway.relay.passthrough import model_catalog
from gateway.relay.passthrough.model_catalog import ModelCatalog, list_models, parse_models
from gateway.relay.upstream.client import Upstreams
from gateway.routing.snapshot import Provider

SECRET = "sk-canary-0123456789abcdef"


def provider(base_url: str, **values: object) -> Provider:
    fields = {"dialect": "openai_chat", "credential": Secret(SECRET), **values}
    return Provider(id=1, name="p", preset="custom", base_url=base_url, **fields)  # type: ignore[arg-type]


@asynccontextmanager
async def one_response_server(reply: bytes, chunks: list[bytes]) -> AsyncIterator[str]:
    """Run a server with one response, which records its request."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chunks.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http(status: int, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (status, len(body), body)
    )


async def read_catalog(base_url: str, **values: object) -> ModelCatalog:
    timeout_s = values.pop("timeout_s", 5.0)
    upstreams = Upstreams()
    try:
        return await list_models(
            upstreams, provider(base_url, **values), timeout_s=float(str(timeout_s))
        )
    finally:
        await upstreams.close()


async def test_the_demo_provider_lists_its_models() -> None:
    catalog = await read_catalog("demo://local")
    assert catalog.ok
    assert {model.name for model in catalog.models} == set(MODELS)


@pytest.mark.parametrize(
    ("dialect", "auth", "line", "header"),
    [
        (
            "openai_chat",
            "bearer",
            b"GET /models HTTP/1.1",
            b"authorization: Bearer " + SECRET.encode(),
        ),
        (
            "anthropic_messages",
            "x-api-key",
            b"GET /v1/models?limit=1000 ",
            b"anthropic-version: 2023",
        ),
        (
            "cohere",
            "bearer",
            b"GET /v1/models?page_size=1000&endpoint=chat ",
            b"authorization: Bearer " + SECRET.encode(),
        ),
        (
            "bedrock_converse",
            "sigv4",
            b"GET /foundation-models?byOutputModality=TEXT ",
            b"authorization: Bearer " + SECRET.encode(),
        ),
    ],
)
async def test_each_dialect_requests_in_its_own_form(
    dialect: str, auth: str, line: bytes, header: bytes
) -> None:
    chunks: list[bytes] = []
    async with one_response_server(http(200, b'{"data":[{"id":"m"}]}'), chunks) as url:
        catalog = await read_catalog(url, dialect=dialect, auth=auth)
    assert [model.name for model in catalog.models] == ["m"]
    assert chunks[0].startswith(line)
    assert header in chunks[0]


async def test_bedrocks_model_list_is_requested_at_another_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_for: list[tuple[str, str]] = []

    async def send(
        self: Upstreams, method: str, url: Any, headers: Any, *options: Any, **network: Any
    ) -> Any:
        asked_for.append((url.host, headers["host"]))
        raise GatewayError(Error(kind="timeout", message="enough"))

    monkeypatch.setattr(Upstreams, "send", send)
    await read_catalog(
        "https://bedrock-runtime.eu-west-1.amazonaws.com", dialect="bedrock_converse"
    )
    assert asked_for == [("bedrock.eu-west-1.amazonaws.com",) * 2]


def test_bedrocks_list_is_read() -> None:
    (model,) = parse_models(b'{"modelSummaries":[{"modelId":"amazon.nova-pro-v1:0"}]}')
    assert model.name == "amazon.nova-pro-v1:0"


def test_every_dialect_has_a_list() -> None:
    assert set(model_catalog._PATHS) == set(DIALECTS)


async def test_a_refusal_has_the_upstreams_message_without_the_key() -> None:
    body = b'{"error":{"message":"Incorrect API key: %s","type":"x"}}' % SECRET.encode()
    async with one_response_server(http(401, body), []) as url:
        catalog = await read_catalog(url)
    assert not catalog.ok
    assert catalog.status == 401
    assert "Incorrect API key" in catalog.detail
    assert SECRET not in catalog.detail
    assert catalog.ms > 0


async def test_fetching_the_model_list_ends_at_its_deadline() -> None:
    is_closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        is_closed.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        catalog = await read_catalog(
            f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_s=0.2
        )
        await asyncio.wait_for(is_closed.wait(), 30)  # the connection was closed, too
    assert (catalog.ok, catalog.detail) == (False, "no response within 0.2 s")
    assert catalog.ms < 15_000


async def test_an_unreachable_server_is_reported() -> None:
    catalog = await read_catalog("http://127.0.0.1:9")
    assert not catalog.ok
    assert catalog.detail


@pytest.mark.parametrize(
    "data",
    [
        b'[{"id":"a"},{"id":"b"}]',
        b'{"data":[{"id":"a"},{"id":"b"}]}',
        b'{"models":[{"name":"a"},{"name":"b"}]}',
    ],
)
def test_the_usual_shapes_are_understood(data: bytes) -> None:
    assert [model.name for model in parse_models(data)] == ["a", "b"]


@pytest.mark.parametrize("data", [b"<html>", b"{}", b'{"data":{}}', b"1", b"[" * 5000])
def test_an_invalid_list_is_refused(data: bytes) -> None:
    with pytest.raises(GatewayError):
        parse_models(data)


def test_unusual_rows_are_omitted() -> None:
    rows = b'[1,{"id":""},{"id":7},{"id":"a\\u0000"},{"id":"x"},{"id":"x"}]'
    assert [model.name for model in parse_models(rows)] == ["x"]


def test_prices_become_dollars_per_million() -> None:
    (per_token,) = parse_models(
        b'[{"id":"a","context_length":8192,"pricing":{"prompt":"0.000003","completion":"-1"}}]'
    )
    assert per_token.prices == {"input": Decimal(3)}
    assert per_token.context_window == 8192
    (per_million,) = parse_models(
        b'[{"id":"a","pricing":{"input":0.2,"output":"NaN","cached_input":0}}]'
    )
    assert per_million.prices == {"input": Decimal("0.2"), "cache_read": Decimal(0)}
