"""Sources of a response's text: `annotations` <-> canonical citations."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Citation

NAME = "openai_chat"
Json = dict[str, Any]


def citations_in(annotations: Any) -> tuple[Citation, ...]:
    """The citations in a provider's `annotations`; anything else is ignored."""
    if not isinstance(annotations, list):
        return ()
    citations = (_citation_in(item) for item in annotations)
    return tuple(citation for citation in citations if citation is not None)


def listed_citations_in(urls: Any, results: Any) -> list[Citation]:
    """The sources that Perplexity and xAI list with a response, without text positions."""
    rows = [*_list(results), *({"url": url} for url in _list(urls))]
    citations: dict[str, Citation] = {}
    for row in rows:
        url = row.get("url") if isinstance(row, dict) else None
        if isinstance(url, str) and url not in citations:
            citations[url] = Citation(
                url=url, title=_text(row.get("title")), quote=_text(row.get("snippet"))
            )
    return list(citations.values())


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _citation_in(item: Any) -> Citation | None:
    inner = item.get("url_citation") if isinstance(item, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("url"), str):
        return None
    return Citation(
        url=inner["url"],
        title=_text(inner.get("title")),
        quote=_text(inner.get("content")),
        start=_position(inner.get("start_index")),
        end=_position(inner.get("end_index")),
        dialect=NAME,
        native=item,
    )


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
    inner: Json = {
        "url": citation.url,
        "title": citation.title or citation.url,
        "start_index": start if citation.start is None else start + citation.start,
        "end_index": end if citation.end is None else start + citation.end,
    }
    return {"type": "url_citation", "url_citation": inner}
