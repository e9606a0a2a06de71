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
# Keys and indexes from the request to an object, the last one first: (path of its parent, key).
_Path = tuple[Any, ...]


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


class KnownFields(msgspec.Struct, kw_only=True):
    """A description in the form that is fast to compare: each request is searched by it.

    Attributes:
        names: the fields of the object; None if its own parser reports the other ones.
        inner: the fields with objects to search, and the form of those.
        kind_key, kinds, default_kind: as in `Kinds`; `kinds` is None for a single kind.
    """

    names: frozenset[str] | None = None
    inner: list[tuple[str, KnownFields]] = []
    kind_key: str = ""
    kinds: dict[str, KnownFields] | None = None
    default_kind: str = ""


def named(*names: str) -> dict[str, Any]:
    """The description of an object whose values are read as a whole."""
    return dict.fromkeys(names)


def compile_fields(description: Known | Kinds) -> KnownFields:
    """The form of a description that `unread_fields` takes. Descriptions may contain themselves."""
    return _compile(description, {})


def _compile(description: Known | Kinds, compiled: dict[int, KnownFields]) -> KnownFields:
    if (known := compiled.get(id(description))) is not None:
        return known
    fields = compiled[id(description)] = KnownFields()
    if isinstance(description, Kinds):
        fields.kind_key, fields.default_kind = description.key, description.default
        fields.kinds = {
            kind: _compile(inner, compiled) for kind, inner in description.fields.items()
        }
    else:
        fields.names = None if OTHERS in description else frozenset(description)
        fields.inner = [
            (key, _compile(inner, compiled))
            for key, inner in description.items()
            if inner is not None
        ]
    return fields


def unread_fields(body: dict[str, Any], known: KnownFields) -> dict[str, dict[str, Any]]:
    """The fields that are not known, by path, as `Request.extra`; empty if there are none."""
    found: dict[str, Any] = {}
    _search({"": body}, known, (), found, 0)
    return {UNREAD: found} if found else {}


def _search(
    values: dict[str, Any] | list[Any],
    known: KnownFields,
    path: _Path,
    found: dict[str, Any],
    depth: int,
) -> None:
    """Search the elements of a list, or one object by its key."""
    for key, value in values.items() if type(values) is dict else enumerate(values):
        if type(value) is not dict:
            continue
        fields = known
        if known.kinds is not None:
            if known.kind_key:
                kind = value.get(known.kind_key) or known.default_kind
            else:
                kind = next((name for name, item in value.items() if item is not None), None)
            fields_of_kind = known.kinds.get(kind) if type(kind) is str else None
            if fields_of_kind is None:
                continue
            fields = fields_of_kind
        if fields.names is not None and not fields.names.issuperset(value):
            for name, item in value.items():
                if name not in fields.names and item is not None:
                    found[_render_path(((path, key), name))] = item
        if depth < _MAX_DEPTH:
            for name, inner in fields.inner:
                item = value.get(name)
                if type(item) is list:
                    _search(item, inner, ((path, key), name), found, depth + 1)
                elif type(item) is dict:
                    _search({name: item}, inner, (path, key), found, depth + 1)


def _render_path(path: _Path) -> str:
    """The path of a field as in an error: `messages[0].content`."""
    text = ""
    while path:
        path, key = path
        text = (f"[{key}]" if isinstance(key, int) else f".{key}") + text
    return text.lstrip(".")
