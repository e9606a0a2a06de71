"""Sources of a text: the blocks of this dialect <-> canonical citations."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Citation
from gateway.dialects.anthropic_messages.names import NAME, Json

_WEB = "web_search_result_location"


def citation_in(item: Any) -> Citation | None:
    """The canonical citation; None for what is no object."""
    if not isinstance(item, dict):
        return None
    return Citation(
        url=_text(item.get("url")),
        title=_text(item.get("title")) or _text(item.get("document_title")),
        quote=_text(item.get("cited_text")),
        dialect=NAME,
        native=item,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def citations_in(value: Any) -> tuple[Citation, ...]:
    """All citations of a text block."""
    if not isinstance(value, list):
        return ()
    found = (citation_in(item) for item in value)
    return tuple(citation for citation in found if citation is not None)


def citation_out(citation: Citation) -> Json | None:
    """The block to send or show; None for a foreign source without a URL.

    A foreign source has no `encrypted_index`: it can be shown, not sent back upstream.
    """
    if citation.dialect == NAME and citation.native:
        return citation.native
    if citation.url is None:
        return None
    return {
        "type": _WEB,
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.quote or "",
        "encrypted_index": "",
    }


def can_be_replayed(block: Json) -> bool:
    """Whether the provider would take the citation back in a history."""
    return block.get("type") != _WEB or bool(block.get("encrypted_index"))
