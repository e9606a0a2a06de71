"""Content blocks and citations: a client's blocks to canonical parts, and back for a provider."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from gateway.canon.errors import GatewayError, invalid, unsupported
from gateway.canon.json_values import list_or_empty
from gateway.canon.media import (
    SEARCH_RESULT_MEDIA_TYPE,
    decode_text_file,
    parse_data_url,
    resolve_media_type,
    sniff_base64,
)
from gateway.canon.request import (
    Audio,
    CacheBreakpoint,
    Citation,
    Document,
    Image,
    Native,
    Part,
    QuoteLocation,
    Reasoning,
    Refusal,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.signature import is_from_target, recover_reasoning_text, unwrap_signature
from gateway.dialects.anthropic_messages.context import (
    NAME,
    Json,
    RenderContext,
)
from gateway.dialects.anthropic_messages.text_documents import (
    DOCUMENT_AS_TEXT,
    NO_DOCUMENTS,
    document_as_text,
)
from gateway.dialects.shared import mcp
from gateway.dialects.shared.fields import (
    boolean,
    join_path,
    mapping,
    native_kind,
    required_mapping,
    required_text,
    string_or_none,
    text,
    wrong_type,
)
from gateway.dialects.shared.web_search import is_foreign

# --- citations ------------------------------------------------------------------------------------

_WEB_LOCATION = "web_search_result_location"
_LOCATION_TYPES = {
    "page": "page",
    "char": "char",
    "block": "content_block",
    "search_result": "search_result",
}
_LOCATION_UNITS = {
    "page": "page_number",
    "char": "char_index",
    "block": "block_index",
    "search_result": "block_index",
}


def parse_citation(item: Any) -> Citation | None:
    """The canonical citation; None if the item is not an object."""
    if not isinstance(item, dict):
        return None
    return Citation(
        url=string_or_none(item.get("url")),
        title=string_or_none(item.get("title")) or string_or_none(item.get("document_title")),
        quote=string_or_none(item.get("cited_text")),
        dialect=NAME,
        native=item,
    )


def parse_citations(value: Any) -> tuple[Citation, ...]:
    """All citations of a text block."""
    return tuple(filter(None, map(parse_citation, list_or_empty(value))))


def render_citation(citation: Citation) -> Json | None:
    """The block to send or show; None for a foreign source without a URL.

    A foreign source has no `encrypted_index`: it can be shown, not sent back upstream.
    """
    if citation.dialect == NAME and citation.native:
        return citation.native
    if citation.location is not None:
        return _render_location(citation, citation.location)
    if citation.url is None:
        return None
    return {
        "type": _WEB_LOCATION,
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.quote or "",
        "encrypted_index": "",
    }


def _render_location(citation: Citation, location: QuoteLocation) -> Json:
    """The block of a quotation from the request's own documents or search results."""
    unit = _LOCATION_UNITS[location.kind]
    citation_block: Json = {
        "type": f"{_LOCATION_TYPES[location.kind]}_location",
        "cited_text": citation.quote or "",
        f"start_{unit}": location.start,
        f"end_{unit}": location.end,
    }
    if location.kind == "search_result":
        source_fields = {"search_result_index": location.index, "source": citation.url or ""}
        return {**citation_block, **source_fields, "title": citation.title}
    return {
        **citation_block,
        "document_index": location.index,
        "document_title": citation.title,
        "file_id": None,
    }


# The report of sources in a history.
FOREIGN_CITATIONS_DROPPED = "citations that Anthropic did not create"


def can_be_replayed(block: Json) -> bool:
    """Whether the provider accepts the citation in a history."""
    return block.get("type") != _WEB_LOCATION or bool(block.get("encrypted_index"))


# --- a client's blocks ----------------------------------------------------------------------------
#
# `extra` collects the fields without a canonical equivalent by path, so that they can be
# reported.

BlockParser = Callable[[Json, str, Json], Part]
# Blocks besides text in a system message (beta `mid-conversation-tool-changes`).
_TOOL_CHANGES = frozenset({"tool_addition", "tool_removal"})


def parse_content(message: Json, path: str, extra: Json) -> tuple[Part, ...]:
    """The parts of a message's `content`: a string, a list of blocks, or null."""
    if "content" not in message:
        content_path = f"{path}.content"
        raise invalid(
            f"{content_path} is required and must be a string or a list of blocks", content_path
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
    """Parse a list of blocks; blocks of unknown types become Native parts."""
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
        raise invalid(
            f"{path}.type is required and must be a string such as 'text'", f"{path}.type"
        )
    parser = parsers.get(block_type)
    return (
        Native(dialect=NAME, data=block, path=path)
        if parser is None
        else parser(block, path, extra)
    )


def _collect_extra_fields(
    block: Json, parsed_fields: frozenset[str], path: str, extra: Json
) -> None:
    """Collect the fields of a block that have no canonical equivalent."""
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
    return None if citations is None else boolean(citations, "enabled", f"{path}.citations")


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
        is_error=boolean(block, "is_error", path),
        cache=parse_cache_control(block, path),
        path=path,
    )


def _parse_tool_reference(block: Json, path: str, _extra: Json) -> Native:
    """A tool that the client's search found; other models read its name."""
    name = text(block, "tool_name", path)
    return Native(dialect=NAME, data=block, text=f"Loaded tool: {name}" if name else "", path=path)


# Parsers by context. Nesting ends here, which bounds the recursion.
_DOCUMENT_CONTENT_PARSERS: dict[str, BlockParser] = {"text": _parse_text, "image": _parse_image}
_MEDIA_PARSERS: dict[str, BlockParser] = {
    **_DOCUMENT_CONTENT_PARSERS,
    "document": _parse_document,
    "search_result": _parse_search_result,
}
_TOOL_RESULT_CONTENT_PARSERS: dict[str, BlockParser] = {
    **_MEDIA_PARSERS,
    "tool_reference": _parse_tool_reference,
}
_MESSAGE_CONTENT_PARSERS: dict[str, BlockParser] = {
    **_MEDIA_PARSERS,
    "thinking": _parse_thinking,
    "redacted_thinking": _parse_redacted_thinking,
    "tool_use": _parse_tool_use,
    "tool_result": _parse_tool_result,
}


# --- a provider's blocks --------------------------------------------------------------------------

_IMAGE_MEDIA_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def render_blocks(context: RenderContext, parts: tuple[Part, ...]) -> list[Json]:
    """Render the parts as blocks; report what the target does not accept."""
    return [block for part in parts for block in _render_part(context, part)]


def _render_part(context: RenderContext, part: Part) -> list[Json]:
    match part:
        case Text():
            return render_text(context, part)
        case Image():
            return [context.add_cache_breakpoint(_render_image(context, part), part.cache)]
        case Document():
            return _render_document(context, part)
        case ToolCall():
            return [context.add_cache_breakpoint(_render_tool_use(context, part), part.cache)]
        case ToolResult():
            return [context.add_cache_breakpoint(_render_tool_result(context, part), part.cache)]
        case Reasoning():
            return _render_thinking(context, part)
        case Refusal():
            context.approximate(part.path, "a refusal in the history is sent as text")
            return render_text(context, Text(text=part.text, path=part.path))
        case Native():
            return _render_native(context, part)
        case Audio():
            raise unsupported(part.path, "Anthropic Messages does not support audio")
        case _:
            assert_never(part)


def render_text(context: RenderContext, part: Text) -> list[Json]:
    """A text block; none for an empty text, which the API refuses."""
    if not part.text or part.text.isspace():
        context.drop(part.path, "empty text block")
        return []
    block: Json = {"type": "text", "text": part.text}
    if part.citations:
        rendered_citations = [render_citation(citation) for citation in part.citations]
        replayable_citations = [
            item for item in rendered_citations if item is not None and can_be_replayed(item)
        ]
        if replayable_citations:
            block["citations"] = replayable_citations
        if len(replayable_citations) < len(rendered_citations):
            context.drop(context.part_field(part.path, "citations"), FOREIGN_CITATIONS_DROPPED)
    return [block if part.cache is None else context.add_cache_breakpoint(block, part.cache)]


def _render_media_note(context: RenderContext, path: str, media_name: str, reason: str) -> Json:
    """A text note that replaces media the target does not accept."""
    return {"type": "text", "text": context.media_note(path, media_name, reason)}


def _render_image(context: RenderContext, image: Image) -> Json:
    if not context.traits.images:
        return _render_media_note(
            context, image.path, "image", "this model does not support images"
        )
    if image.detail not in (None, "auto"):
        context.drop(join_path(image.path, context.request.client_path("detail")), "no equivalent")
    if image.file_id is not None:
        return {"type": "image", "source": _render_file_source(context, image.file_id, image.path)}
    if image.data is not None:
        media_type = resolve_media_type(image.data, image.media_type, "image/png")
        if media_type not in _IMAGE_MEDIA_TYPES:
            accepted_types = ", ".join(_IMAGE_MEDIA_TYPES)
            raise unsupported(
                image.path, f"an image must be one of {accepted_types}, not {media_type[:60]}"
            )
        source = {"type": "base64", "media_type": media_type, "data": image.data}
        return {"type": "image", "source": source}
    if not context.traits.image_urls:
        return _render_media_note(
            context, image.path, "image", "this provider does not support image URLs"
        )
    return {
        "type": "image",
        "source": {"type": "url", "url": _require_web_url(image.url, image.path)},
    }


def _require_web_url(url: str | None, path: str) -> str:
    if url is None or not url.lower().startswith(("https://", "http://")):
        raise invalid(f"{path}: a URL must begin with https://", path)
    return url


def _render_file_source(context: RenderContext, file_id: str, path: str) -> Json:
    """A file by id, which only the provider that stores it can open."""
    if not context.same_dialect:
        raise unsupported(path, "the file ID belongs to another provider; send the file's data")
    return {"type": "file", "file_id": file_id}


def _render_document(context: RenderContext, document: Document) -> list[Json]:
    if not context.traits.pdf:
        return _render_document_as_text(context, document)
    if document.media_type == SEARCH_RESULT_MEDIA_TYPE and document.parts is not None:
        block = _render_search_result(context, document)
        return [context.add_cache_breakpoint(block, document.cache)]
    block = {"type": "document", "source": _render_document_source(context, document)}
    if document.title is not None:
        block["title"] = document.title
    if document.context is not None:
        block["context"] = document.context
    if document.citations is not None:
        block["citations"] = {"enabled": document.citations}
    return [context.add_cache_breakpoint(block, document.cache)]


def _render_document_as_text(context: RenderContext, document: Document) -> list[Json]:
    """Text under its title, for a model that supports no documents; a note for another file."""
    document_text = document.text
    if document_text is None:
        document_text = decode_text_file(document.data, document.media_type)
    if document_text is None and document.parts is None:
        return [_render_media_note(context, document.path, "document", NO_DOCUMENTS)]
    context.approximate(document.path, DOCUMENT_AS_TEXT)
    if document_text is not None:
        blocks = document_as_text(document.title, document.context, document_text)
    else:
        inner = render_blocks(context, document.parts or ())
        blocks = document_as_text(document.title, document.context, inner)
    if blocks:
        context.add_cache_breakpoint(blocks[-1], document.cache)
    return blocks


def _render_document_source(context: RenderContext, document: Document) -> Json:
    if document.text is not None:
        return {"type": "text", "media_type": "text/plain", "data": document.text}
    if document.parts is not None:
        return {"type": "content", "content": render_blocks(context, document.parts)}
    if document.file_id is not None:
        return _render_file_source(context, document.file_id, document.path)
    if document.data is None:
        return {"type": "url", "url": _require_web_url(document.url, document.path)}
    media_type = sniff_base64(document.data) or document.media_type or "application/pdf"
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": document.data}
    if not media_type.startswith("text/"):
        raise unsupported(
            document.path, f"a document must be a PDF or plain text, not {media_type[:60]}"
        )
    try:
        document_text = base64.b64decode(document.data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid(
            f"{document.path}: the document is not base64-encoded UTF-8", document.path
        ) from None
    return {"type": "text", "media_type": "text/plain", "data": document_text}


def _render_search_result(context: RenderContext, document: Document) -> Json:
    block: Json = {
        "type": "search_result",
        "source": document.context or "",
        "title": document.title or "",
        "content": render_blocks(context, document.parts or ()),
    }
    if document.citations is not None:
        block["citations"] = {"enabled": document.citations}
    return block


def _render_tool_use(context: RenderContext, call: ToolCall) -> Json:
    sent_id = context.call_id(call.id)
    if sent_id != call.id:
        reason = (
            "rewritten to the characters that the upstream accepts; mapped back in the response"
        )
        path = context.part_field(call.path, "tool_id")
        context.approximate(path, reason, before=call.id[:80], after=sent_id)
    if call.signature is not None:
        context.drop_signature(call)
    return {
        "type": "tool_use",
        "id": sent_id,
        "name": context.sent_name(call.name),
        "input": context.call_arguments(call),
    }


def _render_tool_result(context: RenderContext, result: ToolResult) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": context.call_id(result.id)}
    match result.parts:
        case (Text(cache=None, citations=()) as single_text,) if (
            single_text.text and not single_text.text.isspace()
        ):
            block["content"] = single_text.text
        case _:
            content = render_blocks(context, result.parts)
            if content:
                block["content"] = content
    if result.is_error is not None:
        block["is_error"] = result.is_error
    return block


def _render_thinking(context: RenderContext, reasoning: Reasoning) -> list[Json]:
    """Render reasoning of the target's own model; drop that of another model."""
    signature = reasoning.signature
    if (
        not is_from_target(signature, context.traits)
        and reasoning.text
        and context.traits.requires_reasoning_replay
    ):
        context.approximate(
            reasoning.path, "reasoning of another model, sent as reasoning of this model"
        )
        return [{"type": "thinking", "thinking": reasoning.text, "signature": ""}]
    if signature is None:
        context.drop(reasoning.path, "no signature available for replay")
        return []
    if not is_from_target(signature, context.traits):
        context.drop(reasoning.path, "reasoning of another model")
        return []
    if reasoning.redacted:
        return [{"type": "redacted_thinking", "data": signature.value}]
    return [{"type": "thinking", "thinking": reasoning.text, "signature": signature.value}]


def _render_native(context: RenderContext, part: Native) -> list[Json]:
    foreign = part.dialect != NAME or is_foreign(part.data)
    if not foreign:
        return [part.data]
    if (text := context.native_text(part)) is not None:
        return render_text(context, text)
    if part.dialect == NAME:
        context.drop(part.path, "a search by another provider: Anthropic accepts only its own")
        return []
    call = mcp.read_call(part.data) if context.traits.mcp_servers else None
    if call is not None and mcp.has_openai_tool(context.request, call.server):
        return mcp.render_call_blocks(call, mcp.block_id(call))
    block_type = native_kind(part.data)
    context.drop(part.path, f"Anthropic Messages does not support {block_type} parts")
    return []
