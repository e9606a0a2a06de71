"""The canonical request -> a provider's generateContent request; the model is in the path."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.gemini.contents_out import contents_out, system_out
from gateway.dialects.gemini.job import Job
from gateway.dialects.gemini.names import CALLING, CONFIG, NAME, TIERS_OUT, Json
from gateway.dialects.gemini.output import output_out
from gateway.dialects.gemini.thinking import thinking_out
from gateway.dialects.gemini.tools import tools_out
from gateway.dialects.openai_logprobs import CAN_NOT, can_be_told

# canonical sampling field -> ours, where the target's traits let it pass.
_DRAWING = {
    "top_p": "topP",
    "top_k": "topK",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "seed": "seed",
}
_UNKNOWN = ("min_p", "repetition_penalty", "logit_bias")


def render_request(request: Request, traits: Traits) -> Rendered:
    """The JSON to send and what it could not carry. Raises GatewayError."""
    if request.previous_response_id is not None:
        path = request.path("previous_response_id")
        message = f"{path}: the upstream keeps no earlier answers"
        raise GatewayError(Error(kind="unsupported_param", message=message, param=path))
    job = Job(request, traits)
    body: Json = {}
    system = system_out(job)
    body["contents"], effort = contents_out(job, system)
    if system:
        body["systemInstruction"] = {"parts": system}
    tools_out(job, body)
    config: Json = {}
    _limit_out(job, config)
    _sampling_out(job, config)
    output_out(job, config)
    thinking_out(job, config, effort)
    if config:
        body[CONFIG] = config
    _meta_out(job, body)
    job.unmark(request.cache)
    _rest_out(job, body)
    customs = (job.names[tool.name] for tool in request.tools if tool.kind == "custom")
    return Rendered(
        body=body,
        report=tuple(job.report),
        names={sent: told for told, sent in job.names.items() if sent != told},
        custom=frozenset(customs),
    )


def _limit_out(job: Job, config: Json) -> None:
    wanted, most = job.request.max_output, job.traits.max_output
    if wanted is None:
        return
    if most is not None and wanted > most:
        why = f"{wanted} clamped to the model's output limit {most}"
        job.bend(job.request.path("max_output"), why, before=wanted, after=most)
        wanted = most
    config["maxOutputTokens"] = wanted


def _sampling_out(job: Job, config: Json) -> None:
    sampling, request, traits = job.request.sampling, job.request, job.traits
    _temperature_out(job, config)
    taken = {
        "top_p": traits.sampling,
        "top_k": traits.top_k,
        "frequency_penalty": traits.penalties,
        "presence_penalty": traits.penalties,
        "seed": traits.seed,
    }
    for name, key in _DRAWING.items():
        value = getattr(sampling, name)
        if value is not None and taken[name]:
            config[key] = value
        elif value is not None:
            job.drop(request.path(name), f"{job.model} does not take it")
    for name in _UNKNOWN:
        if getattr(sampling, name) not in (None, {}):
            job.drop(request.path(name), "no equivalent")
    _stop_out(job, config)
    _choices_out(job, config)


def _temperature_out(job: Job, config: Json) -> None:
    value, most = job.request.sampling.temperature, job.traits.temperature_max
    if value is None:
        return
    path = job.request.path("temperature")
    if not job.traits.sampling:
        job.drop(path, f"{job.model} does not take it")
        return
    if value > most:
        job.bend(path, f"{value:g} clamped to {most:g}", before=value, after=most)
    config["temperature"] = min(value, most)


def _stop_out(job: Job, config: Json) -> None:
    stop, most = job.request.sampling.stop, job.traits.stop_max
    kept = [word for word in stop if word]
    if kept and most is not None and len(kept) > most:
        why = f"only the first {most} are sent"
        job.bend(job.request.path("stop"), why, before=len(kept), after=most)
        kept = kept[:most]
    if kept:
        config["stopSequences"] = kept


def _choices_out(job: Job, config: Json) -> None:
    """How many answers, and how likely their tokens were."""
    sampling, request, traits = job.request.sampling, job.request, job.traits
    if sampling.n is not None:
        sent = min(sampling.n, traits.n_max)
        if sent != sampling.n:
            why = f"{job.model} gives at most {sent} answers"
            job.bend(request.path("n"), why, before=sampling.n, after=sent)
        config["candidateCount"] = sent
    told = job.native or can_be_told(request)
    if not traits.logprobs or not told:
        why = CAN_NOT if traits.logprobs else f"{job.model} does not tell them"
        for name in ("logprobs", "top_logprobs"):
            if getattr(sampling, name):
                job.drop(request.path(name), why)
        return
    if sampling.logprobs is not None:
        config["responseLogprobs"] = sampling.logprobs
    if sampling.top_logprobs is not None:
        config["logprobs"] = sampling.top_logprobs


# --- the rest ----------------------------------------------------------------------------


def _meta_out(job: Job, body: Json) -> None:
    meta, request, traits = job.request.meta, job.request, job.traits
    if meta.user_id is not None:
        job.drop(request.path("user_id"), "no equivalent")
    if meta.session_key is not None and request.path("session_key") != request.path("user_id"):
        job.drop(request.path("session_key"), "no equivalent")
    if meta.metadata and traits.metadata:
        body["labels"] = meta.metadata
    elif meta.metadata:
        job.drop(request.path("metadata"), "only Vertex AI takes labels")
    if meta.store is not None and traits.store:
        body["store"] = meta.store
    elif meta.store:
        job.drop(request.path("store"), "no equivalent")
    if meta.service_tier is None:
        return
    tier = TIERS_OUT.get(meta.service_tier)
    if tier is None or not traits.service_tier:
        job.drop(request.path("service_tier"), "no equivalent")
    else:
        body["serviceTier"] = tier


def _rest_out(job: Job, body: Json) -> None:
    """Fields without a canonical place: sent again to this dialect, else reported."""
    for dialect, fields in job.request.extra.items():
        for key, value in fields.items():
            # A key with a bracket is the path of a field inside a part.
            if dialect == NAME and "[" not in key:
                _put(body, key, value)
            else:
                job.drop(key, "no equivalent")


def _put(body: Json, key: str, value: Any) -> None:
    """Write a field under its dotted path; one that is decided already stands."""
    *holders, last = key.split(".")
    place = body
    for holder in holders:
        place = place.setdefault(holder, {})
    if key == f"{CALLING}.mode":
        place[last] = value
    else:
        place.setdefault(last, value)
