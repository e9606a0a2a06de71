"""The SDK's types accept rendered requests, and its client parses the fake's responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import cohere
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.request import Request
from gateway.dialects.cohere import DIALECT
from gateway.providers.capabilities import traits_for
from tests.dialects.anthropic_messages.test_sdk import requests
from tests.dialects.cohere.make import parse_response, response_from
from tests.fakes import Call, ScriptedResponse, cohere_rules
from tests.fakes.cohere import KEY, StrictCohere
from tests.fakes.cohere_rules import MODELS, PLAIN


@settings(max_examples=200)
@given(requests(), st.sampled_from(MODELS))
def test_a_strict_server_accepts_every_rendered_request(request: Request, model: str) -> None:
    try:
        rendered_request = DIALECT.provider.render_request(request, traits_for("cohere", model))
    except GatewayError as refused:
        assert refused.error.param
        return
    body = json.loads(json.dumps(rendered_request.body))
    refusal = cohere_rules.refusal(body)
    assert refusal is None, refusal


@pytest.fixture(scope="module")
def server() -> Iterator[StrictCohere]:
    with StrictCohere() as strict_cohere:
        yield strict_cohere


@pytest.fixture
def client(server: StrictCohere) -> Iterator[cohere.ClientV2]:
    with httpx.Client() as http:
        yield cohere.ClientV2(api_key=KEY, base_url=server.url, httpx_client=http)


MESSAGES: Any = [{"role": "user", "content": "the weather"}]
SCRIPTED_RESPONSE = ScriptedResponse(
    text="I look.", calls=(Call("get_weather", {"city": "Paris"}, "t1"),)
)


def test_the_sdk_and_the_parser_read_the_same_response(
    server: StrictCohere, client: cohere.ClientV2
) -> None:
    server.script.on("the weather", SCRIPTED_RESPONSE)
    response = client.chat(model=PLAIN, messages=MESSAGES)
    ours = parse_response(json.loads(response.model_dump_json()))
    assert response.message.tool_plan == "I look."
    assert [part.__class__.__name__ for part in ours.parts] == ["Text", "ToolCall"]


def test_the_sdk_and_the_parser_read_the_same_stream(
    server: StrictCohere, client: cohere.ClientV2
) -> None:
    server.script.on("the weather", SCRIPTED_RESPONSE)
    theirs = [
        json.loads(event.model_dump_json(exclude_none=True))
        for event in client.chat_stream(model=PLAIN, messages=MESSAGES)
    ]
    assert theirs[-1]["type"] == "message-end"
    ours = response_from(*theirs)
    assert [part.__class__.__name__ for part in ours.parts] == ["Text", "ToolCall"]
    assert ours.usage is not None
    assert (ours.usage.prompt_tokens, ours.usage.output) == (11, 23)


def test_the_fake_refuses_what_the_service_refuses(
    server: StrictCohere, client: cohere.ClientV2
) -> None:
    with pytest.raises(cohere.errors.NotFoundError):
        client.chat(model="command-x", messages=MESSAGES)
    with pytest.raises(cohere.errors.BadRequestError, match="p must be between"):
        client.chat(model=PLAIN, messages=MESSAGES, p=1.0)
    with httpx.Client() as http, pytest.raises(cohere.errors.UnauthorizedError):
        other = cohere.ClientV2(api_key="other", base_url=server.url, httpx_client=http)
        other.chat(model=PLAIN, messages=MESSAGES)
