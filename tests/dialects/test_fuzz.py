"""Hostile input never causes an unexpected exception."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.events import End, Event, Failed, Start
from gateway.canon.fold import fold_events
from gateway.dialects import CLIENT_DIALECTS, DIALECTS
from gateway.dialects.base import RenderedRequest
from gateway.providers.capabilities import traits_for
from gateway.providers.catalog import PRESETS
from tests.dialects.anthropic_messages.fuzz import FUZZ as ANTHROPIC_MESSAGES
from tests.dialects.bedrock_converse.fuzz import FUZZ as BEDROCK_CONVERSE
from tests.dialects.cohere.fuzz import FUZZ as COHERE
from tests.dialects.fuzz import FuzzInput
from tests.dialects.gemini.fuzz import FUZZ as GEMINI
from tests.dialects.ollama.fuzz import FUZZ as OLLAMA
from tests.dialects.openai_chat.fuzz import FUZZ as OPENAI_CHAT
from tests.dialects.openai_completions.fuzz import FUZZ as OPENAI_COMPLETIONS
from tests.dialects.openai_responses.fuzz import FUZZ as OPENAI_RESPONSES
from tests.stream_grammar import check_stream

INPUTS = (
    *(OPENAI_CHAT, OPENAI_RESPONSES, OPENAI_COMPLETIONS, ANTHROPIC_MESSAGES),
    *(GEMINI, OLLAMA, BEDROCK_CONVERSE, COHERE),
)
EMBEDDING = [i for i in INPUTS if i.dialect.embed_provider is not None]
each_dialect = pytest.mark.parametrize("fuzz", INPUTS, ids=[i.dialect.name for i in INPUTS])
each_embedding_dialect = pytest.mark.parametrize(
    "fuzz", EMBEDDING, ids=[i.dialect.name for i in EMBEDDING]
)
CLIENTS = [fuzz for fuzz in INPUTS if fuzz.dialect.name in CLIENT_DIALECTS]
# Presets and models of every dialect, besides the traits of the inputs.
TARGETS = [
    ("openai", "gpt-4.1"),
    ("openai_responses", "gpt-5.6-sol"),
    ("anthropic", "claude-opus-4-5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("deepseek", "deepseek-v4-pro"),
    ("openrouter", "anthropic/claude-sonnet-4.5"),
    ("gemini", "gemini-3.8-flash"),
    ("gemini", "gemini-2.5-pro"),
    ("ollama", "qwen3:8b"),
    ("custom-completions", "davinci-002"),
    ("bedrock", "us.amazon.nova-pro-v1:0"),
    ("bedrock", "us.anthropic.claude-opus-5-v1:0"),
    ("cohere", "command-a-plus-05-2026"),
]
RENDERED_REQUESTS = st.none() | st.just(
    RenderedRequest(body={}, client_names={"x": "y"}, custom_tools=frozenset(["x", "f"]))
)


@each_dialect
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_frames_make_a_well_formed_stream_of_any_client(fuzz: FuzzInput, data: Any) -> None:
    parser = fuzz.dialect.provider.stream_parser(fuzz.traits, data.draw(RENDERED_REQUESTS))
    events: list[Event] = []
    for frame in data.draw(fuzz.streams):
        events += parser.feed(frame)
    events += parser.close()
    check_stream(events)
    assert isinstance(events[0], Start | Failed)
    assert isinstance(events[-1], End | Failed)
    for client in CLIENTS:
        renderer = client.dialect.client.stream_renderer(client.context)
        for event in events:
            renderer.feed(event)
        with contextlib.suppress(GatewayError):
            client.dialect.client.render_response(fold_events(events), client.context)


@each_dialect
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_json_is_a_response_for_any_client_or_an_error(fuzz: FuzzInput, data: Any) -> None:
    body = msgspec.json.encode(data.draw(fuzz.responses | fuzz.values))
    fuzz.dialect.peek_usage(body)
    try:
        response = fuzz.dialect.provider.parse_response(
            msgspec.json.decode(body), fuzz.traits, None
        )
    except GatewayError as failure:
        assert failure.error.kind
        assert failure.error.message
        return
    for client in CLIENTS:
        with contextlib.suppress(GatewayError):
            client.dialect.client.render_response(response, client.context)


@each_dialect
@settings(max_examples=100, deadline=None)
@given(data=st.data(), status=st.integers(300, 599))
def test_any_error_response_has_a_kind_and_a_message(
    fuzz: FuzzInput, data: Any, status: int
) -> None:
    body = data.draw(fuzz.values.map(msgspec.json.encode) | st.binary(max_size=20))
    headers = {"retry-after": "x", "x-amzn-errortype": "X"}
    error = fuzz.dialect.provider.parse_error(status, headers, body)
    assert error.kind
    assert error.message
    assert fuzz.dialect.client.render_error(error, "req_1").status >= 400


@each_dialect
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_body_is_a_request_for_any_target_or_an_error_that_names_a_field(
    fuzz: FuzzInput, data: Any
) -> None:
    try:
        request = fuzz.dialect.client.parse_request(data.draw(fuzz.requests), {})
    except GatewayError as failure:
        assert failure.error.kind in {"invalid_request", "unsupported_param"}
        assert failure.error.param
        return
    targets = [(fuzz.dialect, fuzz.traits)]
    targets += [(DIALECTS[PRESETS[name].dialect], traits_for(name, m)) for name, m in TARGETS]
    for dialect, traits in targets:
        try:
            rendered_request = dialect.provider.render_request(request, traits)
        except GatewayError as failure:
            assert failure.error.kind in {"invalid_request", "unsupported_param"}
            assert failure.error.param
            continue
        msgspec.json.encode(rendered_request.body)
        assert all(item.path for item in rendered_request.report)


@pytest.mark.parametrize("fuzz", [OLLAMA], ids=["ollama"])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_body_is_an_embedding_request_or_an_error(fuzz: FuzzInput, data: Any) -> None:
    assert fuzz.dialect.embed_client is not None
    assert fuzz.dialect.embed_provider is not None
    assert fuzz.embed_requests is not None
    try:
        request = fuzz.dialect.embed_client.parse_embed(data.draw(fuzz.embed_requests))
    except GatewayError as failure:
        assert failure.error.param
        return
    msgspec.json.encode(fuzz.dialect.embed_provider.render_embed(request, fuzz.traits).body)


@each_embedding_dialect
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_json_is_vectors_or_an_error(fuzz: FuzzInput, data: Any) -> None:
    assert fuzz.dialect.embed_provider is not None
    value = data.draw(fuzz.values)
    fuzz.dialect.embed_provider.peek_embed_usage(msgspec.json.encode(value))
    with contextlib.suppress(GatewayError):
        fuzz.dialect.embed_provider.parse_embed(value)
