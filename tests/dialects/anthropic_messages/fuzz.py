"""Hostile input of Anthropic's Messages API."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.dialects.anthropic_messages import DIALECT
from tests.dialects.anthropic_messages.make import (
    OVER,
    block_start_frame,
    block_stop_frame,
    delta,
    message_start_frame,
    stop_reason_frame,
    text_delta,
    traits,
)
from tests.dialects.fuzz import FuzzInput, frames_of, json_values

KEYS = [
    *("type", "id", "name", "input", "text", "thinking", "signature", "data", "citations", "role"),
    *("content", "source", "media_type", "url", "cache_control", "ttl", "title", "is_error"),
    *("usage", "input_tokens", "cache_creation", "error", "message", "tool_use_id", "citation"),
]
junk = json_values(KEYS, ["", "x", "text", "tool_use", "thinking", "end_turn", "{}", "dgm1.", "f"])
kinds = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
        "unknown",
    ]
)
blocks = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "thinking", "redacted_thinking", "tool_use", "x"]) | junk,
        "id": junk,
        "name": junk,
        "input": junk,
        "text": junk,
        "thinking": junk,
        "signature": junk,
        "data": junk,
        "citations": junk,
    },
)
deltas = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            [
                "text_delta",
                "thinking_delta",
                "signature_delta",
                "input_json_delta",
                "citations_delta",
            ]
        )
        | junk,
        "text": st.text(max_size=2) | junk,
        "thinking": st.text(max_size=2) | junk,
        "signature": st.text(max_size=2) | junk,
        "partial_json": st.text(max_size=2) | junk,
        "citation": junk,
        "stop_reason": st.sampled_from(["end_turn", "tool_use", "refusal"]) | junk,
        "stop_details": junk,
    },
)
events = st.fixed_dictionaries(
    {},
    optional={
        "type": kinds | junk,
        "index": st.integers(0, 2) | junk,
        "content_block": blocks | junk,
        "delta": deltas | junk,
        "message": st.fixed_dictionaries({}, optional={"id": junk, "usage": junk}) | junk,
        "usage": st.dictionaries(st.sampled_from(["input_tokens", "cache_creation"]), junk) | junk,
        "error": junk,
    },
)
sane = st.sampled_from(
    [
        message_start_frame(),
        block_start_frame(0),
        block_start_frame(1, type="tool_use", id="c1", name="f", input={}),
        block_start_frame(2, type="thinking", thinking=""),
        text_delta("a", 0),
        text_delta("b", 1),
        delta(1, type="input_json_delta", partial_json="{}"),
        delta(2, type="thinking_delta", thinking="hm"),
        delta(2, type="signature_delta", signature="S"),
        block_stop_frame(0),
        block_stop_frame(1),
        block_stop_frame(2),
        stop_reason_frame(),
        OVER,
    ]
)
TOP = [
    *("system", "tools", "tool_choice", "thinking", "max_tokens", "metadata", "stop_sequences"),
    *("temperature", "top_k", "stream", "service_tier", "output_config", "mcp_servers", "unknown"),
]
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]) | junk,
        "content": st.lists(blocks | junk, max_size=3) | junk,
    }
)
bodies = st.builds(
    lambda items, fields: {"model": "gw", "max_tokens": 9, **fields, "messages": items},
    st.lists(messages, max_size=3) | junk,
    st.dictionaries(st.sampled_from(TOP), junk, max_size=3),
)

FUZZ = FuzzInput(
    dialect=DIALECT,
    traits=traits(),
    values=junk,
    streams=st.lists(sane, max_size=14)
    | st.lists(frames_of(events | junk, st.just("") | kinds) | sane, max_size=8),
    responses=blocks | st.fixed_dictionaries({"content": st.lists(blocks | junk, max_size=3)}),
    requests=bodies,
)
