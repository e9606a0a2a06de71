"""What a client wants vectors of, and what Google is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.embeddings import EmbedRequest
from gateway.dialects import DIALECTS
from gateway.dialects.base import RenderedRequest
from tests.dialects.gemini.make import told, traits

GEMINI = DIALECTS["gemini"]
OTHER = DIALECTS["openai_embeddings"]


def parse(body: dict[str, Any]) -> EmbedRequest:
    assert GEMINI.embed_client is not None
    return GEMINI.embed_client.parse_embed({"model": "gw", **body})


def render(asked: EmbedRequest, **flags: Any) -> RenderedRequest:
    assert GEMINI.embed_provider is not None
    return GEMINI.embed_provider.render_embed(asked, traits(**flags))


def one(words: str, **fields: Any) -> dict[str, Any]:
    return {"model": "models/acme-1", "content": {"parts": [{"text": words}]}, **fields}


QUERY = one("a", taskType="RETRIEVAL_QUERY", outputDimensionality=8)
TITLED = one("b", taskType="RETRIEVAL_DOCUMENT", outputDimensionality=8, title="T")


def test_each_text_of_a_batch_keeps_what_is_said_of_it_alone():
    asked = parse({"requests": [QUERY, TITLED]})
    assert (asked.dimensions, asked.task) == (8, None)
    assert render(asked).body == {"requests": [QUERY, TITLED]}
    assert render(asked.slice_inputs(1, 2), embed_form="content").body == {
        name: value for name, value in TITLED.items() if name != "model"
    }


def test_a_provider_of_one_setting_for_all_is_told_what_was_lost():
    assert OTHER.embed_provider is not None
    asked = parse({"requests": [QUERY, TITLED]})
    rendered = OTHER.embed_provider.render_embed(asked, traits())
    assert rendered.body == {"model": "acme-1", "input": ["a", "b"], "dimensions": 8}
    assert told(rendered.report) == [
        ("requests[].taskType", "dropped"),
        ("requests[].title", "dropped"),
    ]


def test_a_prediction_has_one_length_for_all():
    shorter = {**TITLED, "outputDimensionality": 4}
    rendered = render(parse({"requests": [QUERY, shorter]}), embed_form="predict")
    assert rendered.body == {
        "instances": [
            {"content": "a", "task_type": "RETRIEVAL_QUERY"},
            {"content": "b", "task_type": "RETRIEVAL_DOCUMENT", "title": "T"},
        ]
    }
    assert told(rendered.report) == [("requests[].outputDimensionality", "dropped")]


@pytest.mark.parametrize(
    "body",
    [
        {"content": {"parts": {"text": "a"}}, "task_type": "CLUSTERING"},
        {"requests": {"content": {"parts": [{"text": "a"}]}, "taskType": "CLUSTERING"}},
    ],
    ids=["one", "batch of one"],
)
def test_googles_looser_forms_are_read(body: dict[str, Any]):
    asked = parse(body)
    assert (asked.inputs, asked.task, asked.extra) == (("a",), "clustering", {})
