"""Reasoning: how much is asked for and shown, both ways."""

from __future__ import annotations

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.request import Thinking
from gateway.dialects.anthropic_messages.job import Job
from gateway.dialects.anthropic_messages.names import (
    DISPLAY,
    EFFORTS,
    NAME,
    VISIBLE,
    Json,
)
from gateway.dialects.fields import mapping, one_of, text, whole

_TYPES = ("adaptive", "enabled", "disabled", "between_tools")
_KNOWN = frozenset({"type", "budget_tokens", "display"})
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
# With this beta a budget may be larger than the limit of one answer.
_INTERLEAVED = "interleaved-thinking-2025-05-14"


# --- what a client asks --------------------------------------------------------------


def thinking_in(body: Json, rest: Json) -> Thinking | None:
    """What `thinking` and `output_config.effort` ask for; None if they ask nothing."""
    effort = effort_in(body, "")
    value = mapping(body, "thinking")
    if value is None:
        return None if effort is None else Thinking(effort=effort)
    word = one_of(value, "type", _TYPES, "thinking")
    if word is None:
        path = "thinking.type"
        raise invalid(f"{path} is required: give one of {', '.join(_TYPES)}", path)
    budget = whole(value, "budget_tokens", least=0, at="thinking")
    if word == "enabled" and budget is None:
        path = "thinking.budget_tokens"
        raise invalid(f"{path} is required where thinking.type is 'enabled'", path)
    rest |= {f"thinking.{k}": v for k, v in value.items() if k not in _KNOWN and v is not None}
    if word == "between_tools":
        rest["thinking.type"] = word
    asked = Thinking(effort=effort, visible=_visible_in(value, rest))  # type: ignore[arg-type]
    if word == "disabled":
        return msgspec.structs.replace(asked, mode="off")
    if word == "enabled":
        return msgspec.structs.replace(asked, mode="budget", budget=budget)
    return msgspec.structs.replace(asked, mode="auto")


def effort_in(holder: Json, at: str) -> str | None:
    """The effort in an `output_config`, a request's or a system message's."""
    config = mapping(holder, "output_config", at)
    path = f"{at}.output_config" if at else "output_config"
    return None if config is None else one_of(config, "effort", EFFORTS, path)


def _visible_in(value: Json, rest: Json) -> str | None:
    display = text(value, "display", "thinking")
    if display is None or display in VISIBLE:
        return VISIBLE.get(display or "")
    # Claude Code's `updates` are summaries as they come.
    rest["thinking.display"] = display
    return "summary"


# --- what a provider is asked --------------------------------------------------------


def thinking_out(job: Job, body: Json) -> None:
    """Write what is asked into the body, as far as the target can do it."""
    asked = _asked(job)
    if asked is None:
        return
    if asked.mode == "off":
        _off(job, body, asked)
        return
    if not job.traits.thinking_modes:
        _without_control(job, body, asked)
        return
    if asked.mode is None and job.native:
        _put_effort(job, body, asked.effort)
        return
    if "adaptive" in job.traits.thinking_modes and not _is_exact(job, asked):
        _adaptive(job, body, asked)
        return
    _enabled(job, body, asked)


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


def _off(job: Job, body: Json, asked: Thinking) -> None:
    modes = job.traits.thinking_modes
    if job.traits.thinking_always_on:
        job.bend(_path(job), f"{job.model} can not be told not to think")
    elif "adaptive" in modes or "disabled" in modes:
        body["thinking"] = {"type": "disabled"}
    if asked.effort is None:
        return
    # The strongest two mean nothing without thinking, and are refused.
    if asked.effort in {"xhigh", "max"}:
        job.bend(job.request.path("effort"), "no more than high without thinking", after="high")
    _put_effort(job, body, "high" if asked.effort in {"xhigh", "max"} else asked.effort)


def _without_control(job: Job, body: Json, asked: Thinking) -> None:
    if asked.mode is not None:
        job.drop(_path(job), f"{job.model} has no thinking to control")
    _put_effort(job, body, asked.effort)


def _is_exact(job: Job, asked: Thinking) -> bool:
    """Whether a budget can be sent as it is to a model that knows both forms."""
    return asked.mode == "budget" and "enabled" in job.traits.thinking_modes


def _adaptive(job: Job, body: Json, asked: Thinking) -> None:
    effort = asked.effort
    if asked.mode == "budget" and asked.budget is not None:
        level = next((word for most, word in _LEVELS if asked.budget <= most), "max")
        effort = effort or level
        why = f"{job.model} takes an effort, not a number of tokens"
        job.bend(job.request.path("budget"), why, before=asked.budget, after=effort)
    told = job.request.extra.get(NAME, {}).get("thinking.type")
    kind = told if told in job.traits.thinking_modes else "adaptive"
    body["thinking"] = {"type": kind}
    visible = asked.visible if job.native else asked.visible or "summary"
    if visible is not None and kind == "adaptive":
        _show(job, body, visible)
    _put_effort(job, body, effort)


def _show(job: Job, body: Json, visible: str) -> None:
    if visible == "raw":
        job.bend(job.request.path("visible"), "thoughts are shown as summaries")
    body["thinking"]["display"] = DISPLAY[visible]


def _enabled(job: Job, body: Json, asked: Thinking) -> None:
    """Thinking with a number of tokens."""
    refusal = _why_not(body)
    if refusal is not None:
        job.drop(_path(job), refusal)
        return
    effort = asked.effort or ("high" if asked.mode == "auto" else "medium")
    budget = asked.budget if asked.mode == "budget" else BUDGETS.get(effort)
    fitted = _fitted(job, body, budget or BUDGETS["medium"])
    if fitted is None:
        job.drop(_path(job), "max_tokens leaves no room for thinking")
        return
    if asked.mode == "auto" and asked.effort is None:
        why = f"{job.model} takes a number of tokens"
        job.bend(_path(job), why, before="adaptive", after=fitted)
    elif fitted != budget:
        name = "budget" if asked.mode == "budget" else "effort"
        why = "at least 1024 tokens and fewer than max_tokens"
        job.bend(job.request.path(name), why, before=budget, after=fitted)
    body["thinking"] = {"type": "enabled", "budget_tokens": fitted}
    if _is_mute(body["messages"]):
        job.bend(_path(job), "not before this answer: the thoughts before the last calls are gone")
    if asked.visible == "none" or (asked.visible is not None and job.native):
        body["thinking"]["display"] = DISPLAY[asked.visible]
    if asked.effort is not None and (job.traits.efforts or asked.mode == "budget"):
        _put_effort(job, body, asked.effort)


def _is_mute(messages: list[Json]) -> bool:
    """Whether the model goes on from calls whose thoughts can not be replayed.

    The API then does not think for this one answer, and says nothing of it.
    """
    last: list[Json] = next(
        (m["content"] for m in reversed(messages) if m["role"] == "assistant"), []
    )
    kinds = {block.get("type") for block in last}
    goes_on = any(block.get("type") == "tool_result" for block in messages[-1]["content"])
    return goes_on and "tool_use" in kinds and not kinds & {"thinking", "redacted_thinking"}


def _why_not(body: Json) -> str | None:
    if body.get("tool_choice", {}).get("type") in {"any", "tool"}:
        return "not together with a forced tool"
    if body["messages"][-1]["role"] == "assistant":
        return "not together with the beginning of an answer"
    return None


def _fitted(job: Job, body: Json, budget: int) -> int | None:
    """The budget between 1024 and the limit; None where that leaves nothing.

    A limit that the client left out is raised to hold both the thoughts and an answer.
    """
    budget = max(_LEAST, budget)
    if job.native and _INTERLEAVED in job.request.betas:
        return budget
    if budget >= body["max_tokens"] and job.request.max_output is None:
        most = job.traits.max_output
        wanted = budget + body["max_tokens"]
        body["max_tokens"] = wanted if most is None else min(wanted, most)
    limit: int = body["max_tokens"]
    if budget < limit:
        return budget
    return None if limit < 2 * _LEAST else max(_LEAST, limit - _LEAST)


def _put_effort(job: Job, body: Json, effort: str | None) -> None:
    """Write the effort: itself, a documented synonym, or the next weaker one known."""
    if effort is None:
        return
    efforts = job.traits.efforts
    sent = job.traits.effort_map.get(effort, effort)
    if sent not in efforts:
        if not efforts:
            job.drop(job.request.path("effort"), f"{job.model} takes no effort")
            return
        sent = _weaker(effort, efforts)
        why = f"{job.model} knows {', '.join(efforts)}"
        job.bend(job.request.path("effort"), why, before=effort, after=sent)
    body.setdefault("output_config", {})["effort"] = sent


def _weaker(effort: str, efforts: tuple[str, ...]) -> str:
    rank = EFFORTS.index(effort) if effort in EFFORTS else EFFORTS.index("medium")
    weaker = [e for e in efforts if e in EFFORTS and e != "none" and EFFORTS.index(e) < rank]
    return weaker[-1] if weaker else next((e for e in efforts if e != "none"), efforts[0])
