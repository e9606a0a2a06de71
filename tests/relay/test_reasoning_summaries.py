"""Chat clients receive reasoning summaries from OpenAI models whose traits allow them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.relay.harness import gateway, provider, route, snapshot

Json = dict[str, Any]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
RESPONSE: Json = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5.6-sol",
    "status": "completed",
    "output": [
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "I count."}],
        },
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Three.", "annotations": []}],
        },
    ],
    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
}


async def sent_and_received(
    tmp_path: Path, path: str, body: Json, *, on: bool
) -> tuple[Json, Json]:
    """Return the upstream Responses request, and the client's response."""
    test_route = route("think", provider("up", preset="openai"), model="gpt-5.6-sol")
    (target,) = test_route.targets
    traits = msgspec.structs.replace(target.model.traits, reasoning_summaries=on)
    model = msgspec.structs.replace(target.model, traits=traits)
    targets = (msgspec.structs.replace(target, model=model),)
    registry = snapshot(msgspec.structs.replace(test_route, targets=targets))
    upstream_response = httpx.Response(200, json=RESPONSE)
    async with gateway(tmp_path, registry, up=lambda r: upstream_response) as live:
        response = await live.post(path, {"model": "think", **body})
        assert response.status == 200, response.body
        return json.loads(live.upstreams.requests[0].content), response.json()


CHAT: Json = {"messages": [{"role": "user", "content": "x"}], "tools": [TOOL]}


@pytest.mark.parametrize(
    ("more", "reasoning"),
    [
        ({}, {"summary": "auto"}),
        ({"reasoning_effort": "low"}, {"effort": "low", "summary": "auto"}),
        ({"reasoning": {"exclude": True}}, None),
    ],
    ids=["unasked", "effort", "not_wanted"],
)
async def test_a_chat_client_gets_reasoning_summaries(
    tmp_path: Path, more: Json, reasoning: Any
) -> None:
    upstream_body, client_body = await sent_and_received(
        tmp_path, "/v1/chat/completions", CHAT | more, on=True
    )
    assert upstream_body.get("reasoning") == reasoning
    if reasoning is not None:
        assert client_body["choices"][0]["message"]["reasoning_content"] == "I count."


async def test_no_reasoning_summary_is_requested_where_off(tmp_path: Path) -> None:
    upstream_body, _ = await sent_and_received(tmp_path, "/v1/chat/completions", CHAT, on=False)
    assert "reasoning" not in upstream_body


async def test_no_reasoning_summary_is_added_for_messages_and_responses_clients(
    tmp_path: Path,
) -> None:
    message = {"max_tokens": 50, "messages": CHAT["messages"]}
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    upstream_body, _ = await sent_and_received(
        tmp_path, "/v1/messages", message | {"tools": tools}, on=True
    )
    assert "summary" not in upstream_body.get("reasoning", {})
    upstream_body, _ = await sent_and_received(
        tmp_path / "own", "/v1/responses", {"input": "x"}, on=True
    )
    assert "reasoning" not in upstream_body
