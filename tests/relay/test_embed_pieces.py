"""More inputs than a provider accepts at once: several calls, one ordered response."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from gateway.canon.embeddings import unpack_vector
from gateway.providers.profile import Secret
from gateway.relay.upstream.client import Upstreams
from gateway.routing.snapshot import Route
from tests.fakes.cohere import KEY, StrictCohere
from tests.relay.harness import gateway, provider, refusal, route, snapshot

TEN = "text-embedding-v4"  # ten inputs a call


def _route() -> Route:
    return route("vectors", provider("up", preset="dashscope"), model=TEN)


async def test_order_is_preserved_and_counts_are_summed(tmp_path: Path) -> None:
    running = max_concurrent = 0

    async def up(request: httpx.Request) -> httpx.Response:
        nonlocal running, max_concurrent
        inputs = json.loads(request.content)["input"]
        running += 1
        max_concurrent = max(max_concurrent, running)
        await asyncio.sleep(0.02 if inputs[0] == "0" else 0.001)
        running -= 1
        rows = [{"index": n, "embedding": [float(text)]} for n, text in enumerate(inputs)]
        usage = {"prompt_tokens": len(inputs), "cost": 0.25 * len(inputs)}
        return httpx.Response(200, json={"data": rows, "usage": usage})

    async with gateway(tmp_path, snapshot(_route()), up=up) as live:
        request_body = {"model": "vectors", "input": [str(n) for n in range(95)]}
        body = (await live.post("/v1/embeddings", request_body)).json()
        assert [row["embedding"] for row in body["data"]] == [[float(n)] for n in range(95)]
        assert [row["index"] for row in body["data"]] == list(range(95))
        assert body["usage"]["prompt_tokens"] == 95
        sizes = [len(json.loads(r.content)["input"]) for r in live.upstreams.requests]
        assert (sorted(sizes), max_concurrent) == ([5, *[10] * 9], 4)
        row = await live.record()
    assert (row.status, row.input_tokens, row.usage_source) == (200, 95, "reported")
    assert (row.cost_usd, row.price_source) == (23.75, "provider")


async def test_inputs_within_the_maximum_need_one_upstream_call(tmp_path: Path) -> None:
    data = [{"vector": "as it came"}]

    def up(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": data, "model": "m"})

    async with gateway(tmp_path, snapshot(_route()), up=up) as live:
        request_body = {"model": "vectors", "input": ["a long text indeed"] * 10}
        assert (await live.post("/v1/embeddings", request_body)).json()["data"] == data
        assert len(live.upstreams.requests) == 1


async def test_one_failed_batch_fails_the_embedding_request(tmp_path: Path) -> None:
    def up(request: httpx.Request) -> httpx.Response:
        inputs = json.loads(request.content)["input"]
        if "15" in inputs:
            return refusal(400, "input 15 is too long")
        rows = [{"index": n, "embedding": [1.0]} for n, _ in enumerate(inputs)]
        return httpx.Response(200, json={"data": rows})

    async with gateway(tmp_path, snapshot(_route()), up=up) as live:
        request_body = {"model": "vectors", "input": [str(n) for n in range(30)]}
        response = await live.post("/v1/embeddings", request_body)
    assert response.status == 400
    assert "input 15 is too long" in response.json()["error"]["message"]


async def test_vertex_predicts_vectors(tmp_path: Path) -> None:
    def up(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/publishers/google/models/text-embedding-005:predict"
        assert json.loads(request.content) == {
            "instances": [{"content": "a"}, {"content": "b"}],
            "parameters": {"outputDimensionality": 2},
        }
        statistics = {"truncated": False, "token_count": 3}
        prediction = {"embeddings": {"values": [0.5, 1.0], "statistics": statistics}}
        return httpx.Response(200, json={"predictions": [prediction, prediction]})

    vertex = provider("up", "gemini", preset="vertex", paths=_VERTEX)
    async with gateway(
        tmp_path, snapshot(route("vectors", vertex, model="text-embedding-005")), up=up
    ) as live:
        request_body = {"model": "vectors", "input": ["a", "b"], "dimensions": 2}
        body = (await live.post("/v1/embeddings", request_body)).json()
    assert [row["embedding"] for row in body["data"]] == [[0.5, 1.0]] * 2
    assert body["usage"]["prompt_tokens"] == 6


async def test_vertex_gets_one_content_per_request(tmp_path: Path) -> None:
    def up(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/publishers/google/models/gemini-embedding-2:embedContent"
        text = json.loads(request.content)["content"]["parts"][0]["text"]
        payload = {"embedding": {"values": [float(text)]}, "usageMetadata": {"promptTokenCount": 2}}
        return httpx.Response(200, json=payload)

    vertex = provider("up", "gemini", preset="vertex", paths=_VERTEX)
    async with gateway(
        tmp_path, snapshot(route("vectors", vertex, model="gemini-embedding-2")), up=up
    ) as live:
        body = (await live.post("/v1/embeddings", {"model": "vectors", "input": ["1", "2"]})).json()
    assert [row["embedding"] for row in body["data"]] == [[1.0], [2.0]]
    assert body["usage"]["prompt_tokens"] == 4


async def test_vertex_counts_the_bare_body(tmp_path: Path) -> None:
    def up(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/publishers/google/models/gemini-3-pro:countTokens"
        upstream_body = json.loads(request.content)
        assert upstream_body["contents"][0]["parts"] == [{"text": "hi"}]
        assert "generateContentRequest" not in upstream_body
        return httpx.Response(200, json={"totalTokens": 7})

    vertex = provider("up", "gemini", preset="vertex", paths=_VERTEX)
    async with gateway(
        tmp_path, snapshot(route("smart", vertex, model="gemini-3-pro")), up=up
    ) as live:
        request_body = {
            "model": "smart",
            "max_tokens": 5,
            "messages": [{"role": "user", "content": "hi"}],
        }
        headers = {"anthropic-version": "2023-06-01"}
        response = await live.post("/v1/messages/count_tokens", request_body, headers=headers)
    assert response.json() == {"input_tokens": 7}
    assert response.headers["x-dragoman-token-count"] == "upstream"


_VERTEX = {
    "count_tokens": "/publishers/google/models/{model}:countTokens",
    "embed": "/publishers/google/models/{model}:predict",
    "embed_content": "/publishers/google/models/{model}:embedContent",
}


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_cohere_gets_at_most_96_texts_per_request(tmp_path: Path, encoding: str) -> None:
    """With OpenAI's own client and a strict Cohere."""
    with StrictCohere() as server:
        target_provider = provider(
            "co", "cohere", preset="cohere", base_url=server.url, credential=Secret(KEY)
        )
        registry = snapshot(route("vectors", target_provider, model="embed-v4.0"))
        async with gateway(tmp_path, registry) as live:
            live.runtime.upstreams = Upstreams()
            request_body = {
                "model": "vectors",
                "input": [f"text {n}" for n in range(200)],
                "encoding_format": encoding,
                "input_type": "search_query",
                "dimensions": 256,
            }
            response = await live.post("/v1/embeddings", request_body)
            row = await live.record()
            await live.runtime.upstreams.close()
        sizes = sorted(len(request.body["texts"]) for request in server.requests)
    assert response.status == 200, response.body
    vectors = [item["embedding"] for item in response.json()["data"]]
    vectors = [unpack_vector(v) if encoding == "base64" else v for v in vectors]
    assert [vector[0] for vector in vectors] == [float(n % 96) for n in range(200)]
    assert sizes == [8, 96, 96]
    assert (row.input_tokens, row.usage_source, row.upstream_dialect) == (600, "reported", "cohere")
    assert response.json()["usage"]["prompt_tokens"] == 600
