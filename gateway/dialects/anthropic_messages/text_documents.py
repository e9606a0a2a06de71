"""Documents for models that support none: those of text as text, a note for all others.

Ollama leaves out blocks that it does not know, without an error
(https://github.com/ollama/ollama/blob/main/anthropic/anthropic.go); DeepSeek and others list
documents as not supported.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, approximated_field, dropped_field
from gateway.canon.json_values import to_raw
from gateway.canon.traits import Traits
from gateway.dialects.shared.render_context import REPLACED_WITH_NOTE, render_media_note

Json = dict[str, Any]
Fields = dict[str, msgspec.Raw]

NO_DOCUMENTS = "this model does not support documents"
DOCUMENT_AS_TEXT = f"sent as text: {NO_DOCUMENTS}"
# Sources that are files of another type.
_FILE_SOURCES = ("base64", "url", "file")
# Each of these blocks contains one of the texts.
_TYPES = ("document", "search_result")
_MARKERS = (b'"document"', b'"search_result"')


def document_as_text(title: Any, context: Any, content: str | list[Json]) -> list[Json]:
    """Text blocks of a document: its title and context, then its content."""
    heading = "\n".join(line for line in (title, context) if isinstance(line, str) and line)
    if isinstance(content, str):
        text = "\n\n".join(part for part in (heading, content) if part)
        return [{"type": "text", "text": text}] if text.strip() else []
    return [{"type": "text", "text": heading}, *content] if heading else list(content)


def inline_documents(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The fields of a passthrough body, with documents of text as text, others as a note.

    For a target that accepts no documents. Malformed ones are left to the provider. Returns
    the same object if nothing changes.
    """
    raw_messages = b"" if traits.pdf else bytes(fields.get("messages", b""))
    if not any(marker in raw_messages for marker in _MARKERS):
        return fields, ()
    report: list[Adaptation] = []
    try:
        inlined = _inline_in_items(msgspec.json.decode(raw_messages), "messages", report)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return fields, ()  # the provider reports what is wrong with it
    return ({**fields, "messages": to_raw(inlined)}, tuple(report)) if report else (fields, ())


def _inline_in_items(items: Any, path: str, report: list[Adaptation]) -> Any:
    """Messages or blocks with their documents inlined, also those in tool results."""
    if not isinstance(items, list):
        return items
    inlined: list[Any] = []
    for index, item in enumerate(items):
        item_path = f"{path}[{index}]"
        if not isinstance(item, dict):
            inlined.append(item)
        elif item.get("type") in _TYPES:
            inlined += _inline_block(item, item_path, report)
        elif isinstance(item.get("content"), list):
            content = _inline_in_items(item["content"], f"{item_path}.content", report)
            inlined.append({**item, "content": content})
        else:
            inlined.append(item)
    return inlined


def _inline_block(block: Json, path: str, report: list[Adaptation]) -> list[Json]:
    source = block.get("source")
    if block["type"] == "search_result":
        context, content = source, block.get("content")
    else:
        context = block.get("context")
        content = _source_text(source)
    if isinstance(content, str | list):
        blocks = document_as_text(block.get("title"), context, content)
        report.append(approximated_field(path, DOCUMENT_AS_TEXT))
    elif isinstance(source, dict) and source.get("type") in _FILE_SOURCES:
        blocks = [{"type": "text", "text": render_media_note("document", NO_DOCUMENTS)}]
        report.append(dropped_field(path, f"{NO_DOCUMENTS}; {REPLACED_WITH_NOTE}"))
    else:
        return [block]
    if blocks and "cache_control" in block:
        blocks[-1] = {**blocks[-1], "cache_control": block["cache_control"]}
    return blocks


def _source_text(source: Any) -> Any:
    """The text or blocks of a document's source; None for another source."""
    match source:
        case {"type": "text", "data": data}:
            return data
        case {"type": "content", "content": content}:
            return content
        case _:
            return None
