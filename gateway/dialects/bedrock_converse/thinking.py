"""Reasoning: what a provider is asked, in the words of each family of models.

Claude takes `thinking` as at Anthropic and its effort in `outputConfig`, Nova a
`reasoningConfig`, OpenAI's open models a `reasoning_effort`.
"""

from __future__ import annotations

import msgspec

from gateway.canon.request import Thinking
from gateway.dialects.bedrock_converse.job import Job
from gateway.dialects.bedrock_converse.names import EFFORTS, Json

_LEAST = 1024
# Models without an effort take tokens; the numbers are wire/spec.md's (3.6).
BUDGETS = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32000,
}
# The most tokens of a budget that one effort stands for.
_LEVELS = ((1500, "low"), (6000, "medium"), (16000, "high"), (28000, "xhigh"))
_DISPLAY = {"none": "omitted", "summary": "summarized", "raw": "summarized"}


def thinking_out(job: Job, body: Json) -> None:
    """Write what is asked into the body, as far as the target can do it."""
    asked = _asked(job)
    if asked is None:
        return
    match job.traits.thinking_request:
        case "thinking" if job.traits.thinking_modes or job.traits.efforts:
            _claude(job, body, asked)
        case "reasoning" if job.traits.reasoning:
            _nova(job, asked)
        case "reasoning_effort" if job.traits.efforts:
            effort = _fitting(job, _effort_of(asked))
            if asked.mode == "off":
                job.bend(_path(job), f"{job.model} can not be told not to think", after=effort)
            job.more["reasoning_effort"] = effort
        case _ if asked.mode != "off":
            job.drop(_path(job), f"{job.model} has no thinking to control")
        case _:
            pass


def _asked(job: Job) -> Thinking | None:
    """What holds for the whole request: a later turn's effort counts."""
    asked = job.request.thinking
    effort = job.effort or (asked.effort if asked else None)
    if effort == "none":
        return msgspec.structs.replace(asked or Thinking(), mode="off", effort=None)
    if effort is None:
        return asked
    return msgspec.structs.replace(asked or Thinking(), effort=effort)


def _path(job: Job) -> str:
    """The client's field that asks for reasoning at all."""
    at = job.request.at
    return at.get("thinking") or at.get("effort") or "thinking"


def _effort_of(asked: Thinking) -> str:
    """The effort that was asked for, or the one that stands for a number of tokens."""
    if asked.mode == "off":
        return "minimal"
    if asked.effort is None and asked.mode == "budget" and asked.budget is not None:
        return next((word for most, word in _LEVELS if asked.budget <= most), "max")
    return asked.effort or "medium"


# --- Claude ------------------------------------------------------------------------------


def _claude(job: Job, body: Json, asked: Thinking) -> None:
    modes = job.traits.thinking_modes
    if asked.mode == "off":
        _off(job, asked)
    elif not modes:
        job.drop(_path(job), f"{job.model} has no thinking to control")
    elif "adaptive" in modes and not (asked.mode == "budget" and "enabled" in modes):
        _adaptive(job, body, asked)
    else:
        _enabled(job, body, asked)


def _off(job: Job, asked: Thinking) -> None:
    if job.traits.thinking_always_on:
        job.bend(_path(job), f"{job.model} can not be told not to think")
    elif "adaptive" in job.traits.thinking_modes:
        job.more["thinking"] = {"type": "disabled"}


def _adaptive(job: Job, body: Json, asked: Thinking) -> None:
    effort = asked.effort
    if asked.mode == "budget" and asked.budget is not None:
        effort = effort or _effort_of(asked)
        why = f"{job.model} takes an effort, not a number of tokens"
        job.bend(job.request.path("budget"), why, before=asked.budget, after=effort)
    if asked.visible == "raw":
        job.bend(job.request.path("visible"), "thoughts are shown as summaries")
    shown = _DISPLAY[asked.visible or "summary"]
    job.more["thinking"] = {"type": "adaptive", "display": shown}
    _put_effort(job, body, effort)


def _enabled(job: Job, body: Json, asked: Thinking) -> None:
    """Thinking with a number of tokens."""
    refusal = _why_not(body)
    if refusal is not None:
        job.drop(_path(job), refusal)
        return
    effort = asked.effort or ("high" if asked.mode == "auto" else "medium")
    wanted = asked.budget if asked.mode == "budget" else None
    wanted = wanted or BUDGETS.get(effort, BUDGETS["medium"])
    budget = _fitted(job, body, wanted)
    if budget is None:
        job.drop(_path(job), "the limit leaves no room for thinking")
        return
    if asked.mode == "auto" and asked.effort is None:
        why = f"{job.model} takes a number of tokens"
        job.bend(_path(job), why, before="adaptive", after=budget)
    elif budget != wanted:
        name = "budget" if asked.mode == "budget" else "effort"
        why = f"at least {_LEAST} tokens and fewer than the limit"
        job.bend(job.request.path(name), why, before=wanted, after=budget)
    job.more["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if asked.effort is not None and job.traits.efforts:
        _put_effort(job, body, asked.effort)


def _why_not(body: Json) -> str | None:
    choice = body.get("toolConfig", {}).get("toolChoice", {})
    if choice.keys() & {"any", "tool"}:
        return "not together with a forced tool"
    if body["messages"][-1]["role"] == "assistant":
        return "not together with the beginning of an answer"
    return None


def _fitted(job: Job, body: Json, budget: int) -> int | None:
    """The budget between 1024 and the limit; None where that leaves nothing.

    A limit that the client left out is made to hold both the thoughts and an answer.
    """
    budget = max(_LEAST, budget)
    config = body.setdefault("inferenceConfig", {})
    if "maxTokens" not in config:
        most = job.traits.max_output
        wanted = budget + job.traits.default_max_output
        config["maxTokens"] = wanted if most is None else min(wanted, most)
        why = "the thoughts' tokens must be fewer than the limit"
        job.supply("max_tokens", why, after=config["maxTokens"])
    limit: int = config["maxTokens"]
    if budget < limit:
        return budget
    return None if limit < 2 * _LEAST else max(_LEAST, limit - _LEAST)


def _put_effort(job: Job, body: Json, effort: str | None) -> None:
    if effort is None:
        return
    if not job.traits.efforts:
        job.drop(job.request.path("effort"), f"{job.model} takes no effort")
        return
    body.setdefault("outputConfig", {})["effort"] = _fitting(job, effort)


def _fitting(job: Job, effort: str) -> str:
    """The effort itself, a documented synonym, or the next weaker one known."""
    known = job.traits.efforts
    sent = job.traits.effort_map.get(effort, effort)
    if sent in known:
        return sent
    rank = EFFORTS.index(effort) if effort in EFFORTS else EFFORTS.index("medium")
    weaker = [word for word in known if word in EFFORTS and EFFORTS.index(word) < rank]
    words = [word for word in known if word != "none"]
    sent = weaker[-1] if weaker and weaker[-1] != "none" else (words or list(known))[0]
    why = f"{job.model} knows {', '.join(known)}"
    job.bend(job.request.path("effort"), why, before=effort, after=sent)
    return sent


# --- Nova --------------------------------------------------------------------------------


def _nova(job: Job, asked: Thinking) -> None:
    if asked.mode == "off":
        job.more["reasoningConfig"] = {"type": "disabled"}
        return
    effort = _fitting(job, _effort_of(asked))
    if asked.mode == "budget":
        why = f"{job.model} takes an effort, not a number of tokens"
        job.bend(job.request.path("budget"), why, before=asked.budget, after=effort)
    job.more["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": effort}
