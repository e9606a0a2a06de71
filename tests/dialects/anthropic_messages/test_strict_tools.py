"""Strict tools stay strict as far as Claude can enforce their schemas; the rest is reported."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.request import Output, Tool
from tests.dialects.anthropic_messages.make import client_request, losses_of, render


def test_a_strict_tool_stays_strict_where_its_schema_can_be_enforced():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    strict = Tool(name="f", schema=schema, strict=True, path="tools[0]")
    rendered_request = render(client_request(tools=(strict,)))
    (rendered_tool,) = rendered_request.body["tools"]
    assert rendered_tool["strict"] is True
    assert rendered_tool["input_schema"]["additionalProperties"] is False
    assert rendered_request.report == ()


@pytest.mark.parametrize(
    ("schema", "flags", "action"),
    [
        ({"type": "object", "properties": {"a": {"minimum": 1}}}, {}, "approximated"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, {}, "approximated"),
        ({"type": "object", "properties": {"a": {}}}, {"strict_tools": False}, "dropped"),
    ],
    ids=["out of the subset", "recursive", "unknown upstream"],
)
def test_a_strict_tool_that_cannot_be_enforced_keeps_its_schema(
    schema: dict[str, Any], flags: dict[str, bool], action: str
):
    strict = Tool(name="f", schema=schema, strict=True, path="tools[0]")
    rendered_request = render(client_request(tools=(strict,)), **flags)
    assert rendered_request.body["tools"] == [{"name": "f", "input_schema": schema}]
    assert losses_of(rendered_request) == [("tools[0].strict", action)]


def _object(optional: int = 0, unions: int = 0) -> dict[str, Any]:
    """Return the schema of an object with so many optional and nullable fields."""
    nullable = {f"u{n}": {"anyOf": [{"type": "string"}, {"type": "null"}]} for n in range(unions)}
    fields = {f"o{n}": {"type": "string"} for n in range(optional)}
    return {"type": "object", "properties": nullable | fields, "required": list(nullable)}


@pytest.mark.parametrize(
    ("schemas", "strict"),
    [
        ([_object()] * 22, [True] * 20 + [False] * 2),
        ([_object(20), _object(5), _object(4)], [True, False, True]),
        ([_object(unions=16), _object(unions=1), _object()], [True, False, True]),
    ],
    ids=["tools", "optional", "unions"],
)
def test_strict_tools_beyond_what_claude_compiles_are_not_strict(
    schemas: list[dict[str, Any]], strict: list[bool]
):
    """Anthropic refuses such a request; OpenAI, to which it may be written, has no such limit."""
    tools = tuple(
        Tool(name=f"f{n}", schema=schema, strict=True, path=f"tools[{n}]")
        for n, schema in enumerate(schemas)
    )
    rendered_request = render(client_request(tools=tools))
    assert [tool.get("strict", False) for tool in rendered_request.body["tools"]] == strict
    assert losses_of(rendered_request) == [
        (f"tools[{n}].strict", "approximated") for n, kept in enumerate(strict) if not kept
    ]


def test_the_output_schema_counts_before_strict_tools():
    tool = Tool(name="f", schema=_object(unions=1), strict=True, path="tools[0]")
    output = Output(format="schema", schema=_object(unions=16))
    rendered_request = render(client_request(tools=(tool,), output=output))
    assert "strict" not in rendered_request.body["tools"][0]
    assert rendered_request.body["output_config"]["format"]["type"] == "json_schema"
    assert losses_of(rendered_request) == [("tools[0].strict", "approximated")]


@pytest.mark.parametrize("schema", [_object(25), _object(unions=17)], ids=["optional", "unions"])
def test_an_output_schema_that_claude_does_not_compile_is_an_instruction(schema: dict[str, Any]):
    tool = Tool(name="f", schema=_object(unions=16), strict=True, path="tools[0]")
    output = Output(format="schema", schema=schema)
    rendered_request = render(client_request(tools=(tool,), output=output))
    assert "output_config" not in rendered_request.body
    assert "Answer only with JSON that follows this JSON Schema" in str(
        rendered_request.body["system"]
    )
    assert rendered_request.body["tools"][0]["strict"] is True
    assert losses_of(rendered_request) == [("schema", "approximated")]
