"""Reasoning and its state between Chat clients and providers, in all supported fields."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.canon.events import End, Start
from gateway.canon.fold import unfold_response
from gateway.canon.request import Part, Reasoning, Request, Signature, Text, ToolCall, Turn
from gateway.canon.response import Finish, Response
from gateway.dialects.openai_chat import DIALECT
from gateway.providers.capabilities import traits_for
from tests.dialects.openai_chat.make import rendered_frames, response_context

STATE = Signature(provider="anthropic", model="claude-opus-5", value="S")
RESPONSE = Response(
    parts=(
        Reasoning(text="First.", signature=STATE),
        Reasoning(redacted=True, signature=replace(STATE, kind="redacted", value="R")),
        Reasoning(text="Second.", signature=replace(STATE, value="T")),
        ToolCall(id="c1", name="f", arguments={}),
    ),
    finish=Finish(reason="tool"),
)


def parse_reasoning_parts(message: dict[str, Any]) -> tuple[Part, ...]:
    """Return the reasoning parts of a client's message, without their paths."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}, message]}
    parts = DIALECT.client.parse_request(body, {}).turns[1].parts
    return tuple(replace(part, path="") for part in parts if isinstance(part, Reasoning))


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_reasoning_details_contain_every_part_with_its_state(stream: bool):
    if stream:
        details = [
            detail
            for item in rendered_frames(
                unfold_response(RESPONSE), reasoning_field="reasoning_details"
            )
            if isinstance(item, dict) and item["choices"]
            for detail in item["choices"][0]["delta"].get("reasoning_details", [])
        ]
        text = "First.Second."
    else:
        frame = response_context(reasoning_field="reasoning_details")
        body, _ = DIALECT.client.render_response(RESPONSE, frame)
        message = body["choices"][0]["message"]
        details, text = message["reasoning_details"], message["reasoning"]
    assert text == "First.Second."
    back = {"role": "assistant", "content": "", "reasoning": text, "reasoning_details": details}
    assert parse_reasoning_parts(back) == RESPONSE.parts[:3]


def test_details_are_shown_only_where_the_route_allows_it():
    body, _ = DIALECT.client.render_response(RESPONSE, response_context())
    assert "reasoning_details" not in body["choices"][0]["message"]
    events = rendered_frames(unfold_response(RESPONSE))
    assert "reasoning_details" not in str(events)
    hidden = response_context(reasoning_field="reasoning_details", reasoning_display="none")
    body, _ = DIALECT.client.render_response(RESPONSE, hidden)
    assert "reasoning_details" not in body["choices"][0]["message"]


def test_mistral_gets_its_thinking_back_as_chunks():
    traits = traits_for("mistral", "magistral-medium-latest")
    own_signature = Signature(provider=traits.preset, model=traits.model, kind="text")
    turn = Turn(
        role="assistant",
        parts=(
            Reasoning(text="hm", signature=own_signature),
            Reasoning(text="foreign", signature=STATE, path="messages[1].reasoning"),
            Text(text="Yes."),
        ),
    )
    user = Turn(role="user", parts=(Text(text="Hi"),))
    request = Request(model="gw", turns=(user, turn, user))
    rendered_request = DIALECT.provider.render_request(request, traits)
    thought = {
        "type": "thinking",
        "thinking": [{"type": "text", "text": "hm"}],
        "closed": True,
    }
    text = {"type": "text", "text": "Yes."}
    assert rendered_request.body["messages"][1]["content"] == [thought, text]
    assert [item.path for item in rendered_request.report] == ["messages[1].reasoning"]


def test_an_empty_response_ends_with_done():
    events = [Start(), End(Finish(reason="stop"))]
    assert rendered_frames(events, reasoning_field="reasoning_details")[-1] == "[DONE]"
