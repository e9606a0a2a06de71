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
from gateway.dialects.fields import mapping, needed_text, text, wrong
from gateway.dialects.openai_chat.calls import (
    calls_in,
    function_call_in,
    result_in,
    result_parts_in,
)
from gateway.dialects.openai_chat.job import cache_in
from gateway.dialects.openai_chat.parts import NAME, Json, content_in
from gateway.dialects.openai_chat.reasoning import thought_in

# `prefix` asks to continue a last assistant message, which its place already says;
# `annotations` come back with answers that clients append as they got them.
_KNOWN = frozenset(
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
    """What the messages come to; filled by `messages_in`."""

    def __init__(self) -> None:
        self.instructions: list[Text] = []
        self.turns: list[Turn] = []
        self.calls: dict[str, ToolCall] = {}
        self.functions: dict[str, str] = {}
        # Fields of messages that no dialect knows, by path.
        self.unknown: Json = {}
        self.gathering = False


def messages_in(body: Json) -> Conversation:
    """The conversation in a body. Raises GatewayError naming the message at fault."""
    messages = body.get("messages")
    if type(messages) is not list:
        if messages is None:
            raise invalid("messages is required: give a list of messages", "messages")
        raise wrong("messages", "a list", messages)
    if not messages:
        raise invalid("messages must hold at least one message", "messages")
    out = Conversation()
    for place, message in enumerate(messages):
        _message_in(out, message, f"messages[{place}]")
    return out


def _message_in(out: Conversation, message: Any, at: str) -> None:
    if type(message) is not dict:
        raise wrong(at, "an object with a role", message)
    role = message.get("role")
    reader = _ROLES.get(role) if type(role) is str else None
    if reader is None:
        told = "missing" if role is None else f"not {role!r}"[:60]
        known = ", ".join(_ROLES)
        raise invalid(f"{at}.role must be one of {known}; it is {told}", f"{at}.role")
    if not message.keys() <= _KNOWN:
        _note_unknown(out, message, at)
    reader(out, message, at)
    out.gathering = role in {"tool", "function"}


def _note_unknown(out: Conversation, message: Json, at: str) -> None:
    for key, value in message.items():
        if key not in _KNOWN and value is not None:
            out.unknown[f"{at}.{key}"] = value


def _system_in(out: Conversation, message: Json, at: str) -> None:
    parts = _content(message, at)
    texts = [part for part in parts if isinstance(part, Text)]
    if len(texts) < len(parts):
        other = next(part for part in parts if not isinstance(part, Text))
        raise invalid(f"{other.at}: a {message['role']} message holds text parts only", other.at)
    name = text(message, "name", at)
    if not out.turns and name is None:
        out.instructions += texts
    else:
        out.turns.append(Turn(role="system", parts=tuple(texts), name=name, at=at))


def _user_in(out: Conversation, message: Json, at: str) -> None:
    name = message.get("name") and text(message, "name", at)
    out.turns.append(Turn(role="user", parts=_content(message, at), name=name, at=at))


def _assistant_in(out: Conversation, message: Json, at: str) -> None:
    parts: list[Part] = []
    if "reasoning_content" in message or "reasoning" in message or "reasoning_details" in message:
        parts += thought_in(message, at)
    parts += _content(message, at)
    if (refusal := text(message, "refusal", at)) is not None:
        parts.append(Refusal(text=refusal, at=f"{at}.refusal"))
    if (audio := mapping(message, "audio", at)) is not None:
        parts.append(Native(dialect=NAME, data={"type": "audio", "audio": audio}, at=f"{at}.audio"))
    calls = calls_in(message, at)
    if (legacy := function_call_in(message, at)) is not None:
        calls.append(legacy)
        out.functions[legacy.name] = legacy.id
    for call in calls:
        out.calls[call.id] = call
    parts += calls
    name = message.get("name") and text(message, "name", at)
    out.turns.append(Turn(role="assistant", parts=tuple(parts), name=name, at=at))


def _tool_in(out: Conversation, message: Json, at: str) -> None:
    _gather(out, result_in(message, at, out.calls), at)


def _function_in(out: Conversation, message: Json, at: str) -> None:
    name = needed_text(message, "name", at)
    call_id = out.functions.get(name, name)
    parts = result_parts_in(message, at)
    _gather(out, ToolResult(id=call_id, parts=parts, name=name, at=at), at)


def _gather(out: Conversation, result: ToolResult, at: str) -> None:
    if out.gathering:
        last = out.turns[-1]
        out.turns[-1] = replace(last, parts=(*last.parts, result))
    else:
        out.turns.append(Turn(role="user", parts=(result,), at=at))


def _content(message: Json, at: str) -> tuple[Part, ...]:
    """The content; a cache mark on the message itself belongs to its last part."""
    parts = content_in(message, at)
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
