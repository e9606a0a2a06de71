"""The fakes refuse tools as the services do: built-in tools, new searches, too many strict ones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import anthropic_rules, bedrock_rules, gemini_rules

DECLARED = {"functionDeclarations": [{"name": "f"}]}
SEARCH: dict[str, Any] = {"googleSearch": {}}
FLAG = {"includeServerSideToolInvocations": True}
AUTO = {"functionCallingConfig": {"mode": "AUTO"}}
VERSION = {"anthropic-version": "2023-06-01"}
DIRECT = {"allowed_callers": ["direct"]}


@pytest.mark.parametrize(
    ("model", "tools", "config", "text"),
    [
        ("gemini-3.8-flash", [DECLARED, SEARCH], {}, "include_server_side_tool_invocations"),
        ("gemini-3.8-flash", [{**DECLARED, **SEARCH}], AUTO, "include_server_side_tool"),
        ("gemini-3.8-flash", [DECLARED, SEARCH], {**FLAG, **AUTO}, "AUTO is not supported"),
        ("gemini-2.5-pro", [DECLARED, SEARCH], FLAG, "unsupported by the model"),
        ("gemini-3.8-flash", [DECLARED, SEARCH], FLAG, ""),
        ("gemini-2.5-pro", [SEARCH], {}, ""),
        ("gemini-2.5-pro", [DECLARED], AUTO, ""),
    ],
)
def test_gemini_combines_tools_only_as_documented(
    model: str, tools: list[Any], config: dict[str, Any], text: str
) -> None:
    message = {"role": "user", "parts": [{"text": "hi"}]}
    refusal = gemini_rules.refusal(
        {"contents": [message], "tools": tools, "toolConfig": config}, model
    )
    assert (text in refusal.message) if refusal is not None else not text


@pytest.mark.parametrize(
    ("model", "tool", "selected_value"),
    [
        ("claude-haiku-4-5", {"type": "web_search_20260318"}, False),
        ("claude-haiku-4-5", {"type": "web_search_20260209"}, False),
        ("claude-haiku-4-5", {"type": "web_search_20260318", **DIRECT}, True),
        ("claude-haiku-4-5", {"type": "web_search_20250305"}, True),
        ("claude-opus-5-5", {"type": "web_search_20260318"}, True),
    ],
)
def test_a_model_that_is_not_called_from_code_refuses_newer_searches(
    model: str, tool: dict[str, Any], selected_value: bool
) -> None:
    body = {
        "model": model,
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{**tool, "name": "web_search"}],
    }
    refusal = anthropic_rules.refusal(body, VERSION, counting=False)
    assert (refusal is None) is selected_value
    assert refusal is None or "does not support programmatic tool calling" in refusal.message


def _schema(required: int = 0, optional: int = 0, unions: int = 0) -> dict[str, Any]:
    properties: dict[str, Any] = {f"u{n}": {"type": ["string", "null"]} for n in range(unions)}
    properties |= {f"r{n}": {"type": "string"} for n in range(required)}
    always = list(properties)
    properties |= {f"o{n}": {"type": "string"} for n in range(optional)}
    return {
        "type": "object",
        "properties": properties,
        "required": always,
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("schemas", "text"),
    [
        ([_schema(1)] * 20, ""),
        ([_schema(1)] * 21, "Too many strict tools (21)"),
        ([_schema(optional=12), _schema(optional=12, unions=16)], ""),
        ([_schema(optional=12), _schema(optional=13)], "too many optional parameters (25)"),
        ([_schema(unions=8), _schema(unions=9)], "too many parameters with union types (17"),
    ],
    ids=["20 tools", "21 tools", "at the limits", "25 optional", "17 unions"],
)
def test_claude_compiles_a_limited_number_of_strict_tools(
    schemas: list[dict[str, Any]], text: str
) -> None:
    tools = [
        {"name": f"f{n}", "input_schema": schema, "strict": True}
        for n, schema in enumerate(schemas)
    ]
    body = {
        "model": "claude-opus-5-5",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": tools,
    }
    specs = [
        {
            "toolSpec": {
                "name": t["name"],
                "strict": True,
                "inputSchema": {"json": t["input_schema"]},
            }
        }
        for t in tools
    ]
    converse = {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "toolConfig": {"tools": specs},
    }
    for refusal in (
        anthropic_rules.refusal(body, VERSION, counting=False),
        bedrock_rules.refusal(bedrock_rules.CLAUDE, converse),
    ):
        assert (text in refusal.message) if text and refusal is not None else refusal is None
