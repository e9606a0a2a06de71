"""Sources: a candidate's `groundingMetadata` <-> citations of its text.

Google's offsets count bytes of UTF-8, canonical offsets count characters.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import msgspec

from gateway.canon.request import Citation
from gateway.dialects.gemini.names import NAME, Json

_SOURCES = ("groundingMetadata", "citationMetadata", "urlContextMetadata")


def extract_sources(candidate: Json) -> Json | None:
    """The source metadata of a candidate; None if it has none."""
    return {name: candidate[name] for name in _SOURCES if candidate.get(name)} or None


def parse_citations(sources: Json, text: str) -> list[Citation]:
    """The sources of a text."""
    citations: list[Citation] = []
    offsets = _Offsets(text)
    metadata = sources.get("groundingMetadata")
    if isinstance(metadata, dict):
        chunks = _list_or_empty(metadata.get("groundingChunks"))
        for support in _list_or_empty(metadata.get("groundingSupports")):
            if isinstance(support, dict):
                citations += _parse_support(support, chunks, offsets)
    citations += _parse_recitations(sources.get("citationMetadata"), offsets)
    cited_urls = {citation.url for citation in citations}
    return citations + [
        citation
        for citation in _parse_read_pages(sources.get("urlContextMetadata"))
        if citation.url not in cited_urls
    ]


def _parse_recitations(metadata: Any, offsets: _Offsets) -> list[Citation]:
    """Citations of works that the response quotes."""
    metadata = metadata if isinstance(metadata, dict) else {}
    source_objects = metadata.get("citationSources") or metadata.get("citations")
    return [
        Citation(
            url=_string_or_none(source.get("uri")),
            title=_string_or_none(source.get("title")),
            start=offsets.to_characters(source.get("startIndex", 0)),
            end=offsets.to_characters(source.get("endIndex")),
            dialect=NAME,
            native={"citation": source},
        )
        for source in _list_or_empty(source_objects)
        if isinstance(source, dict) and isinstance(source.get("uri"), str)
    ]


def _parse_read_pages(metadata: Any) -> list[Citation]:
    """Citations of pages in the prompt that the model has read."""
    pages = metadata.get("urlMetadata") if isinstance(metadata, dict) else None
    return [
        Citation(url=page["retrievedUrl"], dialect=NAME, native={"page": page})
        for page in _list_or_empty(pages)
        if isinstance(page, dict)
        and isinstance(page.get("retrievedUrl"), str)
        and str(page.get("urlRetrievalStatus")).endswith("SUCCESS")
    ]


def _parse_support(support: Json, chunks: list[Any], offsets: _Offsets) -> list[Citation]:
    segment = support.get("segment")
    segment = segment if isinstance(segment, dict) else {}
    start = offsets.to_characters(segment.get("startIndex", 0))
    end = offsets.to_characters(segment.get("endIndex"))
    quote = segment.get("text")
    citations = []
    for chunk_index in _list_or_empty(support.get("groundingChunkIndices")):
        chunk = (
            chunks[chunk_index]
            if type(chunk_index) is int and 0 <= chunk_index < len(chunks)
            else None
        )
        source = _chunk_source(chunk)
        if source is None:
            continue
        citations.append(
            Citation(
                url=_string_or_none(source.get("uri")),
                title=_string_or_none(source.get("title")),
                quote=_string_or_none(quote),
                start=start,
                end=end,
                dialect=NAME,
                native={"chunk": chunk, "segment": segment},
            )
        )
    return citations


def _chunk_source(chunk: Any) -> Json | None:
    """The source in a chunk: a page, a document of the caller, a location on the map."""
    if not isinstance(chunk, dict):
        return None
    return next((value for value in chunk.values() if isinstance(value, dict)), None)


class _Offsets:
    """Converts offsets in one text between characters and bytes of UTF-8."""

    def __init__(self, text: str) -> None:
        self._length = len(text)
        # Byte offset of each character's end; None if the text is ASCII.
        self._character_ends: list[int] | None = None
        if not text.isascii():
            sizes = (len(character.encode("utf-8", "replace")) for character in text)
            self._character_ends = list(accumulate(sizes))

    def to_characters(self, byte_offset: Any) -> int | None:
        """The characters before a byte offset; None for an invalid offset."""
        if type(byte_offset) is not int or byte_offset < 0:
            return None
        return (
            min(byte_offset, self._length)
            if self._character_ends is None
            else bisect_right(self._character_ends, byte_offset)
        )

    def to_bytes(self, character_offset: int) -> int:
        """The bytes before a character offset; a negative one counts from the end."""
        character_offset = (
            max(0, character_offset + self._length)
            if character_offset < 0
            else min(character_offset, self._length)
        )
        if self._character_ends is None or character_offset == 0:
            return character_offset
        return self._character_ends[character_offset - 1]


def _list_or_empty(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _string_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


class GroundedText(msgspec.Struct, frozen=True):
    """A source of a text of the answer, which begins after `before` bytes of the others."""

    citation: Citation
    text: str
    before: int


def render_grounding(grounded_texts: Sequence[GroundedText]) -> Json | None:
    """The `groundingMetadata` for sources."""
    # The chunks by what they say, each with its place.
    chunks: dict[bytes, tuple[int, Json]] = {}
    supports: list[Json] = []
    offsets, measured_text = _Offsets(""), ""
    for grounded in grounded_texts:
        if grounded.text is not measured_text:
            offsets, measured_text = _Offsets(grounded.text), grounded.text
        chunk = _render_chunk(grounded.citation)
        if chunk is None:
            continue
        chunk_index, _ = chunks.setdefault(msgspec.json.encode(chunk), (len(chunks), chunk))
        support: Json = {"groundingChunkIndices": [chunk_index]}
        if (segment := _render_segment(grounded, offsets)) is not None:
            support["segment"] = segment
        supports.append(support)
    if not supports:
        return None
    grounding_chunks = [chunk for _, chunk in chunks.values()]
    return {"groundingChunks": grounding_chunks, "groundingSupports": supports}


def _render_chunk(citation: Citation) -> Json | None:
    if citation.dialect == NAME and isinstance(citation.native.get("chunk"), dict):
        native: Json = citation.native["chunk"]
        return native
    if citation.url is None:
        return None
    web: Json = {"uri": citation.url}
    if citation.title is not None:
        web["title"] = citation.title
    return {"web": web}


def _render_segment(grounded: GroundedText, offsets: _Offsets) -> Json | None:
    """The segment of the response that a citation covers; all of it if it has no offsets."""
    citation, text = grounded.citation, grounded.text
    if citation.dialect == NAME and isinstance(citation.native.get("segment"), dict):
        native: Json = citation.native["segment"]
        return native
    start = citation.start or 0
    end = len(text) if citation.end is None else citation.end
    if not text[start:end]:
        return None
    return {
        "startIndex": grounded.before + offsets.to_bytes(start),
        "endIndex": grounded.before + offsets.to_bytes(end),
        "text": text[start:end],
    }


def utf8_length(text: str) -> int:
    """The bytes of a text, in which Google counts."""
    return len(text.encode("utf-8", "replace"))
