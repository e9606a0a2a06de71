"""The canonical request -> a provider's Messages request."""

from __future__ import annotations

import hashlib

from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages.job import Job, cache_out
from gateway.dialects.anthropic_messages.messages_out import messages_out, system_out
from gateway.dialects.anthropic_messages.names import NAME, NESTED, VERSION, Json
from gateway.dialects.anthropic_messages.output import output_out
from gateway.dialects.anthropic_messages.thinking import thinking_out
from gateway.dialects.anthropic_messages.tools import history_tools_out, tools_out
from gateway.dialects.base import Rendered

_LONGEST_USER_ID = 256
_MOST_MARKS = 4
_FILES_BETA = "files-api-2025-04-14"
# Sampling fields that this dialect never had.
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


def render_request(request: Request, traits: Traits) -> Rendered:
    """The JSON to send and what it could not carry. Raises GatewayError."""
    _refuse(request)
    job = Job(request, traits)
    body: Json = {"model": traits.model or request.model, "max_tokens": _limit(job)}
    if request.stream:
        body["stream"] = True
    tools_out(job, body)
    system = system_out(job)
    body["messages"] = messages_out(job, system)
    history_tools_out(job, body)
    output_out(job, body)
    system += [{"type": "text", "text": hint} for hint in job.hints]
    if system:
        body["system"] = system
    thinking_out(job, body)
    _sampling_out(job, body)
    _limit_report(job, body)
    _meta_out(job, body)
    _rest_out(job, body)
    job.limit_marks(_MOST_MARKS - ("cache_control" in body))
    customs = (job.names[tool.name] for tool in request.tools if tool.kind == "custom")
    return Rendered(
        body=body,
        report=tuple(job.report),
        names={sent: told for told, sent in job.names.items() if sent != told},
        custom=frozenset(customs),
        headers=_headers(job, body),
    )


def _refuse(request: Request) -> None:
    """Refuse what no answer of this dialect could give."""
    if request.sampling.n is not None and request.sampling.n > 1:
        _refused(request.path("n"), "a model of Anthropic's gives one answer at a time")
    if request.previous_response_id is not None:
        _refused(request.path("previous_response_id"), "the upstream keeps no earlier answers")


def _refused(path: str, why: str) -> None:
    raise GatewayError(Error(kind="unsupported_param", message=f"{path}: {why}", param=path))


def _headers(job: Job, body: Json) -> dict[str, str]:
    request = job.request
    older = job.older or any(name in body for name in ("temperature", "top_p", "top_k"))
    version = VERSION if older else request.version or job.traits.anthropic_version
    headers = {"anthropic-version": version}
    betas = dict.fromkeys(request.betas)
    if _sends_file(body):
        betas[_FILES_BETA] = None
    if betas:
        headers["anthropic-beta"] = ",".join(betas)
    return headers


def _sends_file(body: Json) -> bool:
    sources = (block.get("source") for message in body["messages"] for block in message["content"])
    return any(isinstance(source, dict) and source.get("type") == "file" for source in sources)


# --- the limit ---------------------------------------------------------------------------


def _limit(job: Job) -> int:
    """The most tokens to ask for, which the API demands to be told."""
    most = job.traits.max_output
    wanted = job.request.max_output
    if wanted is None:
        wanted = job.traits.default_max_output
    return wanted if most is None else min(wanted, most)


def _limit_report(job: Job, body: Json) -> None:
    wanted, sent = job.request.max_output, body["max_tokens"]
    if wanted is None:
        job.supply("max_tokens", f"required upstream; route default {sent}", after=sent)
    elif wanted != sent:
        why = f"{wanted} clamped to the model's output limit {sent}"
        job.bend(job.request.path("max_output"), why, before=wanted, after=sent)


# --- sampling ----------------------------------------------------------------------------


def _sampling_out(job: Job, body: Json) -> None:
    _drawing_out(job, body)
    sampling, request = job.request.sampling, job.request
    for name in _UNKNOWN:
        value = getattr(sampling, name)
        # A penalty of 0 is none at all; a seed of 0 is a seed.
        if value or (name == "seed" and value is not None):
            job.drop(request.path(name), "no equivalent")
    _stop_out(job, body)


def _drawing_out(job: Job, body: Json) -> None:
    """Temperature, top_p and top_k, where the model still takes them."""
    sampling = job.request.sampling
    asked = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k")}
    asked = {name: value for name, value in asked.items() if value is not None}
    if not job.traits.sampling:
        for name in asked:
            job.drop(job.request.path(name), f"{job.model} rejects sampling parameters")
        return
    if body.get("thinking", {}).get("type") in {"adaptive", "enabled"}:
        _drawing_with_thinking(job, body, asked)
        return
    if (temperature := asked.get("temperature")) is not None:
        body["temperature"] = _clamped(job, temperature)
    if "top_p" in asked:
        if "temperature" in asked:
            job.drop(job.request.path("top_p"), "not together with temperature")
        else:
            body["top_p"] = asked["top_p"]
    if "top_k" in asked:
        _top_k_out(job, body, asked["top_k"])


def _drawing_with_thinking(job: Job, body: Json, asked: Json) -> None:
    """While a model thinks only temperature 1 and a large top_p are taken."""
    for name, value in asked.items():
        if name == "top_p" and value >= 0.95:
            body["top_p"] = value
        elif not (name == "temperature" and value == 1):
            job.drop(job.request.path(name), "not together with thinking")


def _clamped(job: Job, temperature: float) -> float:
    most = job.traits.temperature_max
    if temperature <= most:
        return temperature
    why = f"{temperature:g} clamped to {most:g}"
    job.bend(job.request.path("temperature"), why, before=temperature, after=most)
    return most


def _top_k_out(job: Job, body: Json, top_k: int) -> None:
    if job.traits.top_k:
        body["top_k"] = top_k
    else:
        job.drop(job.request.path("top_k"), "no equivalent")


def _stop_out(job: Job, body: Json) -> None:
    stop, most = job.request.sampling.stop, job.traits.stop_max
    path = job.request.path("stop")
    kept = [word for word in stop if word and not word.isspace()]
    if len(kept) < len(stop):
        job.drop(path, "whitespace-only stop sequences are not accepted upstream")
    if kept and most == 0:
        job.drop(path, f"{job.model} takes none")
    elif most is not None and len(kept) > most:
        job.bend(path, f"only the first {most} are sent", before=len(kept), after=most)
    kept = kept[:most]
    if kept:
        body["stop_sequences"] = kept


# --- the rest ------------------------------------------------------------------------------


def _meta_out(job: Job, body: Json) -> None:
    meta, request = job.request.meta, job.request
    if meta.user_id is not None:
        _user_out(job, body, meta.user_id)
    if meta.session_key is not None and request.path("session_key") != request.path("user_id"):
        job.drop(request.path("session_key"), "no equivalent")
    if meta.metadata:
        job.drop(request.path("metadata"), "no equivalent")
    if meta.store:
        job.drop(request.path("store"), "no equivalent")
    if meta.service_tier is not None:
        _tier_out(job, body, meta.service_tier)


def _user_out(job: Job, body: Json, user_id: str) -> None:
    path = job.request.path("user_id")
    if job.traits.user_field == "none":
        job.drop(path, "no equivalent")
        return
    if len(user_id) > _LONGEST_USER_ID:
        digest = hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()
        job.bend(path, f"longer than {_LONGEST_USER_ID} characters: its hash is sent")
        user_id = f"sha256:{digest}"
    body["metadata"] = {"user_id": user_id}


def _tier_out(job: Job, body: Json, tier: str) -> None:
    path = job.request.path("service_tier")
    if not job.traits.service_tier:
        job.drop(path, "no equivalent")
    elif tier == "default":
        body["service_tier"] = "standard_only"
    elif tier == "priority":
        body["service_tier"] = "auto"
        job.bend(path, "priority where there is capacity of it", before=tier, after="auto")
    elif tier != "auto":
        job.drop(path, "no equivalent")


def _rest_out(job: Job, body: Json) -> None:
    """Fields without a canonical place: sent again to this dialect, else reported."""
    request = job.request
    if request.cache is not None:
        if job.traits.cache == "cache_control":
            body["cache_control"] = cache_out(request.cache)
        else:
            job.unmark(request.cache)
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if dialect != NAME or not _put(body, key, value):
                job.drop(key, "no equivalent")


def _put(body: Json, key: str, value: object) -> bool:
    """Write a field under its path; False for one that was inside a message."""
    holder, _, inner = key.partition(".")
    if inner and holder in NESTED:
        # What this module decided itself stands; `thinking` is only there if it is on.
        if holder != "thinking":
            body.setdefault(holder, {}).setdefault(inner, value)
        return holder != "thinking" or body.get("thinking", {}).get(inner) == value
    if "[" in key:
        return False
    body.setdefault(key, value)
    return True
