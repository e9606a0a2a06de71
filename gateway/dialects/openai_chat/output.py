"""The form of the answer: `response_format` and `verbosity`, both ways."""

from __future__ import annotations

from gateway.canon.errors import invalid
from gateway.canon.request import Output, Request
from gateway.dialects.fields import (
    compact,
    flag,
    mapping,
    needed_mapping,
    one_of,
    text,
)
from gateway.dialects.openai_chat.job import Job
from gateway.dialects.openai_chat.parts import Json
from gateway.dialects.openai_schema import made_strict, parameters, says_json

_FORMATS = ("text", "json_object", "json_schema")

_FIELD = "response_format"


def output_in(body: Json, at: dict[str, str]) -> Output:
    """What form the client wants."""
    verbosity = text(body, "verbosity")
    wanted = mapping(body, "response_format")
    if wanted is None:
        return Output(verbosity=verbosity)
    at["format"] = "response_format"
    kind = one_of(wanted, "type", _FORMATS, "response_format")
    if kind is None:
        path = "response_format.type"
        raise invalid(f"{path} is required: give one of {', '.join(_FORMATS)}", path)
    if kind != "json_schema":
        return Output(format="json" if kind == "json_object" else "text", verbosity=verbosity)
    path = "response_format.json_schema"
    inner = needed_mapping(wanted, "json_schema", "response_format")
    for name in ("name", "description", "schema", "strict"):
        at[name] = f"{path}.{name}"
    return Output(
        format="schema",
        name=text(inner, "name", path),
        description=text(inner, "description", path),
        schema=mapping(inner, "schema", path) or {},
        # Left out means false in this dialect; None is another dialect's "as you think best".
        strict=bool(flag(inner, "strict", path)),
        verbosity=verbosity,
    )


def output_out(job: Job, body: Json) -> None:
    """Write the form into the body, or a hint for the model where there is no field for it."""
    output, traits = job.request.output, job.traits
    if output.verbosity is not None and traits.verbosity:
        body["verbosity"] = output.verbosity
    elif output.verbosity is not None:
        job.drop(job.request.path("verbosity"), "no equivalent", before=output.verbosity)
    if output.format == "text":
        return
    if traits.structured == "none":
        _hint(job, output)
    elif output.format == "json":
        body["response_format"] = {"type": "json_object"}
        if not _says_json(job.request):
            job.hints.append("Answer with JSON.")
            why = "the upstream wants the word JSON in the conversation: an instruction says it"
            job.bend(job.request.path("format"), why)
    elif traits.structured == "json":
        body["response_format"] = {"type": "json_object"}
        _hint(job, output)
    else:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": _schema_out(job, output),
        }


def _says_json(request: Request) -> bool:
    """Whether the word stands in the conversation, as OpenAI demands for its JSON mode.

    A Chat client knows of it; others ask for the mode in a field of their own.
    """
    if request.at.get("format", _FIELD) == _FIELD:
        return True
    parts = (part for turn in request.turns for part in turn.parts)
    return says_json((*request.instructions, *parts))


def _hint(job: Job, output: Output) -> None:
    """Say in the instructions what the target has no field for."""
    if output.schema:
        schema = compact(parameters(output.schema))
        job.hints.append(f"Answer only with JSON that follows this JSON Schema:\n{schema}")
        path = job.request.path("schema")
        job.bend(path, "the upstream knows no schema: it is given as an instruction")
    else:
        job.hints.append("Answer only with one JSON object.")
        path = job.request.path("format")
        job.bend(path, "the upstream has no JSON mode: it is given as an instruction")


def _schema_out(job: Job, output: Output) -> Json:
    schema = parameters(output.schema)
    strict = output.strict
    if strict is not False:
        made = made_strict(schema)
        strict = made is not None
        if made is None:
            why = "not strict: the schema's root is no plain object"
            job.bend(job.request.path("schema"), why)
        else:
            schema, changes = made
            if changes:
                words = ", ".join(changes)
                job.bend(job.request.path("schema"), f"made strict; changed: {words}")
    out: Json = {"name": output.name or "output", "strict": strict, "schema": schema}
    if output.description is not None:
        out["description"] = output.description
    return out
