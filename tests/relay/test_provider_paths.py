"""Provider-specific paths: Azure Responses, missing endpoints, completion-only models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.providers.catalog import PRESETS
from gateway.relay.upstream.client import Upstreams
from gateway.routing.snapshot import Provider, Target, model_of
from gateway.simulate.probe import probe
from tests.relay.harness import (
    DONE,
    FakeUpstreams,
    chunk,
    completion,
    gateway,
    provider,
    route,
    snapshot,
    sse,
)


def of_preset(name: str) -> Provider:
    row = PRESETS[name]
    return provider(
        "up",
        row.dialect,
        preset=name,
        paths=row.paths,
        query=row.query,
        passthrough=row.passthrough,
        auth=row.auth,
        edits=row.edits,
        model_in_path=row.model_in_path,
        body=row.body,
    )


def responses(request: httpx.Request) -> httpx.Response:
    text_part = {"type": "output_text", "text": "hi", "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    body = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed"}
    body |= {"model": "gpt-5.4", "output": [{**item, "content": [text_part]}], "usage": usage}
    return httpx.Response(200, json=body)


@pytest.mark.parametrize(
    ("preset", "url"),
    [
        ("azure_openai", "/openai/responses?api-version=2025-04-01-preview"),
        ("azure-openai-v1", "/responses"),
    ],
)
async def test_azure_serves_responses_beside_its_deployments(
    tmp_path: Path, preset: str, url: str
) -> None:
    registry = snapshot(route("smart", of_preset(preset), model="gpt-5.4"))
    async with gateway(tmp_path, registry, up=responses) as live:
        response = await live.post("/v1/responses", {"model": "smart", "input": "hi"})
        assert response.status == 200, response.json()
        upstream_request = live.upstreams.requests[0]
        assert upstream_request.url.raw_path.decode() == url
        assert json.loads(upstream_request.content)["model"] == "gpt-5.4"
        # Tools go there for Chat clients too, as this model takes them nowhere else.
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        chat = {"model": "smart", "messages": [{"role": "user", "content": "x"}], "tools": [tool]}
        await live.post("/v1/chat/completions", chat)
        assert live.upstreams.requests[-1].url.raw_path.decode() == url


@pytest.mark.parametrize(
    ("preset", "url"),
    [
        ("openai", "/responses"),
        ("azure_openai", "/openai/responses?api-version=2025-04-01-preview"),
    ],
)
async def test_models_that_chat_does_not_have_are_called_in_responses(
    tmp_path: Path, preset: str, url: str
) -> None:
    registry = snapshot(route("pro", of_preset(preset), model="o3-pro"))
    message = {"role": "user", "content": "x"}
    async with gateway(tmp_path, registry, up=responses) as live:
        for path in ("/v1/chat/completions", "/v1/messages"):
            body = {"model": "pro", "messages": [message], "max_tokens": 99}
            response = await live.post(path, body)
            assert response.status == 200, response.json()
            assert live.upstreams.requests[-1].url.raw_path.decode() == url


@pytest.mark.parametrize(
    ("preset", "url"),
    [
        ("azure_openai", "/openai/deployments/vec/embeddings?api-version=2024-10-21"),
        ("azure-openai-v1", "/embeddings"),
        ("azure_ai", "/embeddings?api-version=2024-05-01-preview"),
    ],
)
async def test_azure_returns_embeddings(tmp_path: Path, preset: str, url: str) -> None:
    registry = snapshot(route("vec", of_preset(preset), model="vec"))
    body = {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1}}
    async with gateway(tmp_path, registry, up=lambda r: httpx.Response(200, json=body)) as live:
        response = await live.post("/v1/embeddings", {"model": "vec", "input": "a"})
        assert (response.status, live.upstreams.requests[0].url.raw_path.decode()) == (200, url)
        assert live.upstreams.requests[0].headers["api-key"]


async def test_azure_continues_prompts_in_a_deployment(tmp_path: Path) -> None:
    registry = snapshot(route("old", of_preset("azure_openai"), model="gpt-3.5-turbo-instruct"))
    body = {"choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}]}
    async with gateway(tmp_path, registry, up=lambda r: httpx.Response(200, json=body)) as live:
        await live.post("/v1/completions", {"model": "old", "prompt": "a"})
        path = live.upstreams.requests[0].url.path
    assert path == "/openai/deployments/gpt-3.5-turbo-instruct/completions"


GAP: dict[str, Any] = {"model": "code", "prompt": "def f(", "suffix": "return x", "max_tokens": 9}


@pytest.mark.parametrize(
    ("preset", "model", "path"),
    [
        ("mistral", "codestral-latest", "/fim/completions"),
        ("deepseek", "deepseek-chat", "/beta/completions"),
    ],
)
@pytest.mark.parametrize("shape", ["text", "chat"])
async def test_fill_in_the_middle_is_sent_where_supported(
    tmp_path: Path, preset: str, model: str, path: str, shape: str
) -> None:
    text = {"index": 0, "text": "x):", "finish_reason": "stop"}
    message = {"role": "assistant", "content": "x):"}
    chat = {"index": 0, "message": message, "finish_reason": "stop"}
    payload = {"id": "1", "choices": [text if shape == "text" else chat]}
    payload |= {"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
    registry = snapshot(route("code", of_preset(preset), model=model))
    async with gateway(tmp_path, registry, up=lambda r: httpx.Response(200, json=payload)) as live:
        response = await live.post("/v1/completions", GAP)
        assert response.json()["choices"][0]["text"] == "x):"
        upstream_request = live.upstreams.requests[0]
        assert upstream_request.url.path == path
        body = json.loads(upstream_request.content)
        assert (body["prompt"], body["suffix"], body["model"]) == ("def f(", "return x", model)
        assert "x-dragoman-dropped" not in response.headers


async def test_fill_in_the_middle_is_streamed_from_chat_chunks(tmp_path: Path) -> None:
    chunks = [
        {"id": "1", "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": finish}]}
        for word, finish in (("x", None), ("):", "stop"))
    ]
    frames = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    registry = snapshot(route("code", of_preset("mistral"), model="codestral-latest"))
    async with gateway(tmp_path, registry, up=lambda r: sse(*frames, DONE)) as live:
        response = await live.post("/v1/completions", {**GAP, "stream": True})
    events = [json.loads(e[6:]) for e in response.body.split(b"\n\n") if e.startswith(b"data: {")]
    assert "".join(e["choices"][0]["text"] for e in events if e["choices"]) == "x):"


async def test_without_a_suffix_a_prompt_is_sent_as_chat(tmp_path: Path) -> None:
    registry = snapshot(route("code", of_preset("deepseek"), model="deepseek-chat"))
    async with gateway(tmp_path, registry, up=lambda r: completion("hi")) as live:
        await live.post("/v1/completions", {"model": "code", "prompt": "a"})
        assert live.upstreams.requests[0].url.path == "/chat/completions"


async def test_a_suffix_is_reported_dropped_where_unsupported(tmp_path: Path) -> None:
    registry = snapshot(route("code", of_preset("groq"), model="llama"))
    async with gateway(tmp_path, registry, up=lambda r: completion("hi")) as live:
        response = await live.post("/v1/completions", GAP)
        assert live.upstreams.requests[0].url.path == "/chat/completions"
    assert "suffix" in response.headers["x-dragoman-dropped"]


# --- probe --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "path", "body", "detail"),
    [
        (
            "gpt-3.5-turbo-instruct",
            "/completions",
            {"choices": [{"index": 0, "text": "hello", "finish_reason": "stop"}]},
            "hello",
        ),
        (
            "text-embedding-3-small",
            "/embeddings",
            {"data": [{"index": 0, "embedding": [0.1, 0.2]}]},
            "an embedding of 2 numbers",
        ),
    ],
    ids=["completions only", "only embeddings"],
)
async def test_a_probe_uses_the_api_of_its_model(
    model: str, path: str, body: dict[str, Any], detail: str
) -> None:
    scripted = FakeUpstreams(up=lambda r: httpx.Response(200, json=body))
    target = Target(id=1, model=model_of(of_preset("openai"), model))
    result = await probe(Upstreams(scripted), target)
    assert (result.ok, result.detail) == (True, detail)
    assert scripted.requests[0].url.path == path


# As `ChatCompletionRequest` of the server, which is written in Rust: another type is refused.
LORAX: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "messages": list,
    "temperature": (int, float),
    "top_p": (int, float),
    "n": int,
    "max_tokens": int,
    "stop": list,
    "stream": bool,
    "top_k": int,
    "user": str,
}


def lorax(request: httpx.Request) -> httpx.Response:
    """Respond as Predibase's server: unknown fields are ignored, wrong types are refused."""
    body = json.loads(request.content)
    problems = [n for n, kind in LORAX.items() if n in body and not isinstance(body[n], kind)]
    texts = [text for message in body["messages"] for text in message.values()]
    if "model" not in body or problems or not all(isinstance(text, str) for text in texts):
        payload = {"error": f"Failed to deserialize the JSON body: {problems}", "error_type": "x"}
        return httpx.Response(422, json=payload)
    if body.get("stream"):
        return sse(chunk("hel"), chunk("lo", "stop"), DONE)
    return completion()


async def test_predibase_is_called_at_the_deployment(tmp_path: Path) -> None:
    registry = snapshot(route("r", of_preset("predibase"), model="llama-3-8b"))
    parts = [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]
    params = {"model": "r", "stop": "x", "messages": [{"role": "user", "content": parts}]}
    async with gateway(tmp_path, registry, up=lorax) as live:
        response = await live.post("/v1/chat/completions", params)
        assert response.status == 200, response.json()
        streamed = await live.post(
            "/v1/chat/completions", {**params, "stream": True, "max_tokens": 9}
        )
        claude = {"model": "r", "max_tokens": 7, "messages": [{"role": "user", "content": parts}]}
        assert (await live.post("/v1/messages", claude)).status == 200
        first, second, third = live.upstreams.requests
    assert b"lo" in streamed.body
    path = "/deployments/v2/llms/llama-3-8b/v1/chat/completions"
    assert {request.url.path for request in (first, second, third)} == {path}
    bodies = [json.loads(request.content) for request in (first, second, third)]
    assert [body["model"] for body in bodies] == ["", "", ""], "the base model"
    assert [body["max_tokens"] for body in bodies] == [4096, 9, 7]
    assert (bodies[0]["stop"], bodies[0]["messages"][0]["content"]) == (["x"], "h\n\ni")
    assert first.headers["authorization"] == "Bearer sk-upstream-secret-of-up"
