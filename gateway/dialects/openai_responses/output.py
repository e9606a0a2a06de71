"""The output format: `text.format` and `text.verbosity`, parsed and rendered."""

from __future__ import annotations

from gateway.canon.errors import invalid
from gateway.canon.request import Output
from gateway.canon.schema import with_description
from gateway.dialects.openai_responses.names import Json
from gateway.dialects.openai_responses.render_context import ResponsesRenderContext
from gateway.dialects.shared.fields import (
    compact_json,
    enum_value,
    flag,
    mapping,
    required_mapping,
    text,
)
from gateway.dialects.shared.openai_schema import mentions_json, object_parameters, strict_schema

_FORMATS = ("text", "json_object", "json_schema")
_FORMAT_PATH = "text.format"
_PARSED_FIELDS = frozenset({"format", "verbosity"})


def output_in(body: Json, extra: Json) -> Output:
    """The requested output format; unknown fields of `text` go to `extra`."""
    text_options = mapping(body, "text") or {}
    extra |= {
        f"text.{k}": v for k, v in text_options.items() if k not in _PARSED_FIELDS and v is not None
    }
    verbosity = text(text_options, "verbosity", "text")
    response_format = mapping(text_options, "format", "text")
    if response_format is None:
        return Output(verbosity=verbosity)
    kind = enum_value(response_format, "type", _FORMATS, _FORMAT_PATH)
    if kind is None:
        path = f"{_FORMAT_PATH}.type"
        raise invalid(f"{path} is required: one of {', '.join(_FORMATS)}", path)
    if kind != "json_schema":
        return Output(format="json" if kind == "json_object" else "text", verbosity=verbosity)
    return Output(
        format="schema",
        name=text(response_format, "name", _FORMAT_PATH),
        description=text(response_format, "description", _FORMAT_PATH),
        schema=required_mapping(response_format, "schema", _FORMAT_PATH),
        # An absent field means false; None leaves it to the target.
        strict=bool(flag(response_format, "strict", _FORMAT_PATH)),
        verbosity=verbosity,
    )


def output_out(context: ResponsesRenderContext, body: Json) -> None:
    """Write the format into the body, or a hint to the model if there is no field for it."""
    output, traits = context.request.output, context.traits
    out: Json = {}
    if output.format == "schema" and traits.structured == "schema":
        out["format"] = _schema_out(context, output)
    elif output.format != "text":
        if traits.structured != "none":
            out["format"] = {"type": "json_object"}
        if output.format == "schema" or not out:
            _add_format_hint(context, output)
        if out and not context.native:
            _require_json_mention(context)
    if output.verbosity is not None and traits.verbosity:
        out["verbosity"] = output.verbosity
    elif output.verbosity is not None:
        context.drop(
            context.request.client_path("verbosity"), "no equivalent", before=output.verbosity
        )
    if out:
        body["text"] = out


def _require_json_mention(context: ResponsesRenderContext) -> None:
    """Put the word JSON into the items, where the API requires it for JSON mode."""
    request = context.request
    context.all_in_items = not mentions_json(part for turn in request.turns for part in turn.parts)
    if not context.all_in_items or context.hints or mentions_json(request.instructions):
        return
    context.hints.append("Answer with JSON.")
    why = "the upstream requires the word JSON in the conversation: added as an instruction"
    context.approximate(request.client_path("format"), why)


def _add_format_hint(context: ResponsesRenderContext, output: Output) -> None:
    """Describe the format in the instructions, for a target without a field for it."""
    if output.schema:
        schema = compact_json(
            with_description(object_parameters(output.schema), output.description)
        )
        context.hints.append(f"Answer only with JSON that follows this JSON Schema:\n{schema}")
        why = "the upstream knows no schema: it is given as an instruction"
        context.approximate(context.request.client_path("schema"), why)
    else:
        context.hints.append("Answer only with one JSON object.")
        why = "the upstream has no JSON mode: it is given as an instruction"
        context.approximate(context.request.client_path("format"), why)


def _schema_out(context: ResponsesRenderContext, output: Output) -> Json:
    schema = object_parameters(output.schema)
    strict = output.strict
    if strict is not False:
        strict_result = strict_schema(schema)
        strict = strict_result is not None
        if strict_result is None:
            why = "not strict: the schema's root is not an object"
            context.approximate(context.request.client_path("schema"), why)
        else:
            schema, changes = strict_result
            if changes:
                changed_keywords = ", ".join(changes)
                context.approximate(
                    context.request.client_path("schema"),
                    f"made strict; changed: {changed_keywords}",
                )
    out: Json = {"type": "json_schema", "name": output.name or "output", "strict": strict}
    if output.description is not None:
        out["description"] = output.description
    return {**out, "schema": schema}
