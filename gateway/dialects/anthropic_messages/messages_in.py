"""The messages of a client's body -> turns."""

from __future__ import annotations

from typing import Any, get_args

from gateway.canon.errors import invalid
from gateway.canon.request import Role, Turn
from gateway.dialects.anthropic_messages.blocks_in import content_in, system_message_in
from gateway.dialects.anthropic_messages.names import Json
from gateway.dialects.anthropic_messages.thinking import effort_in
from gateway.dialects.fields import items, text

_ROLES = get_args(Role)
_SYSTEM = frozenset({"role", "content", "output_config"})


def turns_in(body: Json, rest: Json) -> tuple[Turn, ...]:
    """The conversation. Raises GatewayError naming the message at fault."""
    messages = items(body, "messages")
    if not messages:
        raise invalid("messages is required: give a list of at least one message", "messages")
    return tuple([_turn_in(message, f"messages[{i}]", rest) for i, message in enumerate(messages)])


def _turn_in(message: Json, at: str, rest: Json) -> Turn:
    role: Any = message.get("role")
    if role not in _ROLES:
        path = f"{at}.role"
        said = text(message, "role", at)
        got = "it is missing" if said is None else f"not {said[:60]!r}"
        raise invalid(f"{path} must be one of {', '.join(_ROLES)}, {got}", path)
    if role != "system":
        return Turn(role=role, parts=content_in(message, at, rest), at=at)
    if not message.keys() <= _SYSTEM:
        rest |= {f"{at}.{key}": message[key] for key in message if key not in _SYSTEM}
    path = at if type(message.get("content")) is str else f"{at}.content"
    parts = system_message_in(message.get("content"), path, rest)
    return Turn(role=role, parts=parts, effort=effort_in(message, at), at=at)
