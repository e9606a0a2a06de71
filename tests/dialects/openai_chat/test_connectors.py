"""Responses of Mistral with tools that it ran itself: `messages` in place of `message`."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.request import Native, Text, ToolCall
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_chat import DIALECT

Json = dict[str, Any]


def call(call_id: str, name: str) -> Json:
    return {"id": call_id, "function": {"name": name, "arguments": '{"q": "x"}'}}


SEARCH: list[Json] = [
    {"role": "assistant", "content": "", "tool_calls": [call("a1", "web_search")]},
    {"role": "tool", "tool_call_id": "a1", "content": "found"},
]


def parse(*messages: Any, finish_reason: str = "stop") -> Response:
    choice = {"index": 0, "finish_reason": finish_reason, "messages": list(messages)}
    body = {"id": "1", "model": "mistral-large", "choices": [choice]}
    return DIALECT.provider.parse_response(body, Traits(), None)


def test_the_text_after_a_tool_that_mistral_ran_is_the_response():
    """docs.mistral.ai, Using Connectors in Chat Completions."""
    reference = {"type": "text", "text": "It is x."}
    response = parse(*SEARCH, {"role": "assistant", "content": [reference]})
    native, text = response.parts
    assert text == Text(text="It is x.")
    assert isinstance(native, Native)
    assert response.finish.reason == "stop"
    context = ResponseContext(id="1", created=1, model="m")
    body, report = DIALECT.client.render_response(response, context)
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": "It is x.",
        "refusal": None,
    }
    assert [(row.path, row.action) for row in report] == [("content.tool.execution", "dropped")]


def test_a_call_without_a_result_is_the_clients():
    message = {"role": "assistant", "content": "Wait", "tool_calls": [call("b2", "f")]}
    response = parse(*SEARCH, message, finish_reason="tool_calls")
    assert [type(part) for part in response.parts] == [Native, Text, ToolCall]
    assert response.parts[2] == ToolCall(id="b2", name="f", arguments={"q": "x"})
    assert response.finish.reason == "tool"


def test_a_call_with_an_id_of_a_wrong_type_is_the_clients():
    message = {"role": "assistant", "content": "", "tool_calls": [{**call("", "f"), "id": ["x"]}]}
    assert [type(part) for part in parse(*SEARCH, message).parts] == [Native, ToolCall]


@pytest.mark.parametrize("messages", [(), ("x",), ({"role": "tool", "content": "x"},)])
def test_a_list_without_a_message_of_the_model_is_no_response(messages: tuple[Any, ...]):
    with pytest.raises(GatewayError, match="contains no message"):
        parse(*messages)
