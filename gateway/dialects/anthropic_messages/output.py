"""The form of the answer: `output_config.format`, both ways."""

from __future__ import annotations

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.request import Output
from gateway.canon.schema import can_be_enforced, for_anthropic, without_meta
from gateway.dialects.anthropic_messages.job import Job
from gateway.dialects.anthropic_messages.names import Json
from gateway.dialects.fields import mapping, needed_mapping, text


def output_in(body: Json, at: dict[str, str]) -> Output:
    """The schema of the answer, in `output_config` or the older `output_format`."""
    config = mapping(body, "output_config") or {}
    wanted, path = mapping(config, "format", "output_config"), "output_config.format"
    if wanted is None:
        wanted, path = mapping(body, "output_format"), "output_format"
    if wanted is None:
        return Output()
    kind = text(wanted, "type", path)
    if kind != "json_schema":
        raise invalid(f"{path}.type must be 'json_schema'", f"{path}.type")
    at |= {"format": path, "schema": f"{path}.schema"}
    return Output(format="schema", schema=needed_mapping(wanted, "schema", path))


def output_out(job: Job, body: Json) -> None:
    """Write the form into the body, or a hint for the model where it can not be enforced."""
    output, request = job.request.output, job.request
    if output.format == "schema" and output.schema is not None:
        _schema_out(job, body, output.schema)
    elif output.format != "text":
        job.hints.append("Answer only with one JSON object.")
        job.bend(request.path("format"), "no JSON mode upstream: given as an instruction")
    if output.name is not None:
        job.drop(request.path("name"), "no equivalent")
    if output.verbosity is not None:
        job.drop(request.path("verbosity"), "no equivalent")


def _schema_out(job: Job, body: Json, schema: Json) -> None:
    request, output = job.request, job.request.output
    if job.traits.structured != "schema":
        _hint(job, schema, "the upstream enforces no schema")
        return
    if not can_be_enforced(schema):
        _hint(job, schema, "Anthropic can not enforce this schema")
        return
    fitted, changed = for_anthropic(schema)
    if output.description is not None:
        fitted.setdefault("description", output.description)
    if changed:
        job.bend(request.path("schema"), f"{'/'.join(changed)} moved to descriptions")
    form = {"type": "json_schema", "schema": fitted}
    body.setdefault("output_config", {})["format"] = form


def _hint(job: Job, schema: Json, why: str) -> None:
    words = msgspec.json.encode(without_meta(schema)).decode()
    job.hints.append(f"Answer only with JSON that follows this JSON Schema:\n{words}")
    job.bend(job.request.path("schema"), f"{why}: it is given as an instruction")
