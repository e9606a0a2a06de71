"""Places and values of a JSON body, and other values to try in their stead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

Pointer = tuple[str | int, ...]
GONE = object()
# Values that enumerations of the dialects have: only one of its own moves such a field.
_WORD = re.compile(r"[a-z][a-z_]{1,23}")
_WORDS = ("length", "max_tokens", "tool_calls", "tool_use", "high", "low", "none", "any")


def leaves(value: Any, at: Pointer = ()) -> Iterator[tuple[Pointer, Any]]:
    """Every scalar and every empty container, with the way to it."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*at, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*at, index))
    else:
        yield at, value


def text_of(pointer: Pointer) -> str:
    """The pointer as RFC 6901 writes it."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in pointer)


def stamp(number: int) -> str:
    """A string found nowhere else; letters and digits in fours, as base64 wants them."""
    return f"Zq{number:08d}qZ"


def shaped(value: str, stamp: str) -> str:
    """The stamp in the shape of the value: a URL stays one, and JSON, and base64."""
    if value.startswith("data:"):
        head, comma, _ = value.partition(",")
        return f"{head}{comma}{stamp}"
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


def others(value: Any) -> list[Any]:
    """Other values to try in a value's place; the last takes it away."""
    match value:
        case bool():
            return [not value, GONE]
        case int():
            return [value + 1, value * 2 + 7, GONE]
        case float():
            return [value * 0.5 + 0.125, GONE]
        case str():
            words = _WORDS if _WORD.fullmatch(value) else ()
            return [f"{value}Zq", GONE, *(word for word in words if word != value)]
        case dict():
            return [{stamp(0): 1}, GONE]
        case list():
            return [[stamp(0)], GONE]
        case _:
            return [GONE]


def equal(one: Any, other: Any) -> bool:
    """Equal, and of one type: 1 is not true."""
    return type(one) is type(other) and bool(one == other)


def holds(place: Any, value: Any) -> bool:
    """Whether a place holds the value as it was, alone or joined with others."""
    if equal(place, value):
        return True
    return isinstance(place, str) and isinstance(value, str) and len(value) > 3 and value in place


def put(value: Any, pointer: Pointer, other: Any) -> Any:
    """A copy of the body with another value at one place, or without it."""
    if not pointer:
        return other
    head, rest = pointer[0], pointer[1:]
    if isinstance(value, dict):
        changed: Any = dict(value)
        if not rest and other is GONE:
            del changed[head]
        else:
            changed[head] = put(value[head], rest, other)
        return changed
    changed = list(value)
    assert isinstance(head, int)
    if not rest and other is GONE:
        del changed[head]
    else:
        changed[head] = put(value[head], rest, other)
    return changed
