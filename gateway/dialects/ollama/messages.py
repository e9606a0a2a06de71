"""Messages: a client's to canonical turns, and back for a provider."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, assert_never

from gateway.canon.arguments import parse_arguments
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.media import decode_text_file, join_lines, parse_data_url, resolve_media_type
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
from gateway.dialects.ollama.context import Json, RenderContext
from gateway.dialects.shared.fields import (
    join_path,
    native_kind,
    objects,
    required_mapping,
    required_text,
    strings,
    text,
    wrong_type,
)

# --- a client's messages --------------------------------------------------------------------------
#
# Calls usually have no ids: one is generated from the indexes of message and call, and a
# result belongs to the first call of its name without a result.

_COMMON_FIELDS = frozenset({"role", "content", "images", "name"})
_SYSTEM_FIELDS = frozenset({"role", "content"})
_PARSED_FIELDS = {
    "system": _SYSTEM_FIELDS,
    "developer": _SYSTEM_FIELDS,
    "assistant": _COMMON_FIELDS | {"thinking", "tool_calls"},
    "tool": _COMMON_FIELDS | {"tool_name", "tool_call_id"},
}
_ALL_FIELDS = _PARSED_FIELDS["assistant"] | _PARSED_FIELDS["tool"]


class Conversation:
    """The parsed conversation; filled by `parse_messages`."""

    def __init__(self) -> None:
        self.instructions: list[Text] = []
        self.turns: list[Turn] = []
        # Unknown message fields, by path.
        self.extra_fields: Json = {}
        # The calls of the last assistant messages in a row that have no result yet.
        self.open_calls = OpenCalls()
        # Results in a row, which become one turn, and the path of the first.
        self.results: list[Part] = []
        self.results_path = ""

    def flush_results(self) -> None:
        """Add the buffered results as a turn."""
        if self.results:
            turn = Turn(role="user", parts=tuple(self.results), path=self.results_path)
            self.turns.append(turn)
            self.results = []


class OpenCalls:
    """The calls of one turn that have no result yet, in order."""

    def __init__(self) -> None:
        self._calls: deque[ToolCall] = deque()
        self._by_id: dict[str, deque[ToolCall]] = {}
        self._by_name: dict[str, deque[ToolCall]] = {}
        self._answered_paths: set[str] = set()

    def add(self, calls: list[ToolCall]) -> None:
        """Add the calls of a message."""
        self._calls += calls
        for call in calls:
            self._by_id.setdefault(call.id, deque()).append(call)
            self._by_name.setdefault(call.name, deque()).append(call)

    def match_result(self, call_id: str | None, name: str | None) -> ToolCall | None:
        """Remove and return the first call with this id or, without an id, this name."""
        if call_id:
            candidates = self._by_id.get(call_id)
        else:
            candidates = self._calls if name is None else self._by_name.get(name)
        while candidates:
            call = candidates.popleft()
            # The path distinguishes calls with the same id.
            if call.path not in self._answered_paths:
                self._answered_paths.add(call.path)
                return call
        return None


def empty_request_error(message: str, path: str) -> GatewayError:
    """The error for a request without input, which only loads the model."""
    return GatewayError(Error(kind="invalid_request", message=message, param=path))


def parse_messages(body: Json) -> Conversation:
    """The conversation in a body. Raises GatewayError naming the message at fault."""
    messages = body.get("messages")
    if not messages and type(messages) in {list, type(None)}:
        raise empty_request_error("messages must contain at least one message", "messages")
    if type(messages) is not list:
        raise wrong_type("messages", "a list", messages)
    conversation = Conversation()
    for index, message in enumerate(messages):
        _parse_message(conversation, message, index)
    conversation.flush_results()
    return conversation


def _parse_message(conversation: Conversation, message: Any, index: int) -> None:
    path = f"messages[{index}]"
    if type(message) is not dict:
        raise wrong_type(path, "an object with a role", message)
    role = message.get("role")
    parser = _MESSAGE_PARSERS.get(role) if type(role) is str else None
    if parser is None:
        problem = "missing" if role is None else f"not {role!r}"[:60]
        raise invalid(
            f"{path}.role must be one of {', '.join(_MESSAGE_PARSERS)}; it is {problem}",
            f"{path}.role",
        )
    parsed_fields = _PARSED_FIELDS.get(str(role), _COMMON_FIELDS)
    for key, value in message.items():
        if key in parsed_fields:
            continue
        # Some clients send all fields of a message, without a value.
        if value or (value is not None and key not in _ALL_FIELDS):
            conversation.extra_fields[f"{path}.{key}"] = value
    if role != "tool":
        conversation.flush_results()
    parser(conversation, message, index, path)


def _parse_system_message(conversation: Conversation, message: Json, index: int, path: str) -> None:
    texts = _parse_texts(message, path)
    if not conversation.turns:
        conversation.instructions += texts
    else:
        conversation.turns.append(Turn(role="system", parts=tuple(texts), path=path))


def _parse_user_message(conversation: Conversation, message: Json, index: int, path: str) -> None:
    parts: list[Part] = [*_parse_texts(message, path), *parse_images(message, path)]
    if not parts:
        parts.append(Text(text="", path=path))
    conversation.turns.append(
        Turn(role="user", parts=tuple(parts), name=text(message, "name", path), path=path)
    )


def _parse_assistant_message(
    conversation: Conversation, message: Json, index: int, path: str
) -> None:
    parts: list[Part] = []
    if reasoning_text := text(message, "thinking", path):
        parts.append(Reasoning(text=reasoning_text, path=f"{path}.thinking"))
    parts += _parse_texts(message, path)
    parts += parse_images(message, path)
    calls = _parse_calls(message, index, path)
    # Strands Agents sends each call of a turn as a message of its own.
    if not conversation.turns or conversation.turns[-1].role != "assistant":
        conversation.open_calls = OpenCalls()
    conversation.open_calls.add(calls)
    parts += calls
    conversation.turns.append(
        Turn(role="assistant", parts=tuple(parts), name=text(message, "name", path), path=path)
    )


def _parse_texts(message: Json, path: str) -> list[Text]:
    content = text(message, "content", path)
    return [Text(text=content, path=path)] if content else []


def parse_images(holder: Json, path: str = "") -> list[Image]:
    """The images of a message or a prompt: base64, with the media type sniffed."""
    images = []
    for index, value in enumerate(strings(holder, "images", path)):
        image_path = f"{path}.images[{index}]" if path else f"images[{index}]"
        declared_type, data = parse_data_url(value) or (None, join_lines(value))
        media_type = resolve_media_type(data, declared_type, "image/png")
        images.append(Image(data=data, media_type=media_type, path=image_path))
    return images


def _parse_calls(message: Json, message_index: int, path: str) -> list[ToolCall]:
    calls_path = f"{path}.tool_calls"
    call_objects = objects(message, "tool_calls", path)
    return [
        _parse_call(call, f"call_{message_index}_{call_index}", f"{calls_path}[{call_index}]")
        for call_index, call in enumerate(call_objects)
    ]


def _parse_call(call: Json, generated_id: str, path: str) -> ToolCall:
    function = required_mapping(call, "function", path)
    function_path = f"{path}.function"
    arguments, raw_arguments = _parse_arguments(function.get("arguments"), function_path)
    return ToolCall(
        id=text(call, "id", path) or generated_id,
        name=required_text(function, "name", function_path),
        arguments=arguments,
        raw_arguments=raw_arguments,
        path=path,
    )


def _parse_arguments(value: Any, path: str) -> tuple[Json | None, str | None]:
    """The arguments: an object, or the string that clients of other dialects know."""
    if value is None:
        return {}, None
    if type(value) is dict:
        return value, None
    if type(value) is str:
        return parse_arguments(value)
    raise wrong_type(f"{path}.arguments", "an object", value)


def _parse_tool_message(conversation: Conversation, message: Json, index: int, path: str) -> None:
    name = text(message, "tool_name", path) or text(message, "name", path)
    call_id = text(message, "tool_call_id", path)
    call = conversation.open_calls.match_result(call_id, name)
    parts: list[Part] = [*_parse_texts(message, path), *parse_images(message, path)]
    result = ToolResult(
        id=call.id if call is not None else call_id or f"result_{index}",
        parts=tuple(parts),
        name=name or (call.name if call is not None else None),
        path=path,
    )
    if not conversation.results:
        conversation.results_path = path
    conversation.results.append(result)


_MESSAGE_PARSERS: dict[str, Callable[[Conversation, Json, int, str], None]] = {
    "system": _parse_system_message,
    "developer": _parse_system_message,
    "user": _parse_user_message,
    "assistant": _parse_assistant_message,
    "tool": _parse_tool_message,
}


# --- a provider's messages ------------------------------------------------------------------------


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
    """Render the messages into the body."""
    request, report = pair_tool_results(context.request)
    context.request = request
    context.report += report
    if not context.traits.mid_system:
        context.merge_system_turns()
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
    for block in context.sent_instructions():
        _append_part(context, content, block)
    content.texts += context.hints
    return [content.to_message("system")] if content.texts else []


def _drop_turn_name(context: RenderContext, turn: Turn) -> None:
    if turn.name is not None:
        context.drop(join_path(turn.path, "name"), "no equivalent in Ollama")


def _render_user_turn(context: RenderContext, turn: Turn, call_order: dict[str, int]) -> list[Json]:
    """Render tool messages first, in the order of their calls, as they have no ids."""
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
    """Render a tool message; its images move to the next user message."""
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
            field = context.request.client_path("is_error")
            context.approximate(f"{result.path}.{field}", "text prefixed with 'Error: '")
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
                context.drop(part.path, "assistant messages can only contain text in Ollama")
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
    # Reasoning without an origin comes from a client that received text only.
    is_replayable = signature is None or is_from_target(signature, context.traits)
    if context.traits.replay_reasoning != "ignored" and is_replayable and not reasoning.redacted:
        return reasoning.text
    context.drop(reasoning.path, "reasoning of another model")
    return ""


def _render_tool_call(context: RenderContext, call: ToolCall) -> Json:
    arguments = context.call_arguments(call)
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
    """Add a part to a message; report one that the target does not accept."""
    match part:
        case Text():
            if part.citations:
                context.drop(
                    context.part_field(part.path, "citations"),
                    "Ollama does not support sources in requests",
                )
            context.drop_cache_marks(part.cache)
            content.texts += [part.text] if part.text else []
        case Image():
            context.drop_cache_marks(part.cache)
            _append_image(context, content, part)
        case Document():
            context.drop_cache_marks(part.cache)
            _append_document(context, content, part)
        case Audio():
            context.drop_cache_marks(part.cache)
            content.texts.append(
                context.media_note(part.path, "audio", "Ollama does not support audio")
            )
        case Refusal():
            context.approximate(part.path, "a refusal is sent as text")
            content.texts += [part.text] if part.text else []
        case Native() if (text := context.native_text(part)) is not None:
            content.texts.append(text.text)
        case Native():
            block_type = native_kind(part.data)
            context.drop(part.path, f"Ollama does not support {block_type} blocks")
        case ToolCall() | ToolResult() | Reasoning():
            context.drop(part.path, "this part is not allowed here in Ollama")
        case _:
            assert_never(part)


def needs_bytes(part: Image | Document, traits: Traits) -> bool:
    """Whether a file must be sent as bytes: only images are supported."""
    return isinstance(part, Image) and traits.images


def _append_image(context: RenderContext, content: _MessageContent, image: Image) -> None:
    if not context.traits.images:
        content.texts.append(
            context.media_note(image.path, "image", "this model does not support images")
        )
    elif image.data is not None:
        content.images.append(image.data)
        if image.detail is not None:
            path = context.request.client_paths.get("detail", "detail")
            context.drop(join_path(image.path, path), "no equivalent in Ollama")
    else:
        content.texts.append(
            context.media_note(image.path, "image", "Ollama supports only inline image data")
        )


def _append_document(context: RenderContext, content: _MessageContent, document: Document) -> None:
    """Append a document as text under its title; a file that is not text as a note."""
    if document.citations:
        path = context.part_field(document.path, "document_citations")
        context.drop(path, "no equivalent in Ollama")
    text = document.text
    if text is None:
        text = decode_text_file(document.data, document.media_type)
    if text is None and document.parts is None:
        content.texts.append(
            context.media_note(document.path, "document", "Ollama does not support files")
        )
        return
    context.approximate(document.path, "sent as text: Ollama does not support text documents")
    document_texts = [document.title, document.context, text]
    content.texts += [document_text for document_text in document_texts if document_text]
    for part in document.parts or ():
        _append_part(context, content, part)


def _check_prefill(context: RenderContext, messages: list[Json]) -> None:
    """Check that the model can continue a final assistant message."""
    if not messages or messages[-1]["role"] != "assistant":
        return
    path = context.request.turns[-1].path or "messages"
    if not context.traits.prefill:
        raise context.prefill_error(path)
