"""The official SDK parses rendered responses, and a strict server accepts rendered requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import Failed
from gateway.canon.fold import unfold_response
from gateway.canon.request import (
    Citation,
    Native,
    Output,
    Part,
    Reasoning,
    ReasoningConfig,
    Request,
    Signature,
    Text,
    ToolCall,
)
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.gemini import DIALECT
from gateway.providers.capabilities import traits_for
from tests.dialects.anthropic_messages.test_sdk import requests
from tests.dialects.gemini.make import rendered_bytes, response_context
from tests.fakes import gemini_rules

REQUEST: dict[str, Any] = {"model": "gw-x", "contents": "hi"}
WHOLE = Response(
    parts=(
        Reasoning(text="hm", signature=Signature(provider="p", model="m", value="S")),
        Text(text="Hello, 世界", citations=(Citation(url="https://x", title="t", start=0, end=5),)),
        ToolCall(
            id="c1",
            name="f",
            arguments={"a": [1, "b"]},
            signature=Signature(provider="p", model="m", value="S2"),
        ),
        ToolCall(id="c2", name="free", raw_arguments='x"y', custom=True),
    ),
    finish=Finish(reason="tool"),
    usage=Usage(input=6, cache_read=4, output=8, reasoning=6),
)


def client(response: Callable[[httpx.Request], httpx.Response]) -> genai.Client:
    """Return the official client with a transport that responds without a network."""
    http = httpx.Client(transport=httpx.MockTransport(response))
    options = types.HttpOptions(base_url="http://gateway", httpx_client=http)
    return genai.Client(api_key="k", vertexai=False, http_options=options)


def client_streaming(data: bytes) -> genai.Client:
    """Return a client that receives these bytes as its stream."""
    headers = {"content-type": "text/event-stream"}
    return client(lambda _: httpx.Response(200, headers=headers, content=data))


def test_the_sdk_reads_a_response():
    body, _ = DIALECT.client.render_response(WHOLE, response_context())
    response = client(lambda _: httpx.Response(200, json=body)).models.generate_content(**REQUEST)
    assert response.text == "Hello, 世界"
    assert [call.args for call in response.function_calls or []] == [
        {"a": [1, "b"]},
        {"input": 'x"y'},
    ]
    assert response.usage_metadata is not None
    assert response.usage_metadata.prompt_token_count == 10
    assert response.usage_metadata.candidates_token_count == 2
    assert response.usage_metadata.thoughts_token_count == 6
    assert response.candidates is not None
    grounding = response.candidates[0].grounding_metadata
    assert grounding is not None
    assert grounding.grounding_supports is not None
    assert grounding.grounding_supports[0].segment is not None
    assert grounding.grounding_supports[0].segment.text == "Hello"


def test_the_sdk_reads_the_same_response_streamed_and_not():
    body, _ = DIALECT.client.render_response(WHOLE, response_context())
    unary = client(lambda _: httpx.Response(200, json=body)).models.generate_content(**REQUEST)
    chunks = list(
        client_streaming(rendered_bytes(unfold_response(WHOLE))).models.generate_content_stream(
            **REQUEST
        )
    )
    assert "".join(chunk.text or "" for chunk in chunks) == unary.text
    calls = [call for chunk in chunks for call in chunk.function_calls or []]
    assert calls == unary.function_calls
    assert chunks[-1].usage_metadata == unary.usage_metadata
    assert {chunk.model_version for chunk in chunks} == {"gw-x"}


def test_the_sdk_raises_an_error_event_in_the_middle_of_a_stream():
    events = [*unfold_response(Response(parts=(Text(text="par"),)))[:3]]
    data = rendered_bytes([*events, Failed(Error(kind="overloaded", message="Overloaded"))])
    with pytest.raises(errors.APIError, match="Overloaded"):
        list(client_streaming(data).models.generate_content_stream(**REQUEST))


def test_the_sdk_ignores_the_keepalive():
    renderer = DIALECT.client.stream_renderer(response_context())
    frames = [renderer.feed(event) for event in unfold_response(WHOLE)]
    data = DIALECT.keepalive.join([b"", *frames, b""])
    chunks = list(client_streaming(data).models.generate_content_stream(**REQUEST))
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


def test_a_keepalive_in_an_array_stream_is_ignored():
    renderer = DIALECT.client.stream_renderer(response_context(framing="array"))
    parts = [renderer.feed(event) for event in unfold_response(WHOLE)]
    chunks = json.loads(DIALECT.keepalive.join(parts))
    assert len(chunks) > 3
    for chunk in chunks:
        types.GenerateContentResponse.model_validate(chunk)


@pytest.mark.parametrize(
    ("kind", "code", "word"),
    [
        ("invalid_request", 400, "INVALID_ARGUMENT"),
        ("gateway_auth", 401, "UNAUTHENTICATED"),
        ("not_allowed", 403, "PERMISSION_DENIED"),
        ("not_found", 404, "NOT_FOUND"),
        ("rate_limit", 429, "RESOURCE_EXHAUSTED"),
        ("quota", 429, "RESOURCE_EXHAUSTED"),
        ("overloaded", 503, "UNAVAILABLE"),
        ("timeout", 504, "DEADLINE_EXCEEDED"),
        ("upstream_auth", 500, "INTERNAL"),
    ],
)
def test_the_sdk_raises_an_error_as_google_would(kind: str, code: int, word: str):
    reply = DIALECT.client.render_error(Error(kind=kind, message="reason"), "req_dgm")
    sdk = client(lambda _: httpx.Response(reply.status, headers=reply.headers, json=reply.body))
    with pytest.raises(errors.APIError, match="reason") as error:
        sdk.models.generate_content(**REQUEST)
    assert (error.value.code, error.value.status) == (code, word)


def test_a_prompt_that_policy_refuses_is_a_response_without_candidates():
    reply = DIALECT.client.render_error(Error(kind="content_policy", message="no"), "req_dgm")
    response = client(lambda _: httpx.Response(200, json=reply.body)).models.generate_content(
        **REQUEST
    )
    assert response.candidates is None
    assert response.prompt_feedback is not None
    assert response.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT


def test_the_sdk_reads_a_count():
    sdk = client(lambda _: httpx.Response(200, json=DIALECT.client.render_count(42)))
    assert sdk.models.count_tokens(model="m", contents="x").total_tokens == 42


def test_sdk_requests_are_parsed():
    upstream_requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        upstream_requests.append(request)
        return httpx.Response(
            200, json=DIALECT.client.render_response(WHOLE, response_context())[0]
        )

    schema = types.Schema(type=types.Type.OBJECT, properties={"a": types.Schema(type="STRING")})
    config = types.GenerateContentConfig(
        system_instruction="S",
        tools=[
            types.Tool(function_declarations=[{"name": "f", "parameters": schema}]),  # type: ignore[list-item]
            types.Tool(google_search=types.GoogleSearch()),
        ],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["f"]
            )
        ),
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=100),
        response_mime_type="application/json",
        response_schema=schema,
        stop_sequences=["END"],
        max_output_tokens=9,
        top_k=3,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    client(respond).models.generate_content(model="gw-x", contents="hi", config=config)
    (request,) = upstream_requests
    assert request.url.path.endswith("/models/gw-x:generateContent")
    parsed_request = DIALECT.client.parse_request(
        {**json.loads(request.content), "model": "gw-x"}, {}
    )
    assert parsed_request.reasoning == ReasoningConfig(mode="budget", budget=100, visible="summary")
    [search, function] = sorted(parsed_request.tools, key=lambda tool: tool.name, reverse=True)
    assert (search.kind, search.name) == ("server", "web_search")
    block = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert function.schema == block
    assert parsed_request.output == Output(format="schema", schema=block)
    assert parsed_request.tool_choice is not None
    assert parsed_request.tool_choice.names == ("f",)
    assert (parsed_request.max_output, parsed_request.sampling.top_k) == (9, 3)
    assert parsed_request.sampling.stop == ("END",)
    assert parsed_request.extra == {"gemini": {}}


def _foreign(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the parts with dialect-specific ones marked as another dialect's."""
    return tuple(replace(p, dialect="else") if isinstance(p, Native) else p for p in parts)


@settings(max_examples=200)
@given(requests(), st.sampled_from(sorted(gemini_rules.MODELS)))
def test_a_strict_server_accepts_every_rendered_request(request: Request, model: str):
    turns = tuple(replace(turn, parts=_foreign(turn.parts)) for turn in request.turns)
    request = replace(request, turns=turns)
    try:
        rendered_request = DIALECT.provider.render_request(request, traits_for("gemini", model))
    except GatewayError as refused:
        assert refused.error.param
        return
    body = json.loads(json.dumps(rendered_request.body))
    refusal = gemini_rules.refusal(body, model)
    assert refusal is None, refusal
