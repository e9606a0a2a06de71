"""A tool's or an answer's JSON Schema as OpenAI's strict mode wants it."""

from __future__ import annotations

from typing import Any

from gateway.canon.schema import for_openai_strict

Json = dict[str, Any]

_EMPTY: Json = {"type": "object", "properties": {}}


def parameters(schema: Json | None) -> Json:
    """A tool's schema as providers accept it: an object, without its `$schema`."""
    if not schema:
        return dict(_EMPTY)
    out = {key: value for key, value in schema.items() if key != "$schema"}
    if out.get("type") == "object" and "properties" not in out:
        out["properties"] = {}
    return out or dict(_EMPTY)


def made_strict(schema: Json) -> tuple[Json, tuple[str, ...]] | None:
    """The schema for strict mode and what was changed; None if its root is no object."""
    if schema.get("type") != "object" or "anyOf" in schema or "oneOf" in schema:
        return None
    made, changes = for_openai_strict(schema)
    return made, tuple(changes)
