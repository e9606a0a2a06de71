"""Tools that a client's tool search found, as the result that another provider's model reads.

Claude Code searches its MCP tools with a tool of its own, and answers the call with references.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.simulate import translate
from tests.each import each

Json = dict[str, Any]

TARGETS = {
    "openai": "gpt-4o",
    "openai_responses": "gpt-5.6-sol",
    "openai_completions": "gpt-3.5-turbo-instruct",
    "gemini": "gemini-3.8-flash",
    "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-a-03-2025",
    "ollama": "qwen3",
}
SCHEMA = {"type": "object", "properties": {}}
TOOLS = [{"name": name, "input_schema": SCHEMA} for name in ("ToolSearch", "get_rain", "get_wind")]
REFERENCES = [{"type": "tool_reference", "tool_name": f"get_{name}"} for name in ("rain", "wind")]


def search_request() -> Json:
    call = {"type": "tool_use", "id": "toolu_1", "name": "ToolSearch", "input": {"query": "x"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": REFERENCES}
    return {
        "model": "gw",
        "max_tokens": 99,
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ],
        "tools": [TOOLS[0], *({**tool, "defer_loading": True} for tool in TOOLS[1:])],
    }


@each("target", TARGETS)
def test_a_model_reads_which_tools_were_found(target: str) -> None:
    translation = translate.request(
        "anthropic_messages", target, search_request(), {}, TARGETS[target]
    )
    body = {key: value for key, value in translation["body"].items() if key != "tools"}
    text = msgspec.json.encode(body).decode()
    assert "Loaded tool: get_rain" in text
    assert text.index("get_rain") < text.index("Loaded tool: get_wind")
    actions = {entry["field"]: entry["action"] for entry in translation["report"]}
    path = "messages[2].content[0].content"
    assert actions[f"{path}[0]"] == actions[f"{path}[1]"] == "approximated"


def test_gemini_gets_them_inside_the_result() -> None:
    translation = translate.request(
        "anthropic_messages", "gemini", search_request(), {}, TARGETS["gemini"]
    )
    parts = translation["body"]["contents"][-1]["parts"]
    assert [part["functionResponse"]["response"] for part in parts] == [
        {"output": "Loaded tool: get_rain\nLoaded tool: get_wind"}
    ]


def test_anthropic_gets_the_references() -> None:
    request = {**search_request(), "max_tokens": None}
    request["messages"][0]["content"] = [{"type": "text", "text": "Hello"}]
    translation = translate.request(
        "anthropic_messages", "anthropic", request, {}, "claude-sonnet-4-5"
    )
    assert translation["body"]["messages"][-1]["content"][0]["content"] == REFERENCES
