"""The canonical request -> a provider's Converse request; the model is in the path."""

from __future__ import annotations

import re

from gateway.canon.errors import Error, GatewayError
from gateway.canon.naming import stable_id
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.bedrock_converse.job import Job
from gateway.dialects.bedrock_converse.messages_out import messages_out, system_out
from gateway.dialects.bedrock_converse.names import BETAS, MORE, Json
from gateway.dialects.bedrock_converse.output import output_out
from gateway.dialects.bedrock_converse.thinking import thinking_out
from gateway.dialects.bedrock_converse.tools import tools_out

# Sampling fields that Converse does not have.
_UNKNOWN = (
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "logit_bias",
    "logprobs",
    "top_logprobs",
)
_MOST_STOPS = 2500
_MOST_LABELS = 16
_LONGEST_LABEL = 256
_LABEL = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{0,256}")
_TIERS = {"default": "default", "priority": "priority", "flex": "flex"}


def render_request(request: Request, traits: Traits) -> Rendered:
    """The JSON to send and what it could not carry. Raises GatewayError."""
    _refuse(request)
    job = Job(request, traits)
    body: Json = {}
    system = system_out(job)
    body["messages"] = messages_out(job, system)
    tools_out(job, body)
    _limit_out(job, body)
    output_out(job, body)
    system += [{"text": hint} for hint in job.hints]
    if system:
        body["system"] = system
    thinking_out(job, body)
    _sampling_out(job, body)
    _meta_out(job, body)
    _cache_out(job, body)
    _rest_out(job)
    job.limit_marks(body)
    if job.more:
        body[MORE] = job.more
    customs = (job.names[tool.name] for tool in request.tools if tool.kind == "custom")
    return Rendered(
        body=body,
        report=tuple(job.report),
        names={sent: told for told, sent in job.names.items() if sent != told},
        custom=frozenset(customs),
    )


def _refuse(request: Request) -> None:
    """Refuse what no answer of this dialect could give."""
    if request.sampling.n is not None and request.sampling.n > 1:
        _refused(request.path("n"), "Bedrock gives one answer at a time")
    if request.previous_response_id is not None:
        _refused(request.path("previous_response_id"), "the upstream keeps no earlier answers")


def _refused(path: str, why: str) -> None:
    raise GatewayError(Error(kind="unsupported_param", message=f"{path}: {why}", param=path))


# --- limits and sampling -------------------------------------------------------------------


def _limit_out(job: Job, body: Json) -> None:
    wanted, most = job.request.max_output, job.traits.max_output
    if wanted is None:
        return
    sent = max(1, wanted if most is None else min(wanted, most))
    if sent != wanted:
        why = f"{wanted} clamped to the model's output limit {sent}"
        job.bend(job.request.path("max_output"), why, before=wanted, after=sent)
    body.setdefault("inferenceConfig", {})["maxTokens"] = sent


def _sampling_out(job: Job, body: Json) -> None:
    sampling, request = job.request.sampling, job.request
    config: Json = body.setdefault("inferenceConfig", {})
    _drawing_out(job, config)
    for name in _UNKNOWN:
        if getattr(sampling, name) not in (None, False, 0, {}):
            job.drop(request.path(name), "no equivalent")
    _stop_out(job, config)
    if not config:
        del body["inferenceConfig"]


def _drawing_out(job: Job, config: Json) -> None:
    """Temperature, top_p and top_k, where the model still takes them."""
    sampling, request = job.request.sampling, job.request
    asked = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k")}
    asked = {name: value for name, value in asked.items() if value is not None}
    if not job.traits.sampling:
        for name in asked:
            job.drop(request.path(name), f"{job.model} rejects sampling parameters")
        return
    if job.more.get("thinking", {}).get("type") in {"adaptive", "enabled"}:
        _drawing_with_thinking(job, config, asked)
        return
    if (temperature := asked.get("temperature")) is not None:
        config["temperature"] = _clamped(job, "temperature", temperature)
    if "top_p" in asked:
        config["topP"] = _clamped(job, "top_p", asked["top_p"])
    if "top_k" not in asked:
        return
    if job.traits.top_k:
        job.more["top_k"] = asked["top_k"]
    else:
        job.drop(request.path("top_k"), "no equivalent")


def _drawing_with_thinking(job: Job, config: Json, asked: Json) -> None:
    """While Claude thinks only temperature 1 and a large top_p are taken."""
    for name, value in asked.items():
        if name == "top_p" and 0.95 <= value <= 1:
            config["topP"] = value
        elif not (name == "temperature" and value == 1):
            job.drop(job.request.path(name), "not together with thinking")


def _clamped(job: Job, name: str, value: float) -> float:
    most = job.traits.temperature_max if name == "temperature" else 1.0
    sent = min(max(value, 0.0), most)
    if sent != value:
        why = f"{value:g} clamped to {sent:g}"
        job.bend(job.request.path(name), why, before=value, after=sent)
    return sent


def _stop_out(job: Job, config: Json) -> None:
    stop, path = job.request.sampling.stop, job.request.path("stop")
    most = _MOST_STOPS if job.traits.stop_max is None else job.traits.stop_max
    kept = [word for word in stop if word and not word.isspace()]
    if len(kept) < len(stop):
        job.drop(path, "whitespace-only stop sequences are not accepted upstream")
    if len(kept) > most:
        why = f"only the first {most} are sent" if most else f"{job.model} takes none"
        job.bend(path, why, before=len(kept), after=most)
        kept = kept[:most]
    if kept:
        config["stopSequences"] = kept


# --- the rest ------------------------------------------------------------------------------


def _meta_out(job: Job, body: Json) -> None:
    meta, request = job.request.meta, job.request
    labels: dict[str, str] = {}
    if meta.user_id is not None:
        labels["user"] = _user(job, meta.user_id)
    for key, value in (meta.metadata or {}).items():
        path = f"{request.path('metadata')}.{key}"
        fits = isinstance(value, str) and _fits(key) and _fits(value) and bool(key)
        if fits and len(labels) < _MOST_LABELS:
            labels.setdefault(key, value)
        else:
            job.drop(path, "not of the characters, or more than the 16 labels, that are taken")
    if labels:
        body["requestMetadata"] = labels
    if meta.session_key is not None and request.path("session_key") != request.path("user_id"):
        job.drop(request.path("session_key"), "no equivalent")
    if meta.store:
        job.drop(request.path("store"), "no equivalent")
    tier = meta.service_tier
    if tier in _TIERS and job.traits.service_tier:
        body["serviceTier"] = {"type": _TIERS[tier]}
    elif tier not in (None, "auto", "default"):
        job.drop(request.path("service_tier"), "no equivalent")


def _fits(text: str) -> bool:
    return _LABEL.fullmatch(text) is not None


def _user(job: Job, user_id: str) -> str:
    """The end user's id, or its hash where its form is none that is taken."""
    sent = stable_id(user_id, _LONGEST_LABEL)
    if not _fits(sent):
        sent = stable_id(f"[{user_id}", _LONGEST_LABEL)
    if sent != user_id:
        job.bend(job.request.path("user_id"), "not of the form that is taken: its hash is sent")
    return sent


def _cache_out(job: Job, body: Json) -> None:
    """A mark for the whole request stands after its last message."""
    if job.request.cache is not None:
        job.mark(body["messages"][-1]["content"], job.request.cache)


def _rest_out(job: Job) -> None:
    """Fields without a place here; of the betas those that Bedrock's Claude knows."""
    known = [beta for beta in dict.fromkeys(job.request.betas) if beta in BETAS]
    if known and job.traits.thinking_request == "thinking":
        job.more["anthropic_beta"] = known
    for fields in job.request.extra.values():
        for key in fields:
            job.drop(key, "no equivalent")
