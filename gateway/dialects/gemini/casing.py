"""Field names as Google's JSON has them: a client may write `snake_case` as well."""

from __future__ import annotations

import re
from typing import Any

_SNAKE = re.compile(r"_([a-z0-9])")
# What is inside these is the client's own: arguments, results, schemas, labels.
_OPAQUE = frozenset(
    {
        "args",
        "response",
        "parameters",
        "parametersJsonSchema",
        "responseJsonSchema",
        "responseSchema",
        "labels",
    }
)
_DEEPEST = 40


def camel(value: Any, depth: int = 0) -> Any:
    """The value with `camelCase` names wherever the names are Google's."""
    if type(value) is list:
        return [camel(item, depth + 1) for item in value] if depth < _DEEPEST else value
    if type(value) is not dict or depth >= _DEEPEST:
        return value
    out = {}
    for name, item in value.items():
        key = camel_name(name) if "_" in name else name
        out[key] = item if key in _OPAQUE else camel(item, depth + 1)
    return out


def camel_name(name: str) -> str:
    """One name in `camelCase`."""
    return _SNAKE.sub(lambda match: match[1].upper(), name)
