"""Rerank's three shapes: what one asks for and another can not give is told."""

from __future__ import annotations

import msgspec
import pytest

from gateway.dialects.rerank import render_request_fields


def asked(**fields: object) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def test_the_number_of_results_has_its_name_in_each_shape():
    for shape, name in (("cohere", "top_n"), ("jina", "top_n"), ("voyage", "top_k")):
        found, report = render_request_fields(asked(query="q", top_n=3), shape)
        assert bytes(found[name]) == b"3"
        assert report == []


@pytest.mark.parametrize(("wanted", "told"), [(True, ["return_documents"]), (False, [])])
def test_documents_that_a_provider_does_not_give_back_are_told(wanted: bool, told: list[str]):
    found, report = render_request_fields(asked(query="q", return_documents=wanted), "cohere")
    assert "return_documents" not in found
    assert [item.path for item in report] == told
