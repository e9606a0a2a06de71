"""A whole response and its stream events are equivalent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    Delta,
    End,
    Event,
    Failed,
    NativeDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.request import (
    Citation,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Signature,
    Text,
    ToolCall,
)
from gateway.canon.response import Finish, Response, Usage, merge_usage
from tests.stream_grammar import check_stream

texts = st.text(max_size=8)
signatures = st.builds(Signature, provider=texts, model=texts, kind=texts, value=texts)
values = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), texts)
arguments = st.dictionaries(texts, values, max_size=3)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, text=texts, citations=st.tuples(st.builds(Citation, url=texts))),
    st.builds(Text, text=texts),
    st.builds(Reasoning, text=texts, signature=st.none() | signatures, redacted=st.booleans()),
    st.builds(Refusal, text=texts),
    st.builds(
        ToolCall, id=texts, name=texts, arguments=arguments, signature=st.none() | signatures
    ),
    st.builds(ToolCall, id=texts, name=texts, raw_arguments=texts, custom=st.just(True)),
    st.builds(ToolCall, id=texts, name=texts, raw_arguments=st.just('{"half":')),
    st.builds(Native, dialect=texts, data=st.dictionaries(texts, texts, max_size=2)),
)
finishes = st.builds(
    Finish,
    reason=st.sampled_from(["stop", "length", "tool", "refusal", "pause", "malformed"]),
    explanation=st.none() | texts,
)
counts = st.none() | st.integers(0, 99)
usages = st.builds(Usage, input=counts, cache_read=counts, output=counts, reasoning=counts)
responses = st.builds(
    Response,
    id=texts,
    model=texts,
    parts=st.lists(parts, max_size=4).map(tuple),
    finish=finishes,
    usage=st.none() | usages,
    created=st.none() | st.integers(0, 2**31),
    service_tier=st.none() | texts,
)


@given(responses)
def test_folding_the_events_of_a_response_restores_it(response: Response):
    events = unfold_response(response)
    check_stream(events)
    assert fold_events(events) == response


@given(responses, st.data())
def test_folding_is_independent_of_how_deltas_are_split(response: Response, data: st.DataObject):
    pieces: list[Event] = []
    for event in unfold_response(response):
        if isinstance(event, Delta) and len(event.text) > 1:
            cut = data.draw(st.integers(1, len(event.text) - 1))
            pieces += [Delta(event.text[:cut]), Delta(event.text[cut:])]
        else:
            pieces.append(event)
    check_stream(pieces)
    assert fold_events(pieces) == response


def test_a_failed_stream_raises_its_error():
    error = Error(kind="overloaded", message="busy")
    with pytest.raises(GatewayError) as exc_info:
        fold_events([Start(), Failed(error)])
    assert exc_info.value.error is error


def test_a_stream_without_an_end_raises():
    with pytest.raises(GatewayError, match="stream ended before"):
        fold_events([Start(), BlockStart(kind="text"), Delta("half"), BlockEnd()])


def test_native_deltas_extend_their_block():
    events = [
        Start(),
        BlockStart(kind="native", dialect="d", native={"type": "server_tool_use", "id": "s1"}),
        NativeDelta({"type": "input_json_delta", "partial_json": '{"q":'}),
        NativeDelta({"type": "input_json_delta", "partial_json": '"x"}'}),
        BlockEnd(),
        End(Finish(reason="stop")),
    ]
    data = {"type": "server_tool_use", "id": "s1", "input": {"q": "x"}}
    assert fold_events(events).parts == (Native(dialect="d", data=data),)


def test_a_block_is_not_changed_by_its_deltas():
    native = {"text": "a"}
    start = BlockStart(kind="native", dialect="d", native=native)
    fold_events(
        [Start(), start, NativeDelta({"text": "b"}), BlockEnd(), End(Finish(reason="stop"))]
    )
    assert native == {"text": "a"}


def test_later_usage_keeps_earlier_counts():
    old = Usage(input=5, cache_read=2, native={"a": 1})
    assert merge_usage(old, Usage(output=7)) == Usage(
        input=5, cache_read=2, output=7, native={"a": 1}
    )


def test_usage_at_the_start_is_replaced_by_later_usage():
    start = Start(usage=Usage(input=5))
    response = fold_events([start, UsageUpdate(Usage(output=1)), End(Finish(reason="stop"))])
    assert response.usage == Usage(input=5, output=1)


def test_unfolding_a_response_with_media_is_refused():
    with pytest.raises(ValueError, match="Image"):
        unfold_response(Response(parts=(Image(url="https://x"),)))


STOP = End(Finish(reason="stop"))


@pytest.mark.parametrize(
    ("events", "named"),
    [
        ([], "state 'new'"),
        ([Delta("x")], "event 0"),
        ([Start(), Delta("x")], "event 1"),
        ([Start(), BlockStart(kind="text"), Delta("")], "empty Delta"),
        ([Start(), BlockStart(kind="text"), STOP], "event 2"),
        ([Start(), BlockStart(kind="text"), BlockStart(kind="text")], "event 2"),
        ([Start(), STOP, STOP], "event 2"),
        ([Start()], "without End"),
        ([Failed(Error(kind="timeout", message="t")), Start()], "event 1"),
    ],
    ids=[
        "nothing",
        "text before the start",
        "text outside a block",
        "empty text",
        "an end inside a block",
        "a block inside a block",
        "two ends",
        "no end",
        "more after a failure",
    ],
)
def test_a_stream_that_breaks_the_grammar_is_refused(events: list[Event], named: str):
    with pytest.raises(ValueError, match=named):
        check_stream(events)
