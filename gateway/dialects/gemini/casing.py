"""A client's JSON as Google's has it: names, lists, and nothing that is null.

Its API reads `snake_case` as well, one object where a list of them is meant (its own
examples write `"parts": {"text": ...}`), and `null` as unsaid.
"""

from __future__ import annotations

import re
from typing import Any

_SNAKE = re.compile(r"_([a-z0-9])")
# What is inside these is the client's own: arguments, results, schemas, labels.
_CLIENT_DEFINED_FIELDS = frozenset(
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
_LIST_FIELDS = frozenset({"contents", "parts", "tools", "functionDeclarations", "requests"})
_MAX_DEPTH = 40


def camel_case_keys(value: Any, depth: int = 0) -> Any:
    """The value with `camelCase` names, lists, and no nulls, wherever the names are Google's."""
    if type(value) is list:
        return [camel_case_keys(item, depth + 1) for item in value] if depth < _MAX_DEPTH else value
    if type(value) is not dict or depth >= _MAX_DEPTH:
        return value
    out = {}
    for name, item in value.items():
        if item is None:
            continue
        key = camel_case(name) if "_" in name else name
        if key in _LIST_FIELDS and type(item) is dict:
            item = [item]
        out[key] = item if key in _CLIENT_DEFINED_FIELDS else camel_case_keys(item, depth + 1)
    return out


def camel_case(name: str) -> str:
    """One name in `camelCase`."""
    return _SNAKE.sub(lambda match: match[1].upper(), name)
