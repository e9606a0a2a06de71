"""The canonical request -> a provider's Chat request."""

from __future__ import annotations

from typing import Any

from gateway.canon.naming import stable_id
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.openai_chat.job import Job, cache_control_of
from gateway.dialects.openai_chat.messages_out import messages_out
from gateway.dialects.openai_chat.output import output_out
from gateway.dialects.openai_chat.parts import NAME, Json
from gateway.dialects.openai_chat.reasoning import thinking_out
from gateway.dialects.openai_chat.tools import tools_out
from gateway.dialects.openai_logprobs import CAN_NOT, can_be_told

# OpenAI's limits (safety_identifier: 128 characters; prompt_cache_key: 64).
_ID_LIMIT = 128
_KEY_LIMIT = 64
_LEAST_OUTPUT = 1


def render_request(request: Request, traits: Traits) -> Rendered:
    """The JSON to send and what it could not carry. Raises GatewayError."""
    job = Job(request, traits)
    body: Json = {"model": traits.model or request.model}
    _stream_out(job, body)
    output_out(job, body)
    messages_out(job, body)
    tools_out(job, body)
    thinking_out(job, body)
    if (limit := job.limit(_LEAST_OUTPUT)) is not None:
        body[traits.max_tokens_field] = limit
    _sampling_out(job, body)
    _meta_out(job, body)
    _rest_out(job, body)
    sent_customs = {
        job.names[tool.name]
        for tool in request.tools
        if tool.kind == "custom" and not traits.custom_tools
    }
    return Rendered(
        body=body,
        report=tuple(job.report),
        names={sent: told for told, sent in job.names.items() if sent != told},
        custom=frozenset(sent_customs),
    )


def _stream_out(job: Job, body: Json) -> None:
    request = job.request
    if request.stream:
        body["stream"] = True
        if job.traits.stream_options:
            body["stream_options"] = {"include_usage": True}
    if request.include_usage is not None and not job.traits.stream_options:
        job.drop(
            request.path("include_usage"),
            "the upstream always says the usage at the end",
        )


def _sampling_out(job: Job, body: Json) -> None:
    sampling, traits = job.request.sampling, job.traits
    # OpenAI's reasoning models take sampling fields when told not to reason.
    free = traits.sampling or body.get("reasoning_effort") == "none"
    model = traits.model or "the upstream"
    rejects = f"{model} rejects sampling parameters"
    unknown = "no equivalent"
    _put_temperature(job, body, free=free, why=rejects)
    for name, taken, why in (
        ("top_p", free, rejects),
        ("top_k", free and traits.top_k, unknown),
        ("min_p", traits.min_p, unknown),
        ("frequency_penalty", traits.penalties, f"{model} takes no penalties"),
        ("presence_penalty", traits.penalties, f"{model} takes no penalties"),
        ("repetition_penalty", traits.repetition_penalty, unknown),
        ("seed", traits.seed, unknown),
        ("logit_bias", traits.logit_bias, unknown),
    ):
        _put(job, body, name, getattr(sampling, name), taken=taken, why=why)
    _stop_out(job, body)
    _logprobs_out(job, body)
    if sampling.n is not None and sampling.n > 1:
        sent = min(sampling.n, traits.n_max)
        if sent != sampling.n:
            why = f"{model} gives at most {sent} answers"
            job.bend(job.request.path("n"), why, before=sampling.n, after=sent)
        if sent > 1:
            body["n"] = sent


def _put(job: Job, body: Json, name: str, value: Any, *, taken: bool, why: str) -> None:
    """Write a field, or report it where the target does not take it."""
    if value is None:
        return
    if taken:
        body[name] = value
    else:
        job.drop(
            job.request.path(name),
            why,
            before=value if not isinstance(value, dict) else None,
        )


def _put_temperature(job: Job, body: Json, *, free: bool, why: str) -> None:
    value, most = job.request.sampling.temperature, job.traits.temperature_max
    if value is not None and free and value > most:
        told = f"clamped to the largest temperature accepted, {most:g}"
        job.bend(job.request.path("temperature"), told, before=value, after=most)
        value = most
    _put(job, body, "temperature", value, taken=free, why=why)


def _stop_out(job: Job, body: Json) -> None:
    stop, most = job.request.sampling.stop, job.traits.stop_max
    if not stop:
        return
    path = job.request.path("stop")
    if most == 0:
        job.drop(path, f"{job.traits.model} takes no stop sequences")
        return
    if most is not None and len(stop) > most:
        job.bend(path, f"only the first {most} are sent", before=len(stop), after=most)
        stop = stop[:most]
    body["stop"] = list(stop)


def _logprobs_out(job: Job, body: Json) -> None:
    sampling = job.request.sampling
    why = "no equivalent"
    taken = job.traits.logprobs
    if taken and not can_be_told(job.request):
        taken, why = False, CAN_NOT
    if sampling.logprobs:
        _put(job, body, "logprobs", sampling.logprobs, taken=taken, why=why)
        _put(job, body, "top_logprobs", sampling.top_logprobs, taken=taken, why=why)


def _meta_out(job: Job, body: Json) -> None:
    meta, traits, request = job.request.meta, job.traits, job.request
    if meta.user_id is not None:
        field = traits.user_field
        if field == "none":
            job.drop(request.path("user_id"), "no equivalent")
        else:
            body[field] = stable_id(meta.user_id, _ID_LIMIT)
    if meta.session_key is not None and traits.session_field != "none":
        body[traits.session_field] = stable_id(meta.session_key, _KEY_LIMIT)
    elif meta.session_key is not None and request.path("session_key") != request.path("user_id"):
        job.drop(request.path("session_key"), "no equivalent")
    _put(job, body, "metadata", meta.metadata, taken=traits.metadata, why="no equivalent")
    tier = meta.service_tier
    _put(job, body, "service_tier", tier, taken=traits.service_tier, why="no equivalent")
    if meta.store or traits.store:
        _put(job, body, "store", meta.store, taken=traits.store, why="no equivalent")


def _rest_out(job: Job, body: Json) -> None:
    request = job.request
    if request.cache is not None and job.traits.cache == "cache_control":
        body["cache_control"] = cache_control_of(request.cache)
    else:
        job.unmark(request.cache)
    if request.previous_response_id is not None:
        job.drop("previous_response_id", "OpenAI Chat keeps no answers to go on from")
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            # A key with a dot or a bracket is the path of a field inside a message.
            if dialect != NAME or "." in key or "[" in key:
                job.drop(key, "no equivalent")
            elif key == "stream_options":
                if "stream_options" in body:
                    body["stream_options"] |= value
            else:
                body.setdefault(key, value)
