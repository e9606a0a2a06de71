"""JSON Schemas of tools and outputs in the form that OpenAI's strict mode requires."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.canon.object_schema import merge_into_object
from gateway.canon.request import Part, Text
from gateway.canon.schema import has_untyped_part, restrict_to_openai_strict, with_array_items

Json = dict[str, Any]

_EMPTY_OBJECT: Json = {"type": "object", "properties": {}}


def object_parameters(schema: Json | None) -> Json:
    """A schema in the form providers accept: an object, without `$schema`, arrays with items."""
    if not schema:
        return dict(_EMPTY_OBJECT)
    out = {key: value for key, value in with_array_items(schema).items() if key != "$schema"}
    if out.get("type") == "object" and "properties" not in out:
        out["properties"] = {}
    return out or dict(_EMPTY_OBJECT)


def tool_parameters(schema: Json | None) -> tuple[Json, str]:
    """A tool's schema with an object as its root, and a description of the changes."""
    return merge_into_object(object_parameters(schema))


def mentions_json(parts: Iterable[Part]) -> bool:
    """Whether a text contains the word JSON, which OpenAI requires for its JSON mode."""
    return any("json" in part.text.lower() for part in parts if isinstance(part, Text))


def strict_schema(schema: Json) -> tuple[Json, tuple[str, ...]] | None:
    """The schema for strict mode and the changes made; None if it has no strict form.

    The root must be an object, and each part must have a type: "schema must have a 'type' key".
    """
    if schema.get("type") != "object" or "anyOf" in schema or "oneOf" in schema:
        return None
    strict, changes = restrict_to_openai_strict(schema)
    return None if has_untyped_part(strict) else (strict, tuple(changes))
