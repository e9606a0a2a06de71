"""Content blocks of a client's messages -> canonical parts.

`extra` collects the fields without a canonical equivalent by path, so that they can be
reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.canon.errors import GatewayError, invalid
from gateway.canon.media import parse_data_url, resolve_media_type
from gateway.canon.request import (
    CacheBreakpoint,
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
from gateway.canon.signature import recover_reasoning_text, unwrap_signature
from gateway.dialects.anthropic_messages.citations import parse_citations
from gateway.dialects.anthropic_messages.names import NAME, SEARCH_RESULT_MEDIA_TYPE, Json
from gateway.dialects.shared.fields import (
    flag,
    mapping,
    required_mapping,
    required_text,
    text,
    wrong_type,
)

BlockParser = Callable[[Json, str, Json], Part]
# Blocks besides text in a system message (beta `mid-conversation-tool-changes`).
_TOOL_CHANGES = frozenset({"tool_addition", "tool_removal"})


def parse_content(message: Json, path: str, extra: Json) -> tuple[Part, ...]:
    """The parts of a message's `content`: a string, a list of blocks, or null."""
    if "content" not in message:
        content_path = f"{path}.content"
        raise invalid(
            f"{content_path} is required: give a string or a list of blocks", content_path
        )
    content = message["content"]
    if type(content) is str:
        return (Text(text=content, path=path),)
    return parse_blocks(content, f"{path}.content", extra, _MESSAGE_CONTENT_PARSERS)


def parse_system(content: Any, path: str, extra: Json) -> tuple[Text, ...]:
    """The blocks of a system text: a string, or a list of text blocks."""
    parts = parse_system_message(content, path, extra)
    for part in parts:
        if not isinstance(part, Text):
            raise _not_text_error(part)
    return tuple(part for part in parts if isinstance(part, Text))


def parse_system_message(content: Any, path: str, extra: Json) -> tuple[Text | Native, ...]:
    """The blocks of a system message: texts and tool changes."""
    if type(content) is str:
        return (Text(text=content, path=path),) if content else ()
    parts: list[Text | Native] = []
    for part in parse_blocks(content, path, extra, {"text": _parse_text}):
        if isinstance(part, Native) and part.data["type"] not in _TOOL_CHANGES:
            raise _not_text_error(part)
        if isinstance(part, Text | Native):
            parts.append(part)
    return tuple(parts)


def _not_text_error(part: Part) -> GatewayError:
    return invalid(f"{part.path}.type must be 'text'", f"{part.path}.type")


def parse_blocks(
    content: Any, path: str, extra: Json, parsers: Mapping[str, BlockParser]
) -> tuple[Part, ...]:
    """Parses a list of blocks; blocks of unknown types become Native parts."""
    if content is None:
        return ()
    if type(content) is not list:
        raise wrong_type(path, "a string or a list of blocks", content)
    return tuple(
        [_parse_block(block, f"{path}[{i}]", extra, parsers) for i, block in enumerate(content)]
    )


def _parse_block(block: Any, path: str, extra: Json, parsers: Mapping[str, BlockParser]) -> Part:
    if type(block) is not dict:
        raise wrong_type(path, "an object with a type", block)
    block_type = block.get("type")
    if type(block_type) is not str:
        raise invalid(f"{path}.type is required: give a string such as 'text'", f"{path}.type")
    parser = parsers.get(block_type)
    return (
        Native(dialect=NAME, data=block, path=path)
        if parser is None
        else parser(block, path, extra)
    )


def _collect_extra_fields(
    block: Json, parsed_fields: frozenset[str], path: str, extra: Json
) -> None:
    """Collects the fields of a block that have no canonical equivalent."""
    if not block.keys() <= parsed_fields:
        extra |= {
            f"{path}.{k}": v for k, v in block.items() if k not in parsed_fields and v is not None
        }


def parse_cache_control(block: Json, path: str = "") -> CacheBreakpoint | None:
    """The `cache_control` of a block, a tool or a request."""
    if block.get("cache_control") is None:
        return None
    cache_path = f"{path}.cache_control" if path else "cache_control"
    control = mapping(block, "cache_control", path) or {}
    return CacheBreakpoint(ttl=text(control, "ttl", cache_path))


_TEXT_FIELDS = frozenset({"type", "text", "citations", "cache_control"})


def _parse_text(block: Json, path: str, extra: Json) -> Text:
    block_text = required_text(block, "text", path)
    if len(block) == 2:
        return Text(text=block_text, path=path)
    _collect_extra_fields(block, _TEXT_FIELDS, path, extra)
    citations = parse_citations(block.get("citations"))
    return Text(
        text=block_text, citations=citations, cache=parse_cache_control(block, path), path=path
    )


_IMAGE_FIELDS = frozenset({"type", "source", "cache_control"})


def _parse_image(block: Json, path: str, extra: Json) -> Part:
    source = required_mapping(block, "source", path)
    source_path = f"{path}.source"
    _collect_extra_fields(block, _IMAGE_FIELDS, path, extra)
    cache = parse_cache_control(block, path)
    match required_text(source, "type", source_path):
        case "base64":
            image_data = required_text(source, "data", source_path)
            media_type = resolve_media_type(
                image_data, text(source, "media_type", source_path), "image/png"
            )
            return Image(data=image_data, media_type=media_type, cache=cache, path=path)
        case "url":
            url = required_text(source, "url", source_path)
            data_url = parse_data_url(url)
            if data_url is None:
                return Image(url=url, cache=cache, path=path)
            media_type = resolve_media_type(data_url[1], data_url[0], "image/png")
            return Image(data=data_url[1], media_type=media_type, cache=cache, path=path)
        case "file":
            return Image(
                file_id=required_text(source, "file_id", source_path), cache=cache, path=path
            )
        case _:
            return Native(dialect=NAME, data=block, path=path)


_DOCUMENT_FIELDS = frozenset({"type", "source", "title", "context", "citations", "cache_control"})


def _parse_document(block: Json, path: str, extra: Json) -> Part:
    source = required_mapping(block, "source", path)
    source_fields = _parse_document_source(source, f"{path}.source", extra)
    if source_fields is None:
        return Native(dialect=NAME, data=block, path=path)
    _collect_extra_fields(block, _DOCUMENT_FIELDS, path, extra)
    return Document(
        **source_fields,
        title=text(block, "title", path),
        context=text(block, "context", path),
        citations=_parse_citations_enabled(block, path),
        cache=parse_cache_control(block, path),
        path=path,
    )


def _parse_document_source(source: Json, path: str, extra: Json) -> Json | None:
    """The source fields of a document; None for an unknown source type."""
    match required_text(source, "type", path):
        case "base64":
            document_data = required_text(source, "data", path)
            media_type = resolve_media_type(
                document_data, text(source, "media_type", path), "application/pdf"
            )
            return {"data": document_data, "media_type": media_type}
        case "text":
            return {"text": required_text(source, "data", path), "media_type": "text/plain"}
        case "url":
            return {"url": required_text(source, "url", path)}
        case "file":
            return {"file_id": required_text(source, "file_id", path)}
        case "content":
            return {"parts": _parse_nested_content(source, path, extra, _DOCUMENT_CONTENT_PARSERS)}
        case _:
            return None


def _parse_nested_content(
    block: Json, path: str, extra: Json, parsers: Mapping[str, BlockParser]
) -> tuple[Part, ...]:
    """Nested content: a string or a list of blocks; an empty string is no part."""
    content = block.get("content")
    content_path = f"{path}.content"
    if type(content) is str:
        return (Text(text=content, path=content_path),) if content else ()
    return parse_blocks(content, content_path, extra, parsers)


def _parse_citations_enabled(block: Json, path: str) -> bool | None:
    citations = mapping(block, "citations", path)
    return None if citations is None else flag(citations, "enabled", f"{path}.citations")


_SEARCH_RESULT_FIELDS = frozenset(
    {"type", "source", "title", "content", "citations", "cache_control"}
)


def _parse_search_result(block: Json, path: str, extra: Json) -> Document:
    """A search result as a document whose context is its source: others can read it too."""
    _collect_extra_fields(block, _SEARCH_RESULT_FIELDS, path, extra)
    return Document(
        parts=_parse_nested_content(block, path, extra, _DOCUMENT_CONTENT_PARSERS),
        media_type=SEARCH_RESULT_MEDIA_TYPE,
        title=text(block, "title", path),
        context=required_text(block, "source", path),
        citations=_parse_citations_enabled(block, path),
        cache=parse_cache_control(block, path),
        path=path,
    )


_THINKING_FIELDS = frozenset({"type", "thinking", "signature"})


def _parse_thinking(block: Json, path: str, extra: Json) -> Reasoning:
    thinking_text = required_text(block, "thinking", path)
    signature_value = text(block, "signature", path)
    _collect_extra_fields(block, _THINKING_FIELDS, path, extra)
    thinking_text, signature = recover_reasoning_text(
        thinking_text, parse_signature(signature_value, "signature")
    )
    return Reasoning(text=thinking_text, signature=signature, path=path)


def _parse_redacted_thinking(block: Json, path: str, extra: Json) -> Reasoning:
    redacted_data = required_text(block, "data", path)
    return Reasoning(redacted=True, signature=parse_signature(redacted_data, "redacted"), path=path)


def parse_signature(value: str | None, kind: str) -> Signature | None:
    """The signature inside a gateway token, or the native value itself."""
    if not value:
        return None
    return unwrap_signature(value) or Signature(kind=kind, value=value)


_TOOL_USE_FIELDS = frozenset({"type", "id", "name", "input", "cache_control", "caller"})
_DIRECT_CALLER = {"type": "direct"}


def _parse_tool_use(block: Json, path: str, extra: Json) -> ToolCall:
    _collect_extra_fields(block, _TOOL_USE_FIELDS, path, extra)
    if block.get("caller") not in (None, _DIRECT_CALLER):
        extra[f"{path}.caller"] = block["caller"]
    return ToolCall(
        id=required_text(block, "id", path),
        name=required_text(block, "name", path),
        arguments=mapping(block, "input", path) or {},
        cache=parse_cache_control(block, path),
        path=path,
    )


_TOOL_RESULT_FIELDS = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})


def _parse_tool_result(block: Json, path: str, extra: Json) -> ToolResult:
    _collect_extra_fields(block, _TOOL_RESULT_FIELDS, path, extra)
    return ToolResult(
        id=required_text(block, "tool_use_id", path),
        parts=_parse_nested_content(block, path, extra, _TOOL_RESULT_CONTENT_PARSERS),
        is_error=flag(block, "is_error", path),
        cache=parse_cache_control(block, path),
        path=path,
    )


# Parsers by context. Nesting ends here, which bounds the recursion.
_DOCUMENT_CONTENT_PARSERS: dict[str, BlockParser] = {"text": _parse_text, "image": _parse_image}
_TOOL_RESULT_CONTENT_PARSERS: dict[str, BlockParser] = {
    **_DOCUMENT_CONTENT_PARSERS,
    "document": _parse_document,
    "search_result": _parse_search_result,
}
_MESSAGE_CONTENT_PARSERS: dict[str, BlockParser] = {
    **_TOOL_RESULT_CONTENT_PARSERS,
    "thinking": _parse_thinking,
    "redacted_thinking": _parse_redacted_thinking,
    "tool_use": _parse_tool_use,
    "tool_result": _parse_tool_result,
}
