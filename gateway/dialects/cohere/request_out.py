"""The canonical request -> a provider's chat request."""

from __future__ import annotations

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import Request, Thinking
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.cohere.job import Job
from gateway.dialects.cohere.messages_out import messages_out
from gateway.dialects.cohere.names import BUDGETS, Json
from gateway.dialects.cohere.tools import tools_out
from gateway.dialects.openai_logprobs import CAN_NOT, can_be_told

_UNKNOWN = ("min_p", "repetition_penalty", "logit_bias", "top_logprobs")
_LEAST_P, _MOST_P = 0.01, 0.99
_MOST_K = 500
# The tokens that thinking must leave (docs.cohere.com/docs/reasoning).
_ANSWER = 1024
# What `priority` knows: 0 is the first of all.
_PRIORITY = {"priority": 0}


def render_request(request: Request, traits: Traits) -> Rendered:
    """The JSON to send and what it could not carry. Raises GatewayError."""
    _refuse(request)
    job = Job(request, traits)
    body: Json = {"model": traits.model or request.model, "stream": request.stream}
    body["messages"] = messages_out(job)
    tools_out(job, body)
    if job.documents:
        body["documents"] = job.documents
    _output_out(job, body)
    _limit_out(job, body)
    _sampling_out(job, body)
    _thinking_out(job, body)
    _meta_out(job, body)
    job.unmark(request.cache)
    for fields in request.extra.values():
        for key in fields:
            job.drop(key, "no equivalent")
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
        _refused(request.path("n"), "Cohere gives one answer at a time")
    if request.previous_response_id is not None:
        _refused(request.path("previous_response_id"), "the upstream keeps no earlier answers")


def _refused(path: str, why: str) -> None:
    raise GatewayError(Error(kind="unsupported_param", message=f"{path}: {why}", param=path))


def _output_out(job: Job, body: Json) -> None:
    output, request = job.request.output, job.request
    if output.verbosity is not None:
        job.drop(request.path("verbosity"), "no equivalent")
    if output.format == "text":
        return
    for holder in ("tools", "documents"):
        if holder in body:
            job.drop(request.path("format"), f"json_object cannot be combined with {holder}")
            return
    form: Json = {"type": "json_object"}
    if output.format == "schema" and output.schema is not None:
        form["json_schema"] = output.schema
        if output.description is not None:
            form["json_schema"] = {"description": output.description, **output.schema}
        if output.name is not None:
            job.drop(request.path("name"), "no equivalent")
    body["response_format"] = form


def _limit_out(job: Job, body: Json) -> None:
    wanted, most = job.request.max_output, job.traits.max_output
    if wanted is None:
        return
    sent = wanted if most is None else min(wanted, most)
    if sent != wanted:
        why = f"{wanted} clamped to the model's output limit {sent}"
        job.bend(job.request.path("max_output"), why, before=wanted, after=sent)
    body["max_tokens"] = sent


# --- sampling ----------------------------------------------------------------------------


def _sampling_out(job: Job, body: Json) -> None:
    sampling, request = job.request.sampling, job.request
    _clamp(job, body, "temperature", "temperature", 0.0, job.traits.temperature_max)
    _clamp(job, body, "top_p", "p", _LEAST_P, _MOST_P)
    _clamp(job, body, "top_k", "k", 0, _MOST_K)
    for name in ("frequency_penalty", "presence_penalty"):
        value = getattr(sampling, name)
        if value is not None and value < 0:
            job.drop(request.path(name), "negative value outside 0..1")
        else:
            _clamp(job, body, name, name, 0.0, 1.0)
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.logprobs and not can_be_told(request):
        job.drop(request.path("logprobs"), CAN_NOT)
    elif sampling.logprobs is not None:
        body["logprobs"] = sampling.logprobs
    for name in _UNKNOWN:
        if getattr(sampling, name) not in (None, 0, {}):
            job.drop(request.path(name), "no equivalent")
    _stop_out(job, body)


def _clamp(job: Job, body: Json, name: str, key: str, least: float, most: float) -> None:
    """Write a number between bounds; whole bounds keep a whole number whole."""
    value = getattr(job.request.sampling, name)
    if value is None:
        return
    sent = min(max(value, least), most)
    if sent != value:
        why = f"{value} clamped to {sent}"
        job.bend(job.request.path(name), why, before=value, after=sent)
    body[key] = sent


def _stop_out(job: Job, body: Json) -> None:
    most = job.traits.stop_max
    kept = [word for word in job.request.sampling.stop if word]
    if most is not None and len(kept) > most:
        why = f"only the first {most} are sent"
        job.bend(job.request.path("stop"), why, before=len(kept), after=most)
        kept = kept[:most]
    if kept:
        body["stop_sequences"] = kept


# --- the rest ----------------------------------------------------------------------------


def _thinking_out(job: Job, body: Json) -> None:
    asked = job.request.thinking
    if asked is None:
        return
    if asked.effort == "none":
        asked = msgspec.structs.replace(asked, mode="off", effort=None)
    at = job.request.at
    path = at.get("thinking") or at.get("effort") or "thinking"
    if not job.traits.reasoning:
        if asked.mode != "off":
            job.drop(path, f"{job.model} does not reason")
        return
    if asked.mode == "off":
        body["thinking"] = {"type": "disabled"}
        return
    out: Json = {"type": "enabled"}
    if (budget := _budget(asked)) is not None:
        name = "budget" if asked.mode == "budget" else "effort"
        out["token_budget"] = budget = _fitted(job, name, budget, body.get("max_tokens"))
    if asked.effort in {"xhigh", "max"}:
        job.bend(job.request.path("effort"), "sent as a number of tokens", after=budget)
    body["thinking"] = out


def _budget(asked: Thinking) -> int | None:
    """The tokens to think with; None leaves them to the model."""
    if asked.mode == "budget" and asked.budget is not None:
        return max(1, asked.budget)
    return BUDGETS.get(asked.effort or "")


def _fitted(job: Job, name: str, budget: int, limit: int | None) -> int:
    """The budget, such that the limit leaves room for an answer; `name` is what asked for it."""
    if limit is None or budget <= limit - _ANSWER:
        return budget
    sent = max(1, limit - _ANSWER)
    why = f"at least {_ANSWER} tokens of the limit are left for the answer"
    job.bend(job.request.path(name), why, before=budget, after=sent)
    return sent


def _meta_out(job: Job, body: Json) -> None:
    meta, request = job.request.meta, job.request
    if meta.user_id is not None:
        job.drop(request.path("user_id"), "no equivalent")
    if meta.session_key is not None and request.path("session_key") != request.path("user_id"):
        job.drop(request.path("session_key"), "no equivalent")
    if meta.metadata:
        job.drop(request.path("metadata"), "no equivalent")
    if meta.store:
        job.drop(request.path("store"), "no equivalent")
    tier = meta.service_tier
    if tier in _PRIORITY:
        body["priority"] = _PRIORITY[tier]
        job.bend(request.path("service_tier"), "a place in the queue", before=tier, after=0)
    elif tier not in (None, "auto", "default"):
        job.drop(request.path("service_tier"), "no equivalent")
