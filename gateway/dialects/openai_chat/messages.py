"""Messages: a client's to canonical turns, and back for a provider."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, assert_never

from msgspec.structs import replace

from gateway.canon.errors import invalid
from gateway.canon.json_values import list_or_empty
from gateway.canon.request import (
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
from gateway.canon.turns import join_cited_texts, pair_tool_results
from gateway.dialects.openai_chat.context import ChatRenderContext, parse_cache_breakpoint
from gateway.dialects.openai_chat.parts import (
    NAME,
    Json,
    parse_content,
    render_content,
    render_parts,
    render_text_parts,
)
from gateway.dialects.openai_chat.reasoning import parse_reasoning, render_reasoning
from gateway.dialects.openai_chat.tool_calls import (
    parse_calls,
    parse_function_call,
    parse_result,
    parse_result_parts,
    render_call,
    render_results,
)
from gateway.dialects.shared import image_generation
from gateway.dialects.shared.fields import mapping, required_text, text, wrong_type

# --- a client's messages --------------------------------------------------------------------------
#
# System and developer messages before the first other message are instructions;
# later ones are turns of their own. Tool messages in a row are one user turn.

# `prefix` requests the continuation of a last assistant message, as its position does
# already; `annotations` are part of responses that clients append unchanged.
_SUPPORTED_FIELDS = frozenset(
    [
        "role",
        "content",
        "name",
        "tool_calls",
        "tool_call_id",
        "refusal",
        "audio",
        "function_call",
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "annotations",
        "prefix",
        "cache_control",
    ]
)
_USER_FIELDS = frozenset({"role", "content", "name", "cache_control"})
_IMAGES = "images"


class Conversation:
    """The parsed messages; filled by `parse_messages`."""

    def __init__(self) -> None:
        self.instructions: list[Text] = []
        self.turns: list[Turn] = []
        self.tool_calls: dict[str, ToolCall] = {}
        self.function_call_ids: dict[str, str] = {}
        # The generated ids of calls without one that have no result yet.
        self.generated_ids: deque[str] = deque()
        # Fields of messages that no dialect supports, by path.
        self.unknown_fields: Json = {}
        # Consecutive results, which become one turn, and the path of the first.
        self.pending_results: list[Part] = []
        self.results_path = ""

    def flush_results(self) -> None:
        """Add the pending results as one turn."""
        turn = Turn(role="user", parts=tuple(self.pending_results), path=self.results_path)
        self.turns.append(turn)
        self.pending_results = []


def parse_messages(body: Json) -> Conversation:
    """The conversation in a body. Raises GatewayError naming the message at fault."""
    messages = body.get("messages")
    if type(messages) is not list:
        if messages is None:
            raise invalid("messages is required and must be a list of messages", "messages")
        raise wrong_type("messages", "a list", messages)
    if not messages:
        raise invalid("messages must contain at least one message", "messages")
    conversation = Conversation()
    for index, message in enumerate(messages):
        _parse_message(conversation, message, f"messages[{index}]")
    if conversation.pending_results:
        conversation.flush_results()
    return conversation


def _parse_message(conversation: Conversation, message: Any, path: str) -> None:
    if type(message) is not dict:
        raise wrong_type(path, "an object with a role", message)
    role = message.get("role")
    reader = _MESSAGE_PARSERS.get(role) if type(role) is str else None
    if reader is None:
        problem = "missing" if role is None else f"not {role!r}"[:60]
        supported_roles = ", ".join(_MESSAGE_PARSERS)
        raise invalid(
            f"{path}.role must be one of {supported_roles}; it is {problem}", f"{path}.role"
        )
    if not message.keys() <= (_USER_FIELDS if role == "user" else _SUPPORTED_FIELDS):
        _record_unknown_fields(conversation, message, path)
    if conversation.pending_results and role not in {"tool", "function"}:
        conversation.flush_results()
    reader(conversation, message, path)


def _record_unknown_fields(conversation: Conversation, message: Json, path: str) -> None:
    supported_fields = _USER_FIELDS if message["role"] == "user" else _SUPPORTED_FIELDS
    for key, value in message.items():
        if key in supported_fields or (key == _IMAGES and message["role"] == "assistant"):
            continue
        # Some clients send all fields of a message, without a value.
        if value or (value is not None and key not in _SUPPORTED_FIELDS):
            conversation.unknown_fields[f"{path}.{key}"] = value


def _parse_system_message(conversation: Conversation, message: Json, path: str) -> None:
    parts = _parse_content_with_cache(message, path)
    texts = [part for part in parts if isinstance(part, Text)]
    if len(texts) < len(parts):
        non_text_part = next(part for part in parts if not isinstance(part, Text))
        raise invalid(
            f"{non_text_part.path}: a {message['role']} message can only contain text parts",
            non_text_part.path,
        )
    name = text(message, "name", path)
    if not conversation.turns and name is None:
        conversation.instructions += texts
    else:
        conversation.turns.append(Turn(role="system", parts=tuple(texts), name=name, path=path))


def _parse_user_message(conversation: Conversation, message: Json, path: str) -> None:
    name = message.get("name") and text(message, "name", path)
    conversation.turns.append(
        Turn(role="user", parts=_parse_content_with_cache(message, path), name=name, path=path)
    )


def _parse_assistant_message(conversation: Conversation, message: Json, path: str) -> None:
    parts: list[Part] = []
    if "reasoning_content" in message or "reasoning" in message or "reasoning_details" in message:
        parts += parse_reasoning(message, path)
    parts += _parse_content_with_cache(message, path)
    if (refusal := text(message, "refusal", path)) is not None:
        parts.append(Refusal(text=refusal, path=f"{path}.refusal"))
    if (audio := mapping(message, "audio", path)) is not None:
        parts.append(
            Native(dialect=NAME, data={"type": "audio", "audio": audio}, path=f"{path}.audio")
        )
    if message.get(_IMAGES):
        parts += _parse_images(conversation, message[_IMAGES], f"{path}.{_IMAGES}")
    calls = parse_calls(message, path)
    conversation.generated_ids += [
        call.id
        for item, call in zip(message.get("tool_calls") or (), calls, strict=True)
        if not item.get("id")
    ]
    if (legacy := parse_function_call(message, path)) is not None:
        calls.append(legacy)
        conversation.function_call_ids[legacy.name] = legacy.id
    if calls and "cache_control" in message and message.get("content") is None:
        calls[-1] = replace(calls[-1], cache=parse_cache_breakpoint(message))
    for call in calls:
        conversation.tool_calls[call.id] = call
    parts += calls
    name = message.get("name") and text(message, "name", path)
    conversation.turns.append(Turn(role="assistant", parts=tuple(parts), name=name, path=path))


def _parse_images(conversation: Conversation, images: Any, path: str) -> list[Native]:
    """The generated images of an assistant message, which clients send back for editing."""
    parts: list[Native] = []
    for index, entry in enumerate(list_or_empty(images)):
        image_path = f"{path}[{index}]"
        if (data := image_generation.read_chat_image(entry)) is None:
            conversation.unknown_fields[image_path] = entry
        else:
            parts.append(Native(dialect=NAME, data=data, path=image_path))
    if not isinstance(images, list):
        conversation.unknown_fields[path] = images
    return parts


def _parse_tool_message(conversation: Conversation, message: Json, path: str) -> None:
    if not message.get("tool_call_id") and conversation.generated_ids:
        # Results without ids are in the order of the calls without ids.
        message = {**message, "tool_call_id": conversation.generated_ids.popleft()}
    _add_result(conversation, parse_result(message, path, conversation.tool_calls), path)


def _parse_function_message(conversation: Conversation, message: Json, path: str) -> None:
    name = required_text(message, "name", path)
    call_id = conversation.function_call_ids.get(name, name)
    parts = parse_result_parts(message, path)
    _add_result(conversation, ToolResult(id=call_id, parts=parts, name=name, path=path), path)


def _add_result(conversation: Conversation, result: ToolResult, path: str) -> None:
    if not conversation.pending_results:
        conversation.results_path = path
    conversation.pending_results.append(result)


def _parse_content_with_cache(message: Json, path: str) -> tuple[Part, ...]:
    """The parts of the content; the message's cache breakpoint moves to the last part."""
    parts = parse_content(message, path)
    if "cache_control" in message and parts and isinstance(parts[-1], Text | Image | Document):
        return (*parts[:-1], replace(parts[-1], cache=parse_cache_breakpoint(message)))
    return parts


_MESSAGE_PARSERS: dict[str, Callable[[Conversation, Json, str], None]] = {
    "developer": _parse_system_message,
    "system": _parse_system_message,
    "user": _parse_user_message,
    "assistant": _parse_assistant_message,
    "tool": _parse_tool_message,
    "function": _parse_function_message,
}


# --- a provider's messages ------------------------------------------------------------------------

BRIDGE_TEXT = "I have the tool results."


def render_messages(context: ChatRenderContext, body: Json) -> None:
    """Render the messages into the body."""
    request, report = pair_tool_results(context.request)
    context.request = request
    context.report += report
    if not context.traits.mid_system:
        context.merge_system_turns(in_results=not context.traits.user_after_tool)
    messages = _render_system(context)
    for turn in context.request.turns:
        for message in _render_turn(context, turn):
            if message["role"] == "user" and messages and messages[-1]["role"] == "tool":
                messages += _render_bridge_message(context, turn)
            messages.append(message)
    if len(messages) == 1 and messages[0]["role"] == "system" and not context.traits.mid_system:
        context.send_instructions_as_user(messages[0])
    _request_continuation(context, messages, body)
    body["messages"] = messages


def _render_bridge_message(context: ChatRenderContext, turn: Turn) -> list[Json]:
    """The assistant message required between a tool's result and the user's message."""
    if context.traits.user_after_tool:
        return []
    reason = (
        "an assistant message is inserted: the target does not allow a user message after a "
        "tool result"
    )
    context.approximate(turn.path, reason)
    return [{"role": "assistant", "content": BRIDGE_TEXT}]


def _render_system(context: ChatRenderContext) -> list[Json]:
    if not context.request.instructions and not context.hints:
        return []
    hints = (Text(text=hint) for hint in context.hints)
    items = render_parts(context, (*context.sent_instructions(), *hints))
    if not items:
        return []
    return [{"role": context.traits.system_role, "content": render_content(context, items)}]


def _render_turn(context: ChatRenderContext, turn: Turn) -> list[Json]:
    match turn.role:
        case "user":
            return _render_user_turn(context, turn)
        case "assistant":
            return _render_assistant_turn(context, turn)
        case "system":
            items = render_text_parts(context, turn.parts, "system")
            content = render_content(context, items)
            return (
                [
                    _with_name_and_content(
                        context, turn, {"role": context.traits.system_role}, content
                    )
                ]
                if items
                else []
            )
        case _:
            assert_never(turn.role)


def _with_name_and_content(
    context: ChatRenderContext, turn: Turn, message: Json, content: Any
) -> Json:
    if turn.name is not None:
        _render_name(context, turn, message)
    message["content"] = content
    return message


def _render_name(context: ChatRenderContext, turn: Turn, message: Json) -> None:
    if turn.name is None:
        return
    if context.traits.no_name_or_refusal:
        context.drop(f"{turn.path}.name", "no equivalent")
    else:
        message["name"] = turn.name


def _render_user_turn(context: ChatRenderContext, turn: Turn) -> list[Json]:
    """Tool messages first, with nothing between them; then the user's other content."""
    messages: list[Json] = []
    moved_parts: list[Json] = []
    parts = turn.parts
    results = [part for part in parts if type(part) is ToolResult]
    if results:
        messages, moved_parts = render_results(context, results)
        parts = tuple([part for part in parts if type(part) is not ToolResult])
    items = moved_parts + render_parts(context, parts)
    if not items:
        return messages
    content = render_content(context, items, as_list=bool(parts) and _is_text_in_list(parts[0]))
    messages.append(_with_name_and_content(context, turn, {"role": "user"}, content))
    return messages


def _is_text_in_list(part: Part) -> bool:
    """Whether the client wrote the part as a text in a list of parts.

    One text in a list stays in a list: prompt caches depend on the exact form. The path of any
    other text is that of its message.
    """
    return type(part) is Text and part.path.endswith("]") and part.path.count("[") >= 2


def _render_assistant_turn(context: ChatRenderContext, turn: Turn) -> list[Json]:
    content_parts: list[Part] = []
    message: Json = {"role": "assistant"}
    calls: list[ToolCall] = []
    for part in join_cited_texts(turn.parts):
        match part:
            case ToolCall():
                calls.append(part)
            case Reasoning():
                pass
            case Refusal() if context.traits.no_name_or_refusal:
                context.approximate(part.path, "a refusal in the history is sent as text")
                content_parts.append(Text(text=part.text, path=part.path))
            case Refusal():
                message["refusal"] = message.get("refusal", "") + part.text
            case Native() if part.dialect == NAME and "audio" in part.data:
                message["audio"] = part.data["audio"]
            case Native() if part.data.get("type") == image_generation.CALL:
                context.drop(part.path, "no equivalent")
            case _:
                content_parts.append(part)
    _render_name(context, turn, message)
    items = render_text_parts(context, content_parts, "assistant")
    chunks = render_reasoning(context, turn, message, has_calls=bool(calls))
    if calls:
        message["tool_calls"] = [render_call(context, call) for call in calls]
    if chunks:
        message["content"] = [*chunks, *items]
    elif items:
        message["content"] = render_content(context, items)
    elif not message.keys() & _CONTENT_FIELDS:
        # All parts of the turn were dropped; a turn that the client sent empty stays.
        if turn.parts:
            return []
        message["content"] = ""
    else:
        _render_empty_content(context, message)
    if context.traits.empty_content == "omit" and not calls and not message.get("content"):
        # Mistral: "Assistant message must have either content or tool_calls, but not none."
        context.drop(turn.path, "the upstream accepts no empty assistant message")
        return []
    return [message]


_CONTENT_FIELDS = frozenset(
    {"tool_calls", "refusal", "audio", "reasoning", "reasoning_content", "reasoning_details"}
)


def _render_empty_content(context: ChatRenderContext, message: Json) -> None:
    """The `content` of a message whose content is in other fields."""
    match context.traits.empty_content:
        case "empty":
            message["content"] = ""
        case "null":
            message["content"] = None
        case "omit":
            return
        case _:
            assert_never(context.traits.empty_content)


def _request_continuation(context: ChatRenderContext, messages: list[Json], body: Json) -> None:
    """Request the continuation of a last assistant message, where the target supports it."""
    if not messages or messages[-1]["role"] != "assistant":
        return
    if not context.traits.prefill:
        raise context.prefill_error(context.request.turns[-1].path or "messages")
    match context.traits.prefill_field:
        case "prefix":
            messages[-1]["prefix"] = True
        case "continue_final_message":
            body["continue_final_message"] = True
            body["add_generation_prompt"] = False
        case "none":
            return
        case _:
            assert_never(context.traits.prefill_field)
