"""Calls in a history whose arguments are not a JSON object, for every provider API.

A model's call that was cut off stays in the history. vLLM, SGLang, llama.cpp and others parse
the arguments again and refuse the conversation in every later turn (vllm-project/vllm#48922,
sgl-project/sglang#28035); OpenAI does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.dialects import DIALECTS
from gateway.providers.capabilities import traits_for

MALFORMED = ['{"city": "Par', "Paris", '["Paris"]', '"Paris"', '{"x": NaN}', '{"x":1}{"x":1}']
TARGETS = {
    "vllm": ("openai_chat", "vllm", "qwen3"),
    "mistral": ("openai_chat", "mistral", "mistral-large-latest"),
    "deepseek": ("openai_chat", "deepseek", "deepseek-chat"),
    "custom": ("openai_chat", "custom-openai", "any"),
    "custom responses": ("openai_responses", "custom-openai", "any"),
    "anthropic": ("anthropic_messages", "anthropic", "claude-sonnet-5"),
    "gemini": ("gemini", "gemini", "gemini-2.5-pro"),
    "cohere": ("cohere", "cohere", "command-a-03-2025"),
    "bedrock": ("bedrock_converse", "bedrock", "us.amazon.nova-pro-v1:0"),
    "ollama": ("ollama", "ollama", "qwen3:8b"),
}


def history(arguments: str) -> dict[str, Any]:
    """Return a Chat request with a call of these arguments and its result."""
    function = {"name": "weather", "arguments": arguments}
    call = {"id": "call_1", "type": "function", "function": function}
    return {
        "model": "m",
        "messages": [
            {"role": "user", "content": "The weather?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "invalid arguments"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}],
    }


def sent_arguments(value: Any) -> Iterator[Any]:
    """Yield the arguments of the calls in a body: those of its messages, not of its tools."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in {"arguments", "input", "args"} and not isinstance(item, list):
                yield item
            elif key != "tools":
                yield from sent_arguments(item)
    elif isinstance(value, list):
        for item in value:
            yield from sent_arguments(item)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("arguments", MALFORMED)
def test_a_provider_gets_an_object_with_the_text_and_a_report(target: str, arguments: str) -> None:
    dialect, preset, model = TARGETS[target]
    request = DIALECTS["openai_chat"].client.parse_request(history(arguments), {})
    rendered_request = DIALECTS[dialect].provider.render_request(request, traits_for(preset, model))
    [sent] = sent_arguments(rendered_request.body)
    assert (json.loads(sent) if isinstance(sent, str) else sent) == {"_raw": arguments}
    reasons = [a.reason for a in rendered_request.report if a.path == "messages[1].tool_calls[0]"]
    assert reasons == ["the arguments are not a JSON object; sent as `_raw`"]


@pytest.mark.parametrize("dialect", ["openai_chat", "openai_responses"])
@pytest.mark.parametrize("preset", ["openai", "azure_openai"])
@pytest.mark.parametrize("arguments", MALFORMED)
def test_openai_gets_the_text_itself(dialect: str, preset: str, arguments: str) -> None:
    request = DIALECTS["openai_chat"].client.parse_request(history(arguments), {})
    rendered_request = DIALECTS[dialect].provider.render_request(
        request, traits_for(preset, "gpt-4.1")
    )
    assert list(sent_arguments(rendered_request.body)) == [arguments]
    assert rendered_request.report == ()
