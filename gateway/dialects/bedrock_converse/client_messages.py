"""A client's messages and content blocks as canonical turns and parts.

Each block is an object with one key, its type. A `cachePoint` is a block of its own and marks
the part before it. `extra` collects by path what has no canonical equivalent.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from gateway.canon.errors import GatewayError, invalid
from gateway.canon.media import SEARCH_RESULT_MEDIA_TYPE, resolve_media_type
from gateway.canon.request import (
    Audio,
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
    Turn,
)
from gateway.canon.signature import recover_reasoning_text, unwrap_signature
from gateway.dialects.bedrock_converse.context import (
    DOCUMENT_FORMATS,
    IMAGE_FORMATS,
    NAME,
    Json,
)
from gateway.dialects.bedrock_converse.response import parse_citation
from gateway.dialects.shared.fields import (
    boolean,
    compact_json,
    enum_value,
    mapping,
    objects,
    required_mapping,
    required_messages,
    required_text,
    string_or_empty,
    text,
)

_ROLES = ("user", "assistant", "system")
_MEDIA_TYPES = {name: media_type for media_type, name in IMAGE_FORMATS.items()}
_DOCUMENT_TYPES = {name: media_type for media_type, name in DOCUMENT_FORMATS.items()}
_CACHE_POINT = "cachePoint"
# Parts that can be the last of a cached prefix.
_CACHEABLE = (Text, Image, Document, ToolCall, ToolResult)


def parse_turns(body: Json, extra: Json) -> tuple[Turn, ...]:
    """The conversation. Raises GatewayError naming the message at fault."""
    messages = required_messages(body)
    return tuple(
        _parse_turn(message, f"messages[{index}]", extra) for index, message in enumerate(messages)
    )


def _parse_turn(message: Json, path: str, extra: Json) -> Turn:
    role: Any = enum_value(message, "role", _ROLES, path)
    if role is None:
        raise invalid(f"{path}.role is required: {', '.join(_ROLES)}", f"{path}.role")
    if message.get("content") is None:
        content_path = f"{path}.content"
        raise invalid(f"{content_path} is required and must be a list of blocks", content_path)
    return Turn(role=role, parts=parse_blocks(message, "content", path, extra), path=path)


def parse_system(body: Json, extra: Json) -> tuple[Text, ...]:
    """The blocks of the instructions, which are texts."""
    parts = parse_blocks(body, "system", "", extra)
    for part in parts:
        if not isinstance(part, Text):
            raise invalid(f"{part.path} must contain text, guardContent or cachePoint", part.path)
    return tuple(part for part in parts if isinstance(part, Text))


def parse_cache_point(block: Json, path: str) -> CacheBreakpoint:
    """The cache breakpoint in a `cachePoint`."""
    point = required_mapping(block, _CACHE_POINT, path)
    return CacheBreakpoint(ttl=text(point, "ttl", f"{path}.{_CACHE_POINT}"))


def parse_blocks(obj: Json, key: str, path: str, extra: Json) -> tuple[Part, ...]:
    """The parts of a list of blocks. Raises GatewayError naming the block at fault."""
    parts: list[Part] = []
    list_path = f"{path}.{key}" if path else key
    for index, block in enumerate(objects(obj, key, path)):
        block_path = f"{list_path}[{index}]"
        kind = _block_kind(block, block_path)
        if kind == _CACHE_POINT:
            _mark_last(parts, parse_cache_point(block, block_path), block_path, extra)
            continue
        parser = _PARSERS.get(kind)
        if parser is None:
            parts.append(Native(dialect=NAME, data=block, path=block_path))
        else:
            parts.append(parser(block, block_path, extra))
    return tuple(parts)


def _block_kind(block: Json, path: str) -> str:
    kinds = [kind for kind, value in block.items() if value is not None]
    if len(kinds) != 1:
        content_description = f"has {len(kinds)}" if kinds else "is empty"
        raise invalid(f"{path} must have exactly one content type, but {content_description}", path)
    return kinds[0]


def _mark_last(parts: list[Part], cache: CacheBreakpoint, path: str, extra: Json) -> None:
    """Set the cache breakpoint of the last part."""
    last_part = parts[-1] if parts else None
    if isinstance(last_part, _CACHEABLE):
        parts[-1] = replace(last_part, cache=cache)
    else:
        extra[path] = {_CACHE_POINT: {}}


# --- text -----------------------------------------------------------------------------------------


def _parse_text(block: Json, path: str, extra: Json) -> Part:
    return Text(text=required_text(block, "text", path), path=path)


def _parse_guarded(block: Json, path: str, extra: Json) -> Part:
    """Content for a guardrail of Bedrock, which no other provider applies."""
    content = required_mapping(block, "guardContent", path)
    content_path = f"{path}.guardContent"
    extra[content_path] = content
    if content.get("image") is not None:
        return _parse_image(content, content_path, extra)
    guard_content = required_mapping(content, "text", content_path)
    return Text(text=required_text(guard_content, "text", f"{content_path}.text"), path=path)


def _parse_cited_text(block: Json, path: str, extra: Json) -> Part:
    content_path = f"{path}.citationsContent"
    cited = required_mapping(block, "citationsContent", path)
    texts = objects(cited, "content", content_path)
    citations = (parse_citation(item) for item in objects(cited, "citations", content_path))
    return Text(
        text="".join(string_or_empty(item.get("text")) for item in texts),
        citations=tuple(citation for citation in citations if citation is not None),
        path=path,
    )


# --- media ----------------------------------------------------------------------------------------


def _parse_source(block: Json, path: str, extra: Json) -> tuple[str | None, str | None]:
    """`(base64 data, URL)` of a source; both None for a source of another kind."""
    source = required_mapping(block, "source", path)
    source_path = f"{path}.source"
    data = text(source, "bytes", source_path)
    if data is not None:
        return data, None
    location = mapping(source, "s3Location", source_path)
    if location is None:
        return None, None
    location_path = f"{source_path}.s3Location"
    if location.get("bucketOwner") is not None:
        extra[f"{location_path}.bucketOwner"] = location["bucketOwner"]
    return None, required_text(location, "uri", location_path)


def _source_error(path: str, names: str) -> GatewayError:
    return invalid(f"{path}.source must contain {names}", f"{path}.source")


def _parse_image(block: Json, path: str, extra: Json) -> Part:
    image_path = f"{path}.image"
    image = required_mapping(block, "image", path)
    declared_type = _MEDIA_TYPES.get(required_text(image, "format", image_path))
    data, url = _parse_source(image, image_path, extra)
    if data is not None:
        media_type = resolve_media_type(data, declared_type, "image/png")
        return Image(data=data, media_type=media_type, path=path)
    if url is None:
        raise _source_error(image_path, "bytes or s3Location")
    return Image(url=url, media_type=declared_type, path=path)


def _parse_document(block: Json, path: str, extra: Json) -> Part:
    document_path = f"{path}.document"
    document = required_mapping(block, "document", path)
    data, url = _parse_source(document, document_path, extra)
    source = required_mapping(document, "source", document_path)
    citations = mapping(document, "citations", document_path)
    declared_type = _DOCUMENT_TYPES.get(text(document, "format", document_path) or "")
    out = Document(
        title=text(document, "name", document_path),
        context=text(document, "context", document_path),
        citations=None
        if citations is None
        else boolean(citations, "enabled", f"{document_path}.citations"),
        path=document_path,
    )
    if data is not None:
        media_type = resolve_media_type(data, declared_type, "application/pdf")
        return replace(out, data=data, media_type=media_type)
    if url is not None:
        return replace(out, url=url, media_type=declared_type)
    plain_text = text(source, "text", f"{document_path}.source")
    if plain_text is not None:
        return replace(out, text=plain_text, media_type="text/plain")
    if source.get("content") is None:
        raise _source_error(document_path, "bytes, text, content or s3Location")
    parts = parse_blocks(source, "content", f"{document_path}.source", extra)
    return replace(out, parts=parts)


def _parse_search_result(block: Json, path: str, extra: Json) -> Part:
    """A search result as a document whose context is its source."""
    result_path = f"{path}.searchResult"
    result = required_mapping(block, "searchResult", path)
    citations = mapping(result, "citations", result_path)
    return Document(
        parts=parse_blocks(result, "content", result_path, extra),
        media_type=SEARCH_RESULT_MEDIA_TYPE,
        title=text(result, "title", result_path),
        context=required_text(result, "source", result_path),
        citations=None
        if citations is None
        else boolean(citations, "enabled", f"{result_path}.citations"),
        path=result_path,
    )


def _parse_audio(block: Json, path: str, extra: Json) -> Part:
    audio_path = f"{path}.audio"
    audio = required_mapping(block, "audio", path)
    data, _ = _parse_source(audio, audio_path, extra)
    if data is None:
        return Native(dialect=NAME, data=block, path=path)
    return Audio(data=data, format=required_text(audio, "format", audio_path), path=path)


# --- calls, results, reasoning --------------------------------------------------------------------


def _parse_tool_use(block: Json, path: str, extra: Json) -> Part:
    call_path = f"{path}.toolUse"
    call = required_mapping(block, "toolUse", path)
    if call.get("type") is not None:
        return Native(dialect=NAME, data=block, path=path)
    return ToolCall(
        id=required_text(call, "toolUseId", call_path),
        name=required_text(call, "name", call_path),
        arguments=mapping(call, "input", call_path) or {},
        path=path,
    )


def _parse_tool_result(block: Json, path: str, extra: Json) -> Part:
    result_path = f"{path}.toolResult"
    result = required_mapping(block, "toolResult", path)
    if result.get("type") is not None:
        return Native(dialect=NAME, data=block, path=path)
    status = enum_value(result, "status", ("success", "error"), result_path)
    return ToolResult(
        id=required_text(result, "toolUseId", result_path),
        parts=parse_blocks(result, "content", result_path, extra),
        is_error=None if status is None else status == "error",
        path=path,
    )


def _parse_json(block: Json, path: str, extra: Json) -> Part:
    """JSON in a tool result, which other dialects have as text."""
    return Text(text=compact_json(block["json"]), path=path)


def _parse_reasoning(block: Json, path: str, extra: Json) -> Part:
    reasoning_path = f"{path}.reasoningContent"
    reasoning = required_mapping(block, "reasoningContent", path)
    redacted_content = text(reasoning, "redactedContent", reasoning_path)
    if redacted_content is not None:
        return Reasoning(redacted=True, signature=_parse_redacted(redacted_content), path=path)
    text_block = required_mapping(reasoning, "reasoningText", reasoning_path)
    text_path = f"{reasoning_path}.reasoningText"
    value = text(text_block, "signature", text_path)
    signature = (
        unwrap_signature(value) or Signature(kind="signature", value=value) if value else None
    )
    reasoning_text, signature = recover_reasoning_text(
        text(text_block, "text", text_path) or "", signature
    )
    return Reasoning(text=reasoning_text, signature=signature, path=path)


def _parse_redacted(redacted: str) -> Signature:
    """The state in bytes: a token of the gateway in base64, or the provider's own."""
    try:
        token = base64.b64decode(redacted, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        token = redacted
    return unwrap_signature(token) or Signature(kind="redacted", value=redacted)


_PARSERS: dict[str, Callable[[Json, str, Json], Part]] = {
    "text": _parse_text,
    "guardContent": _parse_guarded,
    "citationsContent": _parse_cited_text,
    "image": _parse_image,
    "document": _parse_document,
    "searchResult": _parse_search_result,
    "audio": _parse_audio,
    "toolUse": _parse_tool_use,
    "toolResult": _parse_tool_result,
    "json": _parse_json,
    "reasoningContent": _parse_reasoning,
}
