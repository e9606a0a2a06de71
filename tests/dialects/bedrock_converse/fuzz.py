"""Hostile input of Bedrock's Converse API."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.dialects.bedrock_converse import DIALECT
from tests.dialects.bedrock_converse.make import traits
from tests.dialects.fuzz import FuzzInput, frames_of
from tests.dialects.openai_chat.fuzz import junk

texts = st.text(max_size=3)
calls = st.fixed_dictionaries({}, optional={"toolUseId": texts, "name": texts, "input": junk})
deltas = st.one_of(
    st.builds(lambda v: {"text": v}, texts | junk),
    st.builds(lambda v: {"toolUse": {"input": v}}, texts | junk),
    st.builds(lambda v: {"reasoningContent": v}, junk),
    st.builds(
        lambda k, v: {"reasoningContent": {k: v}},
        st.sampled_from(["text", "signature", "redactedContent"]),
        texts | junk,
    ),
    st.builds(lambda v: {"citation": v}, junk),
    junk,
)
index = st.fixed_dictionaries({}, optional={"contentBlockIndex": st.integers(0, 2) | junk})
events = st.one_of(
    st.builds(lambda d, i: {"delta": d, **i}, deltas, index),
    st.builds(lambda c, i: {"start": {"toolUse": c}, **i}, calls, index),
    st.builds(lambda c, i: {"start": c, **i}, junk, index),
    st.builds(lambda w: {"stopReason": w}, st.sampled_from(["end_turn", "tool_use"]) | junk),
    st.builds(lambda u: {"usage": u}, junk),
    junk,
)
names = st.sampled_from(
    [
        *("", "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop"),
        *("messageStop", "metadata", "throttlingException", "somethingNew"),
    ]
)
KINDS = (
    *("text", "image", "document", "audio", "video", "toolUse", "toolResult", "cachePoint"),
    *("reasoningContent", "citationsContent", "guardContent", "searchResult"),
)
blocks = st.dictionaries(st.sampled_from(KINDS), junk, min_size=1, max_size=2)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant"]) | junk,
        "content": st.lists(blocks, max_size=3) | junk,
    }
)
bodies = st.fixed_dictionaries(
    {"model": st.just("gw"), "messages": junk | st.lists(messages, max_size=3)},
    optional={
        "system": junk | st.lists(blocks, max_size=2),
        **dict.fromkeys(
            (
                *("inferenceConfig", "toolConfig", "additionalModelRequestFields", "outputConfig"),
                *("requestMetadata", "serviceTier"),
            ),
            junk,
        ),
    },
)

FUZZ = FuzzInput(
    dialect=DIALECT,
    traits=traits(),
    values=junk,
    streams=st.lists(frames_of(events, names), max_size=8),
    responses=st.builds(
        lambda c, s: {"output": {"message": {"content": c}}, "stopReason": s},
        st.lists(junk | events, max_size=3),
        junk,
    ),
    requests=bodies,
)
