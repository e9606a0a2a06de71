"""Leaves of a JSON body, and replacement values for tracing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

Pointer = tuple[str | int, ...]
REMOVED = object()
# Values of enumerations in the dialects: such fields only accept their own values.
_ENUM_VALUE = re.compile(r"[a-z][a-z_]{1,23}")
_ENUM_CANDIDATES = ("length", "max_tokens", "tool_calls", "tool_use", "high", "low", "none", "any")


def leaves(value: Any, pointer: Pointer = ()) -> Iterator[tuple[Pointer, Any]]:
    """Every scalar and every empty container, with its pointer."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*pointer, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*pointer, index))
    else:
        yield pointer, value


def pointer_text(pointer: Pointer) -> str:
    """Pointer in the syntax of RFC 6901."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in pointer)


def unique_string(number: int) -> str:
    """Unique string; its length is a multiple of four, so that it is valid base64."""
    return f"Zq{number:08d}qZ"


def format_stamp(value: str, stamp: str) -> str:
    """Stamp in the format of the value: URL, JSON or base64."""
    if value.startswith("data:"):
        header, comma, _ = value.partition(",")
        return f"{header}{comma}{stamp}"
    if value.startswith(("http://", "https://")):
        return f"https://{stamp}.test/a"
    if value.startswith("{") and _is_object(value):
        return f'{{"{stamp}": 1}}'
    return stamp


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.MsgspecError, RecursionError):
        return False


def replacement_values(value: Any) -> list[Any]:
    """Replacement values to try, and REMOVED."""
    match value:
        case bool():
            return [not value, REMOVED]
        case int():
            return [value + 1, value * 2 + 7, REMOVED]
        case float():
            return [value * 0.5 + 0.125, REMOVED]
        case str():
            candidates = _ENUM_CANDIDATES if _ENUM_VALUE.fullmatch(value) else ()
            return [
                f"{value}Zq",
                REMOVED,
                *(candidate for candidate in candidates if candidate != value),
            ]
        case dict():
            return [{unique_string(0): 1}, REMOVED]
        case list():
            return [[unique_string(0)], REMOVED]
        case _:
            return [REMOVED]


def strictly_equal(left_value: Any, right_value: Any) -> bool:
    """Whether two values are equal and of the same type; 1 is not `true`."""
    return type(left_value) is type(right_value) and bool(left_value == right_value)


def contains_value(target_value: Any, value: Any) -> bool:
    """Whether a target has the unchanged value, alone or within a longer text."""
    if strictly_equal(target_value, value):
        return True
    return (
        isinstance(target_value, str)
        and isinstance(value, str)
        and len(value) > 3
        and value in target_value
    )


def replace_value(value: Any, pointer: Pointer, replacement: Any) -> Any:
    """Copy of the body with one value replaced or removed."""
    if not pointer:
        return replacement
    first_key, remaining_pointer = pointer[0], pointer[1:]
    if isinstance(value, dict):
        updated_value: Any = dict(value)
        if not remaining_pointer and replacement is REMOVED:
            del updated_value[first_key]
        else:
            updated_value[first_key] = replace_value(
                value[first_key], remaining_pointer, replacement
            )
        return updated_value
    updated_value = list(value)
    assert isinstance(first_key, int)
    if not remaining_pointer and replacement is REMOVED:
        del updated_value[first_key]
    else:
        updated_value[first_key] = replace_value(value[first_key], remaining_pointer, replacement)
    return updated_value
