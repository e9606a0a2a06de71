"""Embedding requests: parsing for clients, rendering for Google."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import GatewayError
from gateway.canon.response import Usage
from gateway.dialects import DIALECTS
from gateway.dialects.base import RenderedRequest, ResponseContext
from tests.dialects.gemini.make import reported_fields, traits

GEMINI = DIALECTS["gemini"]
OTHER = DIALECTS["openai_embeddings"]


def parse(body: dict[str, Any]) -> EmbedRequest:
    assert GEMINI.embed_client is not None
    return GEMINI.embed_client.parse_embed({"model": "gw", **body})


def render(request: EmbedRequest, **flags: Any) -> RenderedRequest:
    assert GEMINI.embed_provider is not None
    return GEMINI.embed_provider.render_embed(request, traits(**flags))


def embed_body(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "models/acme-1", "content": {"parts": [{"text": text}]}, **fields}


QUERY = embed_body("a", taskType="RETRIEVAL_QUERY", outputDimensionality=8)
TITLED = embed_body("b", taskType="RETRIEVAL_DOCUMENT", outputDimensionality=8, title="T")


def test_each_text_of_a_batch_keeps_its_own_settings():
    parsed_request = parse({"requests": [QUERY, TITLED]})
    assert (parsed_request.dimensions, parsed_request.task) == (8, None)
    assert render(parsed_request).body == {"requests": [QUERY, TITLED]}
    assert render(parsed_request.slice_inputs(1, 2), embed_form="content").body == {
        name: value for name, value in TITLED.items() if name != "model"
    }


def test_settings_per_text_are_reported_as_dropped_for_other_providers():
    assert OTHER.embed_provider is not None
    parsed_request = parse({"requests": [QUERY, TITLED]})
    rendered_request = OTHER.embed_provider.render_embed(parsed_request, traits())
    assert rendered_request.body == {"model": "acme-1", "input": ["a", "b"], "dimensions": 8}
    assert reported_fields(rendered_request.report) == [
        ("requests[].taskType", "dropped"),
        ("requests[].title", "dropped"),
    ]


def test_a_prediction_has_one_length_for_all():
    shorter = {**TITLED, "outputDimensionality": 4}
    rendered_request = render(parse({"requests": [QUERY, shorter]}), embed_form="predict")
    assert rendered_request.body == {
        "instances": [
            {"content": "a", "task_type": "RETRIEVAL_QUERY"},
            {"content": "b", "task_type": "RETRIEVAL_DOCUMENT", "title": "T"},
        ]
    }
    assert reported_fields(rendered_request.report) == [
        ("requests[].outputDimensionality", "dropped")
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"content": {"parts": {"text": "a"}}, "task_type": "CLUSTERING"},
        {"requests": {"content": {"parts": [{"text": "a"}]}, "taskType": "CLUSTERING"}},
    ],
    ids=["one", "batch of one"],
)
def test_alternative_forms_of_googles_embedding_requests_are_parsed(body: dict[str, Any]):
    parsed_request = parse(body)
    assert (parsed_request.inputs, parsed_request.task, parsed_request.extra) == (
        ("a",),
        "clustering",
        {},
    )


CONFIGURED: dict[str, Any] = {
    "content": {"parts": [{"text": "a"}], "role": "user"},
    "embedContentConfig": {
        "taskType": "RETRIEVAL_QUERY",
        "title": "T",
        "outputDimensionality": 8,
        "documentOcr": True,
    },
}


def test_settings_that_googles_sdk_writes_for_vertex_ai_are_parsed():
    parsed_request = parse(CONFIGURED)
    assert (parsed_request.dimensions, parsed_request.task) == (8, "search_query")
    assert parsed_request.client_path("dimensions") == "embedContentConfig.outputDimensionality"
    assert render(parsed_request, embed_form="content").body == {
        "content": {"parts": [{"text": "a"}]},
        "taskType": "RETRIEVAL_QUERY",
        "title": "T",
        "outputDimensionality": 8,
        "embedContentConfig": {"documentOcr": True},
    }
    predicted = render(parsed_request, embed_form="predict")
    assert predicted.body == {
        "instances": [{"content": "a", "task_type": "RETRIEVAL_QUERY", "title": "T"}],
        "parameters": {"outputDimensionality": 8},
    }
    assert reported_fields(predicted.report) == [("embedContentConfig", "dropped")]


def test_other_providers_get_the_dimensions_of_a_vertex_ai_request():
    assert OTHER.embed_provider is not None
    rendered_request = OTHER.embed_provider.render_embed(parse(CONFIGURED), traits())
    assert rendered_request.body == {"model": "acme-1", "input": ["a"], "dimensions": 8}
    assert reported_fields(rendered_request.report) == [
        ("embedContentConfig.taskType", "dropped"),
        ("title", "dropped"),
        ("embedContentConfig", "dropped"),
    ]


PREDICTION: dict[str, Any] = {
    "instances": [
        {"content": "a", "task_type": "RETRIEVAL_DOCUMENT", "title": "T"},
        {"content": "bbb", "task_type": "RETRIEVAL_DOCUMENT", "title": "U"},
    ],
    "parameters": {"outputDimensionality": 8, "autoTruncate": False},
}


def test_a_prediction_of_a_vertex_ai_client_is_parsed():
    parsed_request = parse(PREDICTION)
    assert (parsed_request.inputs, parsed_request.task, parsed_request.dimensions) == (
        ("a", "bbb"),
        "search_document",
        8,
    )
    assert render(parsed_request, embed_form="predict").body == PREDICTION


def test_losses_of_a_prediction_are_reported_by_the_clients_names():
    assert OTHER.embed_provider is not None
    rendered = OTHER.embed_provider.render_embed(parse(PREDICTION), traits())
    assert rendered.body == {"model": "acme-1", "input": ["a", "bbb"], "dimensions": 8}
    assert reported_fields(rendered.report) == [
        ("instances[0].task_type", "dropped"),
        ("requests[].title", "dropped"),
        ("autoTruncate", "dropped"),
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"instances": [{"prompt": "a cat"}]}, "instances[0].content"),
        ({"instances": []}, "instances"),
        ({"instances": [{"content": {"parts": []}}]}, "instances[0].content"),
        ({"instances": [{"content": "a"}], "parameters": 1}, "parameters"),
    ],
    ids=["image", "none", "content", "parameters"],
)
def test_a_prediction_without_texts_is_refused(body: dict[str, Any], param: str):
    GEMINI.check_passthrough(json.dumps(body).encode())
    with pytest.raises(GatewayError) as raised:
        parse(body)
    assert raised.value.error.param == param


def test_the_vectors_of_a_prediction_have_token_counts():
    assert GEMINI.embed_client is not None
    response = EmbedResponse(vectors=([1.0], [2.0]), usage=Usage(input=7, output=0))
    context = ResponseContext(id="1", created=1, model="gw", endpoint="/v1beta/models/{id}:predict")
    body = GEMINI.embed_client.render_embed(response, parse(PREDICTION), context)
    statistics = [{"token_count": 1, "truncated": False}, {"token_count": 6, "truncated": False}]
    assert body == {
        "predictions": [
            {"embeddings": {"values": [1.0], "statistics": statistics[0]}},
            {"embeddings": {"values": [2.0], "statistics": statistics[1]}},
        ]
    }
