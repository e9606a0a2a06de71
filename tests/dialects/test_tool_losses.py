"""Reports on tools and tool choices that a target does not accept."""

from __future__ import annotations

import json
from typing import Any

from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.simulate import translate
from tests.each import each
from tests.fakes import openai_rules

NAMED_FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {}}}
CONVERSE_TOOL = {"toolSpec": {"name": "f", "inputSchema": {"json": NAMED_FUNCTION["parameters"]}}}
NAMESPACE = {
    "type": "namespace",
    "name": "n",
    "description": "d",
    "tools": [{"type": "function", **NAMED_FUNCTION}],
}
ADDITIONAL_TOOLS = {"type": "additional_tools", "role": "developer", "tools": [NAMESPACE]}
ALLOWED = {
    "type": "allowed_tools",
    "allowed_tools": {
        "mode": "auto",
        "tools": [{"type": "function", "function": {"name": name}} for name in ("f", "g")],
    },
}


@each(
    ("client", "fields", "reported"),
    [
        ("openai_chat", {"tools": [{"type": "function", "function": NAMED_FUNCTION}] * 2}, "tools"),
        ("openai_chat", {"functions": [NAMED_FUNCTION]}, "functions"),
        ("openai_chat", {"web_search_options": {}}, "web_search_options"),
        ("bedrock_converse", {"toolConfig": {"tools": [CONVERSE_TOOL]}}, "toolConfig.tools"),
        ("gemini", {"tools": [{"functionDeclarations": [NAMED_FUNCTION]}]}, "tools"),
        (
            "openai_responses",
            {"input": [ADDITIONAL_TOOLS, {"role": "user", "content": "hi"}]},
            "input[0].tools[0].tools[0]",
        ),
    ],
)
def test_tools_for_a_model_without_tools_are_reported_by_their_field(
    client: str, fields: dict[str, Any], reported: str
) -> None:
    message = {"role": "user", "content": "hi"}
    bodies: dict[str, dict[str, Any]] = {
        "bedrock_converse": {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        "gemini": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        "openai_responses": {"input": [message]},
    }
    body = {"model": "m", **bodies.get(client, {"messages": [message]}), **fields}
    request = DIALECTS[client].client.parse_request(body, {})
    provider_names = ["anthropic_messages", "openai_chat", "openai_responses", "gemini", "cohere"]
    for name in [*provider_names, "ollama", "bedrock_converse", "openai_completions"]:
        rendered = DIALECTS[name].provider.render_request(request, Traits(tools=False))
        paths = [row.path for row in rendered.report if "tools" in row.reason]
        assert paths == [reported], name


@each(("names", "is_reported"), [(["f", "g"], False), (["f", "g", "h"], True)])
@each("target", ["anthropic", "gemini", "cohere", "bedrock", "mistral", "deepseek"])
def test_allowing_all_tools_is_no_loss(target: str, names: list[str], is_reported: bool) -> None:
    tools = [{"type": "function", "function": {**NAMED_FUNCTION, "name": n}} for n in names]
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 99,
        "tools": tools,
        "tool_choice": ALLOWED,
    }
    translation = translate.request("openai_chat", target, body, {}, "m")
    reported_fields = [row["field"] for row in translation["report"]]
    assert ("tool_choice" in reported_fields) == is_reported
    assert len(json.dumps(translation["body"]).split('"h"')) == 1


@each(
    "choice",
    [{}, {"tool_choice": "auto", "parallel_tool_calls": True}, {"tool_choice": None}],
    ids=["tools", "auto", "null"],
)
@each("target", ["openai", "custom"])
def test_an_empty_list_of_tools_is_omitted_in_passthrough(
    target: str, choice: dict[str, Any]
) -> None:
    """OpenAI, DeepSeek and vLLM reject it: "[] is too short - 'tools'"."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "seed": 1}
    fields = {"tools": [], **choice}
    translation = translate.request("openai_chat", target, body | fields, {}, "gpt-4.1")
    assert translation["passthrough"]
    assert translation["body"] == body | {"model": "gpt-4.1"}
    assert translation["report"] == []
    assert openai_rules.refusal(translation["body"]) is None


@each("choice", ["required", {"type": "function", "function": {"name": "f"}}], ids=str)
def test_a_required_tool_that_does_not_exist_is_left_to_the_provider(choice: Any) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": []}
    fields = {"tool_choice": choice}
    translation = translate.request("openai_chat", "openai", body | fields, {}, "gpt-4.1")
    assert translation["body"] == body | fields | {"model": "gpt-4.1"}
