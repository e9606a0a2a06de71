"""Tools and tool choice for providers with different capabilities."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.request import Request, Tool, ToolChoice, Turn
from gateway.canon.request import ToolCall as Call
from tests.dialects.openai_chat.make import (
    USER,
    assistant_calls,
    body,
    call,
    render,
    reported_fields,
    request_body,
    result,
    tool,
)
from tests.fakes import openai_rules

STRICT = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def with_tools(*tools: Tool, **fields: Any) -> Request:
    """Return a request with these tools."""
    return Request(model="gw", turns=(Turn(role="user"),), tools=tools, **fields)


@pytest.mark.parametrize("schema", [None, {}, {"type": "object"}], ids=str)
def test_a_tool_without_parameters_gets_an_empty_object(schema: Any):
    rendered_function = render(with_tools(Tool(name="f", schema=schema))).body["tools"][0][
        "function"
    ]
    assert rendered_function == {"name": "f", "parameters": {"type": "object", "properties": {}}}


def test_the_schema_keyword_of_a_tool_schema_is_not_sent():
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **STRICT}
    rendered_request = render(with_tools(Tool(name="f", schema=schema)))
    assert rendered_request.body["tools"][0]["function"]["parameters"] == STRICT
    assert rendered_request.report == ()


@pytest.mark.parametrize(
    ("schema", "flags", "expected", "report"),
    [
        (STRICT, {}, True, []),
        ({"type": "object", "properties": {"a": {}}}, {}, False, [("t.strict", "approximated")]),
        (STRICT, {"strict_tools": False}, None, [("t.strict", "dropped")]),
    ],
    ids=["a strict schema", "a loose schema", "no strict tools"],
)
def test_strict_is_sent_where_the_schema_and_target_allow_it(
    schema: Any, flags: dict[str, Any], expected: bool | None, report: Any
):
    rendered_request = render(
        with_tools(Tool(name="f", schema=schema, strict=True, path="t")), **flags
    )
    assert rendered_request.body["tools"][0]["function"].get("strict") is expected
    assert reported_fields(rendered_request.report) == report


def test_illegal_and_long_tool_names_are_mapped_in_both_directions():
    long = "mcp__" + "x" * 80
    rendered_request = render(body(tools=[tool("a.b"), tool(long), tool("ok")]))
    rendered_names = [item["function"]["name"] for item in rendered_request.body["tools"]]
    assert rendered_names[0] == "a_b"
    assert len(rendered_names[1]) == 64
    assert rendered_names[2] == "ok"
    assert rendered_request.client_names == {rendered_names[0]: "a.b", rendered_names[1]: long}


def test_calls_and_choices_use_the_mapped_name():
    rendered_request = render(
        request_body(
            USER,
            assistant_calls(call(name="a.b")),
            result(),
            tools=[tool("a.b")],
            tool_choice={"type": "function", "function": {"name": "a.b"}},
        )
    )
    assert rendered_request.body["messages"][1]["tool_calls"][0]["function"]["name"] == "a_b"
    assert rendered_request.body["tool_choice"]["function"]["name"] == "a_b"


def test_a_deferred_tool_without_a_search_is_dropped():
    rendered_request = render(
        with_tools(Tool(name="f"), Tool(name="later", defer=True, path="tools[1]"))
    )
    assert len(rendered_request.body["tools"]) == 1
    assert reported_fields(rendered_request.report) == [("tools[1]", "dropped")]


def test_deferred_tools_are_sent_in_full_without_tool_search():
    search = Tool(
        name="tool_search_tool_regex",
        kind="server",
        dialect="anthropic_messages",
        native={},
        path="tools[0]",
    )
    rendered_request = render(with_tools(search, Tool(name="later", defer=True, path="tools[1]")))
    assert [item["function"]["name"] for item in rendered_request.body["tools"]] == ["later"]
    assert ("tools[0]", "dropped") in reported_fields(rendered_request.report)
    assert ("tools[1].defer_loading", "approximated") in reported_fields(rendered_request.report)


def test_server_tools_of_another_dialect_are_dropped():
    search = Tool(name="web_search", kind="server", dialect="anthropic_messages", path="tools[0]")
    rendered_request = render(with_tools(search))
    assert "tools" not in rendered_request.body
    assert reported_fields(rendered_request.report) == [("tools[0]", "dropped")]


def test_web_search_options_round_trip():
    options = {"search_context_size": "low"}
    rendered_body = render(body(web_search_options=options)).body
    assert rendered_body["web_search_options"] == options
    assert "tools" not in rendered_body


def test_a_custom_tool_is_sent_unchanged_where_supported():
    item = {"type": "custom", "custom": {"name": "sh", "format": {"type": "text"}}}
    rendered_request = render(body(tools=[item]), custom_tools=True)
    assert rendered_request.body["tools"] == [item]
    assert rendered_request.custom_tools == frozenset()


def test_a_custom_tool_becomes_a_function_with_one_string():
    grammar = {"type": "grammar", "grammar": {"definition": "start: A", "syntax": "lark"}}
    item = {"type": "custom", "custom": {"name": "sh", "description": "Run", "format": grammar}}
    calls = assistant_calls({"id": "c1", "type": "custom", "custom": {"name": "sh", "input": "ls"}})
    choice = {"type": "custom", "custom": {"name": "sh"}}
    rendered_request = render(request_body(USER, calls, result(), tools=[item], tool_choice=choice))
    function = rendered_request.body["tools"][0]["function"]
    assert function["parameters"]["properties"] == {"input": {"type": "string"}}
    assert "start: A" in function["description"]
    rendered_function = rendered_request.body["messages"][1]["tool_calls"][0]["function"]
    assert rendered_function == {"name": "sh", "arguments": '{"input":"ls"}'}
    assert rendered_request.body["tool_choice"] == {"type": "function", "function": {"name": "sh"}}
    assert rendered_request.custom_tools == {"sh"}
    assert reported_fields(rendered_request.report) == [("tools[0]", "approximated")]


ALLOWED = ToolChoice(mode="allowed", names=("f",), required=True)
BOTH = (Tool(name="f"), Tool(name="g"))


@pytest.mark.parametrize(
    ("choice", "flags", "expected"),
    [
        (ToolChoice(mode="auto"), {}, "auto"),
        (ToolChoice(mode="none"), {}, "none"),
        (ToolChoice(mode="any"), {}, "required"),
        (ToolChoice(mode="any"), {"tool_choice_any": "any"}, "any"),
        (
            ToolChoice(mode="named", names=("f",)),
            {},
            {"type": "function", "function": {"name": "f"}},
        ),
        (ALLOWED, {}, "required"),
        (
            ALLOWED,
            {"allowed_tools": True},
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
        ),
    ],
    ids=["auto", "none", "any", "another word for any", "named", "filtered", "allowed"],
)
def test_a_tool_choice_has_the_targets_form(
    choice: ToolChoice, flags: dict[str, Any], expected: Any
):
    assert render(with_tools(*BOTH, tool_choice=choice), **flags).body["tool_choice"] == expected


def test_an_unsupported_tool_subset_drops_the_other_tools():
    rendered_request = render(with_tools(*BOTH, tool_choice=ALLOWED))
    assert [item["function"]["name"] for item in rendered_request.body["tools"]] == ["f"]
    assert reported_fields(rendered_request.report) == [("tool_choice", "approximated")]


def test_a_choice_that_cannot_be_forced_becomes_auto():
    rendered_request = render(
        with_tools(*BOTH, tool_choice=ToolChoice(mode="any")), forced_tools=False
    )
    assert rendered_request.body["tool_choice"] == "auto"
    assert reported_fields(rendered_request.report) == [("tool_choice", "approximated")]


def test_choices_without_tools_are_not_sent():
    choice = ToolChoice(mode="any", parallel=False)
    rendered_request = render(with_tools(tool_choice=choice))
    assert rendered_request.body.keys() == {"model", "messages"}
    assert reported_fields(rendered_request.report) == [("tool_choice", "dropped")]


def test_parallel_calls_are_switched_off_where_possible():
    choice = ToolChoice(parallel=False)
    paths = {"parallel": "tool_choice.disable_parallel_tool_use"}
    request = with_tools(Tool(name="f"), tool_choice=choice, client_paths=paths)
    assert render(request).body["parallel_tool_calls"] is False
    rendered_request = render(request, parallel_toggle=False)
    assert "parallel_tool_calls" not in rendered_request.body
    assert reported_fields(rendered_request.report) == [
        ("tool_choice.disable_parallel_tool_use", "dropped")
    ]


def test_a_target_without_tools_gets_none():
    rendered_request = render(body(tools=[tool()]), tools=False)
    assert "tools" not in rendered_request.body
    assert reported_fields(rendered_request.report) == [("tools", "dropped")]


def test_tool_fields_of_another_dialect_are_reported():
    extra = {"input_examples": [{}]}
    item = Tool(name="f", dialect="anthropic_messages", extra=extra, path="tools[0]")
    rendered_request = render(with_tools(item))
    assert "input_examples" not in str(rendered_request.body)
    assert reported_fields(rendered_request.report) == [("tools[0].input_examples", "dropped")]


def test_a_call_of_a_tool_no_longer_offered_has_a_legal_name():
    turns = (Turn(role="assistant", parts=(Call(id="a", name="gone.away", arguments={}),)),)
    rendered_request = render(Request(model="gw", turns=turns))
    rendered_name = rendered_request.body["messages"][0]["tool_calls"][0]["function"]["name"]
    assert rendered_name == "gone_away"
    assert openai_rules.refusal({**rendered_request.body, "model": "gpt-4.1"}) is None
