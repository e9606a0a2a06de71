"""The parser accepts hostile upstream data or fails with a named error."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.events import Event
from gateway.dialects.bedrock_converse import DIALECT
from gateway.framing.sse import Frame
from tests.dialects.bedrock_converse.make import traits
from tests.dialects.openai_chat.test_fuzz import junk
from tests.stream_grammar import check_stream

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
bodies = st.one_of(
    st.builds(lambda d, i: {"delta": d, **i}, deltas, index),
    st.builds(lambda c, i: {"start": {"toolUse": c}, **i}, calls, index),
    st.builds(lambda c, i: {"start": c, **i}, junk, index),
    st.builds(lambda w: {"stopReason": w}, st.sampled_from(["end_turn", "tool_use"]) | junk),
    st.builds(lambda u: {"usage": u}, junk),
    junk,
)
names = st.sampled_from(
    [
        "",
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
        "throttlingException",
        "somethingNew",
    ]
)


@given(st.lists(st.tuples(names, bodies), max_size=8))
def test_any_stream_is_grammatical(messages: list[tuple[str, Any]]) -> None:
    parser = DIALECT.provider.stream_parser(traits(), None)
    events: list[Event] = []
    for name, body in messages:
        events += parser.feed(Frame(name, msgspec.json.encode(body)))
    events += parser.close()
    check_stream(events)


@given(
    junk
    | st.builds(
        lambda c, s: {"output": {"message": {"content": c}}, "stopReason": s},
        st.lists(junk | bodies, max_size=3),
        junk,
    )
)
def test_any_body_is_an_answer_or_an_error(body: Any) -> None:
    body = msgspec.json.decode(msgspec.json.encode(body))
    try:
        DIALECT.provider.parse_response(body, traits(), None)
    except GatewayError as failure:
        assert failure.error.message


@given(st.integers(300, 599), st.binary(max_size=20) | junk.map(msgspec.json.encode))
def test_any_refusal_has_a_kind_and_message(status: int, body: bytes) -> None:
    error = DIALECT.provider.parse_error(status, {"x-amzn-errortype": "X"}, body)
    assert error.kind
    assert error.message
