"""Readers of a client's JSON: the value of a field, or an error that names it.

Each takes the object, the key and the object's own path; an absent field and
`null` both read as None.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import GatewayError, invalid

MOST_TOKENS = 100_000_000
_LARGEST = 2**63
_WORDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def joined(at: str, key: str) -> str:
    """The path of `key` in the object at `at`."""
    return f"{at}.{key}" if at else key


def wrong(path: str, want: str, got: Any) -> GatewayError:
    """The error for a value of a type that the field can not have."""
    found = _WORDS.get(type(got), type(got).__name__)
    return invalid(f"{path} must be {want}, not {found}", path)


def text(obj: dict[str, Any], key: str, at: str = "") -> str | None:
    """A string."""
    value = obj.get(key)
    if value is None or type(value) is str:
        return value
    raise wrong(joined(at, key), "a string", value)


def needed_text(obj: dict[str, Any], key: str, at: str = "") -> str:
    """A string that must be there."""
    value = text(obj, key, at)
    if value is None:
        path = joined(at, key)
        raise invalid(f"{path} is required: give a string", path)
    return value


def flag(obj: dict[str, Any], key: str, at: str = "") -> bool | None:
    """True or false."""
    value = obj.get(key)
    if value is None or type(value) is bool:
        return value
    raise wrong(joined(at, key), "true or false", value)


def whole(
    obj: dict[str, Any],
    key: str,
    *,
    least: int = -_LARGEST,
    most: int = _LARGEST,
    at: str = "",
) -> int | None:
    """A whole number within bounds; `3.0` counts as 3."""
    value = obj.get(key)
    if value is None:
        return None
    path = joined(at, key)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise wrong(path, "a whole number", value)
    if not least <= value <= most:
        raise invalid(f"{path} must be between {least} and {most}", path)
    return value


def number(obj: dict[str, Any], key: str, *, bound: float = 1000.0, at: str = "") -> float | None:
    """A number between -bound and bound."""
    value = obj.get(key)
    if value is None:
        return None
    path = joined(at, key)
    if type(value) is not float and type(value) is not int:
        raise wrong(path, "a number", value)
    if not -bound <= value <= bound:
        raise invalid(f"{path} must be between {-bound:g} and {bound:g}", path)
    return float(value)


def mapping(obj: dict[str, Any], key: str, at: str = "") -> dict[str, Any] | None:
    """An object."""
    value = obj.get(key)
    if value is None or type(value) is dict:
        return value
    raise wrong(joined(at, key), "an object", value)


def needed_mapping(obj: dict[str, Any], key: str, at: str = "") -> dict[str, Any]:
    """An object that must be there."""
    value = mapping(obj, key, at)
    if value is None:
        path = joined(at, key)
        raise invalid(f"{path} is required: give an object", path)
    return value


def items(obj: dict[str, Any], key: str, at: str = "") -> list[dict[str, Any]]:
    """A list of objects; empty where absent."""
    value = obj.get(key)
    if value is None:
        return []
    path = joined(at, key)
    if type(value) is not list:
        raise wrong(path, "a list", value)
    for place, item in enumerate(value):
        if type(item) is not dict:
            raise wrong(f"{path}[{place}]", "an object", item)
    return value


def strings(obj: dict[str, Any], key: str, at: str = "") -> tuple[str, ...]:
    """A string or a list of strings, as a tuple; empty where absent."""
    value = obj.get(key)
    if value is None:
        return ()
    if type(value) is str:
        return (value,)
    path = joined(at, key)
    if type(value) is not list:
        raise wrong(path, "a string or a list of strings", value)
    for place, item in enumerate(value):
        if type(item) is not str:
            raise wrong(f"{path}[{place}]", "a string", item)
    return tuple(value)


def one_of(obj: dict[str, Any], key: str, words: tuple[str, ...], at: str = "") -> str | None:
    """One of `words`."""
    value = text(obj, key, at)
    if value is None or value in words:
        return value
    path = joined(at, key)
    raise invalid(f"{path} must be one of {', '.join(words)}, not {value[:60]!r}", path)


def compact(value: Any) -> str:
    """The value as compact JSON."""
    return msgspec.json.encode(value).decode()
