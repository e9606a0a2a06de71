"""JSON Schema in the subset that OpenAI's strict mode understands.

Root an object; every property required; no further properties; none of the
keywords in UNKNOWN (developers.openai.com, structured outputs, 2026-08).
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

UNKNOWN = (
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)
_EMPTY: Json = {"type": "object", "properties": {}}
# Where schemas sit inside a schema: in a map, in a list, alone.
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "prefixItems")
_SINGLE = ("items",)


def parameters(schema: Json | None) -> Json:
    """A tool's schema as providers accept it: an object, without its `$schema`."""
    if not schema:
        return dict(_EMPTY)
    out = {key: value for key, value in schema.items() if key != "$schema"}
    if out.get("type") == "object" and "properties" not in out:
        out["properties"] = {}
    return out or dict(_EMPTY)


def is_strict(schema: Json) -> bool:
    """Whether strict mode takes the schema as it is."""
    made = made_strict(schema)
    return made is not None and not made[1]


def made_strict(schema: Json) -> tuple[Json, tuple[str, ...]] | None:
    """The schema for strict mode and what was changed; None if its root is no object."""
    if schema.get("type") != "object" or "anyOf" in schema or "oneOf" in schema:
        return None
    changes: dict[str, None] = {}
    return _strict(schema, changes), tuple(changes)


def _strict(schema: Json, changes: dict[str, None]) -> Json:
    out = {k: v for k, v in schema.items() if k not in {"$schema", "$id", *UNKNOWN}}
    _describe(out, schema, changes)
    if "oneOf" in out:
        changes["oneOf became anyOf"] = None
        out["anyOf"] = [*out.get("anyOf", []), *_list(out.pop("oneOf"))]
    for key in _MAPS:
        if isinstance(out.get(key), dict):
            out[key] = {n: _inner(s, changes) for n, s in out[key].items()}
    for key in _LISTS:
        if isinstance(out.get(key), list):
            out[key] = [_inner(s, changes) for s in out[key]]
    for key in _SINGLE:
        if key in out:
            out[key] = _inner(out[key], changes)
    if out.get("type") == "object" or "properties" in out:
        _close(out, changes)
    return out


def _inner(schema: Any, changes: dict[str, None]) -> Any:
    return _strict(schema, changes) if isinstance(schema, dict) else schema


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _describe(out: Json, schema: Json, changes: dict[str, None]) -> None:
    """Say in the description what strict mode has no keyword for."""
    lost = [key for key in UNKNOWN if key in schema]
    if not lost:
        return
    for key in lost:
        changes[f"{key} moved to the description"] = None
    said = ", ".join(f"{key}: {schema[key]}" for key in lost)
    told = out.get("description")
    out["description"] = f"{told} ({said})" if isinstance(told, str) and told else said


def _close(out: Json, changes: dict[str, None]) -> None:
    """Make every property required, those that were not also null, and allow no others."""
    properties = out.setdefault("properties", {})
    if out.get("additionalProperties") is not False:
        changes["additionalProperties became false"] = None
        out["additionalProperties"] = False
    required = _list(out.get("required", []))
    if not isinstance(properties, dict):
        return
    optional = [name for name in properties if name not in required]
    for name in optional:
        changes["optional properties became required and nullable"] = None
        properties[name] = _nullable(properties[name])
    if optional or "required" in out or not properties:
        out["required"] = list(properties)


def _nullable(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if isinstance(kind, str | list):
        kinds = [kind] if isinstance(kind, str) else kind
        out = {**schema, "type": kinds if "null" in kinds else [*kinds, "null"]}
        if isinstance(out.get("enum"), list) and None not in out["enum"]:
            out["enum"] = [*out["enum"], None]
        return out
    return {"anyOf": [schema, {"type": "null"}]}
