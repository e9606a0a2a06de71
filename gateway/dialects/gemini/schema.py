"""JSON Schema in the subset that Gemini takes, and Google's own `Schema` as JSON Schema.

What the subset has no keyword for is said in the description, where the model reads it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.gemini.casing import camel_name
from gateway.dialects.gemini.names import Json

# ai.google.dev, structured outputs: the documented keywords of `*JsonSchema`.
_KNOWN = frozenset(
    {
        "$id",
        "$defs",
        "$ref",
        "$anchor",
        "type",
        "format",
        "title",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "anyOf",
        "oneOf",
        "properties",
        "additionalProperties",
        "required",
        "propertyOrdering",
    }
)
# Meant for tools, not for a model: left out without a word in the description.
_META = frozenset({"$schema", "$comment", "examples", "deprecated", "readOnly", "writeOnly"})
_DEEPEST = 100
_OLD_DEFS, _NEW_DEFS = "#/definitions/", "#/$defs/"

# --- for a provider ----------------------------------------------------------------------


def for_gemini(schema: Json) -> tuple[Json, list[str]]:
    """The schema in Gemini's subset, and the keywords that had to be changed."""
    changed: dict[str, None] = {}
    return _fitted(schema, changed, 0), list(changed)


def _fitted(schema: Json, changed: dict[str, None], depth: int) -> Json:
    if depth > _DEEPEST:
        changed["nesting"] = None
        return schema
    schema = _renamed(_unwrapped(schema), changed)
    if "$ref" in schema:
        return _reference(schema, changed, depth)
    lost = [key for key in schema if key not in _KNOWN or _is_unknown(key, schema[key])]
    changed.update(dict.fromkeys(lost))
    out = {key: value for key, value in schema.items() if key not in lost}
    _describe(out, schema, [key for key in lost if key not in _META])
    return _descended(out, changed, depth)


def _descended(out: Json, changed: dict[str, None], depth: int) -> Json:
    for key in ("properties", "$defs"):
        if isinstance(out.get(key), dict):
            out[key] = {name: _inner(s, changed, depth) for name, s in out[key].items()}
    for key in ("anyOf", "oneOf", "prefixItems", "items", "additionalProperties"):
        if key in out:
            out[key] = _inner(out[key], changed, depth)
    return out


def _inner(value: Any, changed: dict[str, None], depth: int) -> Any:
    """A schema, or each of a list of them; `true` and `false` are schemas too."""
    if isinstance(value, list):
        return [_inner(item, changed, depth + 1) for item in value]
    return _fitted(value, changed, depth + 1) if isinstance(value, dict) else value


def _unwrapped(schema: Json) -> Json:
    """The schema with an `allOf` of one (as pydantic writes a reference) taken apart."""
    parts = schema.get("allOf")
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict):
        return schema
    return {**parts[0], **{key: value for key, value in schema.items() if key != "allOf"}}


def _renamed(schema: Json, changed: dict[str, None]) -> Json:
    """The schema with the words that Gemini has another word for."""
    out = dict(schema)
    if "definitions" in out and "$defs" not in out:
        out["$defs"] = out.pop("definitions")
    if "const" in out and "enum" not in out and _is_listed(out["const"]):
        changed["const"] = None
        out["enum"] = [out.pop("const")]
    return out


def _reference(schema: Json, changed: dict[str, None], depth: int) -> Json:
    """A reference, which may have no neighbours but those with a `$`."""
    out = {key: value for key, value in schema.items() if key.startswith("$") and key not in _META}
    changed.update(dict.fromkeys(key for key in schema if key not in out))
    if isinstance(out["$ref"], str):
        out["$ref"] = out["$ref"].replace(_OLD_DEFS, _NEW_DEFS)
    return _descended(out, changed, depth)


def _is_unknown(key: str, value: Any) -> bool:
    if key == "enum":
        return not isinstance(value, list) or not all(map(_is_listed, value))
    return False


def _is_listed(value: Any) -> bool:
    """Whether an enum may hold it: strings and numbers only."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _describe(out: Json, schema: Json, lost: list[str]) -> None:
    if not lost:
        return
    said = ", ".join(f"{key}: {_shown(schema[key])}" for key in lost)
    told = out.get("description")
    out["description"] = f"{told}\n\n{said}" if isinstance(told, str) and told else said


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


# --- a client's --------------------------------------------------------------------------

_NUMBERS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
)


def from_google(schema: Any, depth: int = 0) -> Any:
    """Google's `Schema` (upper-case types, `nullable`, counts as strings) as JSON Schema."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return schema
    out: Json = {}
    for name, value in schema.items():
        _put(out, camel_name(name), value, depth)
    if out.pop("nullable", None) is True:
        _make_nullable(out)
    _order(out, out.pop("propertyOrdering", None))
    return out


def _put(out: Json, key: str, value: Any, depth: int) -> None:
    if key == "type" and isinstance(value, str):
        if value.upper() != "TYPE_UNSPECIFIED":
            out["type"] = value.lower()
    elif key in {"properties", "defs", "$defs"} and isinstance(value, dict):
        name = "$defs" if key == "defs" else key
        out[name] = {inner: from_google(item, depth + 1) for inner, item in value.items()}
    elif key in {"anyOf", "oneOf", "prefixItems"} and isinstance(value, list):
        out[key] = [from_google(item, depth + 1) for item in value]
    elif key in {"items", "additionalProperties"}:
        out[key] = from_google(value, depth + 1)
    elif key in _NUMBERS and isinstance(value, str) and value.isdigit():
        out[key] = int(value)
    elif key == "example":
        out["examples"] = [value]
    elif key == "ref":
        out["$ref"] = value
    elif not (key == "format" and value == "enum"):
        out[key] = value


def _make_nullable(out: Json) -> None:
    kind = out.get("type")
    if isinstance(kind, str):
        out["type"] = [kind, "null"]
        if isinstance(out.get("enum"), list) and None not in out["enum"]:
            out["enum"] = [*out["enum"], None]
    elif isinstance(out.get("anyOf"), list):
        out["anyOf"] = [*out["anyOf"], {"type": "null"}]


def _order(out: Json, order: Any) -> None:
    """Put the properties into the order that was asked for: JSON keeps it."""
    properties = out.get("properties")
    if isinstance(order, list) and isinstance(properties, dict):
        first = {name: properties[name] for name in order if name in properties}
        out["properties"] = {**first, **properties}
