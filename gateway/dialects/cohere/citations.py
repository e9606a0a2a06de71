"""Sources: a provider's citation -> canonical, one for each of its sources."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Citation
from gateway.dialects.cohere.names import NAME, Json


def citations_in(told: Any) -> list[Citation]:
    """The sources of a piece of text, and where in the text it stands."""
    if not isinstance(told, dict):
        return []
    sources = told.get("sources")
    listed = [s for s in sources if isinstance(s, dict)] if isinstance(sources, list) else []
    return [_citation(told, source) for source in listed]


def _citation(told: Json, source: Json) -> Citation:
    held = source.get("document", source.get("tool_output"))
    held = held if isinstance(held, dict) else {}
    return Citation(
        url=_text(held.get("url")),
        title=_text(held.get("title")) or _text(source.get("id")),
        quote=_text(told.get("text")),
        start=_place(told.get("start")),
        end=_place(told.get("end")),
        dialect=NAME,
        native={**told, "sources": [source]},
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _place(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
