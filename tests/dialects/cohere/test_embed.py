"""Embedding requests and responses, checked by the SDK's signature and a strict server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.embeddings import EmbedRequest
from gateway.canon.errors import GatewayError
from gateway.canon.response import Usage
from gateway.canon.traits import Traits
from gateway.dialects.cohere import DIALECT
from gateway.dialects.cohere.embed import DEFAULT_TASK
from gateway.providers.capabilities import traits_for
from tests.fakes.cohere_rules import EMBEDDERS, embed_refusal

PROVIDER = DIALECT.embed_provider
assert PROVIDER is not None
TRAITS = Traits(preset="cohere", model=EMBEDDERS[0])
IMAGE_URL = "data:image/png;base64,iVBORw0KGgo="


def embed_request(*inputs: Any, **fields: Any) -> EmbedRequest:
    return EmbedRequest(model="gw", inputs=inputs or ("a",), **fields)


def render_embed(request: EmbedRequest) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the body and its report."""
    embed = PROVIDER.render_embed(request, TRAITS)  # type: ignore[union-attr]
    assert embed_refusal(embed.body) is None
    return embed.body, [(item.path, item.action) for item in embed.report]


def test_texts_are_sent_with_their_input_type() -> None:
    body, report = render_embed(
        embed_request("a", "b", task="search_query", dimensions=512, truncate=True)
    )
    assert body == {
        "model": EMBEDDERS[0],
        "texts": ["a", "b"],
        "input_type": "search_query",
        "embedding_types": ["float"],
        "output_dimension": 512,
        "truncate": "END",
    }
    assert not report


def test_a_missing_input_type_is_defaulted_and_reported() -> None:
    body, report = render_embed(embed_request("a", truncate=False))
    assert (body["input_type"], body["truncate"]) == (DEFAULT_TASK, "NONE")
    assert report == [("input_type", "defaulted")]


def test_an_openai_client_may_send_coheres_own_fields() -> None:
    cohere_fields = {
        "input_type": "clustering",
        "truncate": "START",
        "max_tokens": 9,
        "priority": 1,
    }
    extra = {**cohere_fields, "embedding_types": ["int8"], "odd": 1}
    body, report = render_embed(embed_request("a", user_id="u", extra={"openai_embeddings": extra}))
    assert body.items() >= cohere_fields.items()
    assert body["embedding_types"] == ["float"]
    assert report == [("user_id", "dropped"), ("embedding_types", "dropped"), ("odd", "dropped")]


def test_images_are_sent_as_images_and_mixed_inputs_as_contents() -> None:
    body, report = render_embed(embed_request(IMAGE_URL, IMAGE_URL))
    assert (body["images"], body["input_type"], report) == ([IMAGE_URL, IMAGE_URL], "image", [])
    body, report = render_embed(embed_request(IMAGE_URL, task="search_query"))
    assert (body["input_type"], report) == ("image", [("input_type", "approximated")])
    body, _ = render_embed(embed_request("a", IMAGE_URL))
    assert body["inputs"] == [
        {"content": [{"type": "text", "text": "a"}]},
        {"content": [{"type": "image_url", "image_url": {"url": IMAGE_URL}}]},
    ]
    assert body["input_type"] == DEFAULT_TASK


def test_a_text_that_mentions_a_data_url_is_a_text() -> None:
    assert (
        "texts" in render_embed(embed_request(f"see {IMAGE_URL}", "data:text/plain;base64,YQ=="))[0]
    )


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (embed_request("a", (1, 2)), "input"),
        (embed_request("a", extra={"openai_embeddings": {"input_type": "search"}}), "input_type"),
        (embed_request("a", extra={"openai_embeddings": {"input_type": ["image"]}}), "input_type"),
    ],
    ids=["tokens", "unknown task", "odd task"],
)
def test_an_untranslatable_request_is_refused_with_its_param(
    request_: EmbedRequest, param: str
) -> None:
    with pytest.raises(GatewayError) as error:
        PROVIDER.render_embed(request_, TRAITS)  # type: ignore[union-attr]
    assert error.value.error.param == param


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["a", "", "ö", IMAGE_URL]), min_size=1, max_size=96),
    st.sampled_from([None, "search_query", "image", "clustering"]),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, 256, 1536]),
)
def test_a_strict_server_accepts_every_rendered_request(
    inputs: list[str], task: str | None, truncate: bool | None, dimensions: int | None
) -> None:
    if task == "image" and any(not text.startswith("data:") for text in inputs):
        task = None
    render_embed(embed_request(*inputs, task=task, truncate=truncate, dimensions=dimensions))


@pytest.mark.parametrize(
    ("meta", "usage"),
    [
        ({"billed_units": {"input_tokens": 5.0}}, Usage(input=5, output=0)),
        ({"billed_units": {"input_tokens": 5, "image_tokens": 7}}, Usage(input=12, output=0)),
        ({"billed_units": {"images": 1}, "tokens": {"input_tokens": 3}}, Usage(input=3, output=0)),
        ({"billed_units": {"images": 1}}, None),
        ({"billed_units": {"input_tokens": -5}}, None),
        ({}, None),
        (None, None),
    ],
)
def test_billed_tokens_are_counted(meta: Any, usage: Usage | None) -> None:
    body = {"id": "1", "embeddings": {"float": [[0.5, 1], [2, 3]]}, "meta": meta}
    response = PROVIDER.parse_embed(body)  # type: ignore[union-attr]
    assert (response.vectors, response.usage) == (([0.5, 1.0], [2.0, 3.0]), usage)


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"message": "no"}, {"embeddings": [[1.0]]}, {"embeddings": {"int8": [[1]]}}]
    + [{"embeddings": {"float": [["a"]]}}, {"embeddings": {"float": [[None]]}}],
)
def test_an_invalid_embedding_response_is_an_error(body: Any) -> None:
    with pytest.raises(GatewayError, match="contains no embeddings"):
        PROVIDER.parse_embed(body)  # type: ignore[union-attr]


@pytest.mark.parametrize("model", EMBEDDERS)
def test_embedding_models_of_cohere_accept_96_inputs_and_no_chat(model: str) -> None:
    traits = traits_for("cohere", model)
    assert (traits.embed_max, traits.embeddings) == (96, "only")
