"""Translation between Responses and Chat or Messages: no exceptions, state is preserved."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from gateway.canon.errors import GatewayError
from gateway.canon.fold import unfold_response
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.dialects import DIALECTS
from gateway.providers.capabilities import traits_for
from tests.dialects.openai_chat.test_laws import requests as chat_requests
from tests.dialects.openai_responses.make import body, response_context, traits
from tests.dialects.openai_responses.test_laws import requests, responses
from tests.fakes import anthropic_rules, openai_rules, responses_rules

RESPONSES = DIALECTS["openai_responses"]
CHAT, MESSAGES = DIALECTS["openai_chat"], DIALECTS["anthropic_messages"]
TARGETS = [
    ("openai", "gpt-4.1"),
    ("openai", "gpt-5.6-sol"),
    ("deepseek", "deepseek-v4-pro"),
    ("openrouter", "anthropic/claude-sonnet-4.5"),
    ("anthropic", "claude-sonnet-4-5"),
]


def upstream(preset: str) -> Any:
    return MESSAGES.provider if preset == "anthropic" else CHAT.provider


@pytest.mark.parametrize("target", TARGETS, ids="/".join)
@settings(max_examples=25, deadline=None)
@given(request=requests())
def test_a_responses_request_is_one_that_other_providers_accept(
    request: Request, target: tuple[str, str]
):
    wire = RESPONSES.provider.render_request(request, traits(cache="breakpoints")).body
    wire = msgspec.json.decode(msgspec.json.encode(wire))
    preset, model = target
    try:
        round_trip = RESPONSES.client.parse_request(wire, {})
        rendered_request = upstream(preset).render_request(round_trip, traits_for(preset, model))
    except GatewayError as failure:
        assert failure.error.kind in {"unsupported_param", "invalid_request"}
        return
    assert all(item.path for item in rendered_request.report)
    rendered_body = msgspec.json.decode(msgspec.json.encode(rendered_request.body))
    if preset == "anthropic":
        refusal = anthropic_rules.refusal(rendered_body, rendered_request.headers, counting=False)
    elif preset == "deepseek":
        refusal = openai_rules.deepseek_refusal(rendered_body)
    elif preset == "openai" and "json_object" not in str(rendered_body.get("response_format")):
        refusal = openai_rules.refusal(rendered_body)
    else:
        refusal = None
    assert refusal is None, refusal


@settings(max_examples=60, deadline=None)
@given(request=chat_requests())
def test_a_chat_request_is_one_that_responses_accept(request: Request):
    target_traits = traits_for("openai", "gpt-5.6-sol")
    try:
        rendered_request = RESPONSES.provider.render_request(request, target_traits)
    except GatewayError as failure:
        assert failure.error.kind == "unsupported_param"
        return
    rendered_body = msgspec.json.decode(msgspec.json.encode(rendered_request.body))
    if rendered_body.get("text", {}).get("format", {}).get("type") != "json_object":
        assert responses_rules.refusal(rendered_body) is None


@pytest.mark.parametrize("client", [CHAT, MESSAGES], ids=["chat", "messages"])
@settings(max_examples=30, deadline=None)
@given(response=responses())
def test_a_response_for_responses_can_be_shown_to_other_clients(response: Response, client: Any):
    wire, _ = RESPONSES.client.render_response(response, response_context())
    round_trip = RESPONSES.provider.parse_response(wire, traits(), None)
    client.client.render_response(round_trip, response_context())
    renderer = client.client.stream_renderer(response_context())
    for event in unfold_response(round_trip):
        renderer.feed(event)


# --- two turns of a loop with thoughts ---------------------------------------------------

DEEPSEEK_RESPONSE = {
    "id": "1",
    "model": "deepseek-v4-pro",
    "choices": [
        {
            "message": {
                "role": "assistant",
                "content": None,
                "reasoning_content": "I need the weather",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            "finish_reason": "tool_calls",
        }
    ],
}
CLAUDE_RESPONSE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5",
    "content": [
        {"type": "thinking", "thinking": "I need the weather", "signature": "SIG"},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}


def second_turn(
    preset: str, model: str, provider_response: Any, *, summary: str | None
) -> dict[str, Any]:
    """Return the upstream request after the client has sent back the response with a tool result."""
    adapter, target_traits = upstream(preset), traits_for(preset, model)
    response = adapter.parse_response(provider_response, target_traits, None)
    frame = response_context(reasoning_display="summary" if summary else "none")
    payload, _ = RESPONSES.client.render_response(response, frame)
    items = [{"role": "user", "content": "weather?"}, *payload["output"], RESULT]
    request = body(*items, tools=[TOOL], reasoning={"effort": "high", "summary": summary})
    rendered_body: dict[str, Any] = adapter.render_request(
        RESPONSES.client.parse_request(request, {}), target_traits
    ).body
    return rendered_body


def test_deepseek_gets_its_reasoning_back():
    upstream_body = second_turn("deepseek", "deepseek-v4-pro", DEEPSEEK_RESPONSE, summary="auto")
    assert upstream_body["messages"][1]["reasoning_content"] == "I need the weather"
    assert openai_rules.deepseek_refusal(upstream_body) is None


@pytest.mark.parametrize("summary", ["auto", None])
def test_claude_gets_its_signature_back(summary: str | None):
    upstream_body = second_turn("anthropic", "claude-opus-5", CLAUDE_RESPONSE, summary=summary)
    thought = upstream_body["messages"][1]["content"][0]
    assert thought["signature"] == "SIG"


@pytest.mark.parametrize("client", [CHAT, MESSAGES], ids=["chat", "messages"])
def test_openai_gets_its_state_back_where_the_client_can_carry_it(client: Any):
    target_traits = traits_for("openai", "gpt-5.6-sol")
    output = [
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [],
            "encrypted_content": responses_rules.state_of("E"),
        },
        {
            "id": "fc_1",
            "type": "function_call",
            "call_id": "c1",
            "name": "f",
            "arguments": "{}",
            "status": "completed",
        },
    ]
    reply = {"id": "r", "model": "m", "status": "completed", "output": output}
    response = RESPONSES.provider.parse_response(reply, target_traits, None)
    payload, _ = client.client.render_response(response, response_context())
    if client is CHAT:
        message, result = payload["choices"][0]["message"], {"role": "tool", "tool_call_id": "c1"}
        history = [message, {**result, "content": "sunny"}]
        request: dict[str, Any] = {"model": "m"}
    else:
        block = {"type": "tool_result", "tool_use_id": "c1", "content": "sunny"}
        history = [
            {"role": "assistant", "content": payload["content"]},
            {"role": "user", "content": [block]},
        ]
        request = {"model": "m", "max_tokens": 99}
    request["messages"] = [{"role": "user", "content": "weather?"}, *history]
    rendered_body = RESPONSES.provider.render_request(
        client.client.parse_request(request, {}), target_traits
    ).body
    kinds = [item["type"] for item in rendered_body["input"]]
    carried = ["reasoning"] if client is MESSAGES else []
    assert kinds == ["message", *carried, "function_call", "function_call_output"]
    assert responses_rules.refusal({**rendered_body, "tools": [TOOL]}) is None
