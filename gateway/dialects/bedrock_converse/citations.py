"""Sources: a provider's citation -> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Citation
from gateway.dialects.bedrock_converse.names import NAME


def citation_in(told: Any) -> Citation | None:
    """The source in a citation, whole or as a stream tells it; None for no object."""
    if not isinstance(told, dict):
        return None
    location = told.get("location")
    location = location if isinstance(location, dict) else {}
    web = location.get("web")
    url = web.get("url") if isinstance(web, dict) else None
    source = told.get("source")
    if url is None and isinstance(source, str) and source.startswith(("https://", "http://")):
        url = source
    return Citation(
        url=url if isinstance(url, str) else None,
        title=told["title"] if isinstance(told.get("title"), str) else None,
        quote=_quote(told.get("sourceContent")),
        dialect=NAME,
        native=told,
    )


def _quote(content: Any) -> str | None:
    rows = content if isinstance(content, list) else []
    texts = [row["text"] for row in rows if isinstance(row, dict) and _is_text(row.get("text"))]
    return "".join(texts) or None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
