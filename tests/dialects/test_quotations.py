"""Citations of a request's own documents, from Claude on Bedrock for Messages clients."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import TextCitation
from pydantic import TypeAdapter

from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.request import Text
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext

EXCHANGE = ResponseContext(id="1", created=1, model="m")
PLACES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "page": (
        {"documentPage": {"documentIndex": 1, "start": 2, "end": 3}},
        {
            "type": "page_location",
            "document_index": 1,
            "start_page_number": 2,
            "end_page_number": 3,
        },
    ),
    "char": (
        {"documentChar": {"documentIndex": 0, "start": 10, "end": 20}},
        {
            "type": "char_location",
            "document_index": 0,
            "start_char_index": 10,
            "end_char_index": 20,
        },
    ),
    "chunk": (
        {"documentChunk": {"documentIndex": 0, "start": 1, "end": 2}},
        {
            "type": "content_block_location",
            "document_index": 0,
            "start_block_index": 1,
            "end_block_index": 2,
        },
    ),
    "search result": (
        {"searchResultLocation": {"searchResultIndex": 4, "start": 0, "end": 1}},
        {
            "type": "search_result_location",
            "search_result_index": 4,
            "start_block_index": 0,
            "end_block_index": 1,
        },
    ),
}


def converse_response(location: dict[str, Any]) -> dict[str, Any]:
    cited = {"title": "Report", "location": location, "sourceContent": [{"text": "5 %"}]}
    content = {"citationsContent": {"content": [{"text": "It rose."}], "citations": [cited]}}
    return {
        "output": {"message": {"role": "assistant", "content": [content]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    }


@pytest.mark.parametrize("location_name", PLACES)
@pytest.mark.parametrize("stream", [False, True])
def test_the_location_of_a_citation_is_translated(location_name: str, stream: bool) -> None:
    location, location_fields = PLACES[location_name]
    response = DIALECTS["bedrock_converse"].provider.parse_response(
        converse_response(location), Traits(), None
    )
    if stream:
        response = fold_events(unfold_response(response))
    body, report = DIALECTS["anthropic_messages"].client.render_response(response, EXCHANGE)
    (citation,) = body["content"][0]["citations"]
    assert citation.items() >= {**location_fields, "cited_text": "5 %"}.items()
    TypeAdapter(TextCitation).validate_python(citation)
    assert not report


def test_an_incomplete_citation_location_is_omitted() -> None:
    response = DIALECTS["bedrock_converse"].provider.parse_response(
        converse_response({"documentPage": {"documentIndex": 1}}), Traits(), None
    )
    (part,) = response.parts
    assert isinstance(part, Text)
    assert part.citations[0].location is None
