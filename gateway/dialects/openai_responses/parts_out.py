"""Canonical parts -> content parts for a provider."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from gateway.canon.media import data_url, decode_text_file, resolve_media_type, sniff_base64
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
from gateway.dialects.openai_responses.names import NAME, Json
from gateway.dialects.openai_responses.render_context import ResponsesRenderContext, refused
from gateway.dialects.shared.fields import join_path


def parts_out(context: ResponsesRenderContext, parts: Iterable[Part]) -> list[Json]:
    """The content parts to send; parts that the target does not accept are reported."""
    return [item for part in parts for item in _part_out(context, part)]


def _part_out(context: ResponsesRenderContext, part: Part) -> list[Json]:
    match part:
        case Text():
            if part.citations:
                context.drop(join_path(part.path, "citations"), "OpenAI takes no sources as input")
            return [context.with_cache_breakpoint(_text_part(part.text), part.cache)]
        case Image():
            return [context.with_cache_breakpoint(_image_out(context, part), part.cache)]
        case Document():
            return _document_out(context, part)
        case Refusal():
            context.approximate(
                part.path, "a refusal that is not the assistant's own is sent as text"
            )
            return [_text_part(part.text)]
        case Native():
            return native_out(context, part)
        case Audio():
            raise refused(part.path, "OpenAI's Responses take no audio")
        case ToolCall() | ToolResult() | Reasoning():
            context.drop(part.path, "this part is not allowed here in OpenAI's Responses")
            return []
        case _:
            assert_never(part)


def _text_part(text: str) -> Json:
    return {"type": "input_text", "text": text}


def native_out(context: ResponsesRenderContext, part: Native) -> list[Json]:
    """A part or item of this dialect, unchanged; parts of other dialects are reported."""
    if part.dialect == NAME:
        return [part.data]
    kind = part.data.get("type", "unknown")
    context.drop(part.path, f"OpenAI's Responses have no part for a {kind} block")
    return []


def _dropped_media_note(
    context: ResponsesRenderContext, path: str, media_kind: str, why: str
) -> Json:
    """A note to the model in place of media that the target does not accept."""
    context.drop(path, f"{why}; a note stands in its place")
    return _text_part(f"[{media_kind} left out: {why}]")


def _image_out(context: ResponsesRenderContext, image: Image) -> Json:
    traits = context.traits
    if not traits.images:
        return _dropped_media_note(context, image.path, "image", "this model takes no images")
    out: Json = {"type": "input_image", "detail": image.detail or "auto"}
    if image.file_id is not None:
        return {**out, "file_id": _checked_file_id(context, image.file_id, image.path)}
    if image.data is not None:
        media_type = resolve_media_type(image.data, image.media_type, "image/png")
        return {**out, "image_url": data_url(media_type, image.data)}
    if not traits.image_urls:
        return _dropped_media_note(
            context, image.path, "image", "this provider takes no image URLs"
        )
    return {**out, "image_url": image.url or ""}


def _checked_file_id(context: ResponsesRenderContext, file_id: str, path: str) -> str:
    """The file id. `version` is set for Anthropic clients only, whose ids do not exist here."""
    if context.request.version is not None:
        raise refused(path, "a file id of another provider cannot be sent; send the file's data")
    return file_id


def _document_out(context: ResponsesRenderContext, document: Document) -> list[Json]:
    if document.citations:
        context.drop(join_path(document.path, "citations"), "no equivalent in OpenAI's Responses")
    if (
        not context.traits.pdf
        and (document_text := decode_text_file(document.data, document.media_type)) is not None
    ):
        document = replace(document, text=document_text, data=None)
    if document.text is not None or document.parts is not None:
        return _document_as_text(context, document)
    if document.context is not None:
        context.drop(join_path(document.path, "context"), "no equivalent in OpenAI's Responses")
    if not context.traits.pdf:
        note = _dropped_media_note(
            context, document.path, "document", "this model takes no documents"
        )
        return [context.with_cache_breakpoint(note, document.cache)]
    return [context.with_cache_breakpoint(_file_out(context, document), document.cache)]


def _file_out(context: ResponsesRenderContext, document: Document) -> Json:
    out: Json = {"type": "input_file"}
    if document.file_id is not None:
        out["file_id"] = _checked_file_id(context, document.file_id, document.path)
        return out if document.title is None else {**out, "filename": document.title}
    if document.data is None:
        if document.title is not None:
            out["filename"] = document.title
        return {**out, "file_url": document.url or ""}
    media_type = document.media_type or sniff_base64(document.data) or "application/pdf"
    name = document.title or f"document.{media_type.rpartition('/')[2]}"
    return {**out, "filename": name, "file_data": data_url(media_type, document.data)}


def _document_as_text(context: ResponsesRenderContext, document: Document) -> list[Json]:
    """A text document as text content under its title."""
    context.approximate(document.path, "sent as text: OpenAI's Responses have no text documents")
    heading = "\n".join(line for line in (document.title, document.context) if line)
    if document.text is not None:
        body = f"{heading}\n\n{document.text}" if heading else document.text
        return [context.with_cache_breakpoint(_text_part(body), document.cache)]
    inner = parts_out(context, document.parts or ())
    items = [_text_part(heading), *inner] if heading else inner
    if items:
        context.with_cache_breakpoint(items[-1], document.cache)
    return items
