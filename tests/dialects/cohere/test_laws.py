"""Property tests: every response that Cohere can express is parsed, whole and streamed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.canon.request import Citation, Part, Reasoning, Signature, Text, ToolCall
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.base import RenderedRequest
from gateway.dialects.cohere import DIALECT
from gateway.dialects.cohere.response import parse_citations
from tests.dialects.cohere.make import (
    REASONER,
    parse_response,
    render_document,
    stream_bytes,
    stream_events,
    traits,
)
from tests.dialects.parsed_responses import call_identity
from tests.dialects.splits import parse_split_stream

FREE = RenderedRequest(body={}, custom_tools=frozenset({"free"}))

text_strategy = st.text('ab <"\\\n€😀', min_size=1, max_size=6)
ids = st.text("abc_-1", min_size=1, max_size=5)
objects = st.dictionaries(
    text_strategy, st.none() | st.booleans() | st.integers(-9, 9) | text_strategy, max_size=2
)
OWN = Signature(provider="cohere", model=REASONER, kind="text")


def _document_citation(url: str, quote: str) -> Citation:
    source = {"type": "document", "id": "doc_0", "document": {"url": url, "title": "t"}}
    (citation,) = parse_citations({"start": 0, "end": 1, "text": quote, "sources": [source]})
    assert (citation.url, citation.title, citation.quote) == (url, "t", quote)
    return citation


texts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, text=text_strategy),
    st.builds(
        Text,
        text=text_strategy,
        citations=st.tuples(st.builds(_document_citation, text_strategy, text_strategy)),
    ),
    st.builds(Reasoning, text=text_strategy, signature=st.just(OWN)),
)
calls: st.SearchStrategy[Part] = st.one_of(
    st.builds(ToolCall, id=ids, name=st.sampled_from(["f", "g"]), arguments=objects),
    st.builds(
        ToolCall, id=ids, name=st.just("free"), raw_arguments=text_strategy, custom=st.just(True)
    ),
)
counts = st.integers(0, 99)
usages = st.none() | st.builds(Usage, input=counts, output=counts, cache_read=counts)


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """Draw responses of Cohere models."""
    parts = (
        *draw(st.lists(texts, max_size=3)),
        *draw(st.lists(calls, max_size=2, unique_by=call_identity)),
    )
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    reason = draw(st.sampled_from(["stop", "length", "stop_sequence"]))
    if reason == "stop" and has_calls:
        reason = "tool"
    return Response(id="m1", parts=parts, finish=Finish(reason=reason), usage=draw(usages))


def _comparable(response: Response) -> Response:
    """Return a response for comparison, without the provider's own objects."""
    usage = replace(response.usage, native={}) if response.usage is not None else None
    parts = tuple(_comparable_part(part) for part in response.parts)
    return replace(response, usage=usage, parts=parts, extra={})


def _comparable_part(part: Part) -> Part:
    if not isinstance(part, Text):
        return part
    return replace(part, citations=tuple(replace(c, native={}) for c in part.citations))


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
