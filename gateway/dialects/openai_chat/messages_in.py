"""A client's messages -> instructions and turns.

System and developer messages before the first other message are instructions;
later ones are turns of their own. Tool messages in a row are one user turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from gateway.canon.errors import invalid
from gateway.canon.request import (
    Native,
    Part,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.dialects.openai_chat.parts import NAME, Json, content_in
from gateway.dialects.openai_chat.reasoning import reasoning_in
from gateway.dialects.openai_chat.render_context import cache_in
from gateway.dialects.openai_chat.tool_calls import (
    calls_in,
    function_call_in,
    result_in,
    result_parts_in,
)
from gateway.dialects.shared.fields import mapping, required_text, text, wrong_type

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


class Conversation:
    """The parsed messages; filled by `messages_in`."""

    def __init__(self) -> None:
        self.instructions: list[Text] = []
        self.turns: list[Turn] = []
        self.tool_calls: dict[str, ToolCall] = {}
        self.function_call_ids: dict[str, str] = {}
        # Fields of messages that no dialect supports, by path.
        self.unknown_fields: Json = {}
        # Consecutive results, which become one turn, and the path of the first.
        self.pending_results: list[Part] = []
        self.results_path = ""

    def flush_results(self) -> None:
        """Add the pending results as one turn."""
        if self.pending_results:
            turn = Turn(role="user", parts=tuple(self.pending_results), path=self.results_path)
            self.turns.append(turn)
            self.pending_results = []


def messages_in(body: Json) -> Conversation:
    """The conversation in a body. Raises GatewayError naming the message at fault."""
    messages = body.get("messages")
    if type(messages) is not list:
        if messages is None:
            raise invalid("messages is required and must be a list of messages", "messages")
        raise wrong_type("messages", "a list", messages)
    if not messages:
        raise invalid("messages must hold at least one message", "messages")
    conversation = Conversation()
    for index, message in enumerate(messages):
        _message_in(conversation, message, f"messages[{index}]")
    conversation.flush_results()
    return conversation


def _message_in(conversation: Conversation, message: Any, path: str) -> None:
    if type(message) is not dict:
        raise wrong_type(path, "an object with a role", message)
    role = message.get("role")
    reader = _ROLES.get(role) if type(role) is str else None
    if reader is None:
        problem = "missing" if role is None else f"not {role!r}"[:60]
        supported_roles = ", ".join(_ROLES)
        raise invalid(
            f"{path}.role must be one of {supported_roles}; it is {problem}", f"{path}.role"
        )
    if not message.keys() <= _SUPPORTED_FIELDS:
        _record_unknown_fields(conversation, message, path)
    if role not in {"tool", "function"}:
        conversation.flush_results()
    reader(conversation, message, path)


def _record_unknown_fields(conversation: Conversation, message: Json, path: str) -> None:
    for key, value in message.items():
        if key not in _SUPPORTED_FIELDS and value is not None:
            conversation.unknown_fields[f"{path}.{key}"] = value


def _system_in(conversation: Conversation, message: Json, path: str) -> None:
    parts = _content_with_cache(message, path)
    texts = [part for part in parts if isinstance(part, Text)]
    if len(texts) < len(parts):
        non_text_part = next(part for part in parts if not isinstance(part, Text))
        raise invalid(
            f"{non_text_part.path}: a {message['role']} message holds text parts only",
            non_text_part.path,
        )
    name = text(message, "name", path)
    if not conversation.turns and name is None:
        conversation.instructions += texts
    else:
        conversation.turns.append(Turn(role="system", parts=tuple(texts), name=name, path=path))


def _user_in(conversation: Conversation, message: Json, path: str) -> None:
    name = message.get("name") and text(message, "name", path)
    conversation.turns.append(
        Turn(role="user", parts=_content_with_cache(message, path), name=name, path=path)
    )


def _assistant_in(conversation: Conversation, message: Json, path: str) -> None:
    parts: list[Part] = []
    if "reasoning_content" in message or "reasoning" in message or "reasoning_details" in message:
        parts += reasoning_in(message, path)
    parts += _content_with_cache(message, path)
    if (refusal := text(message, "refusal", path)) is not None:
        parts.append(Refusal(text=refusal, path=f"{path}.refusal"))
    if (audio := mapping(message, "audio", path)) is not None:
        parts.append(
            Native(dialect=NAME, data={"type": "audio", "audio": audio}, path=f"{path}.audio")
        )
    calls = calls_in(message, path)
    if (legacy := function_call_in(message, path)) is not None:
        calls.append(legacy)
        conversation.function_call_ids[legacy.name] = legacy.id
    for call in calls:
        conversation.tool_calls[call.id] = call
    parts += calls
    name = message.get("name") and text(message, "name", path)
    conversation.turns.append(Turn(role="assistant", parts=tuple(parts), name=name, path=path))


def _tool_in(conversation: Conversation, message: Json, path: str) -> None:
    _add_result(conversation, result_in(message, path, conversation.tool_calls), path)


def _function_in(conversation: Conversation, message: Json, path: str) -> None:
    name = required_text(message, "name", path)
    call_id = conversation.function_call_ids.get(name, name)
    parts = result_parts_in(message, path)
    _add_result(conversation, ToolResult(id=call_id, parts=parts, name=name, path=path), path)


def _add_result(conversation: Conversation, result: ToolResult, path: str) -> None:
    if not conversation.pending_results:
        conversation.results_path = path
    conversation.pending_results.append(result)


def _content_with_cache(message: Json, path: str) -> tuple[Part, ...]:
    """The content; the message's own cache breakpoint goes to its last part."""
    parts = content_in(message, path)
    if "cache_control" in message and parts and isinstance(parts[-1], Text):
        return (*parts[:-1], replace(parts[-1], cache=cache_in(message)))
    return parts


_ROLES: dict[str, Callable[[Conversation, Json, str], None]] = {
    "developer": _system_in,
    "system": _system_in,
    "user": _user_in,
    "assistant": _assistant_in,
    "tool": _tool_in,
    "function": _function_in,
}
