"""The canonical request -> a provider's /api/chat request."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import Output, Request, Thinking
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.fields import compact
from gateway.dialects.ollama.job import Job
from gateway.dialects.ollama.messages_out import messages_out
from gateway.dialects.ollama.names import NAME, PROMPT_ONLY, Json
from gateway.dialects.ollama.tools import parameters, tools_out

_EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
# The most tokens of a thinking budget that one effort stands for.
_BUDGETS = ((1500, "low"), (6000, "medium"), (16000, "high"), (28000, "xhigh"))


def render_request(request: Request, traits: Traits) -> Rendered:
    """The JSON to send and what it could not carry. Raises GatewayError."""
    if request.sampling.n is not None and request.sampling.n > 1:
        path = request.path("n")
        message = f"{path}: Ollama gives one answer at a time"
        raise GatewayError(Error(kind="unsupported_param", message=message, param=path))
    job = Job(request, traits)
    # Left out it would mean a stream.
    body: Json = {"model": traits.model or request.model, "stream": request.stream}
    _output_out(job, body)
    messages_out(job, body)
    tools_out(job, body)
    _thinking_out(job, body)
    options = _options(job)
    _logprobs_out(job, body)
    _meta_report(job)
    _rest_out(job, body, options)
    if options:
        body["options"] = options
    customs = (tool.name for tool in request.tools if tool.kind == "custom")
    return Rendered(body=body, report=tuple(job.report), custom=frozenset(customs))


# --- the form of the answer ----------------------------------------------------------------


def _output_out(job: Job, body: Json) -> None:
    output, request = job.request.output, job.request
    if output.verbosity is not None:
        job.drop(request.path("verbosity"), "no equivalent", before=output.verbosity)
    if output.format == "text":
        return
    if output.format == "schema" and output.description is not None:
        job.drop(request.path("description"), "no equivalent")
    if job.traits.structured == "none":
        _hint(job, output)
    elif output.format == "schema" and output.schema and job.traits.structured == "schema":
        body["format"] = {k: v for k, v in output.schema.items() if k != "$schema"}
    else:
        body["format"] = "json"
        if output.schema:
            _hint(job, output)


def _hint(job: Job, output: Output) -> None:
    """Say in the instructions what the target has no field for."""
    if output.schema:
        words = compact(parameters(output.schema))
        job.hints.append(f"Answer only with JSON that follows this JSON Schema:\n{words}")
        path, what = job.request.path("schema"), "knows no schema"
    else:
        job.hints.append("Answer only with one JSON object.")
        path, what = job.request.path("format"), "has no JSON mode"
    job.bend(path, f"the upstream {what}: it is given as an instruction")


# --- thinking ------------------------------------------------------------------------------


def _thinking_out(job: Job, body: Json) -> None:
    request, traits = job.request, job.traits
    asked = _asked(request)
    if asked is None or (asked.mode is None and asked.effort is None):
        return
    name = "effort" if asked.effort is not None else "thinking"
    path = request.path("budget" if asked.budget is not None and name == "thinking" else name)
    if asked.mode == "off" or asked.effort == "none":
        _off(job, body, path)
    elif not traits.reasoning:
        job.drop(path, f"{job.model} is not a reasoning model", before=asked.effort)
    else:
        body["think"] = _level(job, asked, path)


def _asked(request: Request) -> Thinking | None:
    """What holds now: a turn's own effort counts from that turn on."""
    later = next((turn.effort for turn in reversed(request.turns) if turn.effort), None)
    return request.thinking if later is None else Thinking(effort=later)


def _off(job: Job, body: Json, path: str) -> None:
    if not job.traits.reasoning:
        return
    if job.traits.thinking_always_on:
        job.bend(path, f"{job.model} always reasons", before="off")
    else:
        body["think"] = False


def _level(job: Job, asked: Thinking, path: str) -> bool | str:
    """`true`, or an effort where the model has degrees of it."""
    effort, efforts = asked.effort, job.traits.efforts
    if effort is None and asked.budget is not None:
        effort = next((word for most, word in _BUDGETS if asked.budget <= most), "max")
        told = effort if efforts else "true"
        why = "this model takes no number of tokens"
        job.bend(path, why, before=asked.budget, after=_nearest(effort, efforts) or told)
        return _nearest(effort, efforts) or True
    if effort is None:
        return True
    sent = _nearest(effort, efforts)
    if sent is None:
        job.bend(path, f"{job.model} thinks or does not: it has no efforts", before=effort)
        return True
    # Less than the least there is, is the least: that is documented and no loss.
    if sent != effort and effort != "minimal":
        job.bend(path, f"{job.model} knows {', '.join(efforts)}", before=effort, after=sent)
    return sent


def _nearest(effort: str, efforts: tuple[str, ...]) -> str | None:
    """The effort itself, else the next one down, else the weakest there is."""
    if effort in efforts or not efforts:
        return effort if efforts else None
    known = [word for word in efforts if word in _EFFORTS]
    if effort not in _EFFORTS or not known:
        return efforts[0]
    rank = _EFFORTS.index(effort)
    lower = [word for word in known if _EFFORTS.index(word) < rank]
    return lower[-1] if lower else known[0]


# --- options -------------------------------------------------------------------------------


def _options(job: Job) -> Json:
    request, traits, sampling = job.request, job.traits, job.request.sampling
    options: Json = {}
    rejects = f"{job.model} rejects sampling parameters"
    if request.max_output is not None:
        options["num_predict"] = _limited(job, request.max_output)
    for name, sent, taken in (
        ("temperature", "temperature", traits.sampling),
        ("top_p", "top_p", traits.sampling),
        ("top_k", "top_k", traits.sampling and traits.top_k),
        ("min_p", "min_p", traits.min_p),
        ("frequency_penalty", "frequency_penalty", traits.penalties),
        ("presence_penalty", "presence_penalty", traits.penalties),
        ("repetition_penalty", "repeat_penalty", traits.repetition_penalty),
        ("seed", "seed", traits.seed),
    ):
        value = getattr(sampling, name)
        if value is not None and taken:
            options[sent] = value
        elif value is not None:
            job.drop(request.path(name), rejects, before=value)
    _stop_out(job, options)
    if sampling.logit_bias is not None:
        job.drop(request.path("logit_bias"), "no equivalent")
    return options


def _limited(job: Job, wanted: int) -> int:
    most = job.traits.max_output
    if most is None or wanted <= most:
        return wanted
    why = f"{wanted} clamped to the model's output limit {most}"
    job.bend(job.request.path("max_output"), why, before=wanted, after=most)
    return most


def _stop_out(job: Job, options: Json) -> None:
    stop, most = job.request.sampling.stop, job.traits.stop_max
    if not stop:
        return
    if most is not None and len(stop) > most:
        why = f"only the first {most} are sent"
        job.bend(job.request.path("stop"), why, before=len(stop), after=most)
        stop = stop[:most]
    if stop:
        options["stop"] = list(stop)


def _logprobs_out(job: Job, body: Json) -> None:
    sampling, request = job.request.sampling, job.request
    if not sampling.logprobs:
        return
    for name in ("logprobs", "top_logprobs"):
        value = getattr(sampling, name)
        if value is None:
            continue
        if job.traits.logprobs and not request.stream:
            body[name] = value
        else:
            job.drop(request.path(name), "a translated stream carries no log probabilities")


# --- the rest ------------------------------------------------------------------------------


def _meta_report(job: Job) -> None:
    """Nobody but the gateway sees who asks: there is no field for any of it."""
    meta, request = job.request.meta, job.request
    told: dict[str, Any] = {
        "user_id": meta.user_id,
        "metadata": meta.metadata,
        "service_tier": meta.service_tier,
        "store": meta.store or None,
    }
    if request.path("session_key") != request.path("user_id"):
        told["session_key"] = meta.session_key
    for name, value in told.items():
        if value is not None:
            job.drop(request.path(name), "no equivalent")
    if request.previous_response_id is not None:
        job.drop(request.path("previous_response_id"), "the upstream keeps no earlier answers")
    job.unmark(request.cache)


def _rest_out(job: Job, body: Json, options: Json) -> None:
    """Fields without a canonical place: sent again to this dialect, else reported."""
    for dialect, fields in job.request.extra.items():
        for key, value in fields.items():
            if dialect != NAME or "[" in key or key in PROMPT_ONLY:
                job.drop(key, "no equivalent")
            elif key.startswith("options."):
                options.setdefault(key.removeprefix("options."), value)
            else:
                body.setdefault(key, value)
