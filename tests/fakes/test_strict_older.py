"""The fakes of Ollama and OpenAI's legacy APIs refuse what the services refuse."""

from __future__ import annotations

from typing import Any

import httpx
import ollama
import openai
import pytest

from tests.fakes.ollama import StrictOllama
from tests.fakes.openai_older import StrictOlderOpenAI

USER = {"role": "user", "content": "hi"}
CALL = {"function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("chat", {"model": "nobody"}, "not found"),
        ("chat", {"messages": [{"role": "wizard", "content": "x"}]}, "invalid role"),
        ("chat", {"messages": [{**USER, "content": [{"type": "text"}]}]}, "cannot unmarshal"),
        ("chat", {"messages": [{**USER, "images": ["no base64"]}]}, "illegal base64"),
        ("chat", {"messages": [{**USER, "mood": 1}]}, "unknown field"),
        ("chat", {"messages": [{**USER, "tool_calls": [CALL]}]}, "cannot unmarshal string"),
        ("chat", {"max_tokens": 5}, "unknown field"),
        ("chat", {"think": True}, "does not support thinking"),
        ("chat", {"options": {"num_predict": 1.5}}, "must be of type integer"),
        ("chat", {"options": {"stop": "x"}}, "must be of type array"),
        ("embed", {"input": [[1, 2]]}, "cannot unmarshal"),
        ("pull", {}, "404"),
    ],
)
def test_an_ollama_refuses(path: str, body: dict[str, Any], message: str) -> None:
    request_body = {"model": "llama3.2", **({"messages": [USER]} if path == "chat" else {}), **body}
    with StrictOllama() as server:
        response = httpx.post(f"{server.url}/api/{path}", json=request_body)
    assert response.status_code in {400, 404}
    assert message in response.json()["error"]


def test_the_ollama_sdk_is_served() -> None:
    with StrictOllama() as server, ollama.Client(host=server.url) as client:
        rows = list(client.chat(model="qwen3", messages=[USER], stream=True, think=True))
        vectors = client.embed(model="nomic-embed-text", input="abc").embeddings
    assert "".join(r.message.content or "" for r in rows) == "Hello from the strict upstream."
    assert vectors[0][0] == 3.0


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("completions", {"prompt": "x", "messages": []}, "messages"),
        ("completions", {"prompt": "x", "stop": list("abcde")}, "too long"),
        ("completions", {"prompt": "x", "logprobs": 9}, "between 0 and 5"),
        ("completions", {"prompt": "x", "stream_options": {}}, "only allowed"),
        ("completions", {"prompt": "x", "model": "gpt-4o"}, "does not exist"),
        ("embeddings", {"input": ""}, "invalid"),
        ("embeddings", {"input": []}, "invalid"),
        ("embeddings", {"input": "x", "truncate": True}, "truncate"),
        ("embeddings", {"input": "x", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_openai_refuses(path: str, body: dict[str, Any], message: str) -> None:
    models = {"completions": "davinci-002", "embeddings": "text-embedding-3-small"}
    with StrictOlderOpenAI() as server:
        headers = {"authorization": f"Bearer {server.key}"}
        request_body = {"model": models[path], **body}
        response = httpx.post(f"{server.url}/v1/{path}", json=request_body, headers=headers)
    assert response.status_code in {400, 404}
    assert message in response.json()["error"]["message"]


def test_the_openai_sdk_is_served() -> None:
    with (
        StrictOlderOpenAI() as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key) as client,
    ):
        response = client.embeddings.create(model="text-embedding-3-small", input=["a", "bb"])
        text = client.completions.create(model="davinci-002", prompt="x").choices[0].text
    assert [row.embedding[0] for row in response.data] == [1.0, 2.0]
    assert text == "Hello from the strict upstream."
