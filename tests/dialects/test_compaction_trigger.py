"""Requests to compact a conversation, which Codex sends to what it takes for OpenAI.

Another provider would answer the conversation instead, and the whole of it would be billed.
"""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.simulate import translate
from tests.each import each

Json = dict[str, Any]

TARGETS = {
    "deepseek": "deepseek-v4-pro",
    "openai_completions": "gpt-3.5-turbo-instruct",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-3.8-flash",
    "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-a-03-2025",
    "ollama": "qwen3",
}


def compaction_request() -> Json:
    message = {"type": "message", "role": "user", "content": "Hello"}
    return {"model": "gw", "input": [message, {"type": "compaction_trigger"}]}


@each("target", TARGETS)
def test_other_providers_refuse_to_compact(target: str) -> None:
    with pytest.raises(GatewayError) as refused:
        translate.request("openai_responses", target, compaction_request(), {}, TARGETS[target])
    assert refused.value.error.kind == "unsupported_param"
    assert refused.value.error.param == "input[1]"
    assert "model_providers" in refused.value.error.message


def test_openai_gets_the_trigger() -> None:
    translation = translate.request(
        "openai_responses", "openai_responses", compaction_request(), {}, "gpt-5.6-sol"
    )
    assert translation["body"]["input"][-1] == {"type": "compaction_trigger"}
