"""Client requests: items of every type, Codex's tools, and server-side state."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.request import (
    Native,
    Reasoning,
    Signature,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway.canon.response import Response
from gateway.canon.signature import wrap_signature
from gateway.dialects.openai_responses import DIALECT
from tests.dialects.openai_responses.make import (
    USER,
    body,
    call,
    parse,
    render,
    reported_fields,
    response_context,
    result,
    tool,
)


def test_a_string_input_is_a_user_turn():
    request = parse({"model": "m", "input": "hi", "instructions": "brief"})
    assert request.instructions == (Text(text="brief", path="instructions"),)
    assert [turn.parts for turn in request.turns] == [(Text(text="hi", path="input"),)]


def test_developer_messages_at_the_head_are_instructions():
    request = parse(body({"role": "developer", "content": "env"}, USER, instructions="brief"))
    assert [text.text for text in request.instructions] == ["brief", "env"]
    later = parse(body(USER, {"role": "system", "content": "env"}, USER))
    assert [turn.role for turn in later.turns] == ["user", "system", "user"]


def test_output_items_of_the_model_are_one_turn():
    request = parse(
        body(
            USER,
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": None},
            {"role": "assistant", "content": [{"type": "output_text", "text": "so"}]},
            call("a"),
            call("b"),
            result("b"),
            result("a", [{"type": "input_text", "text": "x"}]),
            {"type": "web_search_call", "id": "ws_1"},
            USER,
        )
    )
    assert [turn.role for turn in request.turns] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    kinds = [type(part) for part in request.turns[1].parts]
    assert kinds == [Reasoning, Text, ToolCall, ToolCall]
    assert [type(part) for part in request.turns[2].parts] == [ToolResult, ToolResult]
    assert isinstance(request.turns[3].parts[0], Native)


CODEX = {
    "type": "additional_tools",
    "role": "developer",
    "tools": [
        {
            "type": "namespace",
            "name": "functions",
            "description": "Tools of the shell",
            "tools": [
                {
                    "type": "custom",
                    "name": "exec",
                    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
                },
                tool("wait", strict=False),
            ],
        },
        tool("clock", strict=False),
    ],
}
IN_NAMESPACE = {
    "type": "custom_tool_call",
    "id": "ctc_1",
    "call_id": "c1",
    "namespace": "functions",
    "name": "exec",
    "input": "ls",
}
OUTPUT = {"type": "custom_tool_call_output", "id": "cto_1", "call_id": "c1", "output": "a b"}


def test_codex_sends_tools_as_an_item():
    request = parse(body(CODEX, USER, IN_NAMESPACE, OUTPUT, USER))
    offered = [(item.name, item.kind) for item in request.tools]
    assert offered == [
        ("functions/exec", "custom"),
        ("functions/wait", "function"),
        ("clock", "function"),
    ]
    part = request.turns[1].parts[0]
    assert part == ToolCall(
        id="c1", name="functions/exec", raw_arguments="ls", custom=True, path="input[2]"
    )
    response = request.turns[2].parts[0]
    assert isinstance(response, ToolResult)
    assert response.custom


def test_a_tool_namespace_is_unchanged_for_a_provider_of_this_dialect():
    rendered_body = render(body(CODEX, USER, IN_NAMESPACE, OUTPUT, USER), custom_tools=True).body
    names = [(item["type"], item["name"]) for item in rendered_body["tools"]]
    assert names == [("namespace", "functions"), ("function", "clock")]
    inner = rendered_body["tools"][0]
    assert inner["description"] == "Tools of the shell"
    assert inner["tools"][0]["format"]["syntax"] == "lark"
    assert (rendered_body["input"][1]["namespace"], rendered_body["input"][1]["name"]) == (
        "functions",
        "exec",
    )


def test_a_call_of_a_tool_in_a_namespace_is_shown_in_it():
    response = Response(parts=(ToolCall(id="c", name="functions/wait", arguments={}),))
    payload, _ = DIALECT.client.render_response(response, response_context())
    item = payload["output"][0]
    assert (item["namespace"], item["name"]) == ("functions", "wait")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("required", ToolChoice(mode="any")),
        ("none", ToolChoice(mode="none")),
        ({"type": "function", "name": "f"}, ToolChoice(mode="named", names=("f",))),
        ({"type": "custom", "name": "f"}, ToolChoice(mode="named", names=("f",))),
        ({"type": "web_search"}, ToolChoice(mode="named", names=("web_search",))),
        ({"type": "mcp", "server_label": "s"}, ToolChoice(mode="named", names=("s",))),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}],
            },
            ToolChoice(mode="allowed", names=("f",), required=True),
        ),
    ],
)
def test_every_form_of_tool_choice_round_trips(choice: Any, expected: ToolChoice):
    request = body(
        tools=[
            tool("f"),
            {"type": "web_search"},
            {"type": "mcp", "server_label": "s", "server_url": "https://x"},
        ],
        tool_choice=choice,
    )
    assert parse(request).tool_choice == expected
    rendered_tool_choice = render(request, allowed_tools=True).body["tool_choice"]
    assert rendered_tool_choice == (
        {"type": "function", "name": "f"} if "custom" in choice else rendered_tool_choice
    )
    if not isinstance(choice, dict) or choice["type"] != "custom":
        assert rendered_tool_choice == choice


# --- what is kept for the client -----------------------------------------------------------

STORED = {
    "resp_1": {
        "input": "hello",
        "output": [
            {"id": "rs_9", "type": "reasoning", "summary": []},
            {"id": "fc_9", **call("c9")},
        ],
    }
}


def test_a_request_continues_an_earlier_response():
    request_body = body(result("c9"), previous_response_id="resp_1", instructions="new")
    request = parse(request_body, STORED)
    assert [turn.role for turn in request.turns] == ["user", "assistant", "user"]
    assert request.turns[0].path == "previous_response.input[0]"
    assert request.turns[2].path == "input[0]"


def test_an_item_reference_is_resolved():
    request_body = body(
        USER, {"type": "item_reference", "id": "fc_9"}, {"id": "rs_9"}, result("c9")
    )
    request = parse(request_body, STORED)
    assert isinstance(request.turns[1].parts[0], ToolCall)


def test_a_reference_in_a_later_response_does_not_hide_the_item():
    later = {"input": [{"type": "item_reference", "id": "fc_9"}, result("c9")], "output": []}
    request_body = body(USER, {"type": "item_reference", "id": "fc_9"}, result("c9"))
    request = parse(request_body, {**STORED, "resp_2": later})
    assert isinstance(request.turns[1].parts[0], ToolCall)


@pytest.mark.parametrize(
    ("client_body", "param", "code"),
    [
        (
            body(previous_response_id="resp_7"),
            "previous_response_id",
            "previous_response_not_found",
        ),
        (body({"type": "item_reference", "id": "fc_7"}), "input[0].id", None),
        (body(conversation="conv_1"), "conversation", "unsupported_parameter"),
        (body(prompt={"id": "pmpt_1"}), "prompt", "unsupported_parameter"),
    ],
)
def test_an_unknown_reference_is_refused_with_param_and_code(
    client_body: Any, param: str, code: str | None
):
    with pytest.raises(GatewayError) as error:
        parse(client_body, STORED)
    reply = DIALECT.client.render_error(error.value.error, "req_1")
    assert reply.status == 400
    assert (reply.body["error"]["param"], reply.body["error"]["code"]) == (param, code)


# --- state of the provider's -----------------------------------------------------------------


def test_reasoning_state_is_sent_only_to_its_provider():
    token = wrap_signature(
        Signature(
            provider="openai", model="gpt-6", kind="encrypted_content", value="E", item_id="rs_1"
        )
    )
    thought = {"type": "reasoning", "id": "rs_0", "summary": [], "encrypted_content": token}
    request = body(USER, thought, call(), result())
    same_provider = render(request, preset="openai", model="gpt-6")
    assert same_provider.body["input"][1] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": "E",
    }
    other = render(request, preset="openai", model="gpt-5")
    assert reported_fields(other.report) == [("input[1]", "dropped")]
    assert other.body["input"][1]["type"] == "function_call"


def test_reasoning_without_its_item_is_dropped():
    token = wrap_signature(
        Signature(
            provider="openai", model="gpt-6", kind="encrypted_content", value="E", item_id="rs_1"
        )
    )
    thought = {"type": "reasoning", "id": "rs_0", "summary": [], "encrypted_content": token}
    rendered_request = render(body(USER, thought, USER), preset="openai", model="gpt-6")
    assert [item["type"] for item in rendered_request.body["input"]] == ["message", "message"]
    assert reported_fields(rendered_request.report) == [("input", "dropped")]


@pytest.mark.parametrize(
    ("client_body", "param"),
    [
        ({"model": "m", "input": 5}, "input"),
        ({"model": "m", "input": [5]}, "input[0]"),
        (body({"role": "wizard", "content": "x"}), "input[0].role"),
        (body({"role": "user", "content": [{"text": "x"}]}), "input[0].content[0].type"),
        (body({"type": "function_call", "name": "f"}), "input[0].call_id"),
        (body({"type": "function_call_output", "output": "x"}), "input[0].call_id"),
        (body(tools=[{"name": "f"}]), "tools[0].type"),
        (body(reasoning={"effort": "huge"}), "reasoning.effort"),
        (body(text={"format": {"type": "yaml"}}), "text.format.type"),
        (body(max_output_tokens="9"), "max_output_tokens"),
    ],
)
def test_an_invalid_field_is_named(client_body: Any, param: str):
    with pytest.raises(GatewayError) as error:
        parse(client_body)
    assert error.value.error.param == param


def test_a_response_echoes_the_request_fields():
    told_back = DIALECT.read_echo(
        b'{"model":"m","metadata":{"a":"b"},"tools":[],"temperature":null}'
    )
    assert told_back["metadata"] == {"a": "b"}
    assert told_back["temperature"] is None
    assert told_back["tool_choice"] == "auto"
    assert "model" not in told_back
