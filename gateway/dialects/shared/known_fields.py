"""Fields of a client's request that its dialect does not read, found by the known ones.

A description of an object names its fields: None for a value that is read as a whole, else the
description of the object or of the objects in the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

# The key in `Request.extra` of fields that no dialect can be sent.
UNREAD = "unread"
# In a description: the other fields of the object are reported by its own parser.
OTHERS = "*"
# Deeper objects are not searched: no parser accepts them.
_MAX_DEPTH = 32

Known = Mapping[str, Any]


class Kinds(msgspec.Struct, frozen=True):
    """Objects whose fields depend on their kind; an object of another kind is read as a whole.

    Attributes:
        key: the field with the kind; empty for objects whose only field is the kind.
        fields: a kind -> the description of its objects.
        default: the kind of an object without the field.
    """

    key: str
    fields: dict[str, Known]
    default: str = ""


def named(*names: str) -> dict[str, Any]:
    """The description of an object whose values are read as a whole."""
    return dict.fromkeys(names)


def unread_fields(body: dict[str, Any], known: Known) -> dict[str, dict[str, Any]]:
    """The fields that are not in the description, by path, as `Request.extra`; empty if none."""
    found: dict[str, Any] = {}
    _collect(body, known, "", found, 0)
    return {UNREAD: found} if found else {}


def _collect(
    value: dict[str, Any], known: Known | Kinds, path: str, found: dict[str, Any], depth: int
) -> None:
    if depth > _MAX_DEPTH:
        return
    if isinstance(known, Kinds):
        fields = _fields_of_kind(value, known)
        if fields is None:
            return
        known = fields
    for key, item in value.items():
        if item is None:
            continue
        if key not in known:
            if OTHERS not in known:
                found[f"{path}.{key}" if path else key] = item
            continue
        inner = known[key]
        if inner is None:
            continue
        inner_path = f"{path}.{key}" if path else key
        if type(item) is dict:
            _collect(item, inner, inner_path, found, depth + 1)
        elif type(item) is list:
            for index, element in enumerate(item):
                if type(element) is dict:
                    _collect(element, inner, f"{inner_path}[{index}]", found, depth + 1)


def _fields_of_kind(value: dict[str, Any], kinds: Kinds) -> Known | None:
    if kinds.key:
        kind = value.get(kinds.key) or kinds.default
    else:
        kind = next((key for key, item in value.items() if item is not None), None)
    return kinds.fields.get(kind) if isinstance(kind, str) else None
