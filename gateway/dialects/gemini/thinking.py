"""Reasoning: how much is asked for and shown, both ways.

Models of 2.5 take a number of tokens, later ones a level; both together are a 400.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.request import Thinking
from gateway.dialects.fields import flag, mapping, one_of, whole
from gateway.dialects.gemini.job import Job
from gateway.dialects.gemini.names import CONFIG, EFFORTS, LEVELS, Json

_AT = f"{CONFIG}.thinkingConfig"
_KNOWN = frozenset({"includeThoughts", "thinkingBudget", "thinkingLevel"})
_UNSAID = "THINKING_LEVEL_UNSPECIFIED"
# An effort in tokens, for models without levels (wire/spec.md, 3.6).
BUDGETS = {
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24_576,
    "xhigh": 24_576,
    "max": 32_768,
}
# The most tokens of a budget that one effort stands for.
_STEPS = ((1500, "low"), (6000, "medium"), (16_000, "high"), (28_000, "xhigh"))


# --- what a client asks ------------------------------------------------------------------


def thinking_in(config: Json, rest: Json) -> Thinking | None:
    """What `thinkingConfig` asks for; None if it asks nothing."""
    value = mapping(config, "thinkingConfig", CONFIG)
    if value is None:
        return None
    rest |= {
        f"{_AT}.{key}": told
        for key, told in value.items()
        if key not in _KNOWN and told is not None
    }
    shown = flag(value, "includeThoughts", _AT)
    visible: Any = None if shown is None else ("summary" if shown else "none")
    budget = whole(value, "thinkingBudget", least=-1, at=_AT)
    level = _level_in(value)
    if level is not None:
        if budget is not None:
            rest[f"{_AT}.thinkingBudget"] = budget  # Gemini itself refuses both
        return Thinking(effort=level, visible=visible)
    if budget is None:
        return Thinking(visible=visible) if visible else None
    if budget == -1:
        return Thinking(mode="auto", visible=visible)
    if budget == 0:
        return Thinking(mode="off", visible=visible)
    return Thinking(mode="budget", budget=budget, visible=visible)


def _level_in(value: Json) -> str | None:
    level = value.get("thinkingLevel")
    upper = {**value, "thinkingLevel": level.upper() if isinstance(level, str) else level}
    told = one_of(upper, "thinkingLevel", (*LEVELS, _UNSAID), _AT)
    return None if told in (None, _UNSAID) else told.lower()


# --- what a provider is asked ------------------------------------------------------------


def thinking_out(job: Job, config: Json, effort: str | None) -> None:
    """Write what is asked into the generation config; `effort` is a later turn's own."""
    asked = job.request.thinking
    if effort is not None:
        asked = msgspec.structs.replace(asked or Thinking(), effort=effort)
    if asked is None:
        return
    if asked.effort == "none":
        asked = msgspec.structs.replace(asked, mode="off", effort=None)
    if not job.traits.reasoning:
        if asked.mode != "off":
            job.drop(_path(job), f"{job.model} does not reason")
        return
    out = _with_tokens(job, asked) if job.traits.thinking_budgets else _with_level(job, asked)
    shown = asked.visible
    if shown is None and not job.native and asked.mode != "off":
        shown = "summary"
    if shown == "raw":
        job.bend(job.request.path("visible"), "thoughts are shown as summaries")
    if shown is not None and (shown != "none" or job.native):
        out["includeThoughts"] = shown != "none"
    if out:
        config["thinkingConfig"] = out


def _path(job: Job) -> str:
    """The client's field that asks for reasoning at all."""
    at = job.request.at
    return at.get("thinking") or at.get("effort") or "thinking"


def _with_tokens(job: Job, asked: Thinking) -> Json:
    """A budget, within what the model takes."""
    least, most = job.traits.thinking_budgets
    if asked.mode == "off":
        if not job.traits.thinking_always_on:
            return {"thinkingBudget": 0}
        job.bend(_path(job), f"{job.model} can not be told not to think", after=least)
        return {"thinkingBudget": least}
    if asked.mode == "budget" and asked.budget is not None:
        wanted, path = asked.budget, job.request.path("budget")
    elif asked.effort is not None:
        wanted, path = BUDGETS.get(asked.effort, BUDGETS["medium"]), job.request.path("effort")
    else:
        return {"thinkingBudget": -1} if asked.mode == "auto" else {}
    sent = min(max(wanted, least), most)
    if sent != wanted:
        why = f"{job.model} takes {least} to {most} tokens"
        job.bend(path, why, before=wanted, after=sent)
    return {"thinkingBudget": sent}


def _with_level(job: Job, asked: Thinking) -> Json:
    """A level: the effort's own, or the nearest that the model knows."""
    levels = job.traits.efforts
    if asked.mode == "off":
        sent = levels[0] if levels else "low"
        if sent == "none":
            return {"thinkingBudget": 0}
        job.bend(_path(job), f"{job.model} can not be told not to think", after=sent.upper())
        return {"thinkingLevel": sent.upper()}
    effort, path = asked.effort, job.request.path("effort")
    if effort is None and asked.mode == "budget" and asked.budget is not None:
        path = job.request.path("budget")
        effort = next((word for upto, word in _STEPS if asked.budget <= upto), "max")
        sent = _nearest(effort, levels)
        why = f"{job.model} takes a level, not a number of tokens"
        job.bend(path, why, before=asked.budget, after=sent.upper())
        return {"thinkingLevel": sent.upper()}
    if effort is None:
        return {}
    sent = job.traits.effort_map.get(effort) or _nearest(effort, levels)
    if sent != effort:
        job.bend(path, f"{job.model} knows {', '.join(levels)}", before=effort, after=sent)
    return {"thinkingLevel": sent.upper()}


def _nearest(effort: str, known: tuple[str, ...]) -> str:
    """The effort itself, the next weaker one that is known, or the weakest of all."""
    words = [word for word in known if word != "none"]
    if effort in words or not words:
        return effort if effort in words else "low"
    rank = EFFORTS.index(effort) if effort in EFFORTS else EFFORTS.index("medium")
    weaker = [word for word in words if word in EFFORTS and EFFORTS.index(word) < rank]
    return weaker[-1] if weaker else words[0]
