"""Property tests: every response that Bedrock can express is parsed, whole and streamed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.canon.request import Citation, Part, Reasoning, Signature, Text, ToolCall
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.base import RenderedRequest
from gateway.dialects.bedrock_converse import DIALECT
from gateway.dialects.bedrock_converse.response import parse_citation
from tests.dialects.bedrock_converse.make import (
    CLAUDE,
    parse_response,
    render_document,
    stream_bytes,
    stream_events,
    traits,
)
from tests.dialects.parsed_responses import call_identity
from tests.dialects.splits import parse_split_stream

FREE = RenderedRequest(
    body={}, custom_tools=frozenset({"free"}), client_names={"sent_name": "told.name"}
)

texts = st.text('ab <"\\\n€😀', min_size=1, max_size=6)
ids = st.text("abc_-1", min_size=1, max_size=5)
objects = st.dictionaries(texts, st.none() | st.booleans() | st.integers(-9, 9) | texts, max_size=2)
states = st.builds(Signature, provider=st.just("bedrock"), model=st.just(CLAUDE), value=texts)


def _web_citation(url: str, quote: str) -> Citation:
    native = {"title": "t", "location": {"web": {"url": url}}, "sourceContent": [{"text": quote}]}
    citation = parse_citation(native)
    assert citation is not None
    assert (citation.url, citation.quote) == (url, quote)
    return citation


parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, text=texts),
    st.builds(Text, text=texts, citations=st.tuples(st.builds(_web_citation, texts, texts))),
    st.builds(Reasoning, text=texts, signature=states),
    st.builds(
        Reasoning,
        redacted=st.just(True),
        signature=states.map(lambda state: replace(state, kind="redacted")),
    ),
    st.builds(ToolCall, id=ids, name=st.sampled_from(["f", "g"]), arguments=objects),
    st.builds(ToolCall, id=ids, name=st.just("free"), raw_arguments=texts, custom=st.just(True)),
)
counts = st.integers(0, 99)
usages = st.none() | st.builds(
    Usage,
    input=counts,
    output=counts,
    cache_read=counts,
    cache_write=counts,
    cache_write_1h=counts,
)


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """Draw responses of Bedrock models."""
    drawn_parts = tuple(draw(st.lists(parts, max_size=4, unique_by=call_identity)))
    reason = draw(st.sampled_from(["stop", "length", "context"]))
    finish = Finish(reason=reason)
    if draw(st.booleans()):
        finish = Finish(reason="stop_sequence", stop_sequence=draw(texts))
    if reason == "stop" and finish.stop_sequence is None:
        has_calls = any(isinstance(part, ToolCall) for part in drawn_parts)
        finish = Finish(reason="tool" if has_calls else "stop")
    return Response(parts=drawn_parts, finish=finish, usage=draw(usages))


def _comparable(response: Response) -> Response:
    """Return a response for comparison, without the provider's own objects."""
    usage = replace(response.usage, native={}) if response.usage is not None else None
    return replace(response, usage=usage, extra={})


@given(responses())
def test_a_complete_response_parses_to_the_same_response(response: Response) -> None:
    assert _comparable(parse_response(render_document(response), FREE)) == _comparable(response)


@given(responses(), st.integers(1, 5), st.data())
def test_a_stream_parses_to_the_same_response_however_split(
    response: Response, size: int, data: st.DataObject
) -> None:
    out = stream_bytes(list(stream_events(render_document(response), size)))
    round_trip = parse_split_stream(DIALECT, out, data, traits(), FREE)
    assert _comparable(round_trip) == _comparable(response)
