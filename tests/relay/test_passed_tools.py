"""Tool fields of Chat clients at providers of the same API that do not support them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.relay.harness import Reply, completion, gateway, provider, route, snapshot

Json = dict[str, Any]

CHAT: Json = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
# Presets whose Chat API has the field; all others are servers without a search.
WITH_OPTIONS = ["openai", "openrouter", "perplexity", "custom"]
WITHOUT_OPTIONS = ["groq", "together", "fireworks", "cerebras", "vllm", "azure-openai-v1"]
TRANSLATED = ["deepseek", "mistral"]


async def upstream_request_of(tmp_path: Path, preset: str, body: Json) -> tuple[Json, Reply]:
    registry = snapshot(route("m", provider("a", preset=preset), model="some-model"))
    async with gateway(tmp_path, registry, a=lambda request: completion()) as gw:
        reply = await gw.post("/v1/chat/completions", {**CHAT, **body})
        assert reply.status == 200, reply.body
        [upstream_request] = gw.upstreams.requests
    return json.loads(upstream_request.content), reply


@pytest.mark.parametrize("preset", WITH_OPTIONS)
async def test_search_options_reach_a_provider_that_has_them(tmp_path: Path, preset: str) -> None:
    options = {"search_context_size": "low"}
    upstream_body, reply = await upstream_request_of(
        tmp_path, preset, {"web_search_options": options}
    )
    assert upstream_body["web_search_options"] == options
    assert "x-dragoman-dropped" not in reply.headers


@pytest.mark.parametrize("preset", [*WITHOUT_OPTIONS, *TRANSLATED])
async def test_search_options_are_dropped_where_nothing_searches(
    tmp_path: Path, preset: str
) -> None:
    upstream_body, reply = await upstream_request_of(tmp_path, preset, {"web_search_options": {}})
    assert "web_search_options" not in upstream_body
    assert reply.headers["x-dragoman-dropped"] == "web_search_options"


def function(name: str) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def allowed(mode: str, *names: str) -> Json:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
    return {"tools": [function("f"), function("g")], "tool_choice": choice}


async def test_openai_gets_allowed_tools_unchanged(tmp_path: Path) -> None:
    body = allowed("auto", "g")
    upstream_body, reply = await upstream_request_of(tmp_path, "openai", body)
    assert {name: upstream_body[name] for name in body} == body
    assert "x-dragoman-approximated" not in reply.headers


@pytest.mark.parametrize("preset", ["vllm", "together", "fireworks", "groq", "custom"])
@pytest.mark.parametrize(("mode", "choice"), [("auto", "auto"), ("required", "required")])
async def test_other_providers_get_only_the_allowed_tools(
    tmp_path: Path, preset: str, mode: str, choice: str
) -> None:
    upstream_body, reply = await upstream_request_of(tmp_path, preset, allowed(mode, "g"))
    assert (upstream_body["tools"], upstream_body["tool_choice"]) == ([function("g")], choice)
    assert reply.headers["x-dragoman-approximated"] == "tool_choice"


async def test_no_tools_are_sent_if_none_is_allowed(tmp_path: Path) -> None:
    upstream_body, reply = await upstream_request_of(tmp_path, "vllm", allowed("auto", "h"))
    assert not {"tools", "tool_choice"} & upstream_body.keys()
    assert "tool_choice" in reply.headers["x-dragoman-dropped"]


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "allowed_tools"},
        {"type": "allowed_tools", "allowed_tools": {"tools": [3]}},
        {"type": "function", "function": {"name": "allowed_tools"}},
    ],
)
async def test_a_malformed_choice_is_sent_to_the_provider(tmp_path: Path, choice: Json) -> None:
    body = {"tools": [function("f")], "tool_choice": choice}
    upstream_body, _ = await upstream_request_of(tmp_path, "vllm", body)
    assert {name: upstream_body[name] for name in body} == body
