"""Content blocks of a client's messages -> canonical parts.

`rest` collects fields that a canonical part has no place for, under their path, so
that they can be reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.canon.errors import GatewayError, invalid
from gateway.canon.media import from_data_url, media_type_of
from gateway.canon.request import (
    Cache,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.signature import recovered, unwrap
from gateway.dialects.anthropic_messages.citations import citations_in
from gateway.dialects.anthropic_messages.names import NAME, SEARCH_RESULT, Json
from gateway.dialects.fields import flag, mapping, needed_mapping, needed_text, text, wrong

Reader = Callable[[Json, str, Json], Part]
# What a system message may hold beside text (beta `mid-conversation-tool-changes`).
_TOOL_CHANGES = frozenset({"tool_addition", "tool_removal"})


def content_in(message: Json, at: str, rest: Json) -> tuple[Part, ...]:
    """The parts of a message's `content`: a string, a list of blocks, or null."""
    if "content" not in message:
        path = f"{at}.content"
        raise invalid(f"{path} is required: give a string or a list of blocks", path)
    content = message["content"]
    if type(content) is str:
        return (Text(text=content, at=at),)
    return blocks_in(content, f"{at}.content", rest, _READERS)


def system_in(content: Any, at: str, rest: Json) -> tuple[Text, ...]:
    """The blocks of a system text: a string, or a list of text blocks."""
    parts = system_message_in(content, at, rest)
    for part in parts:
        if not isinstance(part, Text):
            raise _no_text(part)
    return tuple(part for part in parts if isinstance(part, Text))


def system_message_in(content: Any, at: str, rest: Json) -> tuple[Text | Native, ...]:
    """The blocks of a system message: texts, and changes of what tools are on offer."""
    if type(content) is str:
        return (Text(text=content, at=at),) if content else ()
    parts: list[Text | Native] = []
    for part in blocks_in(content, at, rest, {"text": _text_in}):
        if isinstance(part, Native) and part.data["type"] not in _TOOL_CHANGES:
            raise _no_text(part)
        if isinstance(part, Text | Native):
            parts.append(part)
    return tuple(parts)


def _no_text(part: Part) -> GatewayError:
    return invalid(f"{part.at}.type must be 'text'", f"{part.at}.type")


def blocks_in(content: Any, at: str, rest: Json, readers: Mapping[str, Reader]) -> tuple[Part, ...]:
    """The parts of a list of blocks; those of other types stay as they are."""
    if content is None:
        return ()
    if type(content) is not list:
        raise wrong(at, "a string or a list of blocks", content)
    return tuple([_block_in(block, f"{at}[{i}]", rest, readers) for i, block in enumerate(content)])


def _block_in(block: Any, at: str, rest: Json, readers: Mapping[str, Reader]) -> Part:
    if type(block) is not dict:
        raise wrong(at, "an object with a type", block)
    kind = block.get("type")
    if type(kind) is not str:
        raise invalid(f"{at}.type is required: give a string such as 'text'", f"{at}.type")
    reader = readers.get(kind)
    return Native(dialect=NAME, data=block, at=at) if reader is None else reader(block, at, rest)


def _keep(block: Json, known: frozenset[str], at: str, rest: Json) -> None:
    """Note the fields of a block that no part has a place for."""
    if not block.keys() <= known:
        rest |= {f"{at}.{k}": v for k, v in block.items() if k not in known and v is not None}


def cache_in(block: Json, at: str = "") -> Cache | None:
    """The cache mark of a block, a tool or a request."""
    if block.get("cache_control") is None:
        return None
    path = f"{at}.cache_control" if at else "cache_control"
    control = mapping(block, "cache_control", at) or {}
    return Cache(ttl=text(control, "ttl", path))


_TEXT = frozenset({"type", "text", "citations", "cache_control"})


def _text_in(block: Json, at: str, rest: Json) -> Text:
    words = needed_text(block, "text", at)
    if len(block) == 2:
        return Text(text=words, at=at)
    _keep(block, _TEXT, at, rest)
    citations = citations_in(block.get("citations"))
    return Text(text=words, citations=citations, cache=cache_in(block, at), at=at)


_IMAGE = frozenset({"type", "source", "cache_control"})


def _image_in(block: Json, at: str, rest: Json) -> Part:
    source = needed_mapping(block, "source", at)
    path = f"{at}.source"
    _keep(block, _IMAGE, at, rest)
    cache = cache_in(block, at)
    match needed_text(source, "type", path):
        case "base64":
            data = needed_text(source, "data", path)
            told = media_type_of(data, text(source, "media_type", path), "image/png")
            return Image(data=data, media_type=told, cache=cache, at=at)
        case "url":
            url = needed_text(source, "url", path)
            held = from_data_url(url)
            if held is None:
                return Image(url=url, cache=cache, at=at)
            told = media_type_of(held[1], held[0], "image/png")
            return Image(data=held[1], media_type=told, cache=cache, at=at)
        case "file":
            return Image(file_id=needed_text(source, "file_id", path), cache=cache, at=at)
        case _:
            return Native(dialect=NAME, data=block, at=at)


_DOCUMENT = frozenset({"type", "source", "title", "context", "citations", "cache_control"})


def _document_in(block: Json, at: str, rest: Json) -> Part:
    source = needed_mapping(block, "source", at)
    held = _source_in(source, f"{at}.source", rest)
    if held is None:
        return Native(dialect=NAME, data=block, at=at)
    _keep(block, _DOCUMENT, at, rest)
    return Document(
        **held,
        title=text(block, "title", at),
        context=text(block, "context", at),
        citations=_enabled(block, at),
        cache=cache_in(block, at),
        at=at,
    )


def _source_in(source: Json, path: str, rest: Json) -> Json | None:
    """What a document is made of; None for a source of another type."""
    match needed_text(source, "type", path):
        case "base64":
            data = needed_text(source, "data", path)
            told = media_type_of(data, text(source, "media_type", path), "application/pdf")
            return {"data": data, "media_type": told}
        case "text":
            return {"text": needed_text(source, "data", path), "media_type": "text/plain"}
        case "url":
            return {"url": needed_text(source, "url", path)}
        case "file":
            return {"file_id": needed_text(source, "file_id", path)}
        case "content":
            return {"parts": _inner_in(source, path, rest, _INSIDE_DOCUMENT)}
        case _:
            return None


def _inner_in(block: Json, at: str, rest: Json, readers: Mapping[str, Reader]) -> tuple[Part, ...]:
    """Nested content: a string or a list of blocks; an empty string is no part."""
    content = block.get("content")
    path = f"{at}.content"
    if type(content) is str:
        return (Text(text=content, at=path),) if content else ()
    return blocks_in(content, path, rest, readers)


def _enabled(block: Json, at: str) -> bool | None:
    citations = mapping(block, "citations", at)
    return None if citations is None else flag(citations, "enabled", f"{at}.citations")


_SEARCH_RESULT = frozenset({"type", "source", "title", "content", "citations", "cache_control"})


def _search_result_in(block: Json, at: str, rest: Json) -> Document:
    """A search result as a document whose context is its source: others can read it too."""
    _keep(block, _SEARCH_RESULT, at, rest)
    return Document(
        parts=_inner_in(block, at, rest, _INSIDE_DOCUMENT),
        media_type=SEARCH_RESULT,
        title=text(block, "title", at),
        context=needed_text(block, "source", at),
        citations=_enabled(block, at),
        cache=cache_in(block, at),
        at=at,
    )


_THINKING = frozenset({"type", "thinking", "signature"})


def _thinking_in(block: Json, at: str, rest: Json) -> Reasoning:
    words = needed_text(block, "thinking", at)
    value = text(block, "signature", at)
    _keep(block, _THINKING, at, rest)
    words, state = recovered(words, signature_in(value, "signature"))
    return Reasoning(text=words, signature=state, at=at)


def _redacted_in(block: Json, at: str, rest: Json) -> Reasoning:
    value = needed_text(block, "data", at)
    return Reasoning(redacted=True, signature=signature_in(value, "redacted"), at=at)


def signature_in(value: str | None, kind: str) -> Signature | None:
    """A gateway token's state, or the native value as it came."""
    if not value:
        return None
    return unwrap(value) or Signature(kind=kind, value=value)


_CALL = frozenset({"type", "id", "name", "input", "cache_control", "caller"})
_DIRECT = {"type": "direct"}


def _call_in(block: Json, at: str, rest: Json) -> ToolCall:
    _keep(block, _CALL, at, rest)
    if block.get("caller") not in (None, _DIRECT):
        rest[f"{at}.caller"] = block["caller"]
    return ToolCall(
        id=needed_text(block, "id", at),
        name=needed_text(block, "name", at),
        arguments=mapping(block, "input", at) or {},
        cache=cache_in(block, at),
        at=at,
    )


_RESULT = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})


def _result_in(block: Json, at: str, rest: Json) -> ToolResult:
    _keep(block, _RESULT, at, rest)
    return ToolResult(
        id=needed_text(block, "tool_use_id", at),
        parts=_inner_in(block, at, rest, _INSIDE_RESULT),
        is_error=flag(block, "is_error", at),
        cache=cache_in(block, at),
        at=at,
    )


# What may stand where; nesting ends here, so that no body can nest its way through us.
_INSIDE_DOCUMENT: dict[str, Reader] = {"text": _text_in, "image": _image_in}
_INSIDE_RESULT: dict[str, Reader] = {
    **_INSIDE_DOCUMENT,
    "document": _document_in,
    "search_result": _search_result_in,
}
_READERS: dict[str, Reader] = {
    **_INSIDE_RESULT,
    "thinking": _thinking_in,
    "redacted_thinking": _redacted_in,
    "tool_use": _call_in,
    "tool_result": _result_in,
}
