"""Instructions and turns -> a provider's messages, each with one text and images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from gateway.canon.errors import Error, GatewayError
from gateway.canon.media import decode_text_file
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
    Turn,
)
from gateway.canon.signature import is_from_target
from gateway.canon.traits import Traits
from gateway.canon.turns import join_cited_texts, pair_tool_results
from gateway.dialects.ollama.names import Json
from gateway.dialects.ollama.render_context import RenderContext
from gateway.dialects.shared.fields import join_path

# Claude Code's first system block: it means something to api.anthropic.com only, and
# its changing version would spoil every prompt cache.
_BILLING_HEADER_PREFIX = "x-anthropic-billing-header:"


class _MessageContent:
    """The texts and images of one message."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.images: list[str] = []

    def to_message(self, role: str) -> Json:
        """The message of this role."""
        out: Json = {"role": role, "content": "\n\n".join(self.texts)}
        if self.images:
            out["images"] = self.images
        return out


def render_messages(context: RenderContext, body: Json) -> None:
    """Write the messages into the body."""
    request, report = pair_tool_results(context.request)
    context.request = request
    context.report += report
    if not context.traits.mid_system:
        context.move_system_first()
    messages = _render_system(context)
    call_order: dict[str, int] = {}
    for turn in context.request.turns:
        match turn.role:
            case "user":
                messages += _render_user_turn(context, turn, call_order)
            case "assistant":
                messages += _render_assistant_turn(context, turn)
                calls = (part for part in turn.parts if isinstance(part, ToolCall))
                call_order = {call.id: index for index, call in enumerate(calls)}
            case "system":
                messages += [_render_content(context, turn.parts).to_message("system")]
                _drop_turn_name(context, turn)
            case _:
                assert_never(turn.role)
    _check_prefill(context, messages)
    body["messages"] = messages


def _render_system(context: RenderContext) -> list[Json]:
    content = _MessageContent()
    for block in context.request.instructions:
        if block.text.startswith(_BILLING_HEADER_PREFIX):
            context.drop(block.path, "attribution block: of use to api.anthropic.com only")
        else:
            _append_part(context, content, block)
    content.texts += context.hints
    return [content.to_message("system")] if content.texts else []


def _drop_turn_name(context: RenderContext, turn: Turn) -> None:
    if turn.name is not None:
        context.drop(join_path(turn.path, "name"), "no equivalent in Ollama")


def _render_user_turn(context: RenderContext, turn: Turn, call_order: dict[str, int]) -> list[Json]:
    """Renders tool messages first, in the order of their calls, as they have no ids."""
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    results.sort(key=lambda result: call_order.get(result.id, len(call_order)))
    user_content = _MessageContent()
    messages = [_render_tool_result(context, result, user_content) for result in results]
    message_parts = [part for part in turn.parts if not isinstance(part, ToolResult)]
    _drop_turn_name(context, turn)
    for part in message_parts:
        _append_part(context, user_content, part)
    if user_content.texts or user_content.images or not results:
        messages.append(user_content.to_message("user"))
    return messages


def _render_tool_result(
    context: RenderContext, result: ToolResult, user_content: _MessageContent
) -> Json:
    """Renders a tool message; its images move to the next user message."""
    content = _MessageContent()
    image_count = 0
    for part in result.parts:
        if isinstance(part, Image) and part.data is not None and context.traits.images:
            image_count += 1
            content.texts.append(
                f"[image {image_count} of this result is attached to the next message]"
            )
            context.approximate(part.path, "image in tool result moved to a following user message")
            user_content.texts.append(
                f"[image {image_count} from the result of {result.name or 'the tool'}]"
            )
            user_content.images.append(part.data)
        else:
            _append_part(context, content, part)
    if result.is_error:
        first_text = f"Error: {content.texts[0]}" if content.texts else "Error"
        content.texts[:1] = [first_text]
        if result.path:
            context.approximate(f"{result.path}.is_error", "text prefixed with 'Error: '")
    context.drop_cache_marks(result.cache)
    message = content.to_message("tool")
    if result.name:
        message["tool_name"] = result.name
    return message


def _render_assistant_turn(context: RenderContext, turn: Turn) -> list[Json]:
    content = _MessageContent()
    reasoning_text = ""
    calls: list[Json] = []
    for part in join_cited_texts(turn.parts):
        match part:
            case Reasoning():
                reasoning_text += _render_reasoning(context, part)
            case ToolCall():
                calls.append(_render_tool_call(context, part))
            case Image():
                context.drop(part.path, "assistant messages hold text only in Ollama")
            case _:
                _append_part(context, content, part)
    _drop_turn_name(context, turn)
    has_text_part = any(isinstance(part, Text) for part in turn.parts)
    if turn.parts and not (has_text_part or content.texts or reasoning_text or calls):
        return []
    message = content.to_message("assistant")
    if reasoning_text:
        message["thinking"] = reasoning_text
    if calls:
        message["tool_calls"] = calls
    return [message]


def _render_reasoning(context: RenderContext, reasoning: Reasoning) -> str:
    """The text of reasoning if it may be sent to this target."""
    signature = reasoning.signature
    # A text without an origin comes from a client that got plain text to begin with.
    is_replayable = signature is None or is_from_target(signature, context.traits)
    if context.traits.replay_reasoning != "ignored" and is_replayable and not reasoning.redacted:
        return reasoning.text
    context.drop(reasoning.path, "thinking block of another model")
    return ""


def _render_tool_call(context: RenderContext, call: ToolCall) -> Json:
    arguments = call.arguments
    if call.custom:
        arguments = {"input": call.raw or ""}
    elif arguments is None:
        arguments = {"_raw": call.raw or ""}
        context.approximate(call.path, "the arguments are no JSON object: sent as text inside one")
    if call.signature is not None:
        context.drop_signature(call)
    context.drop_cache_marks(call.cache)
    return {"function": {"name": call.name, "arguments": arguments}}


def _render_content(context: RenderContext, parts: Iterable[Part]) -> _MessageContent:
    content = _MessageContent()
    for part in parts:
        _append_part(context, content, part)
    return content


def _append_part(context: RenderContext, content: _MessageContent, part: Part) -> None:
    """Add a part to a message; what the target does not take is reported."""
    match part:
        case Text():
            if part.citations:
                context.drop(join_path(part.path, "citations"), "Ollama takes no sources as input")
            context.drop_cache_marks(part.cache)
            content.texts += [part.text] if part.text else []
        case Image():
            context.drop_cache_marks(part.cache)
            _append_image(context, content, part)
        case Document():
            context.drop_cache_marks(part.cache)
            _append_document(context, content, part)
        case Audio():
            content.texts.append(
                _render_media_note(context, part.path, "audio", "Ollama takes no audio")
            )
        case Refusal():
            context.approximate(part.path, "a refusal is sent as text")
            content.texts += [part.text] if part.text else []
        case Native():
            block_type = part.data.get("type", "unknown")
            context.drop(part.path, f"Ollama has no part for a {block_type} block")
        case ToolCall() | ToolResult() | Reasoning():
            context.drop(part.path, "this part cannot stand here in Ollama")
        case _:
            assert_never(part)


def _render_media_note(context: RenderContext, path: str, media_name: str, why: str) -> str:
    """A text note that replaces media the target does not accept."""
    context.drop(path, f"{why}; a note stands in its place")
    return f"[{media_name} left out: {why}]"


def needs_bytes(part: Image | Document, traits: Traits) -> bool:
    """Whether a file must be sent as bytes: only images are supported."""
    return isinstance(part, Image) and traits.images


def _append_image(context: RenderContext, content: _MessageContent, image: Image) -> None:
    if not context.traits.images:
        content.texts.append(
            _render_media_note(context, image.path, "image", "this model takes no images")
        )
    elif image.data is not None:
        content.images.append(image.data)
        if image.detail is not None:
            path = context.request.client_paths.get("detail", "detail")
            context.drop(join_path(image.path, path), "no equivalent in Ollama")
    else:
        content.texts.append(
            _render_media_note(context, image.path, "image", "Ollama takes image data only")
        )


def _append_document(context: RenderContext, content: _MessageContent, document: Document) -> None:
    """A document of text as text under its title; another as a note."""
    if document.citations:
        context.drop(join_path(document.path, "citations"), "no equivalent in Ollama")
    text = document.text
    if text is None:
        text = decode_text_file(document.data, document.media_type)
    if text is None and document.parts is None:
        content.texts.append(
            _render_media_note(context, document.path, "document", "Ollama reads no files")
        )
        return
    context.approximate(document.path, "sent as text: Ollama has no text documents")
    document_texts = [document.title, document.context, text]
    content.texts += [document_text for document_text in document_texts if document_text]
    for part in document.parts or ():
        _append_part(context, content, part)


def _check_prefill(context: RenderContext, messages: list[Json]) -> None:
    """Checks that the model can continue a final assistant message."""
    if not messages or messages[-1]["role"] != "assistant":
        return
    path = context.request.turns[-1].path or "messages"
    if not context.traits.prefill:
        why = f"{context.model} cannot continue an assistant message; end with a user message"
        raise GatewayError(Error(kind="unsupported_param", message=f"{path}: {why}", param=path))
