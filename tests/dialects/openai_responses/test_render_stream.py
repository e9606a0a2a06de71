"""Streams of Responses clients that end early: the status of items, and the failure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canon.errors import Error
from gateway.canon.events import Failed
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.openai_responses.passed_failure import render_passed_failure
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
    parsed_response = CHAT.parse_response({"id": "1", "choices": [choice]}, Traits(), None)
    whole, _ = RESPONSES.render_response(parsed_response, response_context())
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


# --- the failure of a stream that was passed through ---------------------------------


def event_bytes(name: str, number: int, **fields: Any) -> bytes:
    data = {"type": name, "sequence_number": number, **fields}
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def failed_event(first: bytes, last: bytes) -> dict[str, Any]:
    """Return the data of the event that ends the stream."""
    out = render_passed_failure(Error(kind="timeout", message="too slow"), first, last)
    head, _, data = out.decode().partition("\ndata: ")
    assert (head, out[-2:]) == ("event: response.failed", b"\n\n")
    return dict(json.loads(data))


def test_a_failure_continues_the_upstreams_response():
    started = {"id": "resp_up", "status": "in_progress", "model": "m", "output": []}
    first = event_bytes("response.created", 0, response=started)
    delta = event_bytes("response.output_text.delta", 7, delta='"sequence_number": 99')
    event = failed_event(b": hello\n\n" + first, delta + b": keep-alive\n\n")
    error = {"code": "server_error", "message": "too slow"}
    assert event["sequence_number"] == 8
    assert event["response"] == {**started, "status": "failed", "error": error}
    assert failed_event(first, first)["sequence_number"] == 1


@pytest.mark.parametrize("first", [b"", b"data: x\n\n", b'data: {"response": "r"}\n\n'])
def test_a_failure_of_a_stream_without_a_response_is_rendered_as_elsewhere(first: bytes):
    assert render_passed_failure(Error(kind="timeout", message="x"), first, first) == b""


def test_reasoning_has_a_status():
    """The xAI provider of the AI SDK rejects a reasoning item without one."""
    deltas = [{"reasoning_content": "Oslo is up north"}, {"content": "Cold."}]
    chunks = [{"index": 0, "delta": delta} for delta in deltas]
    chunks.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    frames = [{"id": "1", "choices": [chunk]} for chunk in chunks]
    events = translate.stream("openai_chat", "openai_responses", [*frames, "[DONE]"], "m")["events"]
    items = [e["data"]["item"] for e in events if "item" in e["data"]]
    assert [(item["type"], item["status"]) for item in items] == [
        ("reasoning", "in_progress"),
        ("reasoning", "completed"),
        ("message", "in_progress"),
        ("message", "completed"),
    ]
    reasoning, _ = events[-1]["data"]["response"]["output"]
    assert reasoning["status"] == "completed"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("context_length", "context_length_exceeded"),
        ("quota", "insufficient_quota"),
        ("rate_limit", "rate_limit_exceeded"),
        ("content_policy", "invalid_prompt"),
        ("overloaded", "server_error"),
    ],
)
def test_a_failed_response_has_the_code_that_codex_acts_on(kind: str, code: str):
    """As `response.failed` of OpenAI's own: codex-rs/codex-api/src/sse/responses.rs."""
    renderer = RESPONSES.stream_renderer(response_context())
    wire = renderer.feed(Failed(Error(kind=kind, message="reason")))  # type: ignore[arg-type]
    response = json.loads(wire.partition(b"data: ")[2])["response"]
    assert response["error"]["code"] == code
    assert response["error"]["message"].endswith("reason")
