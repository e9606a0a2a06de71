"""Hostile input of Ollama."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.dialects.ollama import DIALECT
from tests.dialects.fuzz import FuzzInput, frames_of, json_values
from tests.dialects.ollama.make import body, traits

KEYS = [
    *("role", "content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id", "name"),
    *("function", "arguments", "id", "message", "done", "done_reason", "response", "error"),
    *("prompt_eval_count", "eval_count", "total_duration", "model", "created_at", "logprobs"),
    *("embeddings", "embedding", "input", "prompt", "description", "parameters", "code"),
]
junk = json_values(KEYS, ["", "x", "f", "stop", "load", "{}", '{"a":1}', "data:", "json", "high"])
objects = st.dictionaries(st.sampled_from(KEYS), junk, max_size=5)
lines = st.builds(
    lambda message, other_fields, done: {**other_fields, "message": message, "done": done},
    objects | junk,
    objects,
    st.sampled_from([False, False, True, 5]),
)
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

FUZZ = FuzzInput(
    dialect=DIALECT,
    traits=traits(),
    values=junk,
    streams=st.lists(frames_of(lines | junk), max_size=8),
    responses=lines,
    requests=bodies
    | objects
    | st.dictionaries(st.sampled_from([*TOP, "model"]), junk, max_size=4)
    | st.dictionaries(st.sampled_from(TOP), junk, max_size=4).map(lambda fields: body(**fields)),
    embed_requests=st.dictionaries(
        st.sampled_from(["input", "prompt", "model", "dimensions"]), junk
    ),
)
