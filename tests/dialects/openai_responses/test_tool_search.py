"""Tool search that the client executes (Codex): a function for other providers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canon.fold import unfold_response
from gateway.canon.request import ToolCall
from gateway.canon.response import Finish, Response
from gateway.dialects import DIALECTS
from gateway.dialects.openai_responses import DIALECT
from gateway.dialects.openai_responses.context import CLIENT_TOOL_SEARCH
from gateway.providers.capabilities import traits_for
from tests.dialects.openai_responses.make import body, parse, response_context, tool
from tests.fakes import anthropic_rules

SEARCH_TOOL: dict[str, Any] = {
    "type": "tool_search",
    "execution": "client",
    "description": "Finds tools.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
}
FOUND = {
    "type": "namespace",
    "name": "mcp__wx",
    "description": "Weather.",
    "tools": [tool("get_weather", defer_loading=True)],
}
HISTORY: tuple[dict[str, Any], ...] = (
    {"role": "user", "content": "hi"},
    {
        "type": "tool_search_call",
        "id": "tsc_1",
        "call_id": "c1",
        "execution": "client",
        "status": "completed",
        "arguments": {"query": "weather"},
    },
    {
        "type": "tool_search_output",
        "call_id": "c1",
        "execution": "client",
        "status": "completed",
        "tools": [FOUND],
    },
)


def for_claude(request: dict[str, Any]) -> Any:
    rendered_request = DIALECTS["anthropic_messages"].provider.render_request(
        parse(request), traits_for("anthropic", "claude-sonnet-4-5")
    )
    sent_body = json.loads(json.dumps(rendered_request.body))
    assert anthropic_rules.refusal(sent_body, rendered_request.headers, counting=False) is None
    return sent_body, rendered_request.report


def test_the_search_is_offered_as_a_function() -> None:
    sent_body, report = for_claude(body(tools=[SEARCH_TOOL]))
    [sent] = sent_body["tools"]
    assert (sent["name"], sent["description"]) == ("tool_search_find", "Finds tools.")
    assert sent["input_schema"]["properties"] == {"query": {"type": "string"}}
    assert not [item for item in report if item.path.startswith("tools")]


def test_the_tools_it_found_are_offered() -> None:
    sent_body, _ = for_claude(body(*HISTORY, tools=[SEARCH_TOOL]))
    assert [t["name"] for t in sent_body["tools"]] == ["tool_search_find", "mcp__wx_get_weather"]
    _, call_message, result_message = sent_body["messages"]
    [call] = call_message["content"]
    assert (call["name"], call["input"]) == ("tool_search_find", {"query": "weather"})
    [result] = result_message["content"]
    assert result["tool_use_id"] == "c1"
    assert "get_weather" in json.dumps(result["content"])


def test_a_search_by_the_provider_is_still_dropped() -> None:
    sent_body, report = for_claude(body(tools=[{"type": "tool_search"}]))
    assert "tools" not in sent_body
    assert [item.path for item in report if item.path.startswith("tools")] == ["tools[0]"]


RESPONSE = Response(
    parts=(ToolCall(id="c1", name=CLIENT_TOOL_SEARCH, arguments={"query": "weather"}),),
    finish=Finish(reason="tool"),
)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_of_the_search_is_shown_as_its_own_item(streamed: bool) -> None:
    context = response_context()
    if streamed:
        renderer = DIALECT.client.stream_renderer(context)
        sent_bytes = b"".join(renderer.feed(event) for event in unfold_response(RESPONSE))
        lines = [line for line in sent_bytes.decode().splitlines() if line.startswith("data: {")]
        sent_events = [json.loads(line.removeprefix("data: ")) for line in lines]
        assert not [e for e in sent_events if "arguments" in e["type"]]
        [done] = [e for e in sent_events if e["type"] == "response.output_item.done"]
        item = done["item"]
    else:
        [item] = DIALECT.client.render_response(RESPONSE, context)[0]["output"]
    assert item.pop("id").startswith("tsc_")
    assert item == {
        "type": "tool_search_call",
        "call_id": "c1",
        "execution": "client",
        "arguments": {"query": "weather"},
        "status": "completed",
    }
