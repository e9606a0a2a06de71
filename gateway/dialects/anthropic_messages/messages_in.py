"""The messages of a client's body -> turns."""

from __future__ import annotations

from typing import Any, get_args

from gateway.canon.errors import invalid
from gateway.canon.request import Role, Turn
from gateway.dialects.anthropic_messages.blocks_in import parse_content, parse_system_message
from gateway.dialects.anthropic_messages.names import Json
from gateway.dialects.anthropic_messages.thinking import parse_effort
from gateway.dialects.shared.fields import objects, text

_ROLES = get_args(Role)
_SYSTEM_FIELDS = frozenset({"role", "content", "output_config"})


def parse_turns(body: Json, extra: Json) -> tuple[Turn, ...]:
    """The conversation. Raises GatewayError naming the message at fault."""
    messages = objects(body, "messages")
    if not messages:
        raise invalid("messages is required: give a list of at least one message", "messages")
    return tuple(
        [_parse_turn(message, f"messages[{i}]", extra) for i, message in enumerate(messages)]
    )


def _parse_turn(message: Json, path: str, extra: Json) -> Turn:
    role: Any = message.get("role")
    if role not in _ROLES:
        role_path = f"{path}.role"
        role_value = text(message, "role", path)
        problem = "it is missing" if role_value is None else f"not {role_value[:60]!r}"
        raise invalid(f"{role_path} must be one of {', '.join(_ROLES)}, {problem}", role_path)
    if role != "system":
        return Turn(role=role, parts=parse_content(message, path, extra), path=path)
    if not message.keys() <= _SYSTEM_FIELDS:
        extra |= {f"{path}.{key}": message[key] for key in message if key not in _SYSTEM_FIELDS}
    role_path = path if type(message.get("content")) is str else f"{path}.content"
    parts = parse_system_message(message.get("content"), role_path, extra)
    return Turn(role=role, parts=parts, effort=parse_effort(message, path), path=path)
