"""Sources: a provider's citation -> canonical."""

from __future__ import annotations

from typing import Any, Literal

from gateway.canon.request import Citation, QuoteLocation
from gateway.dialects.bedrock_converse.names import NAME

_LOCATIONS: tuple[tuple[str, str, Literal["page", "char", "block", "search_result"]], ...] = (
    ("documentPage", "documentIndex", "page"),
    ("documentChar", "documentIndex", "char"),
    ("documentChunk", "documentIndex", "block"),
    ("searchResultLocation", "searchResultIndex", "search_result"),
)


def parse_citation(citation: Any) -> Citation | None:
    """The canonical citation, from a response or a stream; None if it is not an object."""
    if not isinstance(citation, dict):
        return None
    location = citation.get("location")
    location = location if isinstance(location, dict) else {}
    web = location.get("web")
    url = web.get("url") if isinstance(web, dict) else None
    source = citation.get("source")
    if url is None and isinstance(source, str) and source.startswith(("https://", "http://")):
        url = source
    return Citation(
        url=url if isinstance(url, str) else None,
        title=citation["title"] if isinstance(citation.get("title"), str) else None,
        quote=_join_quote(citation.get("sourceContent")),
        location=_parse_location(location),
        dialect=NAME,
        native=citation,
    )


def _parse_location(location: dict[str, Any]) -> QuoteLocation | None:
    """The location in a document; None unless all of its numbers are present."""
    for location_name, index_key, location_type in _LOCATIONS:
        location_fields = location.get(location_name)
        if isinstance(location_fields, dict):
            numbers = [location_fields.get(key) for key in (index_key, "start", "end")]
            if all(type(number) is int for number in numbers):
                document_index, start, end = numbers
                return QuoteLocation(kind=location_type, index=document_index, start=start, end=end)  # type: ignore[arg-type]
    return None


def _join_quote(content: Any) -> str | None:
    rows = content if isinstance(content, list) else []
    texts = [row["text"] for row in rows if isinstance(row, dict) and _is_text(row.get("text"))]
    return "".join(texts) or None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
