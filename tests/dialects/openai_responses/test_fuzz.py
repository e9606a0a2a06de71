"""Hostile input never causes an unexpected exception."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.events import Event
from gateway.dialects.base import RenderedRequest
from gateway.dialects.openai_responses import DIALECT
from gateway.framing.sse import Frame
from tests.dialects.openai_responses.make import body, frame, response_context, traits
from tests.stream_grammar import check_stream

KEYS = [
    *("type", "id", "role", "content", "text", "output", "item", "item_id", "output_index"),
    *("content_index", "summary_index", "delta", "part", "summary", "encrypted_content", "status"),
    *("call_id", "name", "namespace", "arguments", "input", "annotations", "annotation", "url"),
    *("refusal", "response", "usage", "input_tokens", "output_tokens", "input_tokens_details"),
    *("cached_tokens", "error", "code", "message", "incomplete_details", "reason", "model"),
    *("image_url", "file_id", "file_data", "file_url", "filename", "detail", "input_audio"),
    *("tools", "parameters", "strict", "format", "grammar", "defer_loading", "created_at"),
    *("prompt_cache_breakpoint", "ttl", "phase", "start_index", "title", "server_label"),
]
WORDS = [
    *("", "x", "message", "reasoning", "function_call", "custom_tool_call", "item_reference"),
    *("function_call_output", "additional_tools", "output_text", "input_text", "refusal"),
    *("summary_text", "reasoning_text", "input_image", "input_file", "web_search_call"),
    *("completed", "incomplete", "failed", "queued", "user", "assistant", "developer"),
    *("namespace", "function", "custom", "{}", '{"a":1}', "dgm1.", "dgm1.{a,b,rs_1,x}", "data:"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-1, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)
objects = st.dictionaries(st.sampled_from(KEYS), junk, max_size=6)
KINDS = [
    *("created", "in_progress", "completed", "incomplete", "failed", "output_item.added"),
    *("output_item.done", "content_part.added", "content_part.done", "output_text.delta"),
    *("output_text.done", "output_text.annotation.added", "refusal.delta", "refusal.done"),
    *("function_call_arguments.delta", "function_call_arguments.done", "unheard_of"),
    *("custom_tool_call_input.delta", "custom_tool_call_input.done", "reasoning_text.delta"),
    *("reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_text.done"),
]
items = st.builds(
    lambda kind, other_fields: {**other_fields, "type": kind},
    st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "mcp_call"]),
    objects,
)
near = st.fixed_dictionaries(
    {"output_index": st.integers(0, 2)},
    optional={
        "content_index": st.integers(0, 1),
        "summary_index": st.integers(0, 1),
        "delta": st.sampled_from(["", "a", "b"]),
        "text": st.sampled_from(["", "a", "ab"]),
        "arguments": st.just("{}"),
        "item": items,
        "part": objects,
        "response": objects,
    },
)
events = st.builds(
    lambda kind, fields: {**fields, "type": f"response.{kind}"},
    st.sampled_from(KINDS),
    near | objects,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(events | junk, max_size=8), st.booleans())
def test_any_json_in_frames_renders_a_well_formed_stream(frames: list[Any], unwraps: bool):
    rendered = (
        RenderedRequest(body={}, client_names={"x": "y"}, custom_tools=frozenset(["x"]))
        if unwraps
        else None
    )
    parser = DIALECT.provider.stream_parser(traits(), rendered)
    renderer = DIALECT.client.stream_renderer(response_context())
    streamed_events: list[Event] = []
    for item in frames:
        streamed_events += parser.feed(
            frame(item) if isinstance(item, dict) else _unnamed_frame(item)
        )
    streamed_events += parser.close()
    check_stream(streamed_events)
    for event in streamed_events:
        renderer.feed(event)


def _unnamed_frame(item: Any) -> Frame:
    return Frame("", msgspec.json.encode(item))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_in_frames_give_a_well_formed_stream(frames: list[bytes]):
    parser = DIALECT.provider.stream_parser(traits(), None)
    streamed_events: list[Event] = []
    for data in frames:
        streamed_events += parser.feed(Frame("response.output_text.delta", data))
        streamed_events += parser.feed(Frame("", data))
    check_stream([*streamed_events, *parser.close()])


wholes = st.builds(
    lambda item_list, other_fields: {**other_fields, "output": item_list},
    st.lists(items | junk),
    objects,
)


@settings(max_examples=100, deadline=None)
@given(wholes | junk)
def test_any_json_body_is_a_response_or_an_error(value: Any):
    DIALECT.peek_usage(msgspec.json.encode(value))
    try:
        response = DIALECT.provider.parse_response(value, traits(), None)
        DIALECT.client.render_response(response, response_context())
    except GatewayError:
        pass


TOP = [
    *("input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"),
    *("include", "max_output_tokens", "temperature", "top_logprobs", "metadata", "user", "store"),
    *("service_tier", "previous_response_id", "conversation", "prompt", "truncation", "stream"),
    *("background", "max_tool_calls", "unknown"),
]
inputs = st.builds(
    lambda kind, other_fields: {**other_fields, "type": kind},
    st.sampled_from(
        [
            *("message", "reasoning", "function_call", "custom_tool_call", "item_reference"),
            *("function_call_output", "custom_tool_call_output", "additional_tools", "mcp_call"),
        ]
    ),
    objects,
)
bodies = st.builds(
    lambda item_list, fields: {"input": item_list, **fields, "model": "gw"},
    st.lists(inputs, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(TOP), junk, max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(bodies | objects)
def test_any_body_is_a_request_or_an_error_that_names_a_field(value: dict[str, Any]):
    try:
        request = DIALECT.client.parse_request(value, {})
    except GatewayError as failure:
        assert failure.error.kind in {"invalid_request", "unsupported_param"}
        assert failure.error.param
        return
    try:
        rendered = DIALECT.provider.render_request(request, traits(cache="breakpoints"))
    except GatewayError as failure:
        assert failure.error.kind == "unsupported_param"
        return
    msgspec.json.encode(rendered.body)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(TOP), junk, max_size=4))
def test_any_field_is_read_or_named(fields: dict[str, Any]):
    try:
        DIALECT.client.parse_request(body(**fields) | fields, {})
    except GatewayError as failure:
        assert failure.error.param
