"""The state of calls (Gemini's thought signatures) in Responses items, and back to the calls."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.fold import unfold_response
from gateway.canon.request import Part, Reasoning, Signature, Text, ToolCall
from gateway.canon.response import Finish, Response
from gateway.dialects.openai_responses import DIALECT
from gateway.simulate import translate
from tests.dialects.openai_responses.make import (
    USER,
    body,
    parse,
    rendered_frames,
    response_context,
    result,
)

Json = dict[str, Any]


def state(value: str) -> Signature:
    return Signature(provider="gemini", model="gemini-3", kind="thoughtSignature", value=value)


def tool_call(call_id: str, value: str = "") -> ToolCall:
    signature = state(value) if value else None
    return ToolCall(id=call_id, name="f", arguments={}, signature=signature)


def kinds(items: list[Json]) -> list[str]:
    """Return the types of items, of calls the ids."""
    return [item.get("call_id") or item["type"] for item in items]


def output(*parts: Part) -> list[Json]:
    """Return the output items, which are the same in a stream."""
    response = Response(parts=parts, finish=Finish(reason="tool"))
    whole, report = DIALECT.client.render_response(response, response_context())
    assert report == ()
    frames = rendered_frames(unfold_response(response))
    assert [
        frame["item"] for frame in frames if "item_done" in frame["type"].replace(".", "_")
    ] == (whole["output"])
    assert frames[-1]["response"]["output"] == whole["output"]
    items: list[Json] = whole["output"]
    return items


def call_signatures(*items: Json) -> list[str | None]:
    """Return the state of each call in the canonical request."""
    turns = parse(body(USER, *items)).turns
    parts = [part for turn in turns for part in turn.parts]
    assert not any(isinstance(part, Reasoning) for part in parts)
    calls = [part for part in parts if isinstance(part, ToolCall)]
    return [call.signature.value if call.signature else None for call in calls]


def test_state_does_not_separate_parallel_calls():
    """Mastra 1.71 runs calls in sequence that another item separates."""
    items = output(tool_call("c1", "S"), tool_call("c2"), Text(text="Hi"))
    assert kinds(items) == ["reasoning", "c1", "c2", "message"]
    assert call_signatures(*items, result("c1"), result("c2")) == ["S", None]


def test_the_state_of_later_calls_follows_all_parallel_calls():
    items = output(tool_call("c1"), tool_call("c2", "S"), tool_call("c3", "T"), Text(text="Hi"))
    assert kinds(items) == ["c1", "c2", "c3", "reasoning", "reasoning", "message"]
    assert call_signatures(*items) == [None, "S", "T"]


def test_the_state_of_the_last_call_is_the_last_item():
    items = output(tool_call("c1"), tool_call("c2", "S"))
    assert kinds(items) == ["c1", "c2", "reasoning"]


def test_a_streamed_call_of_gemini_is_announced_after_its_state():
    parts = [
        {"functionCall": {"name": "f", "id": "c1", "args": {"a": 1}}, "thoughtSignature": "U0lH"},
        {"functionCall": {"name": "f", "id": "c2", "args": {}}},
    ]
    content = {"role": "model", "parts": parts}
    frames = [{"responseId": "r", "candidates": [{"content": content, "finishReason": "STOP"}]}]
    events = translate.stream("gemini", "openai_responses", frames, "m")["events"]
    items = events[-1]["data"]["response"]["output"]
    assert kinds(items) == ["reasoning", "reasoning", "c1", "c2"]
    added = [e["data"] for e in events if e["event"] == "response.output_item.added"]
    assert [(item["output_index"], item["item"]["id"]) for item in added] == [
        (index, item["id"]) for index, item in enumerate(items)
    ]
    deltas = [e["data"] for e in events if e["event"] == "response.function_call_arguments.delta"]
    assert [(delta["output_index"], delta["item_id"]) for delta in deltas] == [
        (2, items[2]["id"]),
        (3, items[3]["id"]),
    ]


@pytest.mark.parametrize("order", ["SAB", "ASB", "ABS", "ABrS", "ArSB"])
def test_state_is_restored_to_its_call(order: str):
    """Haystack sends all reasoning before the calls, others in the order in which they store it."""
    saved, first, second = output(tool_call("c1", "S"), tool_call("c2"))
    results = [result("c1"), result("c2")] if order[:2] == "AB" else [result("c1")]
    items = {"S": [saved], "A": [first], "B": [second], "r": results}
    history = [item for name in order for item in items[name]]
    assert call_signatures(*history) == ["S", None]


def test_state_of_a_repeated_id_belongs_to_the_call_after_it():
    """Gemini's calls have no ids of their own: those of two responses may be the same."""
    saved, again = output(tool_call("c1", "S"))
    [earlier] = output(tool_call("c1"))
    assert call_signatures(earlier, result("c1"), saved, again, result("c1")) == [None, "S"]
