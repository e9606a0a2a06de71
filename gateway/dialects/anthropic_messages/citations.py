"""Sources of a text: the blocks of this dialect <-> canonical citations."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Citation, QuoteLocation
from gateway.dialects.anthropic_messages.names import NAME, Json

_WEB_LOCATION = "web_search_result_location"
_LOCATION_TYPES = {
    "page": "page",
    "char": "char",
    "block": "content_block",
    "search_result": "search_result",
}
_LOCATION_UNITS = {
    "page": "page_number",
    "char": "char_index",
    "block": "block_index",
    "search_result": "block_index",
}


def parse_citation(item: Any) -> Citation | None:
    """The canonical citation; None if the item is not an object."""
    if not isinstance(item, dict):
        return None
    return Citation(
        url=_string_or_none(item.get("url")),
        title=_string_or_none(item.get("title")) or _string_or_none(item.get("document_title")),
        quote=_string_or_none(item.get("cited_text")),
        dialect=NAME,
        native=item,
    )


def _string_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def parse_citations(value: Any) -> tuple[Citation, ...]:
    """All citations of a text block."""
    if not isinstance(value, list):
        return ()
    citations = (parse_citation(item) for item in value)
    return tuple(citation for citation in citations if citation is not None)


def render_citation(citation: Citation) -> Json | None:
    """The block to send or show; None for a foreign source without a URL.

    A foreign source has no `encrypted_index`: it can be shown, not sent back upstream.
    """
    if citation.dialect == NAME and citation.native:
        return citation.native
    if citation.location is not None:
        return _render_location(citation, citation.location)
    if citation.url is None:
        return None
    return {
        "type": _WEB_LOCATION,
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.quote or "",
        "encrypted_index": "",
    }


def _render_location(citation: Citation, location: QuoteLocation) -> Json:
    """The block of a quotation from the request's own documents or search results."""
    unit = _LOCATION_UNITS[location.kind]
    citation_block: Json = {
        "type": f"{_LOCATION_TYPES[location.kind]}_location",
        "cited_text": citation.quote or "",
        f"start_{unit}": location.start,
        f"end_{unit}": location.end,
    }
    if location.kind == "search_result":
        source_fields = {"search_result_index": location.index, "source": citation.url or ""}
        return {**citation_block, **source_fields, "title": citation.title}
    return {
        **citation_block,
        "document_index": location.index,
        "document_title": citation.title,
        "file_id": None,
    }


def can_be_replayed(block: Json) -> bool:
    """Whether the provider would take the citation back in a history."""
    return block.get("type") != _WEB_LOCATION or bool(block.get("encrypted_index"))
