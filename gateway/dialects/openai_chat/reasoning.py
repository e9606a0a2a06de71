"""Reasoning: how much is asked for, and thoughts that come back in the history."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.request import Reasoning, Request, Signature, Thinking, Turn
from gateway.canon.signature import belongs, unwrap, wrap
from gateway.dialects.fields import (
    compact,
    flag,
    items,
    mapping,
    text,
    whole,
    wrong,
)
from gateway.dialects.openai_chat.job import Job

Json = dict[str, Any]
DETAILS = "reasoning_details"
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# Words of single providers for the same thing.
_SYNONYMS = {"med": "medium", "ultra": "max", "disabled": "none"}
# Stands for a thought that is demanded and was not kept: no words that the model might copy,
# but not empty either, which DeepSeek may take for absent.
_BLANK = " "
# The most tokens of a thinking budget that one effort stands for.
_BUDGETS = ((1500, "low"), (6000, "medium"), (16000, "high"), (28000, "xhigh"))


# --- what is asked for -----------------------------------------------------


def thinking_in(body: Json, at: dict[str, str]) -> Thinking | None:
    """What a client asks in any of the fields that Chat clients use; notes their paths.

    `reasoning_effort` is OpenAI's, `reasoning` OpenRouter's, `thinking` DeepSeek's.
    """
    asked = Thinking()
    if body.get("thinking") is not None:
        asked = _from_thinking(body, at)
    if body.get("reasoning") is not None:
        asked = _from_reasoning(body, at)
    if body.get("reasoning_effort") is not None:
        effort = _effort(text(body, "reasoning_effort"), "reasoning_effort")
        at["effort"] = "reasoning_effort"
        asked = _with_effort(asked, effort)
    if flag(body, "include_reasoning") is False:
        asked = msgspec.structs.replace(asked, visible="none")
    return asked if asked != Thinking() else None


def _with_effort(asked: Thinking, effort: str | None) -> Thinking:
    if effort == "none":
        return msgspec.structs.replace(asked, mode="off", effort=None, budget=None)
    return msgspec.structs.replace(asked, effort=effort)


def _effort(word: str | None, path: str) -> str | None:
    if word is None or word == "default":
        return None
    word = _SYNONYMS.get(word, word)
    if word not in EFFORTS:
        raise invalid(f"{path} must be one of {', '.join(EFFORTS)}, not {word[:40]!r}", path)
    return word


def _from_thinking(body: Json, at: dict[str, str]) -> Thinking:
    value = body["thinking"]
    at["thinking"] = "thinking"
    if type(value) is bool:
        return Thinking(mode="auto" if value else "off")
    if type(value) is not dict:
        raise wrong("thinking", "an object with a type", value)
    at["budget"] = "thinking.budget_tokens"
    budget = whole(value, "budget_tokens", least=0, at="thinking")
    if text(value, "type", "thinking") == "disabled":
        return Thinking(mode="off")
    return Thinking(mode="budget" if budget else "auto", budget=budget or None)


def _from_reasoning(body: Json, at: dict[str, str]) -> Thinking:
    value = mapping(body, "reasoning") or {}
    at["thinking"], at["effort"], at["budget"] = (
        "reasoning",
        "reasoning.effort",
        "reasoning.max_tokens",
    )
    effort = _effort(text(value, "effort", "reasoning"), "reasoning.effort")
    budget = whole(value, "max_tokens", least=0, at="reasoning")
    enabled = flag(value, "enabled", "reasoning")
    visible = "none" if flag(value, "exclude", "reasoning") else None
    if visible is None and text(value, "summary", "reasoning") is not None:
        visible = "summary"
    asked = Thinking(visible=visible)  # type: ignore[arg-type]
    if enabled is False:
        return msgspec.structs.replace(asked, mode="off")
    if budget:
        return msgspec.structs.replace(asked, mode="budget", budget=budget, effort=effort)
    if enabled:
        asked = msgspec.structs.replace(asked, mode="auto")
    return _with_effort(asked, effort)


def thinking_out(job: Job, body: Json) -> None:
    """Write what is asked into the body, in the words of the target."""
    request, traits = job.request, job.traits
    asked = _asked(request)
    if traits.responses_required_with_tools and body.get("tools"):
        _without_reasoning(job, body, asked)
        return
    if asked is None:
        return
    if not traits.reasoning or traits.thinking_request == "none":
        _drop_thinking(job, asked)
        return
    if asked.mode == "off" and traits.thinking_always_on and not traits.efforts:
        job.bend(request.path("thinking"), f"{traits.model} always reasons", before="off")
        return
    match traits.thinking_request:
        case "reasoning":
            _reasoning_object(job, body, asked)
        case "thinking":
            if asked.mode is not None:
                body["thinking"] = {"type": "disabled" if asked.mode == "off" else "enabled"}
            if asked.mode != "off":
                _put_effort(job, body, asked)
        case _:
            _put_effort(job, body, asked)


def _asked(request: Request) -> Thinking | None:
    """What holds now: a turn's own effort counts from that turn on."""
    later = next((turn.effort for turn in reversed(request.turns) if turn.effort), None)
    if later is None:
        return request.thinking
    return msgspec.structs.replace(request.thinking or Thinking(), effort=later)


def _without_reasoning(job: Job, body: Json, asked: Thinking | None) -> None:
    """Some models take tools here only if told not to reason (the error's own advice)."""
    efforts = job.traits.efforts
    if efforts and "none" not in efforts:
        return
    body["reasoning_effort"] = "none"
    if asked is None or asked.mode != "off":
        name = "effort" if asked is None or asked.effort else "thinking"
        why = f"{job.traits.model} takes function tools in this API only without reasoning"
        before = asked.effort if asked else None
        job.bend(job.request.path(name), why, before=before, after="none")


def _drop_thinking(job: Job, asked: Thinking) -> None:
    model = job.traits.model or "the model"
    why = f"{model} is not a reasoning model"
    if job.traits.reasoning:
        why = f"{model} has no control for it"
    if asked.effort is not None:
        job.drop(job.request.path("effort"), why, before=asked.effort)
    if asked.mode in {"auto", "budget"}:
        job.drop(job.request.path("thinking"), why)


def _put_effort(job: Job, body: Json, asked: Thinking) -> None:
    name, level = _level(job, asked)
    if level is None:
        return
    sent = _nearest(job, name, level)
    if sent is not None:
        body["reasoning_effort"] = sent


def _level(job: Job, asked: Thinking) -> tuple[str, str | None]:
    """The effort wanted, and the canonical name of the field that says so."""
    if asked.mode == "off":
        return "thinking", "none"
    if asked.effort is not None:
        if asked.budget is not None:
            job.drop(
                job.request.path("budget"),
                "an effort is sent instead",
                before=asked.budget,
            )
        return "effort", asked.effort
    if asked.budget is None:
        return "effort", None
    level = next((word for most, word in _BUDGETS if asked.budget <= most), "max")
    why = "this model takes an effort, not a number of tokens"
    job.bend(job.request.path("budget"), why, before=asked.budget, after=level)
    return "budget", level


def _nearest(job: Job, name: str, level: str) -> str | None:
    """The target's word for an effort: itself, a documented synonym, or the next one down."""
    traits = job.traits
    if level in traits.effort_map:
        return traits.effort_map[level]
    if level in traits.efforts:
        return level
    if not traits.efforts:
        job.drop(job.request.path(name), f"{traits.model} takes no effort", before=level)
        return None
    sent = _next_down(level, traits.efforts)
    why = f"{traits.model} knows {', '.join(traits.efforts)}"
    job.bend(job.request.path(name), why, before=level, after=sent)
    return sent


def _next_down(level: str, efforts: tuple[str, ...]) -> str:
    """The strongest effort below `level`, else the weakest there is.

    "None" is no weak effort: thinking a little comes nearer to what was asked.
    """
    known = [effort for effort in efforts if effort in EFFORTS and effort != "none"]
    if level not in EFFORTS or not known:
        return efforts[0]
    rank = EFFORTS.index(level)
    lower = [effort for effort in known if EFFORTS.index(effort) < rank]
    return lower[-1] if lower else known[0]


def _reasoning_object(job: Job, body: Json, asked: Thinking) -> None:
    """OpenRouter's `reasoning`: an effort or a number of tokens, never both."""
    out: Json = {}
    if asked.mode == "off":
        out["effort"] = "none"
    elif asked.budget is not None and asked.effort is None:
        out["max_tokens"] = asked.budget
    elif asked.effort is not None:
        _, level = _level(job, asked)
        sent = _nearest(job, "effort", level or "medium") if job.traits.efforts else level
        out["effort"] = sent
    elif asked.mode == "auto":
        out["enabled"] = True
    if asked.visible == "none":
        out["exclude"] = True
    if out:
        body["reasoning"] = out


# --- thoughts in the history ---------------------------------------------------------


def thought_in(message: Json, at: str) -> list[Reasoning]:
    """The thoughts that a client sends back, in any of the three fields."""
    words = text(message, "reasoning_content", at)
    field = "reasoning_content"
    if words is None:
        words, field = text(message, "reasoning", at), "reasoning"
    details = items(message, DETAILS, at)
    if own := _own_details(details, f"{at}.{DETAILS}"):
        return own
    if details:
        told = words if words else details_text(details)
        path = f"{at}.{DETAILS}"
        return [Reasoning(text=told, signature=_details_signature(details), at=path)]
    return [Reasoning(text=words, at=f"{at}.{field}")] if words else []


def detail_out(words: str, signature: Signature, place: int, *, redacted: bool) -> Json:
    """One thought with its state, for a client that sends both back."""
    token, head = wrap(signature), {"format": "dragoman-v1", "index": place}
    if redacted:
        return {"type": "reasoning.encrypted", "data": token, **head}
    return {"type": "reasoning.text", "text": words, "signature": token, **head}


def _own_details(details: list[Json], at: str) -> list[Reasoning]:
    """The thoughts in details that the gateway gave out; each is whole by itself."""
    found: list[Reasoning] = []
    for place, detail in enumerate(details):
        token = detail.get("signature") or detail.get("data")
        state = unwrap(token) if isinstance(token, str) else None
        if state is None or detail.get("format") != "dragoman-v1":
            continue
        words = detail.get("text")
        told = words if isinstance(words, str) else ""
        redacted = detail.get("type") == "reasoning.encrypted"
        where = f"{at}[{place}]"
        found.append(Reasoning(text=told, signature=state, redacted=redacted, at=where))
    return found


def details_text(details: list[Json]) -> str:
    """The words in `reasoning_details`."""
    words = (detail.get("text") or detail.get("summary") for detail in details)
    return "".join(word for word in words if isinstance(word, str))


def _details_signature(details: list[Json]) -> Signature:
    for detail in details:
        for value in (detail.get("data"), detail.get("signature")):
            known = unwrap(value) if isinstance(value, str) else None
            if known is not None:
                return known
    return Signature(kind=DETAILS, value=compact(details))


def thoughts_out(job: Job, turn: Turn, message: Json, *, has_calls: bool) -> list[Json]:
    """Put a turn's thoughts into its message where the target wants them back.

    Gives chunks of content for those that want them there.
    """
    thoughts = [part for part in turn.parts if isinstance(part, Reasoning)]
    traits = job.traits
    demanded = traits.replay_reasoning == "required_on_tools" and has_calls
    if traits.reasoning_field == "none" or traits.replay_reasoning == "ignored":
        for thought in thoughts:
            job.drop(thought.at, "thinking block: the upstream takes no reasoning as input")
        return []
    if traits.reasoning_field == "thinking":
        return [chunk for thought in thoughts for chunk in _thinking_chunk(job, thought)]
    field = traits.reasoning_field
    if field == DETAILS:
        field = "reasoning"
        details, thoughts = _native_details(job, thoughts)
        if details:
            message[DETAILS] = details
    words = "".join(_words(job, thought, demanded=demanded) for thought in thoughts)
    if demanded and not words:
        words = _BLANK
        job.supply(turn.at, f"{traits.model} demands {field} beside tool calls", after=_BLANK)
    if words:
        message[field] = words
    return []


def _thinking_chunk(job: Job, thought: Reasoning) -> list[Json]:
    """Mistral's chunk of content for a thought, if it may go to this target."""
    words = _words(job, thought, demanded=False)
    if not words:
        return []
    chunk: Json = {"type": "thinking", "thinking": [{"type": "text", "text": words}]}
    if thought.signature is not None and thought.signature.value:
        chunk["signature"] = thought.signature.value
    return [{**chunk, "closed": True}]


def _words(job: Job, thought: Reasoning, *, demanded: bool) -> str:
    """A thought's text if it may go to this target."""
    signature = thought.signature
    # A text without a wrapped origin comes from a client that got plain text to begin with.
    plain = signature is None or (not signature.provider and signature.kind == DETAILS)
    if plain or belongs(signature, job.traits):
        return thought.text
    if demanded and thought.text:
        job.bend(thought.at, "thoughts of another model, sent as this one's text")
        return thought.text
    job.drop(thought.at, "thinking block of another model")
    return ""


def _native_details(job: Job, thoughts: list[Reasoning]) -> tuple[list[Json], list[Reasoning]]:
    """The target's own `reasoning_details`, and the thoughts that hold none."""
    details: list[Json] = []
    others: list[Reasoning] = []
    for thought in thoughts:
        signature = thought.signature
        if signature and signature.kind == DETAILS and belongs(signature, job.traits):
            details += _decoded(job, thought, signature.value)
        else:
            others.append(thought)
    return details, others


def _decoded(job: Job, thought: Reasoning, value: str) -> list[Json]:
    """The details in a token. A client carries it and may have changed it."""
    try:
        return msgspec.json.decode(value, type=list[dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        job.drop(thought.at, "the reasoning state does not read as what was given out")
        return []
