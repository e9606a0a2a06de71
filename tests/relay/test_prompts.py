"""Stored prompts called by name in each dialect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.prompts.prompt import Message, Parameters, Prompt, PromptVersion
from tests.relay.harness import completion, gateway, provider, route, snapshot

MESSAGES = (
    Message("system", "Answer about {{ city }}."),
    Message("user", "Hello"),
    Message("assistant", "Hi, ask me about {{city}}."),
)
FIRST = PromptVersion(number=1, messages=(Message("system", "Be brief."),))
SECOND = PromptVersion(
    number=2,
    messages=MESSAGES,
    parameters=Parameters(temperature=0.25, max_tokens=77, stop=("END",)),
    model="r",
)
PROMPT = Prompt(name="support", active=2, versions={1: FIRST, 2: SECOND})
REFERENCE = {"id": "support", "variables": {"city": "Oslo"}}
EXPECTED = [
    ("system", "Answer about Oslo."),
    ("user", "Hello"),
    ("assistant", "Hi, ask me about Oslo."),
    ("user", "Weather?"),
]


def registry(**changes: Any) -> Any:
    return snapshot(
        route("r", provider("one", preset="custom", **changes)), prompts={"support": PROMPT}
    )


def text_of(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@pytest.mark.parametrize(
    ("path", "body", "limit"),
    [
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "Weather?"}], "max_tokens": 5},
            5,
        ),
        ("/v1/messages", {"messages": [{"role": "user", "content": "Weather?"}]}, 77),
        ("/v1/responses", {"input": "Weather?", "prompt": REFERENCE}, 77),
        ("/api/chat", {"messages": [{"role": "user", "content": "Weather?"}]}, 77),
        (
            "/v1beta/models/r:generateContent",
            {"contents": [{"role": "user", "parts": [{"text": "Weather?"}]}]},
            77,
        ),
    ],
    ids=["chat", "messages", "responses", "ollama", "gemini"],
)
async def test_each_dialect_calls_a_prompt_by_name(
    tmp_path: Path, path: str, body: dict[str, Any], limit: int
) -> None:
    if "prompt" not in body:
        body = {**body, "dragoman": {"prompt": REFERENCE}}
    if path == "/api/chat":
        body = {**body, "stream": False}
    async with gateway(tmp_path, registry(), one=lambda _: completion()) as live:
        reply = await live.post(path, body)
        assert reply.status == 200, reply.body
        upstream_body = json.loads(live.upstreams.requests[0].content)
    assert [(m["role"], text_of(m["content"])) for m in upstream_body["messages"]] == EXPECTED
    assert upstream_body["temperature"] == 0.25
    assert upstream_body.get("max_completion_tokens", upstream_body.get("max_tokens")) == limit
    if path != "/v1/responses":  # that format has no stop sequences
        assert upstream_body["stop"] in ("END", ["END"])
    assert not {"prompt", "dragoman"} & upstream_body.keys()
    assert live.records[0].tags == ["prompt:support@2"]


async def test_prompts_pass_through_to_anthropic(tmp_path: Path) -> None:
    response = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    target_provider = provider("one", "anthropic_messages")
    registry = snapshot(
        route("r", target_provider, model="claude-sonnet-4-5"), prompts={"support": PROMPT}
    )
    body = {
        "system": "Be kind.",
        "messages": [{"role": "user", "content": "Weather?"}],
        "dragoman": {"prompt": {"name": "support", "variables": {"city": "Oslo"}}},
    }
    reply_of = lambda _: httpx.Response(200, json=response)  # noqa: E731
    async with gateway(tmp_path, registry, one=reply_of) as live:
        reply = await live.post("/v1/messages", body)
        assert reply.status == 200, reply.body
        upstream_body = json.loads(live.upstreams.requests[0].content)
    assert [block["text"] for block in upstream_body["system"]] == [
        "Answer about Oslo.",
        "Be kind.",
    ]
    assert [m["role"] for m in upstream_body["messages"]] == ["user", "assistant", "user"]
    assert (upstream_body["max_tokens"], upstream_body["stop_sequences"]) == (77, ["END"])


async def test_a_prompt_reference_may_name_a_version(tmp_path: Path) -> None:
    prompt = {"id": "support", "version": "1"}
    async with gateway(tmp_path, registry(), one=lambda _: completion()) as live:
        reply = await live.post("/v1/responses", {"model": "r", "input": "x", "prompt": prompt})
        assert reply.status == 200, reply.body
        upstream_body = json.loads(live.upstreams.requests[0].content)
    assert next(m["content"] for m in upstream_body["messages"]) == "Be brief."


@pytest.mark.parametrize(
    ("options", "status", "param", "text"),
    [
        ({"prompt": {"id": "gone"}}, 404, "dragoman.prompt.id", "no stored prompt `gone`"),
        ({"prompt": {"id": "support", "version": 9}}, 404, "dragoman.prompt.version", "version 9"),
        ({"prompt": {"id": "support", "version": "x"}}, 400, "dragoman.prompt.version", "number"),
        ({"prompt": {"id": "support"}}, 400, "dragoman.prompt.variables.city", "city"),
        ({"prompt": {"id": "support", "color": 1}}, 400, "dragoman.prompt", "prompt.color"),
        ({"prompt": {}}, 400, "dragoman.prompt.id", "is required"),
        ({"prompt": "support"}, 400, "dragoman.prompt", "must be an object"),
        ({"cache": 1}, 400, "dragoman", "dragoman.cache"),
        ([], 400, "dragoman", "must be an object"),
    ],
)
async def test_an_invalid_reference_names_its_field(
    tmp_path: Path, options: Any, status: int, param: str, text: str
) -> None:
    body = {"model": "r", "messages": [], "dragoman": options}
    async with gateway(tmp_path, registry(), one=lambda _: completion()) as live:
        reply = await live.post("/v1/chat/completions", body)
        assert live.upstreams.requests == []
    error = reply.json()["error"]
    assert (reply.status, error["param"]) == (status, param)
    assert text in error["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "r", "input": "x"}),
        ("/v1/completions", {"model": "r", "prompt": "x"}),
        ("/api/generate", {"model": "r", "prompt": "x"}),
    ],
)
async def test_requests_without_messages_have_no_prompt(
    tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    body = {**body, "dragoman": {"prompt": REFERENCE}}
    async with gateway(tmp_path, registry(), one=lambda _: completion()) as live:
        reply = await live.post(path, body)
    assert reply.status == 400
    assert b"requests with messages only" in reply.body


async def test_a_prompt_of_openai_passes_through(tmp_path: Path) -> None:
    target_provider = provider("one", "openai_responses", preset="openai")
    response = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "gpt-4.1",
        "output": [],
        "usage": {"input_tokens": 1, "output_tokens": 0},
    }
    body = {"model": "r", "prompt": {"id": "pmpt_1", "version": "2"}, "input": "x"}
    reply_of = lambda _: httpx.Response(200, json=response)  # noqa: E731
    async with gateway(tmp_path, snapshot(route("r", target_provider)), one=reply_of) as live:
        reply = await live.post("/v1/responses", body)
        assert reply.status == 200, reply.body
        upstream_body = json.loads(live.upstreams.requests[0].content)
    assert upstream_body["prompt"] == body["prompt"]
