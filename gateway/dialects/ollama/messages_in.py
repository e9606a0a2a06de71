"""A client's messages -> instructions and turns.

Calls have no ids here as a rule: one is made of the places of message and call, and a
result belongs to the first call of its name that has none yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from gateway.canon.arguments import parsed
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.media import from_data_url, media_type_of
from gateway.canon.request import Image, Part, Reasoning, Text, ToolCall, ToolResult, Turn
from gateway.dialects.fields import items, needed_mapping, needed_text, strings, text, wrong
from gateway.dialects.ollama.names import Json

_KNOWN = frozenset(
    {
        *("role", "content", "thinking", "images", "tool_calls"),
        *("tool_name", "tool_call_id", "name"),
    }
)


class Conversation:
    """What the messages come to; filled by `messages_in`."""

    def __init__(self) -> None:
        self.instructions: list[Text] = []
        self.turns: list[Turn] = []
        # Fields of messages that no dialect knows, by path.
        self.unknown: Json = {}
        # The calls of the last assistant turn that have no result yet.
        self.open: list[ToolCall] = []
        self.gathering = False


def nothing_asked(why: str, path: str) -> GatewayError:
    """The error for a request that only wants its model to be there."""
    return GatewayError(Error(kind="invalid_request", message=why, param=path, code="idle"))


def messages_in(body: Json) -> Conversation:
    """The conversation in a body. Raises GatewayError naming the message at fault."""
    messages = body.get("messages")
    if not messages and type(messages) in {list, type(None)}:
        raise nothing_asked("messages must hold at least one message", "messages")
    if type(messages) is not list:
        raise wrong("messages", "a list", messages)
    out = Conversation()
    for place, message in enumerate(messages):
        _message_in(out, message, place)
    return out


def _message_in(out: Conversation, message: Any, place: int) -> None:
    at = f"messages[{place}]"
    if type(message) is not dict:
        raise wrong(at, "an object with a role", message)
    role = message.get("role")
    reader = _ROLES.get(role) if type(role) is str else None
    if reader is None:
        told = "missing" if role is None else f"not {role!r}"[:60]
        raise invalid(f"{at}.role must be one of {', '.join(_ROLES)}; it is {told}", f"{at}.role")
    for key, value in message.items():
        if key not in _KNOWN and value is not None:
            out.unknown[f"{at}.{key}"] = value
    reader(out, message, place, at)
    out.gathering = role == "tool"


def _system_in(out: Conversation, message: Json, place: int, at: str) -> None:
    parts = _words(message, at)
    if not out.turns:
        out.instructions += parts
    else:
        out.turns.append(Turn(role="system", parts=tuple(parts), at=at))


def _user_in(out: Conversation, message: Json, place: int, at: str) -> None:
    parts: list[Part] = [*_words(message, at), *images_in(message, at)]
    if not parts:
        parts.append(Text(text="", at=at))
    out.turns.append(Turn(role="user", parts=tuple(parts), name=text(message, "name", at), at=at))


def _assistant_in(out: Conversation, message: Json, place: int, at: str) -> None:
    parts: list[Part] = []
    if thought := text(message, "thinking", at):
        parts.append(Reasoning(text=thought, at=f"{at}.thinking"))
    parts += _words(message, at)
    parts += images_in(message, at)
    out.open = _calls_in(message, place, at)
    parts += out.open
    out.turns.append(
        Turn(role="assistant", parts=tuple(parts), name=text(message, "name", at), at=at)
    )


def _words(message: Json, at: str) -> list[Text]:
    words = text(message, "content", at)
    return [Text(text=words, at=at)] if words else []


def images_in(holder: Json, at: str = "") -> list[Image]:
    """The pictures of a message or a prompt: base64, told apart by their first bytes."""
    found = []
    for place, value in enumerate(strings(holder, "images", at)):
        path = f"{at}.images[{place}]" if at else f"images[{place}]"
        told, data = from_data_url(value) or (None, value)
        media_type = media_type_of(data, told, "image/png")
        found.append(Image(data=data, media_type=media_type, at=path))
    return found


def _calls_in(message: Json, place: int, at: str) -> list[ToolCall]:
    path = f"{at}.tool_calls"
    listed = items(message, "tool_calls", at)
    return [_call_in(call, f"call_{place}_{n}", f"{path}[{n}]") for n, call in enumerate(listed)]


def _call_in(call: Json, made: str, at: str) -> ToolCall:
    function = needed_mapping(call, "function", at)
    path = f"{at}.function"
    arguments, raw = _arguments(function.get("arguments"), path)
    return ToolCall(
        id=text(call, "id", at) or made,
        name=needed_text(function, "name", path),
        arguments=arguments,
        raw=raw,
        at=at,
    )


def _arguments(value: Any, at: str) -> tuple[Json | None, str | None]:
    """The arguments: an object, or the string that clients of other dialects know."""
    if value is None:
        return {}, None
    if type(value) is dict:
        return value, None
    if type(value) is str:
        return parsed(value)
    raise wrong(f"{at}.arguments", "an object", value)


def _tool_in(out: Conversation, message: Json, place: int, at: str) -> None:
    name = text(message, "tool_name", at) or text(message, "name", at)
    call_id = text(message, "tool_call_id", at)
    call = _answered(out, call_id, name)
    parts: list[Part] = [*_words(message, at), *images_in(message, at)]
    result = ToolResult(
        id=call.id if call is not None else call_id or f"result_{place}",
        parts=tuple(parts),
        name=name or (call.name if call is not None else None),
        at=at,
    )
    if out.gathering:
        last = out.turns[-1]
        out.turns[-1] = replace(last, parts=(*last.parts, result))
    else:
        out.turns.append(Turn(role="user", parts=(result,), at=at))


def _answered(out: Conversation, call_id: str | None, name: str | None) -> ToolCall | None:
    """The call that a result belongs to, which then has one."""
    for place, call in enumerate(out.open):
        if call_id == call.id or (not call_id and name in {None, call.name}):
            return out.open.pop(place)
    return None


_ROLES: dict[str, Callable[[Conversation, Json, int, str], None]] = {
    "system": _system_in,
    "developer": _system_in,
    "user": _user_in,
    "assistant": _assistant_in,
    "tool": _tool_in,
}
