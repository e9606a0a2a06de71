"""The form of the answer: `outputConfig.textFormat`."""

from __future__ import annotations

import re

import msgspec

from gateway.canon.schema import (
    is_enforceable,
    restrict_to_anthropic,
    with_description,
    without_meta,
)
from gateway.dialects.bedrock_converse.names import Json
from gateway.dialects.bedrock_converse.render_context import RenderContext

_INVALID_NAME_CHARACTERS = re.compile(r"[^a-zA-Z0-9_-]")


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
    if output.verbosity is not None:
        context.drop(request.client_path("verbosity"), "no equivalent")


def _render_schema(context: RenderContext, body: Json, schema: Json) -> None:
    request, output = context.request, context.request.output
    if context.traits.structured != "schema":
        _add_schema_hint(context, schema, "the upstream enforces no schema")
        return
    if not is_enforceable(schema):
        _add_schema_hint(context, schema, "the upstream cannot enforce this schema")
        return
    strict_schema, changed = restrict_to_anthropic(schema)
    if changed:
        context.approximate(
            request.client_path("schema"), f"{'/'.join(changed)} moved to descriptions"
        )
    json_schema: Json = {"schema": msgspec.json.encode(strict_schema).decode()}
    if output.name is not None:
        json_schema["name"] = _INVALID_NAME_CHARACTERS.sub("_", output.name)[:64]
    if output.description is not None:
        json_schema["description"] = output.description
    text_format = {"type": "json_schema", "structure": {"jsonSchema": json_schema}}
    body.setdefault("outputConfig", {})["textFormat"] = text_format


def _add_schema_hint(context: RenderContext, schema: Json, why: str) -> None:
    described_schema = with_description(without_meta(schema), context.request.output.description)
    schema_text = msgspec.json.encode(described_schema).decode()
    context.hints.append(f"Answer only with JSON that follows this JSON Schema:\n{schema_text}")
    context.approximate(
        context.request.client_path("schema"), f"{why}: it is given as an instruction"
    )
