"""The form of the answer: `text.format` and `text.verbosity`, both ways."""

from __future__ import annotations

from gateway.canon.errors import invalid
from gateway.canon.request import Output
from gateway.dialects.fields import compact, flag, mapping, needed_mapping, one_of, text
from gateway.dialects.openai_responses.job import Job
from gateway.dialects.openai_responses.names import Json
from gateway.dialects.openai_schema import made_strict, parameters, says_json

_FORMATS = ("text", "json_object", "json_schema")
_PATH = "text.format"
_KNOWN = frozenset({"format", "verbosity"})


def output_in(body: Json, rest: Json) -> Output:
    """What form the client wants; fields of `text` without a place here go to `rest`."""
    asked = mapping(body, "text") or {}
    rest |= {f"text.{k}": v for k, v in asked.items() if k not in _KNOWN and v is not None}
    verbosity = text(asked, "verbosity", "text")
    wanted = mapping(asked, "format", "text")
    if wanted is None:
        return Output(verbosity=verbosity)
    kind = one_of(wanted, "type", _FORMATS, _PATH)
    if kind is None:
        path = f"{_PATH}.type"
        raise invalid(f"{path} is required: give one of {', '.join(_FORMATS)}", path)
    if kind != "json_schema":
        return Output(format="json" if kind == "json_object" else "text", verbosity=verbosity)
    return Output(
        format="schema",
        name=text(wanted, "name", _PATH),
        description=text(wanted, "description", _PATH),
        schema=needed_mapping(wanted, "schema", _PATH),
        # Left out means false; None is another dialect's "as you think best".
        strict=bool(flag(wanted, "strict", _PATH)),
        verbosity=verbosity,
    )


def output_out(job: Job, body: Json) -> None:
    """Write the form into the body, or a hint for the model where there is no field for it."""
    output, traits = job.request.output, job.traits
    out: Json = {}
    if output.format == "schema" and traits.structured == "schema":
        out["format"] = _schema_out(job, output)
    elif output.format != "text":
        if traits.structured != "none":
            out["format"] = {"type": "json_object"}
        if output.format == "schema" or not out:
            _hint(job, output)
        if out and not job.native:
            _say_json(job)
    if output.verbosity is not None and traits.verbosity:
        out["verbosity"] = output.verbosity
    elif output.verbosity is not None:
        job.drop(job.request.path("verbosity"), "no equivalent", before=output.verbosity)
    if out:
        body["text"] = out


def _say_json(job: Job) -> None:
    """Have the word JSON among the items: for this mode the API does not look elsewhere."""
    request = job.request
    job.all_in_items = not says_json(part for turn in request.turns for part in turn.parts)
    if not job.all_in_items or job.hints or says_json(request.instructions):
        return
    job.hints.append("Answer with JSON.")
    why = "the upstream wants the word JSON in the conversation: an instruction says it"
    job.bend(request.path("format"), why)


def _hint(job: Job, output: Output) -> None:
    """Say in the instructions what the target has no field for."""
    if output.schema:
        schema = compact(parameters(output.schema))
        job.hints.append(f"Answer only with JSON that follows this JSON Schema:\n{schema}")
        why = "the upstream knows no schema: it is given as an instruction"
        job.bend(job.request.path("schema"), why)
    else:
        job.hints.append("Answer only with one JSON object.")
        why = "the upstream has no JSON mode: it is given as an instruction"
        job.bend(job.request.path("format"), why)


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
    out: Json = {"type": "json_schema", "name": output.name or "output", "strict": strict}
    if output.description is not None:
        out["description"] = output.description
    return {**out, "schema": schema}
