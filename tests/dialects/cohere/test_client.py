"""Cohere clients: chat and embeddings, documents, citations and finish reasons."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    CitationDelta,
    Delta,
    End,
    Event,
    Failed,
    Start,
    UsageUpdate,
)
from gateway.canon.request import Citation, Document, QuoteLocation, Request, Text, ToolCall
from gateway.canon.response import Finish, Response, Usage
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.dialects.cohere import DIALECT
from gateway.framing.sse import Decoder
from gateway.simulate import translate

CONTEXT = ResponseContext(id="1", created=1, model="gw")


def parse_request(**body: Any) -> Request:
    request = {"model": "gw", "messages": [{"role": "user", "content": "hi"}], **body}
    return DIALECT.client.parse_request(request, {})


def test_documents_belong_to_the_last_user_message() -> None:
    documents = [
        "Plain.",
        {"id": "a", "data": {"title": "T", "snippet": "S", "url": "https://x.test", "n": 1}},
        {"data": {"only": "fields"}},
    ]
    request = parse_request(documents=documents, citation_options={"mode": "OFF"})
    *first_part, question = request.turns[-1].parts
    assert question == Text(text="hi", path="messages[0]")
    assert [part.text for part in first_part if isinstance(part, Document)] == [
        "Plain.",
        "S",
        "only: fields",
    ]
    second = first_part[1]
    assert isinstance(second, Document)
    assert (second.title, second.context) == ("T", "url: https://x.test\nn: 1")
    assert not second.citations
    assert set(request.extra["cohere"]) == {"documents[1].id", "citation_options"}
    with pytest.raises(GatewayError, match="no user message"):
        parse_request(messages=[{"role": "system", "content": "x"}], documents=["a"])


CITED = Citation(
    title="T",
    quote="the source",
    location=QuoteLocation(kind="char", index=2, start=0, end=10),
    dialect="anthropic_messages",
    native={"type": "char_location"},
)


def test_another_providers_citation_names_its_document() -> None:
    response = Response(parts=(Text(text="It is so.", citations=(CITED,)),))
    body, _ = DIALECT.client.render_response(response, CONTEXT)
    (citation,) = body["message"]["citations"]
    assert (citation["start"], citation["end"], citation["text"]) == (0, 9, "It is so.")
    document = {"id": "doc:2", "title": "T", "text": "the source"}
    source = {"type": "document", "id": "doc:2", "document": document}
    assert citation["sources"] == [source]
    events = [Start(), BlockStart(kind="text"), Delta("It is so."), CitationDelta(CITED)]
    renderer = DIALECT.client.stream_renderer(CONTEXT)
    data = b"".join(map(renderer.feed, [*events, BlockEnd(), End(Finish(reason="stop"))]))
    payloads = [msgspec.json.decode(f.data) for f in Decoder().feed(data) if f.event]
    streamed = [
        e["delta"]["message"]["citations"] for e in payloads if e["type"] == "citation-start"
    ]
    assert streamed == [citation]


DOCUMENTS: list[Any] = [
    "Plain.",
    {"data": {"title": "U", "text": "unnamed"}},
    {"id": "mine", "data": {"title": "T", "snippet": "the source", "rank": 1}},
]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, {"id": "doc:0", "title": "T", "text": "the source"}),
        (1, {"id": "doc:1", "title": "U", "text": "unnamed"}),
        (2, {"id": "mine", "title": "T", "snippet": "the source", "rank": 1}),
        (3, {"id": "doc:3", "title": "T", "text": "the source"}),
    ],
    ids=["plain text", "without an id", "with an id", "unknown"],
)
def test_a_cited_document_is_the_clients(index: int, expected: dict[str, Any]) -> None:
    """https://docs.cohere.com/docs/rag-citations: sources contain the document and its id."""
    body = json.dumps({"model": "m", "messages": [], "documents": DOCUMENTS}).encode()
    context = msgspec.structs.replace(CONTEXT, echoed_fields=DIALECT.read_echo(body))
    location = QuoteLocation(kind="char", index=index, start=0, end=10)
    cited = msgspec.structs.replace(CITED, location=location)
    response = Response(parts=(Text(text="It is so.", citations=(cited,)),))
    payload, _ = DIALECT.client.render_response(response, context)
    [source] = payload["message"]["citations"][0]["sources"]
    assert source == {"type": "document", "id": expected["id"], "document": expected}


@pytest.mark.parametrize(
    "body", [b'{"messages": []}', b'{"documents": null}', b'{"documents": []}']
)
def test_a_request_without_documents_has_none_to_cite(body: bytes) -> None:
    assert DIALECT.read_echo(body) == {}


def test_citations_of_a_plan_are_positions_in_the_plan() -> None:
    """The texts before a call are one `tool_plan`, without the empty ones."""
    cited = Citation(url="https://a", start=0, end=2)
    texts = (Text(text="Ok."), Text(text=""), Text(text="It is so.", citations=(cited,)))
    call = ToolCall(id="c", name="f", arguments={})
    body, _ = DIALECT.client.render_response(Response(parts=(*texts, call)), CONTEXT)
    message = body["message"]
    assert message["tool_plan"] == "Ok.\n\nIt is so."
    (citation,) = message["citations"]
    assert message["tool_plan"][citation["start"] : citation["end"]] == citation["text"] == "It"
    assert (citation["type"], citation["content_index"]) == ("PLAN", 0)


def test_a_finish_reason_without_equivalent_is_reported() -> None:
    body, report = DIALECT.client.render_response(Response(finish=Finish(reason="filter")), CONTEXT)
    assert body["finish_reason"] == "COMPLETE"
    assert [item.path for item in report] == ["finish_reason"]


def test_coheres_own_counts_are_passed_on() -> None:
    native = {"billed_units": {"input_tokens": 1.0}, "tokens": {"input_tokens": 9.0}}
    usage = Usage(input=9, output=2, native=native)
    body, _ = DIALECT.client.render_response(Response(usage=usage), CONTEXT)
    assert body["usage"] == native


def message_end(*events: Event) -> dict[str, Any]:
    """Return the delta of the last event that these render to."""
    renderer = DIALECT.client.stream_renderer(CONTEXT)
    data = b"".join([renderer.feed(event) for event in events])
    payloads = [msgspec.json.decode(frame.data) for frame in Decoder().feed(data) if frame.event]
    assert payloads[-1]["type"] == "message-end"
    delta: dict[str, Any] = payloads[-1]["delta"]
    return delta


FAILED = Failed(Error(kind="overloaded", message="busy"))
FINISHED = End(Finish(reason="stop"))


@pytest.mark.parametrize("last", [FAILED, FINISHED], ids=["failed", "finished"])
@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (None, (0, 0)),
        (Usage(output=2), (0, 2)),
        (Usage(input=9, cache_read=4, output=2), (13, 2)),
    ],
    ids=["unknown", "output only", "known"],
)
def test_every_stream_ends_with_both_token_counts(
    last: Event, usage: Usage | None, counts: tuple[int, int]
) -> None:
    """LangChain adds the two billed counts of every `message-end`."""
    updates = [] if usage is None else [UsageUpdate(usage)]
    delta = message_end(Start(), BlockStart(kind="text"), Delta("a"), BlockEnd(), *updates, last)
    for name in ("billed_units", "tokens"):
        sent = delta["usage"][name]
        assert (sent["input_tokens"], sent["output_tokens"]) == counts


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"texts": ["a"], "images": ["b"]}, "texts"),
        ({}, "texts"),
        ({"inputs": [{"content": [{"type": "text", "text": "a"}] * 2}]}, "inputs[0].content"),
        ({"texts": ["a"], "embedding_types": ["int8"]}, "embedding_types"),
    ],
)
def test_unsupported_embedding_inputs_are_refused_by_name(body: dict[str, Any], param: str) -> None:
    assert DIALECT.embed_client is not None
    with pytest.raises(GatewayError) as error:
        DIALECT.embed_client.parse_embed({"model": "gw", "input_type": "search_query", **body})
    assert error.value.error.param == param


def test_an_embeddings_request_is_translated_without_a_call() -> None:
    body = {"model": "m", "texts": ["a"], "input_type": "search_query"}
    out = translate.request("cohere", "openai_embeddings", body, {}, "text-embedding-3-small")
    assert (out["path"], out["body"]["input"]) == ("/embeddings", ["a"])


def test_fields_of_messages_without_equivalent_are_reported() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Hi", "name": "Ada"},
        {"role": "assistant", "tool_calls": [call], "mood": "good"},
        {"role": "tool", "tool_call_id": "c", "content": "1", "name": None},
    ]
    request = DIALECT.client.parse_request({"model": "gw", "messages": messages}, {})
    assert request.extra == {"cohere": {"messages[0].name": "Ada", "messages[1].mood": "good"}}


IMAGE_URL = "data:image/png;base64,iVBORw0KGgo="
IMAGE_PART = {"type": "image_url", "image_url": {"url": IMAGE_URL}}


@pytest.mark.parametrize("target", ["openai_embeddings", "gemini", "ollama"])
@pytest.mark.parametrize(
    ("body", "param"),
    [({"images": [IMAGE_URL]}, "images"), ({"inputs": [{"content": [IMAGE_PART]}]}, "inputs")],
)
def test_an_image_is_not_embedded_as_text(target: str, body: dict[str, Any], param: str) -> None:
    client, provider = DIALECT.embed_client, DIALECTS[target].embed_provider
    assert client is not None
    assert provider is not None
    request = client.parse_embed({"model": "gw", "input_type": "image", **body})
    with pytest.raises(GatewayError) as error:
        provider.render_embed(request, Traits())
    assert (error.value.error.kind, error.value.error.param) == ("unsupported_param", param)


def test_sources_of_an_earlier_response_are_reported() -> None:
    source = {"start": 0, "end": 2, "text": "an", "sources": [{"type": "document", "id": "d0"}]}
    response_message = {"role": "assistant", "content": "an answer", "citations": [source]}
    user_message = {"role": "user", "content": "And?"}
    body = {"model": "gw", "messages": [user_message, response_message, user_message]}
    translation = translate.request("cohere", "openai_chat", body, {}, "gpt-4.1")
    assert [(row["field"], row["action"]) for row in translation["report"]] == [
        ("messages[1].citations", "dropped")
    ]
