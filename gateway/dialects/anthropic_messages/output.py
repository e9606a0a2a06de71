"""The form of the answer: `output_config.format`, both ways."""

from __future__ import annotations

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.request import Output
from gateway.canon.schema import (
    is_enforceable,
    restrict_to_anthropic,
    with_description,
    without_meta,
)
from gateway.dialects.anthropic_messages.names import Json
from gateway.dialects.anthropic_messages.render_context import RenderContext
from gateway.dialects.shared.fields import mapping, required_mapping, text


def parse_output_format(body: Json, field_paths: dict[str, str]) -> Output:
    """The schema of the answer, in `output_config` or the older `output_format`."""
    config = mapping(body, "output_config") or {}
    output_format, path = mapping(config, "format", "output_config"), "output_config.format"
    if output_format is None:
        output_format, path = mapping(body, "output_format"), "output_format"
    if output_format is None:
        return Output()
    format_type = text(output_format, "type", path)
    if format_type != "json_schema":
        raise invalid(f"{path}.type must be 'json_schema'", f"{path}.type")
    field_paths |= {"format": path, "schema": f"{path}.schema"}
    return Output(format="schema", schema=required_mapping(output_format, "schema", path))


def render_output_format(context: RenderContext, body: Json) -> None:
    """Write the form into the body, or a hint for the model where it cannot be enforced."""
    output, request = context.request.output, context.request
    if output.format == "schema" and output.schema is not None:
        _render_schema(context, body, output.schema)
    elif output.format != "text":
        context.hints.append("Answer only with one JSON object.")
        context.approximate(
            request.client_path("format"), "no JSON mode upstream: given as an instruction"
        )
    if output.name is not None:
        context.drop(request.client_path("name"), "no equivalent")
    if output.verbosity is not None:
        context.drop(request.client_path("verbosity"), "no equivalent")


def _render_schema(context: RenderContext, body: Json, schema: Json) -> None:
    request, output = context.request, context.request.output
    if context.traits.structured != "schema":
        _add_schema_hint(context, schema, "the upstream enforces no schema")
        return
    if not is_enforceable(schema):
        _add_schema_hint(context, schema, "Anthropic cannot enforce this schema")
        return
    strict_schema, changed = restrict_to_anthropic(schema)
    if output.description is not None:
        strict_schema.setdefault("description", output.description)
    if changed:
        context.approximate(
            request.client_path("schema"), f"{'/'.join(changed)} moved to descriptions"
        )
    output_format = {"type": "json_schema", "schema": strict_schema}
    body.setdefault("output_config", {})["format"] = output_format


def _add_schema_hint(context: RenderContext, schema: Json, why: str) -> None:
    described_schema = with_description(without_meta(schema), context.request.output.description)
    schema_text = msgspec.json.encode(described_schema).decode()
    context.hints.append(f"Answer only with JSON that follows this JSON Schema:\n{schema_text}")
    context.approximate(
        context.request.client_path("schema"), f"{why}: it is given as an instruction"
    )
