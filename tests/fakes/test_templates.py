"""The fakes of Mistral, of chat templates and of Azure refuse what these refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.templates import azure_refusal, mistral_refusal, template_refusal

SYSTEM = {"role": "system", "content": "Be kind."}
ASKED = {"role": "user", "content": "Hi"}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "content": "42"}
SAID = {"role": "assistant", "content": "Yes."}


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([ASKED, SYSTEM], "Expected last role User or Tool"),
        ([ASKED, SAID], "but got assistant"),
        ([ASKED, SAID, SYSTEM, ASKED], "Unexpected role 'system' after role 'assistant'"),
        ([ASKED, CALLED, RESULT, ASKED], "Unexpected role 'user' after role 'tool'"),
        ([ASKED, CALLED, RESULT, SYSTEM], "Unexpected role 'system' after role 'tool'"),
        ([ASKED, CALLED, {**RESULT, "tool_call_id": "call_1"}], "with a length of 9"),
        ([ASKED, {"role": "assistant", "content": ""}, ASKED], "either content or tool_calls"),
    ],
)
def test_mistral_refuses_an_order_of_messages(messages: list[Any], words: str) -> None:
    refused = mistral_refusal({"model": "mistral-large-latest", "messages": messages})
    assert refused is not None and words in refused.message


def test_mistral_refuses_fields_it_does_not_know() -> None:
    refused = mistral_refusal({"model": "m", "messages": [ASKED], "user": "u"})
    assert refused is not None and refused.status == 422


@pytest.mark.parametrize(
    "messages", [[SYSTEM, ASKED], [SYSTEM, ASKED, CALLED, RESULT], [ASKED, SAID, ASKED]]
)
def test_an_ordinary_conversation_is_taken(messages: list[Any]) -> None:
    assert mistral_refusal({"model": "m", "messages": messages}) is None
    assert template_refusal("qwen3", messages) is None


@pytest.mark.parametrize("model", ["Qwen/Qwen3-32B", "llama3.3", "google/gemma-3-27b-it"])
def test_a_template_refuses_later_system_messages(model: str) -> None:
    assert template_refusal(model, [ASKED, SYSTEM]) == "System message must be at the beginning."
    assert template_refusal("gpt-oss", [ASKED, SYSTEM]) is None


@pytest.mark.parametrize("field", ["safety_identifier", "prompt_cache_key", "store"])
def test_azure_refuses_fields_newer_than_its_version(field: str) -> None:
    refused = azure_refusal({"model": "gpt-4o", "messages": [ASKED], field: "x"})
    assert refused is not None and field in refused.message
