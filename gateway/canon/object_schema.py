"""A tool's JSON Schema with a plain object at its root.

Most providers refuse alternatives and references there, or read `properties` alone. The
properties of all alternatives are merged, so that the model still sees them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.canon.json_values import list_or_empty
from gateway.canon.schema import Schema, resolve_ref

_ALTERNATIVES = ("oneOf", "anyOf")
_NOT_AT_ROOT = (*_ALTERNATIVES, "allOf", "$ref", "enum", "not")
_EMPTY_SCHEMA: Schema = {"type": "object", "properties": {}}
# Alternatives within alternatives; a recursive schema ends here.
_MAX_DEPTH = 8

# The forms that each property has, and the properties that are required.
_Members = tuple[dict[str, list[Any]], list[str]]


def merge_into_object(schema: Schema | None) -> tuple[Schema, str]:
    """The schema as an object with properties, and a description of the changes made."""
    if not schema:
        return dict(_EMPTY_SCHEMA), ""
    if has_null_members(schema):
        schema = _without_null_members(schema)
    merged_keywords = [key for key in _NOT_AT_ROOT if key in schema]
    if not merged_keywords and schema.get("type") == "object":
        return schema, ""
    forms, required = _collect_members(schema, schema, 0)
    out: Schema = {key: value for key, value in schema.items() if key not in merged_keywords}
    if "description" not in out and (description := _referenced_description(schema)):
        out["description"] = description
    out["type"] = "object"
    out["properties"] = {name: _merge_alternatives(schemas) for name, schemas in forms.items()}
    if required:
        out["required"] = required
    else:
        out.pop("required", None)
    reason = ""
    if merged_keywords:
        keywords = ", ".join(merged_keywords)
        reason = f"{keywords} at the root of a tool's schema merged into one object"
    elif isinstance(kind := schema.get("type"), str):
        reason = f"{kind} at the root of a tool's schema became an object"
    return out, reason


def has_null_members(schema: Schema) -> bool:
    """Whether the properties or their list of required names are null, as clients in Go write."""
    return any(schema.get(key, schema) is None for key in ("properties", "required"))


def _without_null_members(schema: Schema) -> Schema:
    out = {k: v for k, v in schema.items() if v is not None or k not in {"properties", "required"}}
    return {**out, "properties": out.get("properties", {})}


def _collect_members(node: Schema, root: Schema, depth: int) -> _Members:
    properties = node.get("properties")
    forms = (
        {name: [schema] for name, schema in properties.items()}
        if isinstance(properties, dict)
        else {}
    )
    required = [name for name in list_or_empty(node.get("required")) if isinstance(name, str)]
    if depth == _MAX_DEPTH:
        return forms, required
    referenced_schema = (
        resolve_ref(root, node["$ref"]) if isinstance(node.get("$ref"), str) else None
    )
    for part in (referenced_schema, *list_or_empty(node.get("allOf"))):
        if isinstance(part, dict):
            member_forms, required_names = _collect_members(part, root, depth + 1)
            _add_forms(forms, member_forms)
            required += required_names
    for key in _ALTERNATIVES:
        branches = [
            _collect_members(branch, root, depth + 1)
            for branch in list_or_empty(node.get(key))
            if isinstance(branch, dict) and branch.get("type", "object") == "object"
        ]
        for member_forms, _ in branches:
            _add_forms(forms, member_forms)
        first_required, *further_required = [required_names for _, required_names in branches] or [
            []
        ]
        required += [
            name
            for name in first_required
            if all(name in required_names for required_names in further_required)
        ]
    unique_forms = {name: _unique_values(schemas) for name, schemas in forms.items()}
    return unique_forms, list(dict.fromkeys(required))


def _add_forms(forms: dict[str, list[Any]], added_forms: dict[str, list[Any]]) -> None:
    for name, schemas in added_forms.items():
        forms.setdefault(name, []).extend(schemas)


def _merge_alternatives(schemas: list[Any]) -> Any:
    """One schema that accepts every value that any of them accepts."""
    if len(schemas) == 1:
        return schemas[0]
    enum_values = [_enum_values(schema) for schema in schemas]
    if all(enum_values):
        kinds = {schema.get("type") for schema in schemas}
        kind = {"type": kinds.pop()} if len(kinds) == 1 and None not in kinds else {}
        unique_values = _unique_values(value for values in enum_values for value in values)
        return {**kind, "enum": unique_values}
    return {"anyOf": schemas}


def _enum_values(schema: Any) -> list[Any]:
    """The values of an `enum` or `const`; empty for a schema with any other constraint."""
    if not isinstance(schema, dict) or schema.keys() - {"type", "const", "enum", "title"}:
        return []
    return [schema["const"]] if "const" in schema else list_or_empty(schema.get("enum"))


def _unique_values(values: Iterable[Any]) -> list[Any]:
    """The values without duplicates, compared as JSON: lists would be compared in square time."""
    return list(
        {msgspec.json.encode(value, order="deterministic"): value for value in values}.values()
    )


def _referenced_description(schema: Schema) -> str:
    """The description behind a reference at the root."""
    ref = schema.get("$ref")
    referenced_schema = resolve_ref(schema, ref) if isinstance(ref, str) else None
    description = (
        referenced_schema.get("description") if isinstance(referenced_schema, dict) else None
    )
    return description if isinstance(description, str) else ""
