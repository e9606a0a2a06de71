"""The form of the answer: `responseMimeType` and its schema, both ways."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Output
from gateway.dialects.fields import mapping, text
from gateway.dialects.gemini.job import Job
from gateway.dialects.gemini.names import CONFIG, Json
from gateway.dialects.gemini.schema import for_gemini, from_google

_JSON = "application/json"


def output_in(config: Json, at: dict[str, str], rest: Json) -> Output:
    """The form that a client asks for, its schema in either of the two spellings."""
    media = text(config, "responseMimeType", CONFIG)
    schema: Any = mapping(config, "responseJsonSchema", CONFIG)
    if schema is not None:
        at["schema"] = f"{CONFIG}.responseJsonSchema"
    else:
        schema = from_google(mapping(config, "responseSchema", CONFIG))
    if media not in (None, "text/plain", _JSON):
        # `text/x.enum` and whatever comes: only Google knows what it means.
        rest[f"{CONFIG}.responseMimeType"] = media
        if schema is not None:
            rest[f"{CONFIG}.responseJsonSchema"] = schema
        return Output()
    if schema is not None:
        return Output(format="schema", schema=schema)
    return Output(format="json") if media == _JSON else Output()


def output_out(job: Job, config: Json) -> None:
    """Write the form into the generation config."""
    output, request = job.request.output, job.request
    if output.format == "schema" and output.schema is not None:
        schema, changed = for_gemini(output.schema)
        if output.description is not None:
            schema.setdefault("description", output.description)
        if changed:
            why = f"{'/'.join(changed)}: not in Gemini's JSON Schema, told in descriptions"
            job.bend(request.path("schema"), why)
        config["responseMimeType"] = _JSON
        config["responseJsonSchema"] = schema
    elif output.format != "text":
        config["responseMimeType"] = _JSON
    if output.name is not None:
        job.drop(request.path("name"), "no equivalent")
    if output.verbosity is not None:
        job.drop(request.path("verbosity"), "no equivalent")
