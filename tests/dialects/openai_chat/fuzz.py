"""Hostile input of OpenAI's Chat API."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.dialects.openai_chat import DIALECT
from gateway.framing.sse import Frame
from tests.dialects.fuzz import FuzzInput, frames_of, json_values
from tests.dialects.openai_chat.make import body, traits

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
junk = json_values(
    KEYS, ["", "x", "text", "function", "custom", "stop", "{}", '{"a":1}', "dgm1.", "data:"]
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
wholes = st.builds(lambda message: {"choices": [{"message": message}]}, deltas | junk)
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

FUZZ = FuzzInput(
    dialect=DIALECT,
    traits=traits(cache="cache_control"),
    values=junk,
    streams=st.lists(frames_of(chunks | junk) | st.just(Frame("", b"[DONE]")), max_size=8),
    responses=wholes,
    requests=bodies
    | deltas
    | st.dictionaries(st.sampled_from(TOP), junk, max_size=4).map(lambda fields: body(**fields)),
)
