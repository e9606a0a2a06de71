"""The output format: `response_format` and `verbosity`, parsed and rendered."""

from __future__ import annotations

from gateway.canon.errors import invalid
from gateway.canon.request import Output, Request
from gateway.canon.schema import with_description
from gateway.dialects.openai_chat.parts import Json
from gateway.dialects.openai_chat.render_context import ChatRenderContext
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

_FIELD = "response_format"


def output_in(body: Json, paths: dict[str, str]) -> Output:
    """The output format that the client requests."""
    verbosity = text(body, "verbosity")
    response_format = mapping(body, "response_format")
    if response_format is None:
        return Output(verbosity=verbosity)
    paths["format"] = "response_format"
    kind = enum_value(response_format, "type", _FORMATS, "response_format")
    if kind is None:
        field_path = "response_format.type"
        raise invalid(f"{field_path} is required: one of {', '.join(_FORMATS)}", field_path)
    if kind != "json_schema":
        return Output(format="json" if kind == "json_object" else "text", verbosity=verbosity)
    field_path = "response_format.json_schema"
    inner = required_mapping(response_format, "json_schema", "response_format")
    for name in ("name", "description", "schema", "strict"):
        paths[name] = f"{field_path}.{name}"
    return Output(
        format="schema",
        name=text(inner, "name", field_path),
        description=text(inner, "description", field_path),
        schema=mapping(inner, "schema", field_path) or {},
        # An absent field means false in this dialect; None leaves it to the target.
        strict=bool(flag(inner, "strict", field_path)),
        verbosity=verbosity,
    )


def output_out(context: ChatRenderContext, body: Json) -> None:
    """Write the format into the body, or a hint to the model if there is no field for it."""
    output, traits = context.request.output, context.traits
    if output.verbosity is not None and traits.verbosity:
        body["verbosity"] = output.verbosity
    elif output.verbosity is not None:
        context.drop(
            context.request.client_path("verbosity"), "no equivalent", before=output.verbosity
        )
    if output.format == "text":
        return
    if traits.structured == "none":
        _add_format_hint(context, output)
    elif output.format == "json":
        body["response_format"] = {"type": "json_object"}
        if not _mentions_json(context.request):
            context.hints.append("Answer with JSON.")
            why = "the upstream requires the word JSON in the conversation: added as an instruction"
            context.approximate(context.request.client_path("format"), why)
    elif traits.structured == "json":
        body["response_format"] = {"type": "json_object"}
        _add_format_hint(context, output)
    else:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": _schema_out(context, output),
        }


def _mentions_json(request: Request) -> bool:
    """Whether the conversation contains the word JSON, which OpenAI requires for JSON mode.

    A Chat client follows that rule itself; others request JSON by a different field.
    """
    if request.client_paths.get("format", _FIELD) == _FIELD:
        return True
    parts = (part for turn in request.turns for part in turn.parts)
    return mentions_json((*request.instructions, *parts))


def _add_format_hint(context: ChatRenderContext, output: Output) -> None:
    """Describe the format in the instructions, for a target without a field for it."""
    if output.schema:
        schema = compact_json(
            with_description(object_parameters(output.schema), output.description)
        )
        context.hints.append(f"Answer only with JSON that follows this JSON Schema:\n{schema}")
        path = context.request.client_path("schema")
        context.approximate(path, "the upstream knows no schema: it is given as an instruction")
    else:
        context.hints.append("Answer only with one JSON object.")
        path = context.request.client_path("format")
        context.approximate(path, "the upstream has no JSON mode: it is given as an instruction")


def _schema_out(context: ChatRenderContext, output: Output) -> Json:
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
    out: Json = {"name": output.name or "output", "strict": strict, "schema": schema}
    if output.description is not None:
        out["description"] = output.description
    return out
