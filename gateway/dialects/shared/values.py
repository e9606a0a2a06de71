"""Values in a provider's JSON, where a wrong type counts as absent."""

from __future__ import annotations

from typing import Any


def string_or_empty(value: Any) -> str:
    """The value if it is a string, else an empty string."""
    return value if isinstance(value, str) else ""


def string_or_none(value: Any) -> str | None:
    """The value if it is a string."""
    return value if isinstance(value, str) else None


def integer_or_none(value: Any) -> int | None:
    """The value if it is an integer."""
    return value if type(value) is int else None


def natural_or_none(value: Any) -> int | None:
    """The value if it is an integer that is not negative."""
    return value if type(value) is int and value >= 0 else None


def list_or_empty(value: Any) -> list[Any]:
    """The value if it is a list, else an empty list."""
    return value if isinstance(value, list) else []


def object_or_empty(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def token_count(usage: dict[str, Any], name: str) -> int | None:
    """The number of tokens in a field; None if it is not reported, and never negative."""
    value = usage.get(name)
    return max(0, value) if type(value) is int else None
