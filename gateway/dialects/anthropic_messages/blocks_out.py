"""Canonical parts -> content blocks for a provider."""

from __future__ import annotations

import base64
import binascii
from typing import assert_never

from msgspec.structs import replace

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.media import decode_text_file, resolve_media_type, sniff_base64
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.signature import is_from_target
from gateway.dialects.anthropic_messages.citations import can_be_replayed, render_citation
from gateway.dialects.anthropic_messages.names import NAME, SEARCH_RESULT_MEDIA_TYPE, Json
from gateway.dialects.anthropic_messages.render_context import RenderContext
from gateway.dialects.shared.fields import join_path
from gateway.dialects.shared.web_search import is_foreign

_IMAGE_MEDIA_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def render_blocks(context: RenderContext, parts: tuple[Part, ...]) -> list[Json]:
    """Renders the parts as blocks; reports what the target does not accept."""
    return [block for part in parts for block in _render_part(context, part)]


def _render_part(context: RenderContext, part: Part) -> list[Json]:
    match part:
        case Text():
            return render_text(context, part)
        case Image():
            return [context.add_cache_breakpoint(_render_image(context, part), part.cache)]
        case Document():
            return [context.add_cache_breakpoint(_render_document(context, part), part.cache)]
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
            raise _unsupported_part_error(part.path, "Anthropic's Messages take no audio")
        case _:
            assert_never(part)


def _unsupported_part_error(path: str, why: str) -> GatewayError:
    return GatewayError(Error(kind="unsupported_param", message=f"{path}: {why}", param=path))


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
            context.drop(f"{part.path}.citations", "citations that Anthropic did not create")
    return [context.add_cache_breakpoint(block, part.cache)]


def _render_media_note(context: RenderContext, path: str, media_name: str, why: str) -> Json:
    """A text note that replaces media the target does not accept."""
    context.drop(path, f"{why}; a note stands in its place")
    return {"type": "text", "text": f"[{media_name} left out: {why}]"}


def _render_image(context: RenderContext, image: Image) -> Json:
    if not context.traits.images:
        return _render_media_note(context, image.path, "image", "this model takes no images")
    if image.detail not in (None, "auto"):
        context.drop(join_path(image.path, context.request.client_path("detail")), "no equivalent")
    if image.file_id is not None:
        return {"type": "image", "source": _render_file_source(context, image.file_id, image.path)}
    if image.data is not None:
        media_type = resolve_media_type(image.data, image.media_type, "image/png")
        if media_type not in _IMAGE_MEDIA_TYPES:
            accepted_types = ", ".join(_IMAGE_MEDIA_TYPES)
            raise _unsupported_part_error(
                image.path, f"an image must be one of {accepted_types}, not {media_type[:60]}"
            )
        source = {"type": "base64", "media_type": media_type, "data": image.data}
        return {"type": "image", "source": source}
    if not context.traits.image_urls:
        return _render_media_note(context, image.path, "image", "this provider takes no image URLs")
    return {
        "type": "image",
        "source": {"type": "url", "url": _require_web_url(image.url, image.path)},
    }


def _require_web_url(url: str | None, path: str) -> str:
    if url is None or not url.lower().startswith(("https://", "http://")):
        raise invalid(f"{path}: a URL must begin with https://", path)
    return url


def _render_file_source(context: RenderContext, file_id: str, path: str) -> Json:
    """A file by id, which only the provider that keeps it can open."""
    if not context.same_dialect:
        raise _unsupported_part_error(
            path, "a file id of another provider cannot be sent; send the file's data"
        )
    return {"type": "file", "file_id": file_id}


def _render_document(context: RenderContext, document: Document) -> Json:
    if document.media_type == SEARCH_RESULT_MEDIA_TYPE and document.parts is not None:
        return _render_search_result(context, document)
    if (
        not context.traits.pdf
        and (document_text := decode_text_file(document.data, document.media_type)) is not None
    ):
        document = replace(document, text=document_text, data=None)
    if not context.traits.pdf and document.text is None and document.parts is None:
        return _render_media_note(
            context, document.path, "document", "this model takes no documents"
        )
    block: Json = {"type": "document", "source": _render_document_source(context, document)}
    if document.title is not None:
        block["title"] = document.title
    if document.context is not None:
        block["context"] = document.context
    if document.citations is not None:
        block["citations"] = {"enabled": document.citations}
    return block


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
        raise _unsupported_part_error(
            document.path, f"a document must be a PDF or plain text, not {media_type[:60]}"
        )
    try:
        document_text = base64.b64decode(document.data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid(
            f"{document.path}: the document is no base64 of UTF-8", document.path
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
        why = "rewritten to the characters the upstream takes, mapped back"
        context.approximate(f"{call.path}.id", why, before=call.id[:80], after=sent_id)
    if call.signature is not None:
        context.drop_signature(call)
    arguments = call.arguments
    if call.custom:
        arguments = {"input": call.raw or ""}
    elif arguments is None:
        context.approximate(call.path, "the arguments are no JSON object; sent as `_raw`")
        arguments = {"_raw": call.raw or ""}
    return {
        "type": "tool_use",
        "id": sent_id,
        "name": context.sent_name(call.name),
        "input": arguments,
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
    """Renders reasoning of the target's own model; drops that of another model."""
    signature = reasoning.signature
    if (
        not is_from_target(signature, context.traits)
        and reasoning.text
        and _requires_reasoning_replay(context)
    ):
        context.approximate(reasoning.path, "reasoning of another model, sent as this model's own")
        return [{"type": "thinking", "thinking": reasoning.text, "signature": ""}]
    if signature is None:
        context.drop(reasoning.path, "no signature available for replay")
        return []
    if not is_from_target(signature, context.traits):
        context.drop(reasoning.path, "thinking block of another model")
        return []
    if reasoning.redacted:
        return [{"type": "redacted_thinking", "data": signature.value}]
    return [{"type": "thinking", "thinking": reasoning.text, "signature": signature.value}]


def _requires_reasoning_replay(context: RenderContext) -> bool:
    return context.traits.replay_reasoning == "required_on_tools"


def _render_native(context: RenderContext, part: Native) -> list[Json]:
    if part.dialect == NAME and is_foreign(part.data):
        context.drop(part.path, "a search of another provider: Anthropic takes back only its own")
        return []
    if part.dialect == NAME:
        return [part.data]
    block_type = part.data.get("type", "unknown")
    context.drop(part.path, f"Anthropic's Messages have no block for a {block_type} part")
    return []
