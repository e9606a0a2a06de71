"""Hostile input never causes an unexpected exception."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.events import Event
from gateway.dialects.ollama import DIALECT
from gateway.framing.sse import Frame
from tests.dialects.ollama.make import body, response_context, traits
from tests.stream_grammar import check_stream

KEYS = [
    *("role", "content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id", "name"),
    *("function", "arguments", "id", "message", "done", "done_reason", "response", "error"),
    *("prompt_eval_count", "eval_count", "total_duration", "model", "created_at", "logprobs"),
    *("embeddings", "embedding", "input", "prompt", "description", "parameters", "code"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "x", "f", "stop", "load", "{}", '{"a":1}', "data:", "json", "high"])
)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)
objects = st.dictionaries(st.sampled_from(KEYS), junk, max_size=5)
lines = st.builds(
    lambda message, other_fields, done: {**other_fields, "message": message, "done": done},
    objects | junk,
    objects,
    st.sampled_from([False, False, True, 5]),
)


@settings(max_examples=100)
@given(st.lists(lines | junk, max_size=6), st.sampled_from(["", "/api/generate"]))
def test_any_json_in_lines_renders_a_well_formed_stream(rows: list[Any], endpoint: str) -> None:
    parser = DIALECT.provider.stream_parser(traits(), None)
    renderer = DIALECT.client.stream_renderer(response_context(endpoint=endpoint))
    events: list[Event] = []
    for row in rows:
        events += parser.feed(Frame("", msgspec.json.encode(row)))
    events += parser.close()
    check_stream(events)
    for event in events:
        renderer.feed(event)


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_in_lines_give_a_well_formed_stream(rows: list[bytes]) -> None:
    parser = DIALECT.provider.stream_parser(traits(), None)
    events: list[Event] = []
    for data in rows:
        events += parser.feed(Frame("", data))
    check_stream([*events, *parser.close()])


@settings(max_examples=100)
@given(lines | junk)
def test_any_json_body_is_a_response_or_an_error(value: Any) -> None:
    try:
        response = DIALECT.provider.parse_response(value, traits(), None)
        DIALECT.client.render_response(response, response_context())
    except GatewayError:
        pass


@settings(max_examples=100)
@given(st.integers(400, 599), junk | st.binary(max_size=20))
def test_any_refusal_has_a_kind(status: int, value: Any) -> None:
    data = value if isinstance(value, bytes) else msgspec.json.encode(value)
    error = DIALECT.provider.parse_error(status, {"retry-after": "x"}, data)
    assert error.message
    DIALECT.client.render_error(error, "req_1")


TOP = [
    *("tools", "options", "format", "think", "stream", "keep_alive", "logprobs", "top_logprobs"),
    *("prompt", "system", "images", "suffix", "raw", "context", "unknown"),
]
roles = st.sampled_from(["system", "user", "assistant", "tool"])
messages = st.builds(lambda role, other_fields: {**other_fields, "role": role}, roles, objects)
bodies = st.builds(
    lambda items, fields: {**fields, "model": "gw", "messages": items},
    st.lists(messages, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(TOP), junk, max_size=3),
)


@settings(max_examples=150)
@given(bodies | objects | st.dictionaries(st.sampled_from([*TOP, "model"]), junk, max_size=4))
def test_any_body_is_a_request_or_an_error_that_names_a_field(value: dict[str, Any]) -> None:
    try:
        request = DIALECT.client.parse_request(value, {})
    except GatewayError as failure:
        assert failure.error.kind == "invalid_request"
        assert failure.error.param
        return
    msgspec.json.encode(DIALECT.provider.render_request(request, traits()).body)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(["input", "prompt", "model", "dimensions"]), junk))
def test_any_body_is_an_embedding_request_or_an_error(value: dict[str, Any]) -> None:
    assert DIALECT.embed_client is not None
    assert DIALECT.embed_provider is not None
    try:
        request = DIALECT.embed_client.parse_embed(value)
    except GatewayError as failure:
        assert failure.error.param
        return
    msgspec.json.encode(DIALECT.embed_provider.render_embed(request, traits()).body)


@settings(max_examples=100)
@given(objects | junk)
def test_any_json_is_vectors_or_an_error(value: Any) -> None:
    assert DIALECT.embed_provider is not None
    DIALECT.embed_provider.peek_embed_usage(msgspec.json.encode(value))
    with contextlib.suppress(GatewayError):
        DIALECT.embed_provider.parse_embed(value)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(TOP), junk, max_size=4))
def test_any_field_is_read_or_named(fields: dict[str, Any]) -> None:
    try:
        DIALECT.client.parse_request(body(**fields), {})
    except GatewayError as failure:
        assert failure.error.param
