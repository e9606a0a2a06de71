"""Hostile input of Cohere."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.dialects.cohere import DIALECT
from tests.dialects.cohere.make import traits
from tests.dialects.fuzz import FuzzInput, frames_of
from tests.dialects.openai_chat.fuzz import junk

texts = st.text(max_size=3)
functions = st.fixed_dictionaries({}, optional={"name": texts | junk, "arguments": texts | junk})
calls = st.fixed_dictionaries({}, optional={"id": texts | junk, "function": functions | junk})
contents = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "thinking"]) | junk,
        "text": texts | junk,
        "thinking": texts | junk,
    },
)
citations = st.fixed_dictionaries(
    {}, optional={"start": junk, "text": texts | junk, "sources": st.lists(junk, max_size=2) | junk}
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "content": contents | st.lists(contents | junk, max_size=2) | junk,
        "tool_plan": texts | junk,
        "tool_calls": calls | st.lists(calls | junk, max_size=2) | junk,
        "citations": citations | st.lists(citations | junk, max_size=2) | junk,
    },
)
reasons = st.sampled_from(["COMPLETE", "TOOL_CALL", "ERROR", "MAX_TOKENS"]) | junk
frames = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                *("message-start", "content-start", "content-delta", "content-end"),
                *("tool-plan-delta", "tool-call-start", "tool-call-delta", "tool-call-end"),
                *("citation-start", "citation-end", "message-end", "something-new"),
            ]
        )
        | junk
    },
    optional={
        "index": st.integers(0, 2) | junk,
        "id": texts | junk,
        "delta": st.fixed_dictionaries(
            {}, optional={"message": messages | junk, "finish_reason": reasons, "usage": junk}
        )
        | junk,
    },
)
bodies = st.fixed_dictionaries(
    {
        "model": st.just("gw"),
        "messages": junk
        | st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["user", "assistant", "tool", "system"]), "content": junk},
                optional={"tool_calls": junk, "tool_plan": junk, "tool_call_id": junk},
            ),
            max_size=3,
        ),
    },
    optional=dict.fromkeys(
        (
            *("tools", "documents", "citation_options", "response_format", "thinking", "k", "p"),
            *("strict_tools", "tool_choice", "stop_sequences", "temperature", "seed"),
        ),
        junk,
    ),
)

FUZZ = FuzzInput(
    dialect=DIALECT,
    traits=traits(),
    values=junk,
    streams=st.lists(frames_of(frames | junk), max_size=8),
    responses=st.builds(lambda m, r: {"message": m, "finish_reason": r}, messages, reasons),
    requests=bodies,
)
