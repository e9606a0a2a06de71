"""Hostile input of OpenAI's Completions API."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.dialects.openai_completions import DIALECT
from gateway.framing.sse import Frame
from tests.dialects.fuzz import FuzzInput, frames_of, json_values
from tests.dialects.openai_completions.make import ALL

KEYS = ["choices", "text", "index", "finish_reason", "usage", "prompt_tokens", "error", "id", "x"]
junk = json_values(KEYS, ["", "x", "stop", "length"])
chunks = st.builds(lambda choice: {"choices": [choice]}, junk)
TOP = [
    *("prompt", "max_tokens", "stop", "n", "best_of", "logprobs", "echo", "suffix", "user"),
    *("temperature", "logit_bias", "stream", "stream_options", "seed", "unknown"),
]

FUZZ = FuzzInput(
    dialect=DIALECT,
    traits=ALL,
    values=junk,
    streams=st.lists(frames_of(chunks | junk) | st.just(Frame("", b"[DONE]")), max_size=8),
    responses=chunks,
    requests=st.dictionaries(st.sampled_from(TOP), junk, max_size=5).map(
        lambda fields: {"model": "gw", "prompt": "x", **fields}
    ),
)
