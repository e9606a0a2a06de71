"""The form of the answer: `outputConfig.textFormat`."""

from __future__ import annotations

import re

import msgspec

from gateway.canon.schema import can_be_enforced, for_anthropic, without_meta
from gateway.dialects.bedrock_converse.job import Job
from gateway.dialects.bedrock_converse.names import Json

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


def output_out(job: Job, body: Json) -> None:
    """Write the form into the body, or a hint for the model where it can not be enforced."""
    output, request = job.request.output, job.request
    if output.format == "schema" and output.schema is not None:
        _schema_out(job, body, output.schema)
    elif output.format != "text":
        job.hints.append("Answer only with one JSON object.")
        job.bend(request.path("format"), "no JSON mode upstream: given as an instruction")
    if output.verbosity is not None:
        job.drop(request.path("verbosity"), "no equivalent")


def _schema_out(job: Job, body: Json, schema: Json) -> None:
    request, output = job.request, job.request.output
    if job.traits.structured != "schema":
        _hint(job, schema, "the upstream enforces no schema")
        return
    if not can_be_enforced(schema):
        _hint(job, schema, "the upstream can not enforce this schema")
        return
    fitted, changed = for_anthropic(schema)
    if changed:
        job.bend(request.path("schema"), f"{'/'.join(changed)} moved to descriptions")
    told: Json = {"schema": msgspec.json.encode(fitted).decode()}
    if output.name is not None:
        told["name"] = _NOT_IN_NAMES.sub("_", output.name)[:64]
    if output.description is not None:
        told["description"] = output.description
    form = {"type": "json_schema", "structure": {"jsonSchema": told}}
    body.setdefault("outputConfig", {})["textFormat"] = form


def _hint(job: Job, schema: Json, why: str) -> None:
    words = msgspec.json.encode(without_meta(schema)).decode()
    job.hints.append(f"Answer only with JSON that follows this JSON Schema:\n{words}")
    job.bend(job.request.path("schema"), f"{why}: it is given as an instruction")
