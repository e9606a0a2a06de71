"""MCP servers called by a provider: OpenAI's `mcp` tool and Anthropic's `mcp_servers`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types.beta import BetaMessage
from openai.types.responses.response_output_item import McpCall

from gateway.canon.fold import unfold_response
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.dialects.shared import mcp
from gateway.simulate import translate
from tests.dialects.parsed_responses import claude, gpt
from tests.dialects.test_searches import events_of
from tests.fakes import anthropic_rules, responses_rules

Json = dict[str, Any]

CONTEXT = ResponseContext(id="1", created=1, model="m")
CLAUDE, GPT = "claude-opus-5-5", "gpt-5.6-sol"
VERSION = {"anthropic-version": "2023-06-01"}
BETA = {**VERSION, "anthropic-beta": "mcp-client-2025-11-20"}
URL = "https://mcp.example/sse"
OPENAI_TOOL: Json = {
    "type": "mcp",
    "server_label": "docs",
    "server_url": URL,
    "require_approval": "never",
}
SERVER: Json = {"type": "url", "url": URL, "name": "docs", "authorization_token": "t"}


def from_responses(*tools: Json, model: str = CLAUDE, target: str = "anthropic") -> Json:
    request = {"model": "m", "input": "hi", "tools": list(tools), "max_output_tokens": 99}
    return translate.request("openai_responses", target, request, {}, model)


def from_messages(toolset: Json) -> Json:
    request = {
        "model": "m",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": "hi"}],
        "mcp_servers": [SERVER],
        "tools": [toolset],
    }
    return translate.request("anthropic_messages", "openai_responses", request, BETA, GPT)


def losses(translation: Json) -> set[tuple[str, str]]:
    return {(r["field"], r["action"]) for r in translation["report"] if r["action"] != "defaulted"}


# --- requests -----------------------------------------------------------------------------


def test_openais_tool_is_a_server_and_a_toolset() -> None:
    tool = {
        **OPENAI_TOOL,
        "headers": {"Authorization": "Bearer t"},
        "allowed_tools": {"tool_names": ["search"]},
    }
    tools = from_responses(tool)
    assert tools["body"]["mcp_servers"] == [SERVER]
    assert tools["body"]["tools"] == [
        {
            "type": "mcp_toolset",
            "mcp_server_name": "docs",
            "default_config": {"enabled": False},
            "configs": {"search": {"enabled": True}},
        }
    ]
    assert losses(tools) == set()
    body = {**tools["body"], "model": CLAUDE}
    assert anthropic_rules.refusal(body, BETA, counting=False) is None
    request = {"model": "m", "input": "hi", "tools": [tool]}
    rendered_request = DIALECTS["anthropic_messages"].provider.render_request(
        DIALECTS["openai_responses"].client.parse_request(request, {}),
        Traits(model=CLAUDE, mcp_servers=True),
    )
    assert rendered_request.headers["anthropic-beta"] == "mcp-client-2025-11-20"


@pytest.mark.parametrize(
    "change",
    [
        {"require_approval": "always"},
        {"require_approval": None},
        {"server_url": None, "connector_id": "connector_gmail"},
    ],
    ids=["approval", "default approval", "connector"],
)
def test_tools_unsupported_by_anthropic_are_reported(change: Json) -> None:
    tool = {k: v for k, v in {**OPENAI_TOOL, **change}.items() if v is not None}
    tools = from_responses(tool)
    assert "mcp_servers" not in tools["body"] and "tools" not in tools["body"]
    assert losses(tools) == {("tools[0]", "dropped")}


def test_other_headers_than_a_bearer_token_are_reported() -> None:
    tools = from_responses({**OPENAI_TOOL, "headers": {"x-api-key": "k"}})
    assert losses(tools) == {("tools[0].headers", "dropped")}
    assert "authorization_token" not in tools["body"]["mcp_servers"][0]


@pytest.mark.parametrize("target", ["vertex-anthropic", "bedrock", "gemini", "ollama"])
def test_targets_that_call_no_servers_do_not_get_them(target: str) -> None:
    models = {"vertex-anthropic": CLAUDE, "bedrock": f"us.anthropic.{CLAUDE}-v1:0"}
    tools = from_responses(OPENAI_TOOL, target=target, model=models.get(target, "m"))
    assert "mcp.example" not in json.dumps(tools["body"])
    assert ("tools[0]", "dropped") in losses(tools)


@pytest.mark.parametrize(
    ("config", "allowed", "expected_losses"),
    [
        ({}, None, set()),
        (
            {"default_config": {"enabled": False}, "configs": {"search": {"enabled": True}}},
            ["search"],
            set(),
        ),
        ({"configs": {"delete": {"enabled": False}}}, None, {("tools[0].configs", "dropped")}),
    ],
    ids=["all", "some", "all but one"],
)
def test_a_toolset_is_openais_tool(config: Json, allowed: Any, expected_losses: Any) -> None:
    servers = from_messages({"type": "mcp_toolset", "mcp_server_name": "docs", **config})
    tool = {**OPENAI_TOOL, "authorization": "t"}
    assert servers["body"]["tools"] == [{**tool, "allowed_tools": allowed} if allowed else tool]
    assert losses(servers) == expected_losses
    assert responses_rules.refusal(servers["body"]) is None


def test_servers_without_a_toolset_are_reported() -> None:
    servers = from_messages({"name": "f", "input_schema": {"type": "object"}})
    assert losses(servers) == {("mcp_servers", "dropped")}


# --- responses ----------------------------------------------------------------------------

ITEM: Json = {
    "id": "mcp_abc",
    "type": "mcp_call",
    "server_label": "docs",
    "name": "search",
    "arguments": '{"q":"x"}',
    "output": "found",
    "error": None,
    "status": "completed",
}
USE: Json = {
    "type": "mcp_tool_use",
    "id": "mcptoolu_abc",
    "name": "search",
    "server_name": "docs",
    "input": {"q": "x"},
}
RESULT: Json = {
    "type": "mcp_tool_result",
    "tool_use_id": "mcptoolu_abc",
    "is_error": False,
    "content": [{"type": "text", "text": "found"}],
}


def finished_call(*, is_failed: bool) -> Json:
    """Return the fields of a finished call; failures have the form of OpenAI's SDK types."""
    content = [{"type": "text", "text": "found"}]
    error = {"type": "mcp_tool_execution_error", "content": content}
    return {"output": None, "error": error, "status": "failed"} if is_failed else {}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("plain", "plain"),
        ({"type": "http_error", "code": 503, "message": "away"}, "away"),
        ({"type": "mcp_tool_execution_error", "content": "no"}, "no"),
        (
            {
                "type": "mcp_tool_execution_error",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            "a\nb",
        ),
        ({"type": "mcp_tool_execution_error", "content": {"k": 1}}, '{"k":1}'),
        ({"type": "new"}, '{"type":"new"}'),
    ],
)
def test_every_form_of_a_failure_has_its_text(error: Any, text: str) -> None:
    call = mcp.read_call({**ITEM, "output": None, "error": error, "status": "failed"})
    assert call is not None
    assert (call.failed, call.output) == (True, text)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("is_failed", [False, True])
def test_calls_of_claudes_are_items_for_responses_clients(stream: bool, is_failed: bool) -> None:
    text_block = {"type": "text", "text": "Done."}
    response = claude(USE, {**RESULT, "is_error": is_failed}, text_block)
    client = DIALECTS["openai_responses"].client
    if stream:
        renderer = client.stream_renderer(CONTEXT)
        events = events_of(b"".join(map(renderer.feed, unfold_response(response))))
        stem = "response.mcp_call"
        assert [event["type"] for event in events if stem in event["type"]] == [
            f"{stem}.in_progress",
            f"{stem}_arguments.delta",
            f"{stem}_arguments.done",
            f"{stem}.failed" if is_failed else f"{stem}.completed",
        ]
        body, report = events[-1]["response"], list(renderer.report)
    else:
        body, rows = client.render_response(response, CONTEXT)
        report = list(rows)
    item = body["output"][0]
    McpCall.model_validate(item)
    assert item == {**ITEM, "id": item["id"], **finished_call(is_failed=is_failed)}
    assert item["id"].startswith("mcp_")
    assert [entry["type"] for entry in body["output"]] == ["mcp_call", "message"]
    assert not report


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("is_failed", [False, True])
def test_calls_of_openais_are_blocks_for_messages_clients(stream: bool, is_failed: bool) -> None:
    listed_names = {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "docs", "tools": []}
    response = gpt(listed_names, {**ITEM, **finished_call(is_failed=is_failed)})
    client = DIALECTS["anthropic_messages"].client
    if stream:
        renderer = client.stream_renderer(CONTEXT)
        events = events_of(b"".join(map(renderer.feed, unfold_response(response))))
        starts = [e["content_block"] for e in events if e["type"] == "content_block_start"]
        deltas = [e["delta"] for e in events if e["type"] == "content_block_delta"]
        assert json.loads(deltas[0]["partial_json"]) == {"q": "x"}
        content, report = [{**starts[0], "input": {"q": "x"}}, starts[1]], list(renderer.report)
    else:
        body, rows = client.render_response(response, CONTEXT)
        content, report = body["content"], list(rows)
        BetaMessage.model_validate(body)
    call_id = content[0]["id"]
    assert call_id == "mcptoolu_mcp_abc"
    assert content == [
        {**USE, "id": call_id},
        {**RESULT, "tool_use_id": call_id, "is_error": is_failed},
    ]
    assert [row.action for row in report] == ["dropped"]


# --- histories ----------------------------------------------------------------------------


@pytest.mark.parametrize("offered", [True, False])
def test_calls_in_a_messages_clients_history(offered: bool) -> None:
    text_block = {"type": "text", "text": "Done."}
    request = {
        "model": "m",
        "max_tokens": 99,
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [USE, RESULT, text_block]},
            {"role": "user", "content": "And?"},
        ],
        "mcp_servers": [SERVER],
        "tools": [{"type": "mcp_toolset", "mcp_server_name": "docs"}],
    }
    if not offered:
        del request["tools"], request["mcp_servers"]
    translation = translate.request("anthropic_messages", "openai_responses", request, BETA, GPT)
    calls = [item for item in translation["body"]["input"] if item["type"] == "mcp_call"]
    if offered:
        assert calls == [{**ITEM, "id": calls[0]["id"]}]
        assert losses(translation) == set()
    else:
        assert not calls
        dropped_fields = {(f"messages[1].content[{n}]", "dropped") for n in (0, 1)}
        assert losses(translation) == dropped_fields


@pytest.mark.parametrize("offered", [True, False])
def test_calls_in_a_responses_clients_history(offered: bool) -> None:
    request = {
        "model": "m",
        "max_output_tokens": 99,
        "input": [{"role": "user", "content": "hi"}, ITEM, {"role": "user", "content": "And?"}],
        "tools": [OPENAI_TOOL] if offered else [],
    }
    translation = translate.request("openai_responses", "anthropic", request, {}, CLAUDE)
    blocks = [b for message in translation["body"]["messages"] for b in message["content"]]
    kinds = [block["type"] for block in blocks]
    if offered:
        assert kinds == ["text", "mcp_tool_use", "mcp_tool_result", "text"]
        body = {**translation["body"], "model": CLAUDE}
        assert anthropic_rules.refusal(body, BETA, counting=False) is None
    else:
        assert "mcp_tool_use" not in kinds
        assert losses(translation) == {("input[1]", "dropped")}
