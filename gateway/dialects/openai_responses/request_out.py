"""The canonical request -> a provider's Responses request."""

from __future__ import annotations

from typing import Any

from gateway.canon.naming import stable_id
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.openai_logprobs import CAN_NOT, can_be_told
from gateway.dialects.openai_responses.items_out import input_out
from gateway.dialects.openai_responses.job import Job, refused
from gateway.dialects.openai_responses.names import ENCRYPTED, LOGPROBS, NAME, NESTED, Json
from gateway.dialects.openai_responses.output import output_out
from gateway.dialects.openai_responses.thinking import thinking_out
from gateway.dialects.openai_responses.tools_out import tools_out

# OpenAI's limits (safety_identifier: 128 characters; prompt_cache_key: 64).
_ID_LIMIT = 128
_KEY_LIMIT = 64
_LEAST_OUTPUT = 16
# Sampling fields that this dialect never had.
_UNKNOWN = (
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "logit_bias",
)
# Fields inside an item or a tool that are written in their place again.
_PLACED = ("].description", "].phase")
# What a count takes of a request; the rest is a 400 there.
_COUNTED = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "reasoning", "text", "truncation"}
)


def render_request(request: Request, traits: Traits) -> Rendered:
    """The JSON to send and what it could not carry. Raises GatewayError."""
    if request.sampling.n is not None and request.sampling.n > 1:
        raise refused(request.path("n"), "OpenAI's Responses give one answer at a time")
    job = Job(request, traits)
    body: Json = {"model": traits.model or request.model}
    if request.stream:
        body["stream"] = True
    # Nothing is kept at the provider: the gateway keeps answers itself, and reasoning
    # comes back by its encrypted state.
    body |= {"store": False, "include": [ENCRYPTED]}
    output_out(job, body)
    input_out(job, body)
    tools_out(job, body)
    thinking_out(job, body)
    if (limit := job.limit(_LEAST_OUTPUT)) is not None:
        body["max_output_tokens"] = limit
    _sampling_out(job, body)
    _meta_out(job, body)
    _rest_out(job, body)
    customs = {
        job.names[tool.name]
        for tool in request.tools
        if tool.kind == "custom" and not traits.custom_tools
    }
    return Rendered(
        body=body,
        report=tuple(job.report),
        names={sent: told for told, sent in job.names.items() if sent != told},
        custom=frozenset(customs),
    )


def count_body(body: Json, model: str) -> Json:
    """The body of a token count, from that of the request to count."""
    return {key: value for key, value in body.items() if key in _COUNTED}


def _sampling_out(job: Job, body: Json) -> None:
    sampling, traits, request = job.request.sampling, job.traits, job.request
    # OpenAI's reasoning models take sampling fields when told not to reason.
    free = traits.sampling or body.get("reasoning", {}).get("effort") == "none"
    rejects = f"{job.model} rejects sampling parameters"
    _put_temperature(job, body, free=free, why=rejects)
    _put(job, body, "top_p", sampling.top_p, taken=free, why=rejects)
    for name in _UNKNOWN:
        value = getattr(sampling, name)
        _put(job, body, name, value, taken=False, why="no equivalent in OpenAI's Responses")
    if sampling.stop:
        job.drop(request.path("stop"), "OpenAI's Responses take no stop sequences")
    if sampling.logprobs or sampling.top_logprobs:
        _logprobs_out(job, body)


def _put(job: Job, body: Json, name: str, value: Any, *, taken: bool, why: str) -> None:
    """Write a field, or report it where the target does not take it."""
    if value is None:
        return
    if taken:
        body[name] = value
    else:
        before = value if not isinstance(value, dict) else None
        job.drop(job.request.path(name), why, before=before)


def _put_temperature(job: Job, body: Json, *, free: bool, why: str) -> None:
    value, most = job.request.sampling.temperature, job.traits.temperature_max
    if value is not None and free and value > most:
        told = f"clamped to the largest temperature accepted, {most:g}"
        job.bend(job.request.path("temperature"), told, before=value, after=most)
        value = most
    _put(job, body, "temperature", value, taken=free, why=why)


def _logprobs_out(job: Job, body: Json) -> None:
    sampling = job.request.sampling
    if not job.traits.logprobs or not can_be_told(job.request):
        job.drop(job.request.path("logprobs"), CAN_NOT)
        return
    if sampling.logprobs:
        body["include"] = [*body["include"], LOGPROBS]
    if sampling.top_logprobs is not None:
        body["top_logprobs"] = sampling.top_logprobs


def _meta_out(job: Job, body: Json) -> None:
    meta, traits, request = job.request.meta, job.traits, job.request
    if meta.user_id is not None:
        if traits.user_field == "none":
            job.drop(request.path("user_id"), "no equivalent")
        else:
            body[traits.user_field] = stable_id(meta.user_id, _ID_LIMIT)
    if meta.session_key is not None and traits.session_field != "none":
        body[traits.session_field] = stable_id(meta.session_key, _KEY_LIMIT)
    elif meta.session_key is not None and request.path("session_key") != request.path("user_id"):
        job.drop(request.path("session_key"), "no equivalent")
    _put(job, body, "metadata", meta.metadata, taken=traits.metadata, why="no equivalent")
    tier = meta.service_tier
    _put(job, body, "service_tier", tier, taken=traits.service_tier, why="no equivalent")
    if meta.store:
        job.drop(request.path("store"), "the provider is told to keep nothing")


def _rest_out(job: Job, body: Json) -> None:
    """Fields without a canonical place: sent again to this dialect, else reported."""
    request = job.request
    job.unmark(request.cache)
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if dialect != NAME:
                job.drop(key, "no equivalent")
            elif key == "include":
                body["include"] = [*body["include"], *value]
            elif not _put_again(body, key, value) and not key.endswith(_PLACED):
                job.drop(key, "no equivalent")


def _put_again(body: Json, key: str, value: Any) -> bool:
    """Write a field under its path; False for one that was inside an item."""
    if "[" in key:
        return False
    holder, _, inner = key.partition(".")
    if inner and holder in NESTED:
        # What this module decided itself stands; `reasoning` is only there if it is on.
        if inner != "summary":
            body.setdefault(holder, {}).setdefault(inner, value)
        return True
    body.setdefault(key, value)
    return True
