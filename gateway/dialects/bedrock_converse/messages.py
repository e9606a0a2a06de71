"""Instructions, turns and content blocks as Converse sends them."""

from __future__ import annotations

import base64
import re
from typing import assert_never

from gateway.canon.errors import GatewayError, unsupported
from gateway.canon.media import SEARCH_RESULT_MEDIA_TYPE, resolve_media_type, sniff_base64
from gateway.canon.request import (
    Audio,
    CacheBreakpoint,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.canon.signature import is_from_target
from gateway.canon.traits import Traits
from gateway.canon.turns import find_empty_texts, pair_tool_results
from gateway.dialects.bedrock_converse.context import (
    AUDIO_FORMATS,
    DOCUMENT_FORMATS,
    IMAGE_FORMATS,
    NAME,
    Json,
    RenderContext,
)
from gateway.dialects.shared.fields import join_path
from gateway.dialects.shared.render_context import PLACEHOLDER_TEXT

# --- messages -------------------------------------------------------------------------------------
#
# The API requires that roles alternate and the user begins, no text is blank, a document has
# text next to it, a message has few documents and images, and tool results come in the turn
# after their calls.

_DOCUMENT_CAPTION = "See the document."
_ACKNOWLEDGMENT = "(noted)"
# Maximum number of blocks of a type in one message (docs.aws.amazon.com, Message, 2026).
_MAX_PER_MESSAGE = {"document": 5, "image": 20}
# Block types that the API accepts from users only.
_NOT_IN_ASSISTANT_TURNS = ("image", "document", "audio", "searchResult")


def render_system(context: RenderContext) -> list[Json]:
    """The blocks of the instructions."""
    return render_blocks(context, tuple(context.sent_instructions()))


def render_messages(context: RenderContext, system: list[Json]) -> list[Json]:
    """The messages; instructions among them are added to `system`."""
    context.request, report = pair_tool_results(context.request)
    context.report += report
    messages: list[Json] = []
    last_turn: Turn | None = None
    for turn in context.request.turns:
        if turn.name is not None:
            context.drop(f"{turn.path}.name", "no equivalent")
        role = "assistant" if turn.role == "assistant" else "user"
        if turn.role == "system":
            role = _role_for_system_turn(context, turn, messages)
        blocks = _render_turn(context, turn, role)
        if role == "system":
            system += blocks
            continue
        if blocks:
            _append_blocks(messages, role, blocks)
            last_turn = turn
    _insert_first_user_message(context, messages)
    messages = [
        split_message
        for message in messages
        for split_message in _split_user_message(context, message)
    ]
    if messages[-1]["role"] == "assistant":
        _check_prefill(context, last_turn, messages[-1]["content"])
    return messages


def _render_turn(context: RenderContext, turn: Turn, role: str) -> list[Json]:
    """The blocks of a turn, without those its role does not allow."""
    for empty_text in find_empty_texts(turn):
        context.drop(empty_text.path, "empty text")
    parts = turn.parts
    if role == "system":
        for part in parts:
            if not isinstance(part, Text):
                context.drop(part.path, "a system message can only contain text")
        parts = tuple(part for part in parts if isinstance(part, Text))
    if role != "assistant":
        for part in parts:
            if isinstance(part, Reasoning | ToolCall):
                context.drop(
                    part.path, ("only assistant messages can contain reasoning and tool calls")
                )
        sent_parts = tuple(part for part in parts if not isinstance(part, Reasoning | ToolCall))
        blocks = render_blocks(context, sent_parts)
        if turn.role == "system" and role == "user":
            return [
                {"text": f"<system>\n{b['text']}\n</system>"} if "text" in b else b for b in blocks
            ]
        return blocks
    for part in parts:
        if isinstance(part, ToolResult):
            context.drop(part.path, "only user messages can contain tool results")
    parts = tuple(part for part in parts if not isinstance(part, ToolResult))
    blocks = render_blocks(context, parts)
    allowed_blocks = [
        block for block in blocks if not any(name in block for name in _NOT_IN_ASSISTANT_TURNS)
    ]
    if len(allowed_blocks) < len(blocks):
        context.drop(turn.path, "media in an assistant message")
    if all("cachePoint" in block for block in allowed_blocks):
        return []
    return allowed_blocks


def _role_for_system_turn(context: RenderContext, turn: Turn, messages: list[Json]) -> str:
    """The role under which a mid-conversation system message is sent."""
    if turn.effort is not None:
        context.effort_override = turn.effort
        context.approximate(f"{turn.path}.output_config.effort", "applies to the whole request")
    if messages and messages[-1]["role"] == "assistant" and turn is context.request.turns[-1]:
        # Hoisted, it would leave the model's turn last.
        context.approximate(
            turn.path, "system message after the assistant's turn sent as a user message"
        )
        return "user"
    if messages:
        reason = f"{context.model} has no mid-conversation system messages"
        context.approximate(turn.path, f"mid-conversation system hoisted: {reason}")
    return "system"


def _append_blocks(messages: list[Json], role: str, blocks: list[Json]) -> None:
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += blocks
    else:
        messages.append({"role": role, "content": blocks})


def _insert_first_user_message(context: RenderContext, messages: list[Json]) -> None:
    if messages and messages[0]["role"] == "user":
        return
    context.report_placeholder()
    messages.insert(0, {"role": "user", "content": [{"text": PLACEHOLDER_TEXT}]})


def _split_user_message(context: RenderContext, message: Json) -> list[Json]:
    """Split a user message as the API requires: text next to documents, results separately."""
    if message["role"] == "assistant":
        return [message]
    content: list[Json] = message["content"]
    result_blocks = [block for block in content if "toolResult" in block]
    media_and_text_blocks = [block for block in content if "toolResult" not in block]
    if result_blocks and media_and_text_blocks and not context.traits.mixed_results:
        return _separate_results(context, result_blocks, media_and_text_blocks)
    return _split_by_media_count(context, content)


def _split_by_media_count(context: RenderContext, content: list[Json]) -> list[Json]:
    """Split a message that exceeds the maximum number of documents or images."""
    contents: list[list[Json]] = [[]]
    media_counts = dict.fromkeys(_MAX_PER_MESSAGE, 0)
    for block in content:
        block_type = next((name for name in _MAX_PER_MESSAGE if name in block), None)
        if block_type is not None and media_counts[block_type] == _MAX_PER_MESSAGE[block_type]:
            contents.append([])
            media_counts = dict.fromkeys(_MAX_PER_MESSAGE, 0)
        if block_type is not None:
            media_counts[block_type] += 1
        contents[-1].append(block)
    if len(contents) > 1:
        documents, images = _MAX_PER_MESSAGE["document"], _MAX_PER_MESSAGE["image"]
        reason = f"a message can contain at most {documents} documents and {images} images"
        context.approximate(
            _last_user_path(context), (f"{reason}: the others are sent in a following turn")
        )
    messages: list[Json] = []
    for user_content in contents:
        if messages:
            messages.append({"role": "assistant", "content": [{"text": _ACKNOWLEDGMENT}]})
        _add_document_caption(context, user_content)
        messages.append({"role": "user", "content": user_content})
    return messages


def _add_document_caption(context: RenderContext, content: list[Json]) -> None:
    if any("document" in block for block in content) and not any("text" in b for b in content):
        content.append({"text": _DOCUMENT_CAPTION})
        context.approximate(
            _last_user_path(context),
            f"a document requires text next to it: {_DOCUMENT_CAPTION!r} is sent",
        )


def _separate_results(
    context: RenderContext, result_blocks: list[Json], media_and_text_blocks: list[Json]
) -> list[Json]:
    """Separate tool results from the other blocks, for models that reject both in one turn."""
    reason = f"{context.model} supports only tool results in such a turn"
    if all("text" in block for block in media_and_text_blocks):
        context.approximate(
            _last_user_path(context), f"{reason}: the text is sent inside the last one"
        )
        last_result_content = result_blocks[-1]["toolResult"]["content"]
        if last_result_content == [{"text": EMPTY_PLACEHOLDER}]:
            last_result_content.clear()
        last_result_content += media_and_text_blocks
        return [{"role": "user", "content": result_blocks}]
    context.approximate(
        _last_user_path(context), f"{reason}: the others are sent in a following turn"
    )
    return [
        {"role": "user", "content": result_blocks},
        {"role": "assistant", "content": [{"text": _ACKNOWLEDGMENT}]},
        *_split_by_media_count(context, media_and_text_blocks),
    ]


def _last_user_path(context: RenderContext) -> str:
    """The client's path of the last user turn."""
    return next((turn.path for turn in reversed(context.request.turns) if turn.role == "user"), "")


def _check_prefill(context: RenderContext, last_turn: Turn | None, content: list[Json]) -> None:
    """Check that the model can continue a final assistant message."""
    if not context.traits.prefill:
        raise context.prefill_error((last_turn.path if last_turn else "") or "messages")
    last_block = content[-1]
    if "text" in last_block and last_block["text"] != last_block["text"].rstrip():
        context.approximate(
            last_turn.path if last_turn else "",
            "whitespace at the end of the last message removed",
        )
        last_block["text"] = last_block["text"].rstrip()


# --- content blocks -------------------------------------------------------------------------------

_SOURCES_NOT_SENT = "sources are not supported in requests"
EMPTY_PLACEHOLDER = "(empty)"
_INVALID_TITLE_CHARACTERS = re.compile(r"[^a-zA-Z0-9()\[\] -]+")
_SPACES = re.compile(r"\s{2,}")
_S3_PREFIX = "s3://"
# Blocks that are accepted in a tool result.
_RESULT_BLOCK_TYPES = frozenset({"text", "image", "document", "searchResult"})


def render_blocks(context: RenderContext, parts: tuple[Part, ...]) -> list[Json]:
    """Render the parts as blocks; report what the target does not accept."""
    blocks: list[Json] = []
    for part in parts:
        blocks += _render_part(context, part)
        context.add_cache_breakpoint(blocks, _part_cache(part))
    return blocks


def _part_cache(part: Part) -> CacheBreakpoint | None:
    """The cache breakpoint after a part; one inside a result or document moves after it."""
    part_cache: CacheBreakpoint | None = getattr(part, "cache", None)
    if part_cache is None and isinstance(part, ToolResult | Document):
        return next((cache for inner in part.parts or () if (cache := _part_cache(inner))), None)
    return part_cache


def _render_part(context: RenderContext, part: Part) -> list[Json]:
    match part:
        case Text():
            return render_text(context, part)
        case Image():
            return [_render_image(context, part)]
        case Document():
            return [_render_document(context, part)]
        case Audio():
            return [_render_audio(context, part)]
        case ToolCall():
            return [_render_tool_use(context, part)]
        case ToolResult():
            return _render_tool_result(context, part)
        case Reasoning():
            return _render_reasoning(context, part)
        case Refusal():
            context.approximate(part.path, "a refusal in the history is sent as text")
            return render_text(context, Text(text=part.text, path=part.path))
        case Native():
            if part.dialect == NAME:
                return [part.data]
            if (text := context.native_text(part)) is not None:
                return render_text(context, text)
            context.drop(part.path, "Converse does not support it")
            return []
        case _:
            assert_never(part)


def unsupported_part_error(path: str, reason: str) -> GatewayError:
    """The error for a part that cannot be sent at all."""
    return unsupported(path or "messages", reason)


def is_blank(text: str) -> bool:
    """Whether the API would refuse the text as blank."""
    return not text or text.isspace()


def render_text(context: RenderContext, part: Text) -> list[Json]:
    """A text block; none for a blank text, which the API refuses."""
    if is_blank(part.text):
        # Empty texts are reported by turn; those next to tool calls are not.
        if part.text:
            context.drop(part.path, "blank text block")
        return []
    if part.citations:
        context.drop(context.part_field(part.path, "citations"), _SOURCES_NOT_SENT)
    return [{"text": part.text}]


# --- media ----------------------------------------------------------------------------------------


def _render_media_note(context: RenderContext, path: str, media_name: str, reason: str) -> Json:
    """A text note that replaces media the target does not accept."""
    return {"text": context.media_note(path, media_name, reason)}


def _render_image(context: RenderContext, image: Image) -> Json:
    if not context.traits.images:
        return _render_media_note(
            context, image.path, "image", "this model does not support images"
        )
    if image.detail not in (None, "auto"):
        context.drop(join_path(image.path, context.request.client_path("detail")), "no equivalent")
    if image.file_id is not None:
        raise unsupported_part_error(
            image.path, "the file ID belongs to another provider; send the file's data"
        )
    if image.data is not None:
        media_type = resolve_media_type(image.data, image.media_type, "image/png")
        if media_type not in IMAGE_FORMATS:
            raise unsupported_part_error(
                image.path, f"an image must be one of {', '.join(IMAGE_FORMATS)}, not {media_type}"
            )
        return {"image": {"format": IMAGE_FORMATS[media_type], "source": {"bytes": image.data}}}
    url = image.url or ""
    if not url.startswith(_S3_PREFIX):
        return _render_media_note(
            context, image.path, "image", "this provider does not fetch URLs; send its data"
        )
    extension = url.rpartition(".")[2].lower()
    image_format = {"jpg": "jpeg"}.get(extension, extension)
    source = {"s3Location": {"uri": url}}
    return {
        "image": {
            "format": image_format if image_format in IMAGE_FORMATS.values() else "png",
            "source": source,
        }
    }


def needs_bytes(part: Image | Document, traits: Traits) -> bool:
    """Whether a file must be sent as bytes: only S3 URLs are supported."""
    is_supported = traits.images if isinstance(part, Image) else traits.pdf
    return is_supported and not (part.url or "").startswith(_S3_PREFIX)


def _render_document(context: RenderContext, document: Document) -> Json:
    if document.media_type == SEARCH_RESULT_MEDIA_TYPE and document.parts is not None:
        return _render_search_result(context, document)
    if not context.traits.pdf:
        return _render_media_note(
            context, document.path, "document", "this model does not support documents"
        )
    if document.file_id is not None:
        reason = "the file ID belongs to another provider; send the file's data"
        raise unsupported_part_error(document.path, reason)
    if document.url is not None and not document.url.startswith(_S3_PREFIX):
        reason = "this provider does not fetch URLs; send its data"
        return _render_media_note(context, document.path, "document", reason)
    document_format, source = _render_document_source(context, document)
    block: Json = {
        "format": document_format,
        "name": _document_title(context, document),
        "source": source,
    }
    if document.context is not None:
        block["context"] = document.context
    if document.citations:
        block["citations"] = {"enabled": True}
    return {"document": block}


def _document_title(context: RenderContext, document: Document) -> str:
    """A name in the few characters that the API accepts, unique within the request."""
    name = _SPACES.sub(" ", _INVALID_TITLE_CHARACTERS.sub(" ", document.title or "")).strip()[:200]
    return context.unique_title(name or "Document")


def _render_document_source(context: RenderContext, document: Document) -> tuple[str, Json]:
    """A document's format and its `source`."""
    if document.url is not None:
        extension = document.url.rpartition(".")[2].lower()
        document_format = extension if extension in DOCUMENT_FORMATS.values() else "pdf"
        return document_format, {"s3Location": {"uri": document.url}}
    if document.data is not None:
        media_type = sniff_base64(document.data) or document.media_type or "application/pdf"
        if media_type not in DOCUMENT_FORMATS and media_type.startswith("text/"):
            media_type = "text/plain"
        if media_type not in DOCUMENT_FORMATS:
            raise unsupported_part_error(
                document.path, f"documents of this type are not supported: {media_type[:60]}"
            )
        return DOCUMENT_FORMATS[media_type], {"bytes": document.data}
    document_text = document.text
    if document_text is None:
        document_text = "\n\n".join(_document_texts(context, document))
    data = base64.b64encode(
        (document_text or EMPTY_PLACEHOLDER).encode("utf-8", "replace")
    ).decode()
    return "txt", {"bytes": data}


def _document_texts(context: RenderContext, document: Document) -> list[str]:
    """The texts of a document made of parts; reports its other parts."""
    texts = []
    for part in document.parts or ():
        if not isinstance(part, Text):
            context.drop(part.path, "documents can only contain text")
            continue
        if part.citations:
            context.drop(context.part_field(part.path, "citations"), _SOURCES_NOT_SENT)
        texts.append(part.text)
    return texts


def _render_search_result(context: RenderContext, document: Document) -> Json:
    if not context.traits.search_results:
        return _render_search_result_text(context, document)
    content = [{"text": text} for text in _document_texts(context, document)]
    block: Json = {
        "source": document.context or "",
        "title": document.title or "",
        "content": content or [{"text": EMPTY_PLACEHOLDER}],
    }
    if document.citations is not None:
        block["citations"] = {"enabled": document.citations}
    return {"searchResult": block}


def _render_search_result_text(context: RenderContext, document: Document) -> Json:
    reason = f"sent as text: {context.model} does not support search results"
    context.approximate(document.path, reason)
    if document.citations:
        path = context.part_field(document.path, "document_citations")
        context.drop(path, "citations require a search result")
    heading = "\n".join(filter(None, (document.title, document.context)))
    texts = filter(None, (heading, *_document_texts(context, document)))
    return {"text": "\n\n".join(texts) or EMPTY_PLACEHOLDER}


def _render_audio(context: RenderContext, audio: Audio) -> Json:
    if not context.traits.audio:
        raise unsupported_part_error(audio.path, f"{context.model} does not support audio")
    if audio.format not in AUDIO_FORMATS:
        raise unsupported_part_error(
            audio.path, f"audio of this format is not supported: {audio.format[:20]}"
        )
    return {"audio": {"format": audio.format, "source": {"bytes": audio.data}}}


# --- calls, results, reasoning --------------------------------------------------------------------


def _render_tool_use(context: RenderContext, call: ToolCall) -> Json:
    sent_id = context.call_id(call.id)
    if sent_id != call.id:
        reason = (
            "rewritten to at most 64 characters that the upstream accepts; mapped back in "
            "the response"
        )
        path = context.part_field(call.path, "tool_id")
        context.approximate(path, reason, before=call.id[:80], after=sent_id)
    if call.signature is not None:
        context.drop_signature(call)
    return {
        "toolUse": {
            "toolUseId": sent_id,
            "name": context.sent_name(call.name),
            "input": context.call_arguments(call),
        }
    }


def _render_tool_result(context: RenderContext, result: ToolResult) -> list[Json]:
    """A result with its media inside if the model accepts them, else after it."""
    content, following_blocks = _split_result_blocks(context, result)
    is_failure = bool(result.is_error)
    if not content:
        content = [{"text": EMPTY_PLACEHOLDER}]
        path = result.path or next((p.path for p in result.parts if not isinstance(p, Native)), "")
        context.approximate(
            _content_path(path), f"an empty tool result is sent as {EMPTY_PLACEHOLDER!r}"
        )
    if is_failure and not context.traits.tool_result_status:
        context.approximate(result.path, "the failure is described in text")
        content.insert(0, {"text": "Error:"})
    block: Json = {"toolUseId": context.call_id(result.id), "content": content}
    if context.traits.tool_result_status:
        block["status"] = "error" if is_failure else "success"
    return [{"toolResult": block}, *following_blocks]


def _content_path(path: str) -> str:
    return f"{path}.content" if path and not path.endswith(".content") else path


def _split_result_blocks(
    context: RenderContext, result: ToolResult
) -> tuple[list[Json], list[Json]]:
    """The blocks of a result, and those that are accepted only after it."""
    blocks = [block for part in result.parts for block in _render_part(context, part)]
    if context.traits.tool_result_images:
        nested_blocks = [block for block in blocks if block.keys() <= _RESULT_BLOCK_TYPES]
    else:
        nested_blocks = [block for block in blocks if "text" in block]
    following_blocks = [block for block in blocks if block not in nested_blocks]
    if following_blocks:
        context.approximate(result.path, "media in a tool result is sent after it")
    return nested_blocks, following_blocks


def _render_reasoning(context: RenderContext, reasoning: Reasoning) -> list[Json]:
    """Render reasoning of the target's own model; drop that of another model."""
    signature = reasoning.signature
    if signature is None or not is_from_target(signature, context.traits):
        reason = (
            "no signature available for replay"
            if signature is None
            else "reasoning of another model"
        )
        context.drop(reasoning.path, reason)
        return []
    if reasoning.redacted:
        return [{"reasoningContent": {"redactedContent": signature.value}}]
    reasoning_text: Json = {"text": reasoning.text}
    if signature.value:
        reasoning_text["signature"] = signature.value
    return [{"reasoningContent": {"reasoningText": reasoning_text}}]
