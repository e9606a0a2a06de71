"""Embedding requests and responses in both directions, checked by the official SDK."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import Request
from gateway.canon.response import Response, Usage
from gateway.canon.traits import Traits
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_embeddings import DIALECT
from tests.dialects.fuzz import json_values
from tests.fakes.openai_older import embedding_refusal

CLIENT, PROVIDER = DIALECT.embed_client, DIALECT.embed_provider
assert CLIENT is not None
assert PROVIDER is not None
TRAITS = Traits(preset="acme", model="text-embedding-3-small")
FRAME = ResponseContext(id="1", created=1, model="gw")


def body(**fields: Any) -> dict[str, Any]:
    """Return a valid request body with these fields."""
    return {"model": "gw", "input": "a", **fields}


@pytest.mark.parametrize(
    ("request_input", "inputs"),
    [
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ((1, 2),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
        (["a", [3]], ("a", (3,))),
    ],
)
def test_inputs_are_texts_or_tokens(request_input: Any, inputs: Any) -> None:
    assert CLIENT.parse_embed(body(input=request_input)).inputs == inputs


@pytest.mark.parametrize(
    ("invalid_value", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["a", 5]}, "input[1]"),
        ({"input": [1, "a"]}, "input[1]"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"user": 5}, "user"),
        ({"model": None}, "model"),
    ],
)
def test_an_invalid_field_is_named(invalid_value: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as error:
        CLIENT.parse_embed(body(**invalid_value))
    assert error.value.error.param == param


requests = st.builds(
    EmbedRequest,
    model=st.just("text-embedding-3-small"),
    inputs=st.lists(st.text("ab ", min_size=1, max_size=5), min_size=1, max_size=4).map(tuple),
    dimensions=st.none() | st.integers(1, 9),
)


@settings(max_examples=60)
@given(requests)
def test_a_rendered_request_parses_to_the_same_request(request: EmbedRequest) -> None:
    rendered_request = PROVIDER.render_embed(request, TRAITS)
    assert rendered_request.report == ()
    wire = msgspec.json.decode(msgspec.json.encode(rendered_request.body))
    assert embedding_refusal(wire) is None
    read = CLIENT.parse_embed(wire)
    assert msgspec.structs.replace(read, client_paths={}) == request


vectors = st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=6)


@settings(max_examples=60)
@given(st.lists(vectors, min_size=1, max_size=4), st.sampled_from(["float", "base64", None]))
def test_vectors_round_trip(embeddings: list[list[float]], encoding: Any) -> None:
    response = EmbedResponse(model="gw", vectors=tuple(embeddings), usage=Usage(input=4, output=0))
    request = EmbedRequest(model="gw", inputs=("a",), encoding=encoding)
    wire = msgspec.json.encode(CLIENT.render_embed(response, request, FRAME))
    assert PROVIDER.parse_embed(msgspec.json.decode(wire)) == response
    embed_usage = PROVIDER.peek_embed_usage(wire)
    assert embed_usage is not None
    assert (embed_usage.model, embed_usage.usage) == (response.model, response.usage)


def test_embedding_rows_are_sorted_by_index() -> None:
    rows = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    assert PROVIDER.parse_embed({"data": rows}).vectors == ([1.0], [2.0])


def test_absent_usage_is_not_rendered() -> None:
    response = PROVIDER.parse_embed({"data": [{"embedding": [1.0]}]})
    assert response.usage is None
    request = EmbedRequest(model="m", inputs=("a",))
    assert "usage" not in CLIENT.render_embed(response, request, FRAME)


@pytest.mark.parametrize(
    "value",
    [None, {}, {"data": 5}, {"data": [{"embedding": "!"}]}, {"error": {"message": "x"}}],
)
def test_an_invalid_response_is_an_error(value: Any) -> None:
    with pytest.raises(GatewayError):
        PROVIDER.parse_embed(value)
    assert value != {"data": 5} or PROVIDER.peek_embed_usage(b'{"data":5}') is None


def test_unsupported_content_is_reported() -> None:
    request = EmbedRequest(
        model="m",
        inputs=("a",),
        user_id="u",
        truncate=True,
        task="query",
        extra={"ollama": {"x": 1}},
    )
    rendered_request = PROVIDER.render_embed(request, Traits(user_field="none"))
    assert [(item.path, item.action) for item in rendered_request.report] == [
        ("user_id", "dropped"),
        ("truncate", "dropped"),
        ("task", "dropped"),
        ("x", "dropped"),
    ]
    embed = PROVIDER.render_embed(CLIENT.parse_embed(body(user="u", new=1)), TRAITS)
    assert (embed.body["user"], embed.body["new"]) == ("u", 1)


def test_the_embeddings_dialect_has_no_chat_responses() -> None:
    adapter, other = DIALECT.client, DIALECT.provider
    for call in (
        lambda: adapter.parse_request({}, {}),
        lambda: adapter.render_response(Response(), FRAME),
        lambda: adapter.stream_renderer(FRAME),
        lambda: other.render_request(Request(model="m"), TRAITS),
        lambda: other.parse_response({}, TRAITS, None),
        lambda: other.stream_parser(TRAITS, None),
    ):
        with pytest.raises(GatewayError) as error:
            call()
        assert error.value.error.kind == "unsupported_param"


@settings(max_examples=100)
@given(json_values(["data", "embedding", "index", "usage", "prompt_tokens", "error"]))
def test_any_json_is_vectors_or_an_error(value: Any) -> None:
    PROVIDER.peek_embed_usage(msgspec.json.encode(value))
    with contextlib.suppress(GatewayError):
        PROVIDER.parse_embed(value)


def sdk(status: int, content: dict[str, Any], headers: dict[str, str]) -> openai.OpenAI:
    """Return an SDK client that receives this response to every request."""

    def respond(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=json.dumps(content).encode(), headers=headers)

    transport = httpx2.Client(transport=httpx2.MockTransport(respond))
    return openai.OpenAI(api_key="k", base_url="http://gw/v1", http_client=transport, max_retries=0)


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_the_sdk_reads_vectors(encoding: Any) -> None:
    response = EmbedResponse(vectors=([0.5, 1.25], [2.0, 3.0]), usage=Usage(input=4, output=0))
    request = EmbedRequest(model="gw", inputs=("a", "b"), encoding=encoding)
    with sdk(200, CLIENT.render_embed(response, request, FRAME), {}) as client:
        reply = client.embeddings.create(model="gw", input=["a", "b"])
    assert [row.embedding for row in reply.data] == [[0.5, 1.25], [2.0, 3.0]]
    assert reply.usage.total_tokens == 4


def test_the_sdk_raises_for_a_refusal() -> None:
    reply = DIALECT.client.render_error(Error(kind="context_length", message="reason"), "req_1")
    with (
        sdk(reply.status, reply.body, reply.headers) as client,
        pytest.raises(openai.BadRequestError, match="reason") as error,
    ):
        client.embeddings.create(model="gw", input="a")
    assert error.value.param == "input"
