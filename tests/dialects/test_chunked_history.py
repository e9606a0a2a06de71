"""Google's SDK stores each chunk of a streamed response as a separate content in its history."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from google.genai import types

from gateway.simulate import translate
from tests.fakes import anthropic_rules, openai_rules, responses_rules

Json = dict[str, Any]

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TARGETS = {
    "openai_chat": "gpt-4o",
    "openai_responses": "gpt-4o",
    "deepseek": "deepseek-chat",
    "mistral": "mistral-large-latest",
    "anthropic": "claude-opus-5-5",
    "bedrock": CLAUDE,
    "cohere": "command-a-03-2025",
    "ollama": "qwen3",
    "vllm": "qwen3",
    "openrouter": "openai/gpt-4o",
}
VERSION = {"anthropic-version": "2023-06-01"}
RULES: dict[str, Any] = {
    "openai_chat": openai_rules.refusal,
    "openai_responses": responses_rules.refusal,
    "deepseek": openai_rules.deepseek_refusal,
    "anthropic": lambda body: anthropic_rules.refusal(body, VERSION, counting=False),
}


def content(role: str, *parts: Json) -> Json:
    created_content = types.Content(role=role, parts=[types.Part(**part) for part in parts])
    return created_content.model_dump(mode="json", by_alias=True, exclude_none=True)


def streamed_history(*texts: str) -> list[Json]:
    """Return a streamed response as the SDK's history has it."""
    return [content("model", {"text": piece}) for piece in texts]


CALL = {"function_call": {"id": "c1", "name": "f", "args": {}}}
RESULT = {"function_response": {"id": "c1", "name": "f", "response": {"output": "r"}}}
HISTORY = [
    content("user", {"text": "q"}),
    *streamed_history("Hel", "lo,", " world", ".", ""),
    content("user", {"text": "more"}),
    *streamed_history("", "I ", "look. "),
    content("model", CALL),
    content("user", RESULT),
    *streamed_history(""),
    content("user", {"text": "go on"}),
]


@pytest.mark.parametrize("target", TARGETS)
def test_a_response_in_chunks_is_one_message(target: str) -> None:
    request = {"model": "gw", "contents": HISTORY, "generationConfig": {"maxOutputTokens": 99}}
    translation = translate.request("gemini", target, request, {}, TARGETS[target])
    body = translation["body"]
    messages = body.get("messages") or body["input"]
    responses = [m for m in messages if m.get("role") == "assistant" and "Hel" in repr(m)]
    assert len(responses) == 1
    assert '"Hello, world."' in msgspec.json.encode(responses).decode()
    sent_messages = [m for m in messages if m.get("role") == "assistant" and "look" in repr(m)]
    assert len(sent_messages) == 1
    assert '"I look. "' in msgspec.json.encode(sent_messages).decode()
    # Mistral wants a response between a result and what the user says.
    more = 1 if target == "mistral" else 0
    assert len([m for m in messages if m.get("role") == "assistant"]) == 2 + more
    assert '""' not in msgspec.json.encode([m.get("content") for m in messages]).decode()
    assert not [row for row in translation["report"] if row["action"] == "dropped"]
    if target in RULES:
        assert RULES[target](body) is None


def test_reasoning_and_response_chunks_stay_separate() -> None:
    contents = [
        content("user", {"text": "q"}),
        content("model", {"text": "hm", "thought": True}),
        content("model", {"text": "mm", "thought": True}),
        *streamed_history("a", "b"),
        content("user", {"text": "more"}),
    ]
    body = {"model": "gw", "contents": contents}
    translation = translate.request("gemini", "openai_chat", body, {}, "gpt-4o")
    assert translation["body"]["messages"][1] == {"role": "assistant", "content": "ab"}


def test_several_user_contents_stay_separate() -> None:
    contents = [content("user", {"text": "one"}), content("user", {"text": "two"})]
    translation = translate.request(
        "gemini", "openai_chat", {"model": "gw", "contents": contents}, {}, "gpt-4o"
    )
    texts = [m["content"][0]["text"] for m in translation["body"]["messages"]]
    assert texts == ["one", "two"]
