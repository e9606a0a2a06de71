"""A tool call's arguments: the string on the wire <-> the object they mean."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.request import ToolCall


def parsed(text: str) -> tuple[dict[str, Any] | None, str | None]:
    """`(arguments, raw)`: the object, or the string itself where it is no JSON object.

    An empty string and `null` mean no arguments; several providers send them for `{}`.
    """
    if not text.strip():
        return {}, None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None, text
    if value is None:
        return {}, None
    return (value, None) if isinstance(value, dict) else (None, text)


def written(call: ToolCall) -> str:
    """The string of a call's arguments; what did not parse is given back as it came."""
    if call.arguments is None:
        return call.raw or ""
    return msgspec.json.encode(call.arguments).decode()
