"""JSON Schema in the subset that Gemini takes, and Google's own `Schema` as JSON Schema.

Keywords outside the subset are moved to the description, where the model reads them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.gemini.casing import camel_case
from gateway.dialects.gemini.names import Json

# ai.google.dev, structured outputs: the documented keywords of `*JsonSchema`.
_SUPPORTED_KEYWORDS = frozenset(
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
# Keywords for tooling, not for a model: dropped without a note in the description.
_TOOLING_KEYWORDS = frozenset(
    {"$schema", "$comment", "examples", "deprecated", "readOnly", "writeOnly"}
)
_MAX_DEPTH = 100
_OLD_DEFS, _NEW_DEFS = "#/definitions/", "#/$defs/"

# --- for a provider ----------------------------------------------------------------------


def to_gemini_schema(schema: Json) -> tuple[Json, list[str]]:
    """The schema in Gemini's subset, and the keywords that had to be changed."""
    changed: dict[str, None] = {}
    return _convert_schema(schema, changed, 0), list(changed)


def _convert_schema(schema: Json, changed: dict[str, None], depth: int) -> Json:
    if depth > _MAX_DEPTH:
        changed["nesting"] = None
        return schema
    schema = _rename_keywords(_unwrap_all_of(schema), changed)
    if "$ref" in schema:
        return _convert_reference(schema, changed, depth)
    unsupported_keywords = [
        key for key in schema if key not in _SUPPORTED_KEYWORDS or _is_unsupported(key, schema[key])
    ]
    changed.update(dict.fromkeys(unsupported_keywords))
    dropped = frozenset(unsupported_keywords)
    out = {key: value for key, value in schema.items() if key not in dropped}
    _append_to_description(
        out, schema, [key for key in unsupported_keywords if key not in _TOOLING_KEYWORDS]
    )
    return _convert_subschemas(out, changed, depth)


def _convert_subschemas(out: Json, changed: dict[str, None], depth: int) -> Json:
    for key in ("properties", "$defs"):
        if isinstance(out.get(key), dict):
            out[key] = {name: _convert_inner(s, changed, depth) for name, s in out[key].items()}
    for key in ("anyOf", "oneOf", "prefixItems", "items", "additionalProperties"):
        if key in out:
            out[key] = _convert_inner(out[key], changed, depth)
    return out


def _convert_inner(value: Any, changed: dict[str, None], depth: int) -> Any:
    """A schema, or each of a list of them; `true` and `false` are schemas too."""
    if isinstance(value, list):
        return [_convert_inner(item, changed, depth + 1) for item in value]
    return _convert_schema(value, changed, depth + 1) if isinstance(value, dict) else value


def _unwrap_all_of(schema: Json) -> Json:
    """The schema with a single-element `allOf` (as pydantic writes references) inlined."""
    parts = schema.get("allOf")
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict):
        return schema
    return {**parts[0], **{key: value for key, value in schema.items() if key != "allOf"}}


def _rename_keywords(schema: Json, changed: dict[str, None]) -> Json:
    """The schema with keywords renamed to those that Gemini supports."""
    out = dict(schema)
    if "definitions" in out and "$defs" not in out:
        out["$defs"] = out.pop("definitions")
    if "const" in out and "enum" not in out and _is_enum_value(out["const"]):
        changed["const"] = None
        out["enum"] = [out.pop("const")]
    return out


def _convert_reference(schema: Json, changed: dict[str, None], depth: int) -> Json:
    """A reference, which may have no neighbours but those with a `$`."""
    out = {
        key: value
        for key, value in schema.items()
        if key.startswith("$") and key not in _TOOLING_KEYWORDS
    }
    changed.update(dict.fromkeys(key for key in schema if key not in out))
    if isinstance(out["$ref"], str):
        out["$ref"] = out["$ref"].replace(_OLD_DEFS, _NEW_DEFS)
    return _convert_subschemas(out, changed, depth)


def _is_unsupported(key: str, value: Any) -> bool:
    if key == "enum":
        return not isinstance(value, list) or not all(map(_is_enum_value, value))
    return False


def _is_enum_value(value: Any) -> bool:
    """Whether an enum may hold it: strings and numbers only."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _append_to_description(out: Json, schema: Json, unsupported_keywords: list[str]) -> None:
    if not unsupported_keywords:
        return
    keyword_text = ", ".join(f"{key}: {_value_text(schema[key])}" for key in unsupported_keywords)
    description = out.get("description")
    out["description"] = (
        f"{description}\n\n{keyword_text}"
        if isinstance(description, str) and description
        else keyword_text
    )


def _value_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


# --- a client's --------------------------------------------------------------------------

_COUNT_KEYWORDS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
)


def from_google_schema(schema: Any, depth: int = 0) -> Any:
    """Google's `Schema` (upper-case types, `nullable`, counts as strings) as JSON Schema."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return schema
    out: Json = {}
    for name, value in schema.items():
        _set_keyword(out, camel_case(name), value, depth)
    if out.pop("nullable", None) is True:
        _make_nullable(out)
    _order_properties(out, out.pop("propertyOrdering", None))
    return out


def _set_keyword(out: Json, key: str, value: Any, depth: int) -> None:
    if key == "type" and isinstance(value, str):
        if value.upper() != "TYPE_UNSPECIFIED":
            out["type"] = value.lower()
    elif key in {"properties", "defs", "$defs"} and isinstance(value, dict):
        name = "$defs" if key == "defs" else key
        out[name] = {inner: from_google_schema(item, depth + 1) for inner, item in value.items()}
    elif key in {"anyOf", "oneOf", "prefixItems"} and isinstance(value, list):
        out[key] = [from_google_schema(item, depth + 1) for item in value]
    elif key in {"items", "additionalProperties"}:
        out[key] = from_google_schema(value, depth + 1)
    elif key in _COUNT_KEYWORDS and isinstance(value, str) and value.isdigit():
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


def _order_properties(out: Json, order: Any) -> None:
    """Put the properties into the order that was asked for: JSON keeps it."""
    properties = out.get("properties")
    if isinstance(order, list) and isinstance(properties, dict):
        first = {name: properties[name] for name in order if name in properties}
        out["properties"] = {**first, **properties}
