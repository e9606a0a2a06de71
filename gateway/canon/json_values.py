"""JSON from others, which may be invalid or have values of any type."""

from __future__ import annotations

from typing import Any

import msgspec


def decode_or_none(data: bytes | str | msgspec.Raw) -> Any:
    """The value in a JSON text; None if it is not JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def to_raw(value: Any) -> msgspec.Raw:
    """The value as JSON that is inserted into other JSON without decoding it."""
    return msgspec.Raw(msgspec.json.encode(value))


def list_or_empty(value: Any) -> list[Any]:
    """The value if it is a list, else an empty list."""
    return value if isinstance(value, list) else []


def dict_items(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; none for any other value."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def string_items(value: Any) -> list[str]:
    """The strings in a list; none for any other value."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
