"""A tool's or an answer's JSON Schema as OpenAI's strict mode wants it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.canon.request import Part, Text
from gateway.canon.schema import for_openai_strict

Json = dict[str, Any]

_EMPTY: Json = {"type": "object", "properties": {}}
# What OpenAI refuses at the root of a tool's schema.
_NOT_AT_ROOT = ("oneOf", "anyOf", "allOf", "enum", "not")


def parameters(schema: Json | None) -> Json:
    """A tool's schema as providers accept it: an object, without its `$schema`."""
    if not schema:
        return dict(_EMPTY)
    out = {key: value for key, value in schema.items() if key != "$schema"}
    if out.get("type") == "object" and "properties" not in out:
        out["properties"] = {}
    return out or dict(_EMPTY)


def tool_parameters(schema: Json | None) -> tuple[Json, str]:
    """A tool's schema with a plain object for its root, and what was left out for that."""
    whole = parameters(schema)
    lost = [key for key in _NOT_AT_ROOT if key in whole]
    if not lost and whole.get("type") == "object":
        return whole, ""
    out = {key: value for key, value in whole.items() if key not in lost}
    why = f"{', '.join(lost)} at the root of a tool's schema left out" if lost else ""
    return {**out, "type": "object", "properties": out.get("properties", {})}, why


def says_json(parts: Iterable[Part]) -> bool:
    """Whether the word stands in them, as OpenAI demands for its JSON mode."""
    return any("json" in part.text.lower() for part in parts if isinstance(part, Text))


def made_strict(schema: Json) -> tuple[Json, tuple[str, ...]] | None:
    """The schema for strict mode and what was changed; None if its root is no object."""
    if schema.get("type") != "object" or "anyOf" in schema or "oneOf" in schema:
        return None
    made, changes = for_openai_strict(schema)
    return made, tuple(changes)
