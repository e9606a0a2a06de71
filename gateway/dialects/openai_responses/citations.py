"""Sources of a text: `annotations` <-> canonical citations."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Citation
from gateway.dialects.openai_responses.names import NAME, Json


def citation_in(item: Any) -> Citation | None:
    """The citation in an annotation; None if it is not an object."""
    if not isinstance(item, dict):
        return None
    return Citation(
        url=_text(item.get("url")),
        title=_text(item.get("title")) or _text(item.get("filename")),
        start=_position(item.get("start_index")),
        end=_position(item.get("end_index")),
        dialect=NAME,
        native=item,
    )


def citations_in(annotations: Any) -> tuple[Citation, ...]:
    """The citations in a list of annotations."""
    if not isinstance(annotations, list):
        return ()
    citations = (citation_in(item) for item in annotations)
    return tuple(citation for citation in citations if citation is not None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _position(value: Any) -> int | None:
    return value if type(value) is int else None


def citation_out(citation: Citation, start: int, end: int) -> Json | None:
    """An annotation of the text from `start` to `end`; None for a source without a URL."""
    if citation.dialect == NAME and citation.native:
        return citation.native
    if citation.url is None:
        return None
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title or citation.url,
        "start_index": start if citation.start is None else start + citation.start,
        "end_index": end if citation.end is None else start + citation.end,
    }
