"""Embeddings through the relay: passthrough, translation, fallback, billing and log."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from openai.types import CreateEmbeddingResponse

from gateway.canon.embeddings import pack_vector
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Price
from gateway.routing.snapshot import Provider, Route, Target, model_of
from tests.relay import harness
from tests.relay.harness import gateway, provider, refusal, snapshot

VECTORS = [[0.5, 1.0], [0.25, 2.0]]
REQUEST = {"model": "emb", "input": ["a", "b"]}


def openai_response(**more: Any) -> httpx.Response:
    rows = [{"object": "embedding", "index": n, "embedding": v} for n, v in enumerate(VECTORS)]
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    body = {"object": "list", "data": rows, "model": "up", "usage": usage, **more}
    return httpx.Response(200, json=body)


def ollama_response(**more: Any) -> httpx.Response:
    return httpx.Response(
        200, json={"model": "up", "embeddings": VECTORS, "prompt_eval_count": 8, **more}
    )


def ollama(name: str = "local", **changes: Any) -> Provider:
    return provider(name, "ollama", preset="ollama", auth="none", **changes)


def route(*providers: Provider, **changes: Any) -> Route:
    """Return a route of an embedding model with a price."""
    targets = tuple(
        Target(
            id=n,
            model=msgspec.structs.replace(
                model_of(p, "text-embedding-3-small"),
                price=Price(input=Decimal(2), source="test"),
            ),
            order=n,
        )
        for n, p in enumerate(providers, start=1)
    )
    return msgspec.structs.replace(Route(id=1, name="emb", targets=targets, retries=0), **changes)


async def test_the_same_dialect_passes_through(tmp_path: Path) -> None:
    fields = {**REQUEST, "encoding_format": "base64", "dimensions": 2, "new": 1}
    registry = snapshot(route(provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: openai_response()) as gw:
        reply = await gw.post("/v1/embeddings", fields)
        record = await gw.record()
    (upstream_request,) = gw.upstreams.requests
    assert upstream_request.url.path == "/embeddings"
    assert json.loads(upstream_request.content) == {**fields, "model": "text-embedding-3-small"}
    assert reply.json()["data"][1]["embedding"] == VECTORS[1]
    assert record.passthrough
    assert (record.endpoint, record.client_dialect) == ("/v1/embeddings", "openai_embeddings")
    assert (record.input_tokens, record.output_tokens) == (8, 0)
    assert record.usage_source == "reported"
    assert record.cost_usd == Decimal("0.000016")
    assert (record.status, record.outcome, record.finish) == (200, "ok", "")


@pytest.mark.parametrize("user_agent", ["mistral-client-python/3.7.0", "OpenAI/Python 3.57.0"])
async def test_mistrals_sdks_get_the_id_that_they_require(tmp_path: Path, user_agent: str) -> None:
    registry = snapshot(route(provider("a")))
    headers = {"user-agent": user_agent}
    async with gateway(tmp_path, registry, a=lambda _: openai_response()) as gw:
        reply = await gw.post("/v1/embeddings", REQUEST, headers=headers)
        record = await gw.record()
    body = reply.json()
    assert body["data"][1]["embedding"] == VECTORS[1]
    is_mistral = user_agent.startswith("mistral")
    assert (body.get("id", "").startswith("embd-"), record.passthrough) == (
        is_mistral,
        not is_mistral,
    )


async def test_mistral_answers_its_own_sdks_itself(tmp_path: Path) -> None:
    registry = snapshot(route(provider("a", preset="mistral")))
    headers = {"user-agent": "mistral-client-python/3.7.0"}
    fields = {**REQUEST, "output_dtype": "int8"}
    async with gateway(tmp_path, registry, a=lambda _: openai_response(id="1")) as gw:
        reply = await gw.post("/v1/embeddings", fields, headers=headers)
    (upstream_request,) = gw.upstreams.requests
    assert json.loads(upstream_request.content)["output_dtype"] == "int8"
    assert reply.json()["id"] == "1"


@pytest.mark.parametrize("encoding", ["float", "base64", None])
async def test_an_openai_client_gets_vectors_of_an_ollama(
    tmp_path: Path, encoding: str | None
) -> None:
    request_body = {**REQUEST, "encoding_format": encoding, "user": "u"}
    registry = snapshot(route(ollama()))
    async with gateway(tmp_path, registry, local=lambda _: ollama_response()) as gw:
        reply = await gw.post("/v1/embeddings", request_body)
        record = await gw.record()
    (upstream_request,) = gw.upstreams.requests
    assert upstream_request.url.path == "/api/embed"
    assert json.loads(upstream_request.content) == {
        "model": "text-embedding-3-small",
        "input": ["a", "b"],
    }
    body = reply.json()
    expected = [pack_vector(v) for v in VECTORS] if encoding == "base64" else VECTORS
    assert [row["embedding"] for row in body["data"]] == expected
    assert (body["model"], body["usage"]["prompt_tokens"]) == ("emb", 8)
    assert reply.headers["x-dragoman-dropped"] == "user"
    assert not record.passthrough
    assert (record.upstream_dialect, record.input_tokens) == ("ollama", 8)
    assert record.adaptations[0]["field"] == "user"


@pytest.mark.parametrize(
    ("path", "body", "shape"),
    [
        ("/api/embed", {"model": "emb", "input": ["a", "b"]}, "embeddings"),
        ("/api/embeddings", {"model": "emb", "prompt": "a"}, "embedding"),
    ],
)
async def test_an_ollama_client_gets_vectors_of_openai(
    tmp_path: Path, path: str, body: dict[str, Any], shape: str
) -> None:
    is_single = shape == "embedding"
    rows = [{"index": 0, "embedding": VECTORS[0]}]
    response = openai_response(data=rows) if is_single else openai_response()
    registry = snapshot(route(provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: response) as gw:
        reply = await gw.post(path, body)
        record = await gw.record()
    assert reply.json()[shape] == (VECTORS[0] if is_single else VECTORS)
    assert (record.endpoint, record.client_dialect) == (path, "ollama")


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings"])
async def test_an_ollama_client_passes_through_to_the_path_it_called(
    tmp_path: Path, path: str
) -> None:
    request = {"model": "emb", "input": "a", "prompt": "a", "options": {"num_ctx": 5}}
    registry = snapshot(route(ollama()))
    response = (
        ollama_response()
        if path == "/api/embed"
        else httpx.Response(200, json={"embedding": [1.0]})
    )
    async with gateway(tmp_path, registry, local=lambda _: response) as gw:
        reply = await gw.post(path, request)
        record = await gw.record()
    (upstream_request,) = gw.upstreams.requests
    assert upstream_request.url.path == path
    assert reply.status == 200
    assert record.passthrough


async def test_embeddings_fall_back_to_another_target(tmp_path: Path) -> None:
    registry = snapshot(route(provider("a"), ollama()))
    down, healthy = (lambda _: refusal(503)), (lambda _: ollama_response())
    async with gateway(tmp_path, registry, a=down, local=healthy) as gw:
        reply = await gw.post("/v1/embeddings", REQUEST)
        record = await gw.record()
    assert reply.status == 200
    assert [attempt.status for attempt in record.attempts] == [503, 200]
    assert reply.headers["x-dragoman-attempts"] == "2"


async def test_an_upstreams_refusal_has_the_clients_dialect(tmp_path: Path) -> None:
    registry = snapshot(route(ollama()))
    refused_response = httpx.Response(404, json={"error": "model 'up' not found"})
    async with gateway(tmp_path, registry, local=lambda _: refused_response) as gw:
        reply = await gw.post("/v1/embeddings", REQUEST)
        record = await gw.record()
    assert reply.json()["error"]["code"] == "model_not_found"
    assert (reply.status, record.error_kind) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "emb"}, "input"),
        ({"model": "emb", "input": 5}, "input"),
        ({"input": "a"}, "model"),
        ({"model": "emb", "input": [[1, 2]]}, "input"),
    ],
    ids=["no input", "odd input", "no model", "tokens"],
)
async def test_an_invalid_value_is_refused_with_its_param(
    tmp_path: Path, body: dict[str, Any], param: str
) -> None:
    registry = snapshot(route(ollama()))
    async with gateway(tmp_path, registry, local=lambda _: ollama_response()) as gw:
        reply = await gw.post("/v1/embeddings", body)
    assert (reply.status, reply.json()["error"]["param"]) == (400, param)
    assert not gw.upstreams.requests


async def test_a_number_out_of_range_is_the_clients_error(tmp_path: Path) -> None:
    body = json.dumps(REQUEST).replace("}", ', "extra": 1e999}').encode()
    async with gateway(
        tmp_path, snapshot(route(ollama())), local=lambda _: ollama_response()
    ) as gw:
        reply = await gw.post("/v1/embeddings", body)
    assert reply.status == 400
    assert "out of range" in reply.json()["error"]["message"]
    assert not gw.upstreams.requests


async def test_a_provider_without_embeddings_is_reported(tmp_path: Path) -> None:
    registry = snapshot(route(provider("c", "anthropic_messages")))
    async with gateway(tmp_path, registry, c=lambda _: refusal(500)) as gw:
        reply = await gw.post("/v1/embeddings", REQUEST)
    assert reply.status == 400
    assert "does not support embeddings" in reply.json()["error"]["message"]


async def test_a_provider_of_embeddings_does_not_chat(tmp_path: Path) -> None:
    only = provider("e", "openai_embeddings", preset="custom-embeddings")
    chat = {"model": "emb", "messages": [{"role": "user", "content": "x"}]}
    async with gateway(tmp_path, snapshot(route(only)), e=lambda _: openai_response()) as gw:
        reply = await gw.post("/v1/chat/completions", chat)
        vectors = await gw.post("/v1/embeddings", REQUEST)
    assert reply.status == 400
    assert "only embeddings" in reply.json()["error"]["message"]
    assert vectors.status == 200


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, json={"embeddings": [[1.0]]}),
        httpx.Response(200, json={"message": "hi"}),
        httpx.Response(200, content=b"<html>"),
    ],
    ids=["too few", "no vectors", "no JSON"],
)
async def test_an_invalid_embedding_response_is_an_error(
    tmp_path: Path, response: httpx.Response
) -> None:
    async with gateway(tmp_path, snapshot(route(ollama())), local=lambda _: response) as gw:
        reply = await gw.post("/v1/embeddings", REQUEST)
        record = await gw.record()
    assert reply.status == 502
    assert record.error_kind == "upstream_error"


async def test_a_passed_response_without_vectors_is_an_error(tmp_path: Path) -> None:
    registry = snapshot(route(provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: openai_response(data=[])) as gw:
        reply = await gw.post("/v1/embeddings", REQUEST)
        record = await gw.record()
    assert (reply.status, record.outcome) == (502, "error")


async def test_missing_token_counts_are_estimated(tmp_path: Path) -> None:
    bare = ollama_response(prompt_eval_count=None)
    async with gateway(tmp_path, snapshot(route(ollama())), local=lambda _: bare) as gw:
        reply = await gw.post("/v1/embeddings", REQUEST)
        record = await gw.record()
    counted = {"prompt_tokens": record.input_tokens, "total_tokens": record.input_tokens}
    assert reply.json()["usage"] == counted
    assert (record.usage_source, record.output_tokens) == ("estimated_size", 0)
    assert record.input_tokens


def gemini_response(**more: Any) -> httpx.Response:
    return httpx.Response(200, json={"embeddings": [{"values": v} for v in VECTORS], **more})


@pytest.mark.parametrize("reported", [True, False])
async def test_vectors_of_gemini_have_the_usage_that_openai_clients_need(
    tmp_path: Path, reported: bool
) -> None:
    more = {"usageMetadata": {"promptTokenCount": 5}} if reported else {}
    registry = snapshot(route(provider("up", "gemini", preset="gemini")))
    async with gateway(tmp_path, registry, up=lambda _: gemini_response(**more)) as gw:
        reply = await gw.post("/v1/embeddings", REQUEST)
        record = await gw.record()
    parsed_response = CreateEmbeddingResponse.model_validate_json(reply.body, strict=True)
    assert (
        parsed_response.usage.prompt_tokens
        == parsed_response.usage.total_tokens
        == record.input_tokens
    )
    assert record.input_tokens == 5 if reported else record.input_tokens > 0


@pytest.mark.parametrize("verb", ["embedContent", "batchEmbedContents"])
async def test_a_gemini_client_gets_the_usage_of_any_provider(tmp_path: Path, verb: str) -> None:
    single_request = {"model": "models/emb", "content": {"parts": [{"text": "a"}]}}
    body = single_request if verb == "embedContent" else {"requests": [single_request]}
    response = openai_response(data=[{"index": 0, "embedding": VECTORS[0]}])
    registry = snapshot(route(provider("a")))
    async with gateway(tmp_path, registry, a=lambda _: response) as gw:
        reply = await gw.post(f"/v1beta/models/emb:{verb}", body)
    assert reply.status == 200
    assert reply.json()["usageMetadata"] == {"promptTokenCount": 8}


async def test_dimensions_are_sent_by_mistrals_own_field(tmp_path: Path) -> None:
    preset = PRESETS["mistral"]
    changes = {"preset": "mistral", "edits": preset.edits, "passthrough": preset.passthrough}
    mistral = provider("up", **changes)
    vectors = {"data": [{"index": 0, "embedding": [1.0]}], "model": "codestral-embed"}
    registry = snapshot(route(mistral))
    response = httpx.Response(200, json=vectors)
    async with gateway(tmp_path, registry, up=lambda _: response) as gw:
        reply = await gw.post("/v1/embeddings", {"model": "emb", "input": "x", "dimensions": 256})
    upstream_body = json.loads(gw.upstreams.requests[0].content)
    assert reply.status == 200
    assert upstream_body["output_dimension"] == 256
    assert "dimensions" not in upstream_body


async def test_a_strict_route_refuses_losses(tmp_path: Path) -> None:
    strict = snapshot(route(ollama(), strict=True))
    async with gateway(tmp_path, strict, local=lambda _: ollama_response()) as gw:
        reply = await gw.post("/v1/embeddings", {**REQUEST, "user": "u"})
    assert (reply.status, reply.json()["error"]["param"]) == (400, "user")


async def test_bodies_are_stored(tmp_path: Path) -> None:
    registry = snapshot(route(ollama()), log_bodies=True)
    async with gateway(tmp_path, registry, local=lambda _: ollama_response()) as gw:
        await gw.post("/v1/embeddings", REQUEST)
        record = await gw.record()
    assert record.bodies is not None
    assert b"embeddings" in (record.bodies.upstream_response or b"")
    assert b"embedding" in (record.bodies.client_response or b"")
    assert harness.KEY.encode() not in (record.bodies.upstream_request or b"")
