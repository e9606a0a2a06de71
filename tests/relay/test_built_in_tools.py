"""Built-in tools at OpenAI, which runs them in its Responses API only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.relay.harness import completion, gateway, provider, route, snapshot

Json = dict[str, Any]

MESSAGES: Json = {
    "model": "m",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "hi"}],
}
SEARCH: Json = {"type": "web_search_20250305", "name": "web_search"}
FUNCTION: Json = {"name": "web_search", "input_schema": {"type": "object"}}


def answer(request: httpx.Request) -> httpx.Response:
    if not request.url.path.endswith("/responses"):
        return completion()
    text = {"type": "output_text", "text": "hello", "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": [text]}
    body = {"id": "r", "object": "response", "status": "completed", "output": [item]}
    return httpx.Response(200, json=body)


@pytest.mark.parametrize(
    ("model", "tools", "path"),
    [
        ("gpt-4.1", [SEARCH], "/responses"),
        ("gpt-4.1", [{"type": "code_execution_20250825", "name": "code_execution"}], "/responses"),
        ("gpt-4.1", [FUNCTION], "/chat/completions"),
        ("gpt-4.1", [], "/chat/completions"),
        ("gpt-4.1-nano", [SEARCH], "/chat/completions"),
        ("gpt-3.5-turbo", [SEARCH], "/chat/completions"),
    ],
)
async def test_built_in_tools_choose_the_api_that_has_them(
    tmp_path: Path, model: str, tools: list[Json], path: str
) -> None:
    registry = snapshot(route("m", provider("a", preset="openai"), model=model))
    async with gateway(tmp_path, registry, a=answer) as gate:
        reply = await gate.post("/v1/messages", {**MESSAGES, "tools": tools})
        [sent] = gate.upstreams.requests
    assert sent.url.path == path
    assert reply.json()["content"] == [{"type": "text", "text": "hello"}]
    kinds = [tool["type"] for tool in json.loads(sent.content).get("tools", ())]
    if path == "/responses":
        assert kinds in (["web_search"], ["code_interpreter"])
        assert "x-dragoman-dropped" not in reply.headers
    elif tools == [SEARCH]:
        assert (kinds, reply.headers["x-dragoman-dropped"]) == ([], "tools[0]")


async def test_a_chat_client_stays_at_its_api(tmp_path: Path) -> None:
    registry = snapshot(route("m", provider("a", preset="openai"), model="gpt-4.1"))
    body = {"model": "m", "messages": MESSAGES["messages"], "web_search_options": {}}
    async with gateway(tmp_path, registry, a=answer) as gate:
        await gate.post("/v1/chat/completions", body)
        [sent] = gate.upstreams.requests
    assert sent.url.path == "/chat/completions"
