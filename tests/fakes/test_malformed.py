"""A fake refuses a body that it cannot read, as the services do, and never breaks on it."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.dialects.crossing.upstreams import UPSTREAMS, fake_response
from tests.fakes.script import ScriptedResponse
from tests.fakes.server import Server

Json = dict[str, Any]
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CHAT_TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
CONTENTS = [
    {"role": "user", "parts": [{"text": "hi"}]},
    {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
    {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "x"}}}]},
]
MESSAGES = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "a", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "x"},
]
OLLAMA_CALL = {"function": {"name": "f", "arguments": {}}}
REQUESTS: dict[str, tuple[str, Json]] = {
    "openai_chat": ("/v1/chat/completions", {"messages": MESSAGES, "tools": [CHAT_TOOL]}),
    "openai_chat/deepseek": ("/v1/chat/completions", {"messages": MESSAGES, "tools": [CHAT_TOOL]}),
    "openai_responses": (
        "/v1/responses",
        {
            "input": [
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "x"},
            ],
            "tools": [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": False}],
        },
    ),
    "openai_completions": ("/v1/completions", {"prompt": ["x"], "stop": ["y"]}),
    "anthropic_messages": (
        "/v1/messages",
        {
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "x"}],
                },
            ],
            "tools": [{"name": "f", "input_schema": SCHEMA, "strict": False}],
        },
    ),
    "gemini": (
        "/v1beta/models/gemini-2.5-pro:generateContent",
        {
            "contents": CONTENTS,
            "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}],
            "generationConfig": {"temperature": 1, "candidateCount": 1},
        },
    ),
    "ollama": (
        "/api/chat",
        {
            "messages": [
                {"role": "user", "content": "hi", "images": ["AAAA"]},
                {"role": "assistant", "content": "", "tool_calls": [OLLAMA_CALL]},
                {"role": "tool", "tool_name": "f", "content": "x"},
            ],
            "stream": False,
        },
    ),
    "bedrock_converse": (
        "/model/{model}/converse",
        {
            "messages": [
                {"role": "user", "content": [{"text": "hi"}]},
                {
                    "role": "assistant",
                    "content": [{"toolUse": {"toolUseId": "c1", "name": "f", "input": {}}}],
                },
                {
                    "role": "user",
                    "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "x"}]}}],
                },
            ],
            "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": SCHEMA}}}]},
            "additionalModelRequestFields": {"thinking": {"type": "disabled"}},
        },
    ),
    "cohere": ("/v2/chat", {"messages": MESSAGES, "tools": [CHAT_TOOL]}),
}
ABSENT = object()
WRONG_VALUES = (ABSENT, None, "x", 3, True, [{}], {"a": 1})


def malformed(value: Any) -> Iterator[Any]:
    """Return copies of JSON with a wrong value, or none, at each path."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        for wrong_value in WRONG_VALUES:
            changed = copy.copy(value)
            if wrong_value is ABSENT:
                del changed[key]
            else:
                changed[key] = wrong_value
            yield changed
        if isinstance(value[key], dict | list):
            for inner in malformed(value[key]):
                changed = copy.copy(value)
                changed[key] = inner
                yield changed


def send(fake: Server, upstream: str, path: str, body: Json) -> httpx.Response:
    key = UPSTREAMS[upstream].key
    headers = {
        "authorization": f"Bearer {key}",
        "x-goog-api-key": key,
        "anthropic-version": "2023-06-01",
    }
    request = httpx.Request("POST", f"http://fake.test{path}", json=body, headers=headers)
    return asyncio.run(fake_response(fake, request))


@pytest.mark.parametrize("upstream", list(REQUESTS))
def test_a_malformed_body_is_refused_or_read(upstream: str) -> None:
    path, fields = REQUESTS[upstream]
    model = UPSTREAMS[upstream].model("")
    path = path.format(model=model)
    body = fields if "model" in path else {"model": model, **fields}
    fake = UPSTREAMS[upstream].fake()
    assert send(fake, upstream, path, body).status_code == 200
    statuses = {send(fake, upstream, path, changed).status_code for changed in malformed(body)}
    assert statuses <= {200, 400, 404, 422}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_gemini_returns_the_requested_candidates(stream: bool) -> None:
    fake = UPSTREAMS["gemini"].fake()
    fake.script.default = ScriptedResponse(text="hello")  # type: ignore[attr-defined]
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    body = {"contents": CONTENTS[:1], "generationConfig": {"candidateCount": 2}}
    response = send(fake, "gemini", f"/v1beta/models/gemini-2.5-pro:{verb}", body)
    data = asyncio.run(response.aread())
    chunks = [json.loads(line[6:]) for line in data.split(b"\r\n") if line.startswith(b"data: ")]
    for chunk in chunks if stream else [json.loads(data)]:
        assert [candidate["index"] for candidate in chunk["candidates"]] == [0, 1]
