"""Streams of Responses clients: the status of items in a response that was cut off."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.simulate import translate
from tests.dialects.openai_responses.make import response_context

CHAT = DIALECTS["openai_chat"].provider
RESPONSES = DIALECTS["openai_responses"].client


def call(index: int, arguments: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return {"index": index, "id": f"call_{index}", "type": "function", "function": function}


def statuses(calls: list[dict[str, Any]], finish_reason: str) -> tuple[str, list[str]]:
    """Return the status of a streamed response and of its items, as unary responses have them."""
    chunks = [{"index": 0, "delta": {"tool_calls": [each]}} for each in calls]
    chunks.append({"index": 0, "delta": {}, "finish_reason": finish_reason})
    frames = [{"id": "1", "choices": [chunk]} for chunk in chunks]
    events = translate.stream("openai_chat", "openai_responses", [*frames, "[DONE]"], "m")["events"]
    response = events[-1]["data"]["response"]
    done = [e["data"]["item"] for e in events if e["event"] == "response.output_item.done"]
    assert done == response["output"]
    assert [e["data"]["sequence_number"] for e in events] == list(range(len(events)))

    message = {"role": "assistant", "content": None, "tool_calls": calls}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    parsed = CHAT.parse_response({"id": "1", "choices": [choice]}, Traits(), None)
    whole, _ = RESPONSES.render_response(parsed, response_context())
    item_statuses = [item["status"] for item in response["output"]]
    assert [item["status"] for item in whole["output"]] == item_statuses
    assert whole["status"] == response["status"]
    return response["status"], item_statuses


# As https://github.com/vllm-project/vllm/issues/57998 says of OpenAI's own items.
def test_a_call_that_the_token_limit_cut_off_is_incomplete():
    assert statuses([call(0, '{"a": 1')], "length") == ("incomplete", ["incomplete"])


def test_a_free_text_call_in_a_response_that_was_cut_off_is_incomplete():
    patch = {"index": 0, "id": "call_0", "type": "custom"}
    patch["custom"] = {"name": "patch", "input": "*** Begin Patch\n"}
    assert statuses([patch], "length") == ("incomplete", ["incomplete"])
    assert statuses([patch], "tool_calls") == ("completed", ["completed"])


def test_only_the_last_call_was_cut_off():
    calls = [call(0, '{"a": 1}'), call(1, '{"a"')]
    assert statuses(calls, "length") == ("incomplete", ["completed", "incomplete"])


@pytest.mark.parametrize("finish_reason", ["length", "tool_calls"])
def test_a_call_with_whole_arguments_is_complete(finish_reason: str):
    assert statuses([call(0, '{"a": 1}')], finish_reason)[1] == ["completed"]


def test_a_malformed_call_of_a_complete_response_stays_completed():
    assert statuses([call(0, "{a: 1")], "tool_calls") == ("completed", ["completed"])
