"""Paths of Azure, OpenRouter and older clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.api.openapi import gateway_paths
from gateway.edge.admission import key_digest
from gateway.edge.endpoints import ENDPOINTS, find_endpoint, is_edge_path
from gateway.edge.path_aliases import resolve_path
from gateway.providers.passthrough_catalog import OPERATIONS
from gateway.routing.snapshot import ApiKey
from tests.each import each
from tests.relay.harness import KEY, PEPPER, completion, gateway, provider, route, snapshot

VERTEX = "/projects/p/locations/l/publishers"


@each(
    ("path", "resolved", "model"),
    [
        ("/openai/deployments/gpt/chat/completions", "/v1/chat/completions", "gpt"),
        ("/openai/deployments/mistral/chat/completions", "/v1/chat/completions", "mistral"),
        ("/openai/deployments/a/b/embeddings", "/v1/embeddings", "a/b"),
        ("/openai/deployments/w/audio/transcriptions", "/v1/audio/transcriptions", "w"),
        ("/openai/deployments/d/images/generations", "/v1/images/generations", "d"),
        ("/openai/v1/chat/completions", "/v1/chat/completions", ""),
        ("/openai/v1/responses/resp_1/cancel", "/v1/responses/resp_1/cancel", ""),
        ("/openai/files", "/v1/files", ""),
        ("/openai/models", "/v1/models", ""),
        ("/engines/gpt/completions", "/v1/completions", "gpt"),
        ("/v1/engines/gpt/chat/completions", "/v1/chat/completions", "gpt"),
        ("/api/v1/chat/completions", "/v1/chat/completions", ""),
        ("/api/v1/models", "/v1/models", ""),
        ("/v1/v1/messages", "/v1/messages", ""),
        ("/v1/v1/v1/models/x", "/v1/models/x", ""),
        (f"{VERTEX}/anthropic/models/m:rawPredict", "/v1/messages", "m"),
        (f"/v1{VERTEX}/anthropic/models/a/b:streamRawPredict", "/v1/messages", "a/b"),
        (
            f"/vertex_ai/v1{VERTEX}/anthropic/models/count-tokens:rawPredict",
            "/v1/messages/count_tokens",
            "",
        ),
        (
            f"/vertex_ai/v1beta1{VERTEX}/google/models/m:generateContent",
            f"/v1beta1{VERTEX}/google/models/m:generateContent",
            "",
        ),
        (
            "/vertex-ai/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
            f"/v1{VERTEX}/google/models/m:generateContent",
            "",
        ),
        ("/gemini/v1beta/models/m:generateContent", "/v1beta/models/m:generateContent", ""),
        ("/gemini/v1beta/models", "/v1beta/models", ""),
        ("/cohere/v2/rerank", "/v2/rerank", ""),
        ("/cohere/v2/chat", "/v2/chat", ""),
        ("/mistral/v1/chat/completions", "/v1/chat/completions", ""),
        ("/vllm/v1/embeddings", "/v1/embeddings", ""),
        ("/azure/openai/deployments/gpt/chat/completions", "/v1/chat/completions", "gpt"),
        ("/openai_passthrough/v1/responses", "/v1/responses", ""),
    ],
)
def test_a_path_alias_maps_to_the_gateways_path(path: str, resolved: str, model: str) -> None:
    assert resolve_path(path) == (resolved, model)
    assert is_edge_path(path)
    assert find_endpoint(resolved) is not None


@each(
    "path",
    [
        "/v1/chat/completions",
        "/v1beta/models",
        "/openai/deployments",
        "/openai/deployments//chat/completions",
        "/openai/deployments/x/secrets",
        "/openai/admin",
        "/api/v1x/chat",
        "/api/routes",
        "/engines",
        "/gemini",
        "/geminis/v1beta/models",
        "/console/",
    ],
)
def test_other_paths_are_not_rewritten(path: str) -> None:
    assert resolve_path(path) == (path, "")


@each("path", ["/api/routes", "/api/v1/model/info", "/openaix", "/docs"])
def test_console_and_management_paths_are_not_rewritten(path: str) -> None:
    assert not is_edge_path(path)


CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
DEPLOYMENT = "/openai/deployments/{}/chat/completions?api-version=2024-10-21"


async def test_the_model_in_the_path_replaces_the_one_in_the_body(tmp_path: Path) -> None:
    """As at Azure; the model of the path is checked, sent and logged."""
    routes = (route("cheap", provider("a"), model="small"), route("dear", provider("b")))
    async with gateway(
        tmp_path, snapshot(*routes), a=lambda _: completion("ok"), b=lambda _: completion("ok")
    ) as gw:
        reply = await gw.post(DEPLOYMENT.format("cheap"), {**CHAT, "model": "dear"})
        assert reply.status == 200
        (upstream_request,) = gw.upstreams.requests
        assert upstream_request.url.host == "a.test"
        assert b'"small"' in upstream_request.content
        assert "api-version" not in str(upstream_request.url)
        record = await gw.record()
        assert (record.requested_model, record.route) == ("cheap", "cheap")


@each(
    ("path", "body"),
    [
        (DEPLOYMENT.format("dear"), {**CHAT, "model": "cheap"}),
        (DEPLOYMENT.format("dear"), CHAT),
        (DEPLOYMENT.format("b/gpt-4.1"), {**CHAT, "model": "cheap"}),
        ("/engines/dear/completions", {"prompt": "x", "model": "cheap"}),
        ("/v1/engines/dear/embeddings", {"input": "x", "model": "cheap"}),
        ("/openai/deployments/dear/images/generations", {"prompt": "x", "model": "cheap"}),
        ("/api/v1/chat/completions", {**CHAT, "model": "dear"}),
        ("/v1/v1/chat/completions", {**CHAT, "model": "dear"}),
        (f"{VERTEX}/anthropic/models/dear:rawPredict", {**CHAT, "model": "cheap"}),
        ("/model/dear/invoke", {**CHAT, "anthropic_version": "x", "model": "cheap"}),
    ],
)
async def test_no_path_reaches_a_model_that_the_key_may_not_use(
    tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    key = ApiKey(id=1, prefix="p", name="k", digest=key_digest(KEY, PEPPER), routes=("cheap",))
    routes = (route("cheap", provider("a"), model="small"), route("dear", provider("b")))
    async with gateway(tmp_path, snapshot(*routes, keys={key.digest: key})) as gw:
        reply = await gw.post(path, body)
        assert reply.status == 403, reply.body
        assert gw.upstreams.requests == []


@each("name", ["../x", "a%2e", "x?y", " x", "a//b"])
async def test_a_hostile_deployment_is_refused(tmp_path: Path, name: str) -> None:
    async with gateway(tmp_path, snapshot(route("cheap", provider("a")))) as gw:
        path = f"/openai/deployments/{name}/chat/completions"
        assert (await gw.post(path, CHAT)).status in {400, 404}
        assert gw.upstreams.requests == []


def test_every_endpoint_is_in_the_api_document() -> None:
    documented = {
        (path, method.upper()) for path, methods in gateway_paths().items() for method in methods
    }
    endpoints = {
        (endpoint.name, method)
        for endpoint in ENDPOINTS.values()
        for method in endpoint.methods
        if method != "HEAD" and endpoint.name != "/v1"
    }
    endpoints |= {(f"/v1/{operation.path}", operation.method) for operation in OPERATIONS}
    assert endpoints - documented == set()
    ids = [op["operationId"] for path in gateway_paths().values() for op in path.values()]
    assert sorted(ids) == sorted(set(ids))
