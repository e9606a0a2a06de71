"""Chat clients of the legacy form: `functions` and `function_call`, whole and streamed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.routing.cache_policy import CachePolicy
from gateway.simulate import translate
from tests.relay.harness import gateway, provider, route, snapshot, sse

Json = dict[str, Any]

CHAT = "/v1/chat/completions"
FUNCTIONS = [{"name": "f", "description": "F.", "parameters": {"type": "object"}}]
TOOLS = [{"type": "function", "function": FUNCTIONS[0]}]
MESSAGES = [{"role": "user", "content": "Hi"}]
CALLS = [
    {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
    {"functionCall": {"id": "c2", "name": "f", "args": {"a": 2}}},
]


def response(calls: list[Json], *, stream: bool) -> httpx.Response:
    content = {"role": "model", "parts": [{"text": "I call."}, *calls]}
    body = {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1},
    }
    if stream:
        return sse(b"data: " + json.dumps(body).encode() + b"\n\n")
    return httpx.Response(200, json=body)


async def post_calls(
    tmp_path: Path, calls: list[Json], *, stream: bool, **more: Any
) -> tuple[Any, Any]:
    """Return the client's response, and the log row."""
    maker = provider("a", "gemini", preset="gemini")
    registry = snapshot(route("m", maker, model="gemini-2.5-flash"))
    async with gateway(tmp_path, registry, a=lambda _: response(calls, stream=stream)) as live:
        request = {"model": "m", "messages": MESSAGES, "stream": stream, **more}
        reply = await live.post(CHAT, request)
        assert reply.status == 200, reply.body
        return reply, await live.record()


def chunks(body: bytes) -> list[ChatCompletionChunk]:
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n\n") if line]
    assert lines.pop() == b"[DONE]"
    return [ChatCompletionChunk.model_validate_json(line, strict=False) for line in lines]


@pytest.mark.parametrize("count", [1, 2], ids=["one_call", "two_calls"])
async def test_a_complete_response_calls_in_the_older_form(tmp_path: Path, count: int) -> None:
    reply, row = await post_calls(tmp_path, CALLS[:count], stream=False, functions=FUNCTIONS)
    choice = ChatCompletion.model_validate_json(reply.body).choices[0]
    assert choice.finish_reason == "function_call"
    assert choice.message.tool_calls is None
    assert choice.message.content == "I call."
    assert choice.message.function_call is not None
    assert choice.message.function_call.name == "f"
    assert json.loads(choice.message.function_call.arguments) == {"a": 1}
    losses = [item for item in row.adaptations if item["field"] == "tool_calls"]
    assert len(losses) == count - 1


@pytest.mark.parametrize("count", [1, 2], ids=["one_call", "two_calls"])
async def test_a_stream_calls_in_the_older_form(tmp_path: Path, count: int) -> None:
    reply, row = await post_calls(tmp_path, CALLS[:count], stream=True, functions=FUNCTIONS)
    choices = [chunk.choices[0] for chunk in chunks(reply.body)]
    assert choices[-1].finish_reason == "function_call"
    assert all(choice.delta.tool_calls is None for choice in choices)
    calls = [c.delta.function_call for c in choices if c.delta.function_call is not None]
    assert [call.name for call in calls if call.name] == ["f"]
    assert json.loads("".join(call.arguments or "" for call in calls)) == {"a": 1}
    losses = [item for item in row.adaptations if item["field"] == "tool_calls"]
    assert len(losses) == count - 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_response_without_a_function_call_ends_with_stop(
    tmp_path: Path, stream: bool
) -> None:
    reply, _ = await post_calls(tmp_path, [], stream=stream, functions=FUNCTIONS)
    assert b'"finish_reason":"stop"' in reply.body
    assert b"function_call" not in reply.body


@pytest.mark.parametrize("more", [{}, {"functions": []}, {"functions": FUNCTIONS}])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_client_that_sends_tools_gets_tool_calls(
    tmp_path: Path, stream: bool, more: Json
) -> None:
    reply, _ = await post_calls(tmp_path, CALLS, stream=stream, tools=TOOLS, **more)
    assert b'"finish_reason":"tool_calls"' in reply.body
    assert b'"c2"' in reply.body
    assert b"function_call" not in reply.body


async def test_a_stored_response_is_given_in_the_form_of_each_client(tmp_path: Path) -> None:
    maker = provider("a", "gemini", preset="gemini")
    cached_route = route("m", maker, model="gemini-2.5-flash", cache=CachePolicy())
    params = {"model": "m", "messages": MESSAGES}
    answering = {"a": lambda _: response(CALLS[:1], stream=False)}
    async with gateway(tmp_path, snapshot(cached_route), **answering) as live:
        older = await live.post(CHAT, {**params, "functions": FUNCTIONS})
        newer = await live.post(CHAT, {**params, "tools": TOOLS, "parallel_tool_calls": False})
    assert b'"function_call":{' in older.body
    assert newer.headers["x-dragoman-cache"] == "hit"
    assert b'"tool_calls":[' in newer.body


@pytest.mark.parametrize(
    ("target", "model", "field", "value"),
    [
        ("openai_responses", "gpt-4o", "parallel_tool_calls", False),
        ("deepseek", "deepseek-chat", "tool_choice", None),
        (
            "anthropic",
            "claude-opus-5-5",
            "tool_choice",
            {"type": "auto", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_functions_request_a_single_call_where_supported(
    target: str, model: str, field: str, value: Any
) -> None:
    body = {"model": "gw", "messages": MESSAGES, "functions": FUNCTIONS, "max_tokens": 99}
    translation = translate.request("openai_chat", target, body, {}, model)
    assert translation["body"].get(field) == value
    assert translation["report"] == []


def test_a_history_of_calls_in_the_older_form_is_accepted() -> None:
    call = {"name": "f", "arguments": '{"a":1}'}
    messages = [
        *MESSAGES,
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "f", "content": "one"},
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "f", "content": "two"},
    ]
    body = {"model": "gw", "messages": messages, "functions": FUNCTIONS, "max_tokens": 99}
    translation = translate.request("openai_chat", "anthropic", body, {}, "claude-opus-5-5")
    blocks = [block for m in translation["body"]["messages"] for block in m["content"]]
    ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
    results = [block for block in blocks if block["type"] == "tool_result"]
    assert [result["tool_use_id"] for result in results] == ids
    assert len(set(ids)) == 2
