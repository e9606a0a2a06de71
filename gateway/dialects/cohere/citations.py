"""Sources: a provider's citation -> canonical, one for each of its sources."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Citation
from gateway.dialects.cohere.names import NAME, Json


def parse_citations(citation: Any) -> list[Citation]:
    """The sources of a piece of text, and where in the text it stands."""
    if not isinstance(citation, dict):
        return []
    sources = citation.get("sources")
    source_objects = (
        [s for s in sources if isinstance(s, dict)] if isinstance(sources, list) else []
    )
    return [_parse_source(citation, source) for source in source_objects]


def _parse_source(citation: Json, source: Json) -> Citation:
    document = source.get("document", source.get("tool_output"))
    document = document if isinstance(document, dict) else {}
    return Citation(
        url=_string_or_none(document.get("url")),
        title=_string_or_none(document.get("title")) or _string_or_none(source.get("id")),
        quote=_string_or_none(citation.get("text")),
        start=_offset_or_none(citation.get("start")),
        end=_offset_or_none(citation.get("end")),
        dialect=NAME,
        native={**citation, "sources": [source]},
    )


def _string_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _offset_or_none(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
