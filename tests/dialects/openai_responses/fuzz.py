"""Hostile input of OpenAI's Responses API."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.dialects.openai_responses import DIALECT
from tests.dialects.fuzz import FuzzInput, frames_of, json_values
from tests.dialects.openai_responses.make import body, frame, traits

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
junk = json_values(KEYS, WORDS)
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
wholes = st.builds(
    lambda item_list, other_fields: {**other_fields, "output": item_list},
    st.lists(items | junk),
    objects,
)
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

FUZZ = FuzzInput(
    dialect=DIALECT,
    traits=traits(cache="breakpoints"),
    values=junk,
    streams=st.lists(
        frames_of(events | junk)
        | frames_of(events, st.just("response.output_text.delta"))
        | st.builds(frame, events),
        max_size=8,
    ),
    responses=wholes,
    requests=bodies
    | objects
    | st.dictionaries(st.sampled_from(TOP), junk, max_size=4).map(lambda f: body() | f),
)
