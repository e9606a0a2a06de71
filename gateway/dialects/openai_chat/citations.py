"""Sources of an answer's text: `annotations` <-> canonical citations."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Citation

NAME = "openai_chat"
Json = dict[str, Any]


def citations_in(annotations: Any) -> tuple[Citation, ...]:
    """The citations in a provider's `annotations`; what is no citation is left out."""
    if not isinstance(annotations, list):
        return ()
    found = (_citation_in(item) for item in annotations)
    return tuple(citation for citation in found if citation is not None)


def _citation_in(item: Any) -> Citation | None:
    inner = item.get("url_citation") if isinstance(item, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("url"), str):
        return None
    return Citation(
        url=inner["url"],
        title=_text(inner.get("title")),
        quote=_text(inner.get("content")),
        start=_place(inner.get("start_index")),
        end=_place(inner.get("end_index")),
        dialect=NAME,
        native=item,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _place(value: Any) -> int | None:
    return value if type(value) is int else None


def citation_out(citation: Citation, start: int, end: int) -> Json | None:
    """An annotation of the text from `start` to `end`; None for a source without a URL."""
    if citation.dialect == NAME and citation.native:
        return citation.native
    if citation.url is None:
        return None
    inner: Json = {
        "url": citation.url,
        "title": citation.title or citation.url,
        "start_index": start if citation.start is None else start + citation.start,
        "end_index": end if citation.end is None else start + citation.end,
    }
    return {"type": "url_citation", "url_citation": inner}
