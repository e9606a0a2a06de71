"""The fakes of Mistral, chat templates and Azure refuse what the originals refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.templates import azure_refusal, mistral_refusal, template_refusal

SYSTEM = {"role": "system", "content": "Be kind."}
USER_MESSAGE = {"role": "user", "content": "Hi"}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "content": "42"}
ASSISTANT_MESSAGE = {"role": "assistant", "content": "Yes."}


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([USER_MESSAGE, SYSTEM], "Expected last role User or Tool"),
        ([USER_MESSAGE, ASSISTANT_MESSAGE], "but got assistant"),
        (
            [USER_MESSAGE, ASSISTANT_MESSAGE, SYSTEM, USER_MESSAGE],
            "Unexpected role 'system' after role 'assistant'",
        ),
        ([USER_MESSAGE, CALLED, RESULT, USER_MESSAGE], "Unexpected role 'user' after role 'tool'"),
        ([USER_MESSAGE, CALLED, RESULT, SYSTEM], "Unexpected role 'system' after role 'tool'"),
        ([USER_MESSAGE, CALLED, {**RESULT, "tool_call_id": "call_1"}], "with a length of 9"),
        (
            [USER_MESSAGE, {"role": "assistant", "content": ""}, USER_MESSAGE],
            "either content or tool_calls",
        ),
    ],
)
def test_mistral_refuses_an_order_of_messages(messages: list[Any], message: str) -> None:
    refusal = mistral_refusal({"model": "mistral-large-latest", "messages": messages})
    assert refusal is not None and message in refusal.message


def test_mistral_refuses_fields_it_does_not_know() -> None:
    refusal = mistral_refusal({"model": "m", "messages": [USER_MESSAGE], "user": "u"})
    assert refusal is not None and refusal.status == 422


@pytest.mark.parametrize(
    "messages",
    [
        [SYSTEM, USER_MESSAGE],
        [SYSTEM, USER_MESSAGE, CALLED, RESULT],
        [USER_MESSAGE, ASSISTANT_MESSAGE, USER_MESSAGE],
    ],
)
def test_an_ordinary_conversation_is_accepted(messages: list[Any]) -> None:
    assert mistral_refusal({"model": "m", "messages": messages}) is None
    assert template_refusal("qwen3", messages) is None


@pytest.mark.parametrize("model", ["Qwen/Qwen3-32B", "llama3.3", "google/gemma-3-27b-it"])
def test_a_template_refuses_later_system_messages(model: str) -> None:
    assert (
        template_refusal(model, [USER_MESSAGE, SYSTEM])
        == "System message must be at the beginning."
    )
    assert template_refusal("gpt-oss", [USER_MESSAGE, SYSTEM]) is None


@pytest.mark.parametrize("field", ["safety_identifier", "prompt_cache_key", "store"])
def test_azure_refuses_fields_newer_than_its_version(field: str) -> None:
    refusal = azure_refusal({"model": "gpt-4o", "messages": [USER_MESSAGE], field: "x"})
    assert refusal is not None and field in refusal.message
