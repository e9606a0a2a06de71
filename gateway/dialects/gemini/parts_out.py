"""Canonical parts -> the parts of a provider's contents."""

from __future__ import annotations

import base64
from typing import Any, assert_never

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.canon.media import decode_text_file, resolve_media_type
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
from gateway.canon.traits import Traits
from gateway.dialects.gemini.names import NAME, NEXT_PART_SIGNATURE, Json
from gateway.dialects.gemini.render_context import RenderContext
from gateway.dialects.gemini.signatures import can_be_replayed

# Addresses that Google opens itself.
_GOOGLE_URL_PREFIXES = (
    "gs://",
    "https://www.youtube.com/",
    "https://youtu.be/",
    "https://youtube.com/",
)


def render_parts(context: RenderContext, parts: tuple[Part, ...]) -> list[Json]:
    """Renders the parts; reports what the target does not accept."""
    rendered_parts: list[Json] = []
    last_call = max((i for i, part in enumerate(parts) if isinstance(part, ToolCall)), default=-1)
    pending_signature = ""  # a signature that belongs to the call after its reasoning
    for index, part in enumerate(parts):
        if isinstance(part, Reasoning):
            rendered_reasoning, pending_signature = _render_reasoning(context, part)
            rendered_parts += rendered_reasoning
            continue
        rendered_part = _render_part(context, part)
        if (
            pending_signature
            and rendered_part
            and (isinstance(part, ToolCall) or index > last_call)
        ):
            rendered_part[0].setdefault("thoughtSignature", pending_signature)
            pending_signature = ""
        rendered_parts += rendered_part
    return rendered_parts


def _render_part(context: RenderContext, part: Part) -> list[Json]:
    match part:
        case Text():
            return _render_text(context, part)
        case Image():
            context.drop_cache_marks(part.cache)
            return [_render_image(context, part)]
        case Document():
            context.drop_cache_marks(part.cache)
            return _render_document(context, part)
        case Audio():
            data = {"mimeType": f"audio/{part.format}", "data": part.data}
            return [{"inlineData": data}]
        case ToolCall():
            return [_render_function_call(context, part)]
        case ToolResult():
            return _render_function_response(context, part)
        case Refusal():
            context.approximate(part.path, "a refusal in the history is sent as text")
            return [{"text": part.text}] if part.text else []
        case Native():
            if part.dialect == NAME:
                return [dict(part.data)]
            context.drop(part.path, "Gemini has no part for it")
            return []
        case Reasoning():
            return []
        case _:
            assert_never(part)


def _unsupported_part_error(path: str, why: str) -> GatewayError:
    return GatewayError(Error(kind="unsupported_param", message=f"{path}: {why}", param=path))


def _render_text(context: RenderContext, part: Text) -> list[Json]:
    """A text part; none for an empty text."""
    if not part.text:
        context.drop(part.path, "empty text")
        return []
    if part.citations:
        context.drop(f"{part.path}.citations", "sources cannot be sent back")
    context.drop_cache_marks(part.cache)
    return [{"text": part.text}]


# --- media -------------------------------------------------------------------------------


def _render_media_note(context: RenderContext, path: str, media_name: str, why: str) -> Json:
    """A text note that replaces media the target does not accept."""
    context.drop(path, f"{why}; a note stands in its place")
    return {"text": f"[{media_name} left out: {why}]"}


def _render_image(context: RenderContext, image: Image) -> Json:
    if not context.traits.images:
        return _render_media_note(context, image.path, "image", "this model takes no images")
    if image.detail not in (None, "auto"):
        detail_field = context.request.client_path("detail")
        context.drop(
            f"{image.path}.{detail_field}" if image.path else "", "no equivalent for one part"
        )
    if image.data is not None:
        media_type = resolve_media_type(image.data, image.media_type, "image/png")
        return {"inlineData": {"mimeType": media_type, "data": image.data}}
    return _render_file(context, image, "image", image.media_type)


def _render_document(context: RenderContext, document: Document) -> list[Json]:
    heading_fields = [("title", document.title), ("context", document.context)]
    for name, value in heading_fields:
        if value is not None and document.parts is None:
            context.drop(f"{document.path}.{name}", "no equivalent")
    if document.citations:
        context.drop(f"{document.path}.citations", "sources cannot be asked for")
    if document.parts is not None:
        context.approximate(document.path, "a document of parts is sent as its parts")
        headings = [{"text": value} for _, value in heading_fields if value]
        return [*headings, *render_parts(context, document.parts)]
    if document.text is not None:
        data = base64.b64encode(document.text.encode("utf-8", "replace")).decode()
        return [{"inlineData": {"mimeType": "text/plain", "data": data}}]
    if not context.traits.pdf and decode_text_file(document.data, document.media_type) is None:
        return [
            _render_media_note(context, document.path, "document", "this model takes no documents")
        ]
    if document.data is not None:
        media_type = resolve_media_type(document.data, document.media_type, "application/pdf")
        return [{"inlineData": {"mimeType": media_type, "data": document.data}}]
    return [_render_file(context, document, "document", document.media_type)]


def _render_file(
    context: RenderContext, part: Image | Document, media_name: str, media_type: str | None
) -> Json:
    """A file by its address, which only Google's own are opened by."""
    if part.file_id is not None:
        if not context.same_dialect:
            why = "a file id of another provider cannot be sent; send the file's data"
            raise _unsupported_part_error(part.path, why)
        return _render_file_data(part.file_id, media_type)
    url = part.url or ""
    if context.same_dialect or context.traits.image_urls or url.startswith(_GOOGLE_URL_PREFIXES):
        return _render_file_data(url, media_type)
    return _render_media_note(
        context, part.path, media_name, "this provider does not fetch URLs; send its data"
    )


def needs_bytes(part: Image | Document, traits: Traits) -> bool:
    """Whether a file must be sent as bytes: Google opens only its own URLs."""
    is_supported = traits.images if isinstance(part, Image) else traits.pdf
    return (
        is_supported
        and not traits.image_urls
        and not (part.url or "").startswith(_GOOGLE_URL_PREFIXES)
    )


def _render_file_data(uri: str, media_type: str | None) -> Json:
    out: Json = {"fileUri": uri}
    if media_type is not None:
        out["mimeType"] = media_type
    return {"fileData": out}


# --- calls, results, reasoning---------------------------------------------------------


def _render_function_call(context: RenderContext, call: ToolCall) -> Json:
    context.drop_cache_marks(call.cache)
    arguments = call.arguments
    if call.custom:
        arguments = {"input": call.raw or ""}
    elif arguments is None:
        context.approximate(call.path, "the arguments are no JSON object; sent as `_raw`")
        arguments = {"_raw": call.raw or ""}
    function_call = {"id": call.id, "name": context.sent_name(call.name), "args": arguments}
    out: Json = {"functionCall": function_call}
    signature = call.signature
    if (
        can_be_replayed(signature, context.traits, native=context.same_dialect)
        and signature is not None
    ):
        out["thoughtSignature"] = signature.value
    elif signature is not None:
        context.drop_signature(call)
    return out


def _render_function_response(context: RenderContext, result: ToolResult) -> list[Json]:
    """A result; media stand inside it where the model takes them, else after it."""
    context.drop_cache_marks(result.cache)
    texts = [part.text for part in result.parts if isinstance(part, Text) and part.text]
    media_parts = [part for part in result.parts if not isinstance(part, Text)]
    out: Json = {
        "id": result.id,
        "name": context.sent_name("tool" if result.name is None else result.name),
    }
    out["response"] = _render_response_object("\n".join(texts), is_failure=bool(result.is_error))
    rendered_media = render_parts(context, tuple(media_parts))
    if not rendered_media:
        return [{"functionResponse": out}]
    if context.traits.tool_result_images and not any("text" in item for item in rendered_media):
        return [{"functionResponse": {**out, "parts": rendered_media}}]
    context.approximate(result.path, "media in a tool result are sent after it")
    return [{"functionResponse": out}, *rendered_media]


def _render_response_object(result_text: str, *, is_failure: bool) -> Json:
    """The `response` object: JSON objects as they are, text under `output` or `error`."""
    if is_failure:
        return {"error": result_text}
    result_object: Any = None
    if result_text.startswith("{"):
        try:
            result_object = msgspec.json.decode(result_text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            result_object = None
    return result_object if isinstance(result_object, dict) else {"output": result_text}


def _render_reasoning(context: RenderContext, reasoning: Reasoning) -> tuple[list[Json], str]:
    """The parts of replayable reasoning, and the signature of the next part."""
    signature = reasoning.signature
    rendered_parts: list[Json] = (
        [{"text": reasoning.text, "thought": True}] if reasoning.text else []
    )
    if signature is None and context.same_dialect:
        return rendered_parts, ""
    if signature is None or not can_be_replayed(
        signature, context.traits, native=context.same_dialect
    ):
        why = (
            "no signature available for replay" if signature is None else "thought of another model"
        )
        context.drop(reasoning.path, why)
        return [], ""
    if signature.kind == NEXT_PART_SIGNATURE:
        return rendered_parts, signature.value
    part = rendered_parts[0] if rendered_parts else {"text": ""}
    return [{**part, "thoughtSignature": signature.value}], ""
