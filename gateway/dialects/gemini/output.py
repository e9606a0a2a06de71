"""The form of the answer: `responseMimeType` and its schema, both ways."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Output
from gateway.dialects.gemini.names import GENERATION_CONFIG, Json
from gateway.dialects.gemini.render_context import RenderContext
from gateway.dialects.gemini.schema import from_google_schema, to_gemini_schema
from gateway.dialects.shared.fields import mapping, text

_JSON_MEDIA_TYPE = "application/json"


def parse_output_format(config: Json, field_paths: dict[str, str], extra: Json) -> Output:
    """The form that a client asks for, its schema in either of the two spellings."""
    media_type = text(config, "responseMimeType", GENERATION_CONFIG)
    schema: Any = mapping(config, "responseJsonSchema", GENERATION_CONFIG)
    if schema is not None:
        field_paths["schema"] = f"{GENERATION_CONFIG}.responseJsonSchema"
    else:
        schema = from_google_schema(mapping(config, "responseSchema", GENERATION_CONFIG))
    if media_type not in (None, "text/plain", _JSON_MEDIA_TYPE):
        # Other types, such as `text/x.enum`, are specific to Google.
        extra[f"{GENERATION_CONFIG}.responseMimeType"] = media_type
        if schema is not None:
            extra[f"{GENERATION_CONFIG}.responseJsonSchema"] = schema
        return Output()
    if schema is not None:
        return Output(format="schema", schema=schema)
    return Output(format="json") if media_type == _JSON_MEDIA_TYPE else Output()


def render_output_format(context: RenderContext, config: Json) -> None:
    """Write the form into the generation config."""
    output, request = context.request.output, context.request
    if output.format == "schema" and output.schema is not None:
        schema, changed = to_gemini_schema(output.schema)
        if output.description is not None:
            schema.setdefault("description", output.description)
        if changed:
            why = f"{'/'.join(changed)}: not in Gemini's JSON Schema, moved to descriptions"
            context.approximate(request.client_path("schema"), why)
        config["responseMimeType"] = _JSON_MEDIA_TYPE
        config["responseJsonSchema"] = schema
    elif output.format != "text":
        config["responseMimeType"] = _JSON_MEDIA_TYPE
    if output.name is not None:
        context.drop(request.client_path("name"), "no equivalent")
    if output.verbosity is not None:
        context.drop(request.client_path("verbosity"), "no equivalent")
