"""Hostile input never causes an unexpected exception."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.events import Event
from gateway.dialects.openai_chat import DIALECT
from gateway.framing.sse import Frame
from tests.dialects.openai_chat.make import body, response_context, traits
from tests.stream_grammar import check_stream

KEYS = [
    *("choices", "delta", "message", "index", "id", "model", "content", "role", "finish_reason"),
    *("tool_calls", "function", "name", "arguments", "custom", "input", "type", "text"),
    *("reasoning", "reasoning_content", "reasoning_details", "signature", "data", "thinking"),
    *("usage", "prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens"),
    *("error", "x_groq", "code", "metadata", "detail", "loc", "msg", "annotations", "audio"),
    *("url_citation", "url", "images", "refusal", "function_call", "extra_content", "google"),
    *("thought_signature", "image_url", "file", "file_data", "input_audio", "tool_call_id"),
    *("cache_control", "ttl", "prompt_cache_breakpoint", "mode", "created", "object"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["", "x", "text", "function", "custom", "stop", "{}", '{"a":1}', "dgm1.", "data:"]
    )
)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)
deltas = st.dictionaries(st.sampled_from(KEYS), junk, max_size=5)
chunks = st.builds(
    lambda delta, finish, more: {
        **more,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    },
    deltas,
    st.sampled_from([None, None, None, "stop", "tool_calls", 5]),
    st.dictionaries(
        st.sampled_from(["id", "model", "usage", "created", "x_groq"]), junk, max_size=2
    ),
)


@settings(max_examples=100)
@given(st.lists(chunks | junk, max_size=6), st.booleans())
def test_any_json_in_frames_renders_a_well_formed_stream(frames: list[Any], done: bool):
    parser = DIALECT.provider.stream_parser(traits(), None)
    renderer = DIALECT.client.stream_renderer(response_context(include_usage=True))
    events: list[Event] = []
    for item in frames:
        events += parser.feed(Frame("", msgspec.json.encode(item)))
    events += parser.feed(Frame("", b"[DONE]")) if done else []
    events += parser.close()
    check_stream(events)
    for event in events:
        renderer.feed(event)


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_in_frames_give_a_well_formed_stream(frames: list[bytes]):
    parser = DIALECT.provider.stream_parser(traits(), None)
    events: list[Event] = []
    for data in frames:
        events += parser.feed(Frame("", data))
    check_stream([*events, *parser.close()])


wholes = st.builds(lambda message: {"choices": [{"message": message}]}, deltas | junk) | junk


@settings(max_examples=100)
@given(wholes)
def test_any_json_body_is_a_response_or_an_error(value: Any):
    try:
        response = DIALECT.provider.parse_response(value, traits(), None)
        DIALECT.client.render_response(response, response_context())
    except GatewayError:
        pass


@settings(max_examples=100)
@given(st.integers(400, 599), junk | st.binary(max_size=20))
def test_any_refusal_has_a_kind(status: int, value: Any):
    data = value if isinstance(value, bytes) else msgspec.json.encode(value)
    error = DIALECT.provider.parse_error(status, {"retry-after": "x"}, data)
    assert error.message
    DIALECT.client.render_error(error, "req_1")


TOP = [
    *("tools", "functions", "tool_choice", "function_call", "parallel_tool_calls", "stop", "n"),
    *("response_format", "reasoning", "reasoning_effort", "thinking", "stream_options", "stream"),
    *("temperature", "max_tokens", "logit_bias", "logprobs", "metadata", "user", "service_tier"),
    *("web_search_options", "cache_control", "prediction", "unknown"),
]
roles = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])
messages = st.builds(lambda role, other_fields: {**other_fields, "role": role}, roles, deltas)
bodies = st.builds(
    lambda items, fields: {**fields, "model": "gw", "messages": items},
    st.lists(messages, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(TOP), junk, max_size=3),
)


@settings(max_examples=100)
@given(bodies | deltas)
def test_any_body_is_a_request_or_an_error_that_names_a_field(value: dict[str, Any]):
    try:
        request = DIALECT.client.parse_request(value, {})
    except GatewayError as failure:
        assert failure.error.kind == "invalid_request"
        assert failure.error.param
        return
    try:
        rendered = DIALECT.provider.render_request(request, traits(cache="cache_control"))
    except GatewayError as failure:
        assert failure.error.kind == "unsupported_param"
        return
    msgspec.json.encode(rendered.body)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(TOP), junk, max_size=4))
def test_any_field_is_read_or_named(fields: dict[str, Any]):
    try:
        DIALECT.client.parse_request(body(**fields), {})
    except GatewayError as failure:
        assert failure.error.param
