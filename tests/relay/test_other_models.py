"""Models that a request of a limited key names besides `model`."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import msgspec
import pytest

from gateway.relay.run.playground_calls import run_playground_call
from gateway.routing.snapshot import Snapshot
from tests.relay.harness import completion, gateway, provider, route, snapshot
from tests.relay.test_batches import aliased, request, uploaded

PATH = "/v1/chat/completions"
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], %b}'
VERCEL = b'"providerOptions": {"gateway": {"models": [%b]}}'
ADVISOR = b'{"type": "advisor_20260301", "name": "advisor", "model": "%b"}'
FUNCTION = b'{"type": "function", "function": {"name": "f", "parameters": {"x": {"model": "y"}}}}'
# For messages of another form: they have no type.
GOOGLE = b'{"functionDeclarations": [{"name": "f", "parameters": {"example": {"model": "y"}}}]}'


def limited(*routes: str, preset: str = "openrouter") -> Snapshot:
    up = provider("up", preset=preset)
    registry = snapshot(route("m", up), route("other", up), route("secret", up))
    keys = {d: msgspec.structs.replace(key, routes=routes) for d, key in registry.keys.items()}
    return msgspec.structs.replace(registry, keys=keys)


def tool(text: bytes) -> bytes:
    return b'"tools": [' + text + b"]"


def plugin(text: bytes) -> bytes:
    return b'"plugins": [' + text + b"]"


@pytest.mark.parametrize(
    "field",
    [
        b'"models": ["secret"]',
        b'"models": ["secret", 1e999]',
        VERCEL % b'"secret"',
        VERCEL % b'"secret", 1e999',
        b'"fallbacks": ["secret"]',
        b'"fallbacks": [{"model": "secret"}]',
        b'"fallbacks": [{"model": "other"}, {"model": "unknown"}]',
        b'"fallbacks": "secret"',
        tool(ADVISOR % b"secret"),
        tool(ADVISOR % rb"secr\u0065t"),
        tool(b'{"type": "image_generation", "model": "gpt-image-1"}'),
        tool(b'{"type": "openrouter:advisor"}'),
        tool(b'{"type": "openrouter:advisor", "parameters": {"model": "secret"}}'),
        tool(b'{"type": "openrouter:fusion", "parameters": {"analysis_models": ["secret"]}}'),
        tool(b'{"type": ["function"], "model": "secret"}'),
        tool(ADVISOR % b"other" + b', {"maximum": 1e999}'),
        plugin(b'{"id": "fusion"}'),
        plugin(b'{"id": "fusion", "analysis_models": ["other", "secret"]}'),
    ],
)
async def test_a_limited_key_may_not_name_others(tmp_path: Path, field: bytes) -> None:
    """The provider would use them whenever the model fails or calls such a tool."""
    body = BODY % field
    async with gateway(tmp_path, limited("m", "other"), up=lambda _: completion()) as live:
        reply = await live.post(PATH, body)
        assert (reply.status, live.upstreams.requests) == (403, [])
    error = reply.json()["error"]
    start = "this API key is limited to some models and may not name others in "
    assert error["message"] == start + error["param"]
    async with gateway(tmp_path / "all", limited("*"), up=lambda _: completion()) as live:
        reply = await live.post(PATH, body)
        assert "limited to some models" not in reply.body.decode()


@pytest.mark.parametrize(
    "field",
    [
        b'"models": [ ]',
        b'"models": null',
        b'"providerOptions": {"gateway": {"order": ["x"]}, "openai": {}}',
        b'"fallbacks": null',
        b'"fallbacks": "default"',
        b'"fallbacks": [{"model": "other"}, "m"]',
        tool(ADVISOR % b"other"),
        tool(FUNCTION + b"," + GOOGLE),
        tool(b'{"type": "namespace", "name": "n", "tools": [%b]}' % FUNCTION),
        plugin(b'{"id": "web", "max_results": 3}'),
        plugin(b'{"id": "fusion", "model": "m", "analysis_models": ["other"]}'),
    ],
)
async def test_a_limited_key_may_name_its_own(tmp_path: Path, field: bytes) -> None:
    async with gateway(tmp_path, limited("m", "other"), up=lambda _: completion()) as live:
        reply = await live.post(PATH, BODY % field)
    assert "limited to some models" not in reply.body.decode()


async def test_a_key_without_limits_may_name_any(tmp_path: Path) -> None:
    async with gateway(tmp_path, limited(), up=lambda _: completion()) as live:
        reply = await live.post(PATH, BODY % b'"models": ["secret"]')
    assert reply.status == 200


async def test_a_form_may_not_name_others(tmp_path: Path) -> None:
    async with gateway(tmp_path, limited("m", preset="openai"), up=lambda _: completion()) as live:
        body = {"model": "m", "prompt": "a cat", "models": ["secret"]}
        reply = await live.post("/v1/images/generations", body)
        assert (reply.status, live.upstreams.requests) == (403, [])


async def test_a_batch_of_messages_may_not_name_others(tmp_path: Path) -> None:
    up = provider("up", "anthropic_messages")
    registry = snapshot(route("m", up, model="claude-haiku-4-5"))
    keys = {d: msgspec.structs.replace(key, routes=("m",)) for d, key in registry.keys.items()}
    registry = msgspec.structs.replace(registry, keys=keys)
    params = json.loads(BODY % tool(ADVISOR % b"claude-opus-4-6")) | {"max_tokens": 9}
    body = {"requests": [{"custom_id": "1", "params": params}]}
    async with gateway(tmp_path, registry, up=lambda _: httpx.Response(200, json={})) as live:
        headers = {"anthropic-version": "2023-06-01"}
        reply = await live.post("/v1/messages/batches", body, headers=headers)
        assert (reply.status, live.upstreams.requests) == (403, [])
    assert "requests[0].params.tools[0]" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "line",
    [
        request("my-gpt", models=["secret"]),
        request(None, models=["secret"]),
        request("my-gpt", tools=[{"type": "openrouter:advisor"}]),
    ],
)
async def test_a_batch_file_may_not_name_others(tmp_path: Path, line: bytes) -> None:
    registry = aliased()
    keys = {
        digest: msgspec.structs.replace(key, routes=("up/files", "my-*"))
        for digest, key in registry.keys.items()
    }
    registry = msgspec.structs.replace(registry, keys=keys)
    more = {"path": "/v1/files?provider=up"}
    reply, files = await uploaded(tmp_path, request("my-gpt") + line, registry, **more)
    assert (reply.status, files) == (403, [])
    assert reply.json()["error"]["message"].startswith("line 2 of the file: this API key is")
    # Only what was checked is readable.
    twice = request("my-gpt")[:-3] + b', "models": ["secret"], "models": []}}\n'
    reply, (data,) = await uploaded(tmp_path / "twice", twice, registry, **more)
    assert (reply.status, b"secret" in data) == (200, False)


async def test_the_playground_with_a_limited_key_may_not_name_others(tmp_path: Path) -> None:
    async with gateway(tmp_path, limited("m"), up=lambda _: completion()) as live:
        record = await run_playground_call(
            live.runtime,
            dialect="openai_chat",
            body=BODY % b'"models": ["secret"]',
            caller="someone",
            key_id=1,
        )
        assert (record.status, live.upstreams.requests) == (403, [])
