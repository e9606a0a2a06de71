"""Sources: a candidate's `groundingMetadata` <-> citations of its text.

Google counts places in bytes of UTF-8, the canonical form in characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.canon.request import Citation
from gateway.dialects.gemini.names import NAME, Json


def citations_in(metadata: Any, text: str) -> list[Citation]:
    """The sources of a text."""
    if not isinstance(metadata, dict):
        return []
    chunks = _list(metadata.get("groundingChunks"))
    out: list[Citation] = []
    for support in _list(metadata.get("groundingSupports")):
        if isinstance(support, dict):
            out += _supported(support, chunks, text)
    return out


def _supported(support: Json, chunks: list[Any], text: str) -> list[Citation]:
    segment = support.get("segment")
    segment = segment if isinstance(segment, dict) else {}
    start, end = _characters(text, segment.get("startIndex", 0)), segment.get("endIndex")
    quote = segment.get("text")
    found = []
    for place in _list(support.get("groundingChunkIndices")):
        chunk = chunks[place] if type(place) is int and 0 <= place < len(chunks) else None
        source = _source(chunk)
        if source is None:
            continue
        found.append(
            Citation(
                url=_text(source.get("uri")),
                title=_text(source.get("title")),
                quote=_text(quote),
                start=start,
                end=_characters(text, end),
                dialect=NAME,
                native={"chunk": chunk, "segment": segment},
            )
        )
    return found


def _source(chunk: Any) -> Json | None:
    """What a chunk points to: a page, a document of the caller's, a place on the map."""
    if not isinstance(chunk, dict):
        return None
    return next((value for value in chunk.values() if isinstance(value, dict)), None)


def _characters(text: str, place: Any) -> int | None:
    if type(place) is not int or place < 0:
        return None
    return len(text.encode("utf-8", "replace")[:place].decode("utf-8", "ignore"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def grounding_out(cited: Sequence[tuple[Citation, str]]) -> Json | None:
    """The `groundingMetadata` for sources, each beside the text that it is of."""
    chunks: list[Json] = []
    supports: list[Json] = []
    for citation, text in cited:
        chunk = _chunk(citation)
        if chunk is None:
            continue
        if chunk not in chunks:
            chunks.append(chunk)
        support: Json = {"groundingChunkIndices": [chunks.index(chunk)]}
        if (segment := _segment(citation, text)) is not None:
            support["segment"] = segment
        supports.append(support)
    if not supports:
        return None
    return {"groundingChunks": chunks, "groundingSupports": supports}


def _chunk(citation: Citation) -> Json | None:
    if citation.dialect == NAME and isinstance(citation.native.get("chunk"), dict):
        native: Json = citation.native["chunk"]
        return native
    if citation.url is None:
        return None
    web: Json = {"uri": citation.url}
    if citation.title is not None:
        web["title"] = citation.title
    return {"web": web}


def _segment(citation: Citation, text: str) -> Json | None:
    if citation.dialect == NAME and isinstance(citation.native.get("segment"), dict):
        native: Json = citation.native["segment"]
        return native
    if citation.start is None or citation.end is None:
        return {"text": citation.quote} if citation.quote else None
    out: Json = {
        "startIndex": len(text[: citation.start].encode("utf-8", "replace")),
        "endIndex": len(text[: citation.end].encode("utf-8", "replace")),
    }
    out["text"] = text[citation.start : citation.end]
    return out
