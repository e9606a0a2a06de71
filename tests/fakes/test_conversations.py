"""The fakes accept what their services accept back: chunks of a stream, results of each form."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.fakes import Call, ScriptedResponse, StrictGemini
from tests.fakes.bedrock import BEARER, StrictBedrock
from tests.fakes.bedrock_rules import CLAUDE
from tests.fakes.cohere import StrictCohere
from tests.fakes.cohere_rules import PLAIN

CALLS = (Call("f", {"a": 1}, "call_1"), Call("f", {"a": 2}, "call_2"))
RESPONSE = ScriptedResponse(
    text="I look.", calls=CALLS, then=ScriptedResponse(text="It is: {results}")
)
FUNCTIONS = [{"functionDeclarations": [{"name": "f"}]}]
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize("model", ["gemini-3.8-flash", "gemini-2.5-flash"])
def test_gemini_accepts_each_chunk_of_a_stream_as_a_content(model: str) -> None:
    """Google's SDK for JavaScript sends back the chunks as they came, the empty text too."""
    user = {"role": "user", "parts": [{"text": "Hi"}]}
    with StrictGemini() as server:
        server.script.on("Hi", RESPONSE)
        headers = {"x-goog-api-key": server.key}
        url = f"{server.url}/v1beta/models/{model}"
        streamed = httpx.post(
            f"{url}:streamGenerateContent?alt=sse",
            json={"contents": [user], "tools": FUNCTIONS},
            headers=headers,
        )
        lines = [line for line in streamed.text.splitlines() if line]
        chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
        contents = [chunk["candidates"][0]["content"] for chunk in chunks]
        results = [
            {"functionResponse": {"id": call.id, "name": "f", "response": {"output": call.id}}}
            for call in CALLS
        ]
        body = {
            "contents": [user, *contents, *({"role": "user", "parts": [r]} for r in results)],
            "tools": FUNCTIONS,
        }
        response = httpx.post(f"{url}:generateContent", json=body, headers=headers)
    assert len(contents) > len(CALLS)
    assert response.status_code == 200, response.text
    (part,) = response.json()["candidates"][0]["content"]["parts"]
    assert part["text"] == "It is: call_1 | call_2"


def test_gemini_refuses_an_empty_text_of_the_user() -> None:
    contents = [{"role": "user", "parts": [{"text": ""}]}]
    with StrictGemini() as server:
        response = httpx.post(
            f"{server.url}/v1beta/models/gemini-3.8-flash:generateContent",
            json={"contents": contents},
            headers={"x-goog-api-key": server.key},
        )
    assert "empty text parameter" in response.text


def test_bedrock_reads_json_results() -> None:
    results = [{"json": {"sky": "blue"}}], [{"text": "warm"}, {"json": {"wind": 3}}]
    blocks = [
        {"toolResult": {"toolUseId": call.id, "content": content}}
        for call, content in zip(CALLS, results, strict=True)
    ]
    uses = [
        {"toolUse": {"toolUseId": call.id, "name": "f", "input": call.object}} for call in CALLS
    ]
    body = {
        "messages": [
            {"role": "user", "content": [{"text": "Hi"}]},
            {"role": "assistant", "content": uses},
            {"role": "user", "content": blocks},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": SCHEMA}}}]},
    }
    with StrictBedrock() as server:
        server.script.on("Hi", RESPONSE)
        url = f"{server.url}/model/{CLAUDE.replace(':', '%3A')}/converse"
        response = httpx.post(url, json=body, headers={"authorization": f"Bearer {BEARER}"})
    assert response.status_code == 200, response.text
    (block,) = response.json()["output"]["message"]["content"]
    assert block["text"] == 'It is: {"sky": "blue"} | warm\n{"wind": 3}'


def test_cohere_reads_results_that_are_documents() -> None:
    document = {"type": "document", "document": {"data": {"sky": "blue"}}}
    tool_calls = [
        {"id": call.id, "type": "function", "function": {"name": "f", "arguments": call.text}}
        for call in CALLS
    ]
    body = {
        "model": PLAIN,
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": tool_calls},
            {"role": "tool", "tool_call_id": "call_1", "content": [document]},
            {"role": "tool", "tool_call_id": "call_2", "content": "warm"},
        ],
    }
    with StrictCohere() as server:
        server.script.on("Hi", RESPONSE)
        headers = {"authorization": f"Bearer {server.key}"}
        response = httpx.post(f"{server.url}/v2/chat", json=body, headers=headers)
    assert response.status_code == 200, response.text
    (item,) = response.json()["message"]["content"]
    assert item["text"] == 'It is: {"sky": "blue"} | warm'
