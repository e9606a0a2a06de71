"""The texts of request and response bodies in all dialects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.guardrails.body_texts import map_texts, replace_texts, texts_of

CHAT = {
    "model": "SECRET-model",
    "user": "SECRET-user",
    "messages": [
        {"role": "system", "content": "one"},
        {
            "role": "user",
            "name": "n",
            "content": [
                {"type": "text", "text": "two"},
                {"type": "image_url", "image_url": {"url": "https://x.test/SECRET"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"id": "three", "n": 1}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "four"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "five",
                "parameters": {
                    "type": "object",
                    "properties": {"id": {"type": "string", "description": "six"}},
                },
            },
        }
    ],
}
ANTHROPIC = {
    "system": [{"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "two"},
                },
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "SECRET"},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "three", "signature": "SECRET"},
                {
                    "type": "tool_use",
                    "id": "t",
                    "name": "f",
                    "input": {"name": "four", "url": "five"},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [{"type": "text", "text": "six"}],
                },
            ],
        },
    ],
}
RESPONSES = {
    "instructions": "one",
    "input": [
        {
            "type": "message",
            "role": "user",
            "id": "m",
            "content": [{"type": "input_text", "text": "two"}],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": "three"}'},
        {"type": "function_call_output", "call_id": "c", "output": "four"},
    ],
    "text": {"format": {"type": "text"}, "verbosity": "low"},
}
GEMINI = {
    "systemInstruction": {"parts": [{"text": "one"}]},
    "contents": [
        {
            "role": "user",
            "parts": [{"text": "two"}, {"inlineData": {"mimeType": "image/png", "data": "SECRET"}}],
        },
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"name": "three"}}}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": "f", "response": {"id": "four"}}}],
        },
    ],
    "generationConfig": {"responseMimeType": "text/plain"},
}
OLLAMA = {"prompt": "one", "images": ["SECRET"], "system": "two", "options": {"stop": ["x"]}}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "SECRET"}]},
            "message": {"role": "assistant", "content": "one", "refusal": None},
        }
    ],
}


@pytest.mark.parametrize(
    ("body", "count"),
    [(CHAT, 6), (ANTHROPIC, 6), (RESPONSES, 4), (GEMINI, 4), (OLLAMA, 2), (ANSWER, 1)],
    ids=["chat", "anthropic", "responses", "gemini", "ollama", "answer"],
)
def test_all_texts_are_found_and_nothing_else(body: dict[str, Any], count: int) -> None:
    expected = ["one", "two", "three", "four", "five", "six"][:count]
    assert texts_of(body) == expected


@pytest.mark.parametrize("body", [CHAT, ANTHROPIC, RESPONSES, GEMINI, OLLAMA, ANSWER])
def test_texts_are_replaced_in_place(body: dict[str, Any]) -> None:
    replaced = replace_texts(body, [text.upper() for text in texts_of(body)])
    assert texts_of(replaced) == [text.upper() for text in texts_of(body)]
    for word in ("one", "two", "three", "four", "five", "six"):
        assert json.dumps(replaced).lower() == json.dumps(replaced).replace(word, word).lower()
    restored = replace_texts(replaced, texts_of(body))
    assert _normal(restored) == _normal(body)


def _normal(body: Any) -> str:
    """The body, with JSON in strings in one spelling."""
    return json.dumps(body).replace('\\": ', '\\":').replace(', \\"', ',\\"')


def test_a_body_without_changes_is_the_same_object() -> None:
    assert map_texts(CHAT, lambda text: text) is CHAT


def test_an_unknown_field_is_checked() -> None:
    assert texts_of({"messages": [], "new_field": {"hidden": "one"}}) == ["one"]
