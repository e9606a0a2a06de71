"""A tool call's arguments: the string on the wire <-> the object they mean."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.request import ToolCall


def parse_arguments(text: str) -> tuple[dict[str, Any] | None, str | None]:
    """`(arguments, raw_arguments)`: the object, or the string if it is not a JSON object.

    An empty string and `null` mean no arguments; several providers send them for `{}`.
    """
    if not text.strip():
        return {}, None
    try:
        arguments = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None, text
    if arguments is None:
        return {}, None
    return (arguments, None) if isinstance(arguments, dict) else (None, text)


def render_arguments(call: ToolCall) -> str:
    """A call's arguments as a string; invalid JSON is returned as the model wrote it."""
    if call.arguments is None:
        return call.raw_arguments or ""
    return msgspec.json.encode(call.arguments).decode()
