"""Instructions and turns as Cohere's messages and documents."""

from __future__ import annotations

from typing import assert_never

from gateway.canon.errors import GatewayError, invalid, unsupported
from gateway.canon.media import data_url, decode_text_file, resolve_media_type
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
from gateway.canon.turns import find_empty_texts, join_cited_texts, pair_tool_results
from gateway.dialects.cohere.context import NAME, Json, RenderContext
from gateway.dialects.shared.fields import join_path, web_url

EMPTY_PLACEHOLDER = "(empty)"
_DOCUMENT_CAPTION = "See the documents."


def render_messages(context: RenderContext) -> list[Json]:
    """The messages, the instructions first."""
    context.request, report = pair_tool_results(context.request)
    context.report += report
    if not context.traits.mid_system:
        context.merge_system_turns()
    messages = _render_system(context)
    last_turn: Turn | None = None
    for turn in context.request.turns:
        if turn.name is not None:
            context.drop(f"{turn.path}.name", "no equivalent")
        for empty_text in find_empty_texts(turn):
            context.drop(empty_text.path, "empty text")
        turn_messages = _render_turn(context, turn)
        messages += turn_messages
        last_turn = turn if turn_messages else last_turn
    if last_turn is not None and last_turn.role == "system":
        _send_system_as_user(context, last_turn, messages[-1])
    if last_turn is None and messages:
        context.send_instructions_as_user(messages[0])
        return messages
    if last_turn is None:
        raise invalid("messages must contain at least one message that is not empty", "messages")
    if last_turn.role == "assistant":
        raise context.prefill_error(last_turn.path or "messages")
    return messages


def _send_system_as_user(context: RenderContext, turn: Turn, message: Json) -> None:
    """Send a final system message as a user message, which the API requires."""
    context.approximate(turn.path, "a system message at the end is sent as a user message")
    message["role"] = "user"
    message["content"] = f"<system>\n{message['content']}\n</system>"


def _render_system(context: RenderContext) -> list[Json]:
    texts = [part.text for part in context.sent_instructions() if part.text]
    for part in context.request.instructions:
        _drop_text_fields(context, part)
    return [{"role": "system", "content": "\n\n".join(texts)}] if texts else []


def _render_turn(context: RenderContext, turn: Turn) -> list[Json]:
    match turn.role:
        case "assistant":
            return _render_assistant_turn(context, turn)
        case "system":
            text = _system_text(context, turn)
            return [{"role": "system", "content": text}] if text else []
        case "user":
            return _render_user_turn(context, turn)
        case _:
            assert_never(turn.role)


def _system_text(context: RenderContext, turn: Turn) -> str:
    """The text of a system turn; reports its other parts."""
    if turn.effort is not None:
        context.drop(
            f"{turn.path}.output_config.effort", "the effort cannot change within a request"
        )
    texts = []
    for part in turn.parts:
        if isinstance(part, Text):
            _drop_text_fields(context, part)
            texts.append(part.text)
        else:
            context.drop(part.path, "a system message can only contain text")
    return "\n\n".join(text for text in texts if text)


# --- user turns -----------------------------------------------------------------------------------


def _render_user_turn(context: RenderContext, turn: Turn) -> list[Json]:
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    message_parts = tuple(part for part in turn.parts if not isinstance(part, ToolResult))
    content: list[Json] = []
    messages = [_render_tool_result(context, result, content) for result in results]
    documents_before = len(context.documents)
    content += [item for part in message_parts for item in _render_user_part(context, part)]
    if not content and len(context.documents) > documents_before:
        content = [{"type": "text", "text": _DOCUMENT_CAPTION}]
        context.approximate(
            turn.path, f"documents are sent outside the messages: {_DOCUMENT_CAPTION!r} is sent"
        )
    if content:
        messages.append({"role": "user", "content": _simplify_content(content)})
    return messages


def _simplify_content(content: list[Json]) -> str | list[Json]:
    """A single text as a string, as most clients write it."""
    if len(content) == 1 and content[0]["type"] == "text":
        return str(content[0]["text"])
    return content


def _render_user_part(context: RenderContext, part: Part) -> list[Json]:
    match part:
        case Text():
            return _render_text(context, part)
        case Image():
            return [_render_image(context, part)]
        case Document():
            context.documents.append(_render_document(context, part))
            return []
        case Audio():
            raise _unsupported_part_error(part.path, "Cohere Chat does not support audio")
        case Reasoning() | ToolCall():
            context.drop(part.path, "only assistant messages can contain reasoning and tool calls")
            return []
        case Refusal():
            return _render_text(context, Text(text=part.text, path=part.path))
        case Native():
            return _render_native(context, part)
        case ToolResult():
            return []
        case _:
            assert_never(part)


def _unsupported_part_error(path: str, reason: str) -> GatewayError:
    return unsupported(path or "messages", reason)


def _render_text(context: RenderContext, part: Text) -> list[Json]:
    _drop_text_fields(context, part)
    return [{"type": "text", "text": part.text}] if part.text else []


def _drop_text_fields(context: RenderContext, part: Text) -> None:
    """Report the cache breakpoint and the sources of a text."""
    context.drop_cache_marks(part.cache)
    if part.citations:
        context.drop(
            context.part_field(part.path, "citations"), "sources are not supported in requests"
        )


def _render_native(context: RenderContext, part: Native) -> list[Json]:
    if part.dialect == NAME:
        return [part.data]
    if (text := context.native_text(part)) is not None:
        return _render_text(context, text)
    context.drop(part.path, "Cohere Chat does not support it")
    return []


def _render_media_note(context: RenderContext, path: str, media_name: str, reason: str) -> Json:
    """A text note that replaces media the target does not accept."""
    return {"type": "text", "text": context.media_note(path, media_name, reason)}


def _render_image(context: RenderContext, image: Image) -> Json:
    context.drop_cache_marks(image.cache)
    if not context.traits.images:
        return _render_media_note(
            context, image.path, "image", "this model does not support images"
        )
    if image.file_id is not None:
        reason = "the file ID belongs to another provider; send the file's data"
        raise _unsupported_part_error(image.path, reason)
    if image.data is not None:
        url = data_url(resolve_media_type(image.data, image.media_type, "image/png"), image.data)
    else:
        url = web_url(image.url, image.path)
    out: Json = {"url": url}
    if image.detail in {"auto", "low", "high"}:
        out["detail"] = image.detail
    elif image.detail is not None:
        context.drop(join_path(image.path, context.request.client_path("detail")), "no equivalent")
    return {"type": "image_url", "image_url": out}


def _is_text_document(document: Document) -> bool:
    document_text = document.text if document.parts is None else ""
    return (
        document_text is not None
        or decode_text_file(document.data, document.media_type) is not None
    )


def _render_document(context: RenderContext, document: Document) -> Json:
    """A document that the model may cite; only text is supported."""
    context.drop_cache_marks(document.cache)
    text = document.text
    if document.parts is not None:
        for part in document.parts:
            if isinstance(part, Text):
                _drop_text_fields(context, part)
            else:
                context.drop(part.path, "documents can only contain text")
        text = "\n\n".join(p.text for p in document.parts if isinstance(p, Text))
    if text is None:
        text = decode_text_file(document.data, document.media_type)
    if text is None:
        raise _unsupported_part_error(
            document.path, "Cohere Chat supports only plain-text documents"
        )
    data: Json = {"text": text}
    if document.title is not None:
        data["title"] = document.title
    if document.context is not None:
        data["context"] = document.context
    if document.citations is False:
        path = context.part_field(document.path, "document_citations")
        context.drop(path, "all documents can be cited")
    return {"id": f"doc_{len(context.documents)}", "data": data}


# --- assistant turns ------------------------------------------------------------------------------


def _render_assistant_turn(context: RenderContext, turn: Turn) -> list[Json]:
    calls = [part for part in turn.parts if isinstance(part, ToolCall)]
    content: list[Json] = []
    for part in join_cited_texts(turn.parts):
        if isinstance(part, ToolCall):
            continue
        content += _render_assistant_part(context, part)
    message: Json = {"role": "assistant"}
    if calls:
        plan = "\n\n".join(item["text"] for item in content if item["type"] == "text")
        content = [item for item in content if item["type"] != "text"]
        if plan:
            message["tool_plan"] = plan
    if content:
        message["content"] = _simplify_content(content)
    if calls:
        message["tool_calls"] = [_render_tool_call(context, call) for call in calls]
    return [message] if len(message) > 1 else []


def _render_assistant_part(context: RenderContext, part: Part) -> list[Json]:
    match part:
        case Text():
            return _render_text(context, part)
        case Reasoning():
            return _render_reasoning(context, part)
        case Refusal():
            context.approximate(part.path, "a refusal in the history is sent as text")
            return [{"type": "text", "text": part.text}] if part.text else []
        case Native():
            return _render_native(context, part)
        case ToolResult():
            context.drop(part.path, "only user turns can contain tool results")
            return []
        case _:
            context.drop(part.path, "media in an assistant message")
            return []


def _render_reasoning(context: RenderContext, reasoning: Reasoning) -> list[Json]:
    """Render reasoning of the target's own model; drop that of another model."""
    if not is_from_target(reasoning.signature, context.traits):
        context.drop(reasoning.path, "reasoning of another model")
        return []
    return [{"type": "thinking", "thinking": reasoning.text}] if reasoning.text else []


def _render_tool_call(context: RenderContext, call: ToolCall) -> Json:
    context.drop_cache_marks(call.cache)
    if call.signature is not None:
        context.drop_signature(call)
    arguments = context.call_arguments_text(call)
    function = {"name": context.sent_name(call.name), "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _prefix_error(content: list[Json]) -> None:
    if content and content[0]["type"] == "text":
        content[0] = {"type": "text", "text": f"Error: {content[0]['text']}"}
    else:
        content.insert(0, {"type": "text", "text": "Error: "})


def _render_tool_result(
    context: RenderContext, result: ToolResult, user_content: list[Json]
) -> Json:
    """A tool message; its images move to `user_content`, that of the next user message."""
    context.drop_cache_marks(result.cache)
    content: list[Json] = []
    image_count = 0
    for part in context.read_natives(result.parts):
        if isinstance(part, Document) and _is_text_document(part):
            content.append({"type": "document", "document": _render_document(context, part)})
        elif isinstance(part, Text):
            content += _render_text(context, part)
        elif isinstance(part, Image) and context.traits.images:
            image_count += 1
            note = f"[image {image_count} of this tool result is attached to the next user message]"
            content.append({"type": "text", "text": note})
            context.approximate(part.path, "image in tool result moved to a following user message")
            caption = f"[image {image_count} from tool result {result.id}]"
            user_content += [{"type": "text", "text": caption}, _render_image(context, part)]
        else:
            content.append(
                _render_media_note(
                    context, part.path, "media", "a tool result can only contain text"
                )
            )
    if result.is_error:
        if result.path:
            field = context.request.client_path("is_error")
            context.approximate(f"{result.path}.{field}", "the failure is described in text")
        _prefix_error(content)
    if not content:
        context.approximate(result.path, f"an empty tool result is sent as {EMPTY_PLACEHOLDER!r}")
    result_content: str | list[Json] = content or EMPTY_PLACEHOLDER
    if content and all(item["type"] == "text" for item in content):
        result_content = "\n\n".join(item["text"] for item in content)
    return {"role": "tool", "tool_call_id": result.id, "content": result_content}
