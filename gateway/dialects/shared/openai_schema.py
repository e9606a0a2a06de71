"""JSON Schemas of tools and outputs in the form that OpenAI's strict mode requires."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.canon.object_schema import merge_into_object
from gateway.canon.request import Output, Part, Text
from gateway.canon.schema import (
    has_untyped_part,
    resolve_ref,
    restrict_to_openai_strict,
    with_description,
    with_object_schemas,
)
from gateway.canon.traits import Traits
from gateway.dialects.shared.fields import compact_json
from gateway.dialects.shared.render_context import ReportingContext

Json = dict[str, Any]

_EMPTY_OBJECT: Json = {"type": "object", "properties": {}}


def object_parameters(schema: Json | None) -> Json:
    """A schema in the form providers accept: an object, without `$schema` and `true`."""
    if not schema:
        return dict(_EMPTY_OBJECT)
    out = {key: value for key, value in with_object_schemas(schema).items() if key != "$schema"}
    if out.get("type") == "object" and "properties" not in out:
        out["properties"] = {}
    elif "type" not in out and "properties" in out:
        out["type"] = "object"
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


def output_schema_fields(context: ReportingContext, output: Output) -> Json:
    """The fields of a JSON Schema format: its name, `strict`, the schema and its description."""
    schema, strict = object_parameters(output.schema), output.strict
    if context.traits.object_output:
        schema = _follow_root_reference(schema)
    path = context.request.client_path("schema")
    if strict is not False:
        strict_result = strict_schema(schema)
        strict = strict_result is not None
        if strict_result is None:
            reason = "not strict: the schema's root is not an object, or a part of it has no type"
            context.approximate(path, reason)
        else:
            schema, changes = strict_result
            if changes:
                context.approximate(path, f"made strict; changed: {', '.join(changes)}")
    out: Json = {"name": output.name or "output", "strict": strict, "schema": schema}
    return out if output.description is None else {**out, "description": output.description}


def _follow_root_reference(schema: Json) -> Json:
    """A schema whose root refers to an object, with this object as its root."""
    reference = schema.get("$ref")
    target = resolve_ref(schema, reference) if isinstance(reference, str) else None
    if "type" in schema or not isinstance(target, dict) or target.get("type") != "object":
        return schema
    return {**{key: value for key, value in schema.items() if key != "$ref"}, **target}


def accepts_output_schema(output: Output, traits: Traits) -> bool:
    """Whether a schema can be sent: OpenAI requires an object, also if it is not strict."""
    if not traits.object_output or not output.schema:
        return True
    return _follow_root_reference(object_parameters(output.schema)).get("type") == "object"


def format_hint(context: ReportingContext, output: Output) -> str:
    """An instruction that describes the format, for a target that cannot enforce it."""
    if not output.schema:
        reason = "the upstream has no JSON mode: sent as an instruction"
        context.approximate(context.request.client_path("format"), reason)
        return "Answer only with one JSON object."
    reason = (
        "the upstream does not support JSON Schema"
        if accepts_output_schema(output, context.traits)
        else "OpenAI accepts only objects"
    )
    context.approximate(context.request.client_path("schema"), f"{reason}: sent as an instruction")
    schema = compact_json(with_description(object_parameters(output.schema), output.description))
    return f"Answer only with JSON that follows this JSON Schema:\n{schema}"
