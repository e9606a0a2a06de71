"""How much reasoning is asked for and shown: `reasoning`, both ways."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.canon.request import Request, Thinking
from gateway.dialects.fields import mapping, one_of, text
from gateway.dialects.openai_responses.job import Job
from gateway.dialects.openai_responses.names import EFFORTS, NAME, Json

_KNOWN = frozenset({"effort", "summary", "generate_summary"})
# The most tokens of a thinking budget that one effort stands for.
_BUDGETS = ((1500, "low"), (6000, "medium"), (16000, "high"), (28000, "xhigh"))
_SUMMARY = "reasoning.summary"
_USUAL_SUMMARY = "auto"


def thinking_in(body: Json, rest: Json) -> Thinking | None:
    """What `reasoning` asks for; its fields without a place here go to `rest`."""
    asked = mapping(body, "reasoning")
    if asked is None:
        return None
    rest |= {f"reasoning.{k}": v for k, v in asked.items() if k not in _KNOWN and v is not None}
    effort = one_of(asked, "effort", EFFORTS, "reasoning")
    summary = text(asked, "summary", "reasoning") or text(asked, "generate_summary", "reasoning")
    if summary not in (None, _USUAL_SUMMARY):
        rest[_SUMMARY] = summary
    thinking = Thinking(visible="summary" if summary is not None else None)
    if effort == "none":
        thinking = replace(thinking, mode="off")
    elif effort is not None:
        thinking = replace(thinking, effort=effort)
    return thinking if thinking != Thinking() else None


def thinking_out(job: Job, body: Json) -> None:
    """Write what is asked into the body, in the words of the target."""
    asked = _asked(job.request)
    if asked is None:
        return
    if not job.traits.reasoning:
        _drop_thinking(job, asked)
        return
    out: Json = {}
    name, level = _level(job, asked)
    if level is not None and (sent := _nearest(job, name, level)) is not None:
        out["effort"] = sent
    if asked.mode != "off" and (summary := _summary(job, asked)) is not None:
        out["summary"] = summary
    if out:
        body["reasoning"] = out


def _asked(request: Request) -> Thinking | None:
    """What holds now: a turn's own effort counts from that turn on."""
    later = next((turn.effort for turn in reversed(request.turns) if turn.effort), None)
    if later is None:
        return request.thinking
    return replace(request.thinking or Thinking(), effort=later)


def _drop_thinking(job: Job, asked: Thinking) -> None:
    why = f"{job.model} is not a reasoning model"
    if asked.effort is not None:
        job.drop(job.request.path("effort"), why, before=asked.effort)
    if asked.mode in {"auto", "budget"}:
        job.drop(job.request.path("thinking"), why)


def _summary(job: Job, asked: Thinking) -> str | None:
    """How thoughts are to be shown.

    Who only gave an effort gets none: not every account may ask for summaries. For models
    of which that is known (`Traits.reasoning_summaries`) `relay.prepare` asks.
    """
    told = job.request.extra.get(NAME, {}).get(_SUMMARY)
    if asked.visible in {"summary", "raw"}:
        return told if isinstance(told, str) else _USUAL_SUMMARY
    if asked.visible is None and asked.mode in {"auto", "budget"}:
        return "auto"
    return None


def _level(job: Job, asked: Thinking) -> tuple[str, str | None]:
    """The effort wanted, and the canonical name of the field that says so."""
    if asked.mode == "off":
        return "thinking", "none"
    if asked.effort is not None:
        if asked.budget is not None:
            why = "an effort is sent instead"
            job.drop(job.request.path("budget"), why, before=asked.budget)
        return "effort", asked.effort
    if asked.budget is None:
        return "effort", None
    level = next((word for most, word in _BUDGETS if asked.budget <= most), "max")
    why = f"{job.model} takes an effort, not a number of tokens"
    job.bend(job.request.path("budget"), why, before=asked.budget, after=level)
    return "budget", level


def _nearest(job: Job, name: str, level: str) -> str | None:
    """The target's word for an effort: itself, a documented synonym, or the next one down."""
    traits = job.traits
    if level in traits.effort_map:
        return traits.effort_map[level]
    if level in traits.efforts:
        return level
    path = job.request.path(name)
    if not traits.efforts:
        job.drop(path, f"{job.model} takes no effort", before=level)
        return None
    sent = _next_down(level, traits.efforts)
    job.bend(path, f"{job.model} knows {', '.join(traits.efforts)}", before=level, after=sent)
    return sent


def _next_down(level: str, efforts: tuple[str, ...]) -> str:
    """The strongest effort below `level`, else the weakest there is.

    "None" is no weak effort: thinking a little comes nearer to what was asked.
    """
    known = [effort for effort in efforts if effort in EFFORTS and effort != "none"]
    if level not in EFFORTS or not known:
        return efforts[0]
    lower = [effort for effort in known if EFFORTS.index(effort) < EFFORTS.index(level)]
    return lower[-1] if lower else known[0]
