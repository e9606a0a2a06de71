"""Tools of one name: several providers refuse them, and answer without the field."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.simulate import translate
from tests.each import each

Json = dict[str, Any]

MODELS = {
    "anthropic": "claude-opus-5-5",
    "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-a-03-2025",
    "gemini": "gemini-3.8-flash",
}
MESSAGES = [{"role": "user", "content": "hi"}]


def chat(*descriptions: str) -> Json:
    """Return a request with a tool of the same name for each description."""
    functions = [{"name": "f", "description": text} for text in descriptions]
    tools = [{"type": "function", "function": function} for function in functions]
    return {"model": "m", "messages": MESSAGES, "tools": tools}


@each("target", list(MODELS))
def test_two_tools_of_one_name_are_an_error_with_the_field(target: str) -> None:
    with pytest.raises(GatewayError) as raised:
        translate.request("openai_chat", target, chat("one", "two"), {}, MODELS[target])
    error = raised.value.error
    assert (error.kind, error.param) == ("unsupported_param", "tools[1]")
    assert "tools[0] is named 'f' too" in error.message


@each("target", list(MODELS))
def test_a_repeated_tool_is_sent_once_and_reported(target: str) -> None:
    request = chat("one", "one")
    translation = translate.request("openai_chat", target, request, {}, MODELS[target])
    assert str(translation["body"]).count("'one'") == 1
    rows = translation["report"]
    assert ("tools[1]", "dropped") in {(row["field"], row["action"]) for row in rows}


@each(("target", "model"), [("ollama", "qwen3"), ("openai_responses", "gpt-5.6-sol")])
def test_targets_that_accept_tools_of_one_name_are_sent_them(target: str, model: str) -> None:
    body = translate.request("openai_chat", target, chat("one", "two"), {}, model)["body"]
    assert len(body["tools"]) == 2


def test_two_functions_of_a_responses_client_are_both_kept() -> None:
    functions = [{"type": "function", "name": "f", "description": d} for d in ("one", "two")]
    request = {"model": "m", "input": "hi", "tools": functions}
    body = translate.request("openai_responses", "openai_chat", request, {}, "gpt-4.1")["body"]
    assert [tool["function"]["description"] for tool in body["tools"]] == ["one", "two"]


def test_the_last_of_the_tools_in_the_items_is_used() -> None:
    """Codex sends its tools as an item of each turn."""
    items: list[Json] = [
        {"type": "additional_tools", "role": "developer", "tools": [{**FUNCTION, "description": d}]}
        for d in ("one", "two")
    ]
    user = {"role": "user", "content": "hi"}
    request = {"model": "m", "input": [items[0], user, items[1], user], "tools": [FUNCTION]}
    body = translate.request("openai_responses", "anthropic", request, {}, MODELS["anthropic"])
    assert [tool["description"] for tool in body["body"]["tools"]] == ["two"]


FUNCTION: Json = {"type": "function", "name": "f"}
