"""Metadata as labels of Vertex AI."""

from __future__ import annotations

from gateway.canon.request import Meta
from tests.dialects.gemini.make import body, client_request, render, reported_fields

METADATA = {
    "team": "a-1",
    "größe": "",
    "Trace": "x",
    "1st": "x",
    "note": "two words",
    "n": "x" * 64,
}


def test_metadata_is_sent_to_vertex_ai_where_it_is_a_valid_label():
    """Others are refused: lowercase letters, digits, underscores and dashes, at most 63."""
    request = client_request(meta=Meta(metadata=METADATA))
    rendered_request = render(request, metadata=True)
    assert rendered_request.body["labels"] == {"team": "a-1", "größe": ""}
    assert reported_fields(rendered_request.report) == [
        (f"metadata.{name}", "dropped") for name in ("Trace", "1st", "note", "n")
    ]
    only_invalid = render(client_request(meta=Meta(metadata={"A": "B"})), metadata=True)
    assert "labels" not in only_invalid.body


def test_a_google_clients_labels_are_sent_unchanged():
    assert render(body(labels=METADATA), metadata=True).body["labels"] == METADATA
