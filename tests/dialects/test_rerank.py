"""Rerank's three formats: fields that another format does not have are reported."""

from __future__ import annotations

import msgspec
import pytest

from gateway.dialects.rerank import render_request_fields


def rerank_body(**fields: object) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def test_the_number_of_results_has_its_name_in_each_shape():
    for shape, name in (("cohere", "top_n"), ("jina", "top_n"), ("voyage", "top_k")):
        body, report = render_request_fields(rerank_body(query="q", top_n=3), shape)
        assert bytes(body[name]) == b"3"
        assert report == []


@pytest.mark.parametrize(
    ("return_documents", "expected"), [(True, ["return_documents"]), (False, [])]
)
def test_unsupported_return_documents_is_reported(return_documents: bool, expected: list[str]):
    body, report = render_request_fields(
        rerank_body(query="q", return_documents=return_documents), "cohere"
    )
    assert "return_documents" not in body
    assert [item.path for item in report] == expected
