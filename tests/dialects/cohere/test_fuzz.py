"""The parser accepts hostile upstream data or fails with a named error."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.events import Event
from gateway.dialects.cohere import DIALECT
from gateway.framing.sse import Frame
from tests.dialects.cohere.make import traits
from tests.dialects.openai_chat.test_fuzz import junk
from tests.stream_grammar import check_stream

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
                "message-start",
                "content-start",
                "content-delta",
                "content-end",
                "tool-plan-delta",
                "tool-call-start",
                "tool-call-delta",
                "tool-call-end",
                "citation-start",
                "citation-end",
                "message-end",
                "something-new",
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


@given(st.lists(frames | junk, max_size=8))
def test_any_stream_is_grammatical(streamed_events: list[Any]) -> None:
    parser = DIALECT.provider.stream_parser(traits(), None)
    events: list[Event] = []
    for item in streamed_events:
        events += parser.feed(Frame("", msgspec.json.encode(item)))
    events += parser.close()
    check_stream(events)


@given(junk | st.builds(lambda m, r: {"message": m, "finish_reason": r}, messages, reasons))
def test_any_body_is_an_answer_or_an_error(body: Any) -> None:
    body = msgspec.json.decode(msgspec.json.encode(body))
    try:
        DIALECT.provider.parse_response(body, traits(), None)
    except GatewayError as failure:
        assert failure.error.message


@given(st.integers(300, 599), st.binary(max_size=20) | junk.map(msgspec.json.encode))
def test_any_refusal_has_a_kind_and_message(status: int, body: bytes) -> None:
    error = DIALECT.provider.parse_error(status, {}, body)
    assert error.kind
    assert error.message
