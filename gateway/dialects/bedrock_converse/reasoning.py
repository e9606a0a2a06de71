"""Reasoning that a request asks for, as the model's own fields."""

from __future__ import annotations

import msgspec

from gateway.canon.request import Thinking
from gateway.dialects.bedrock_converse.context import EFFORTS, Json, RenderContext

_MIN_BUDGET = 1024
# Models without an effort take tokens; the numbers are wire/spec.md's (3.6).
BUDGET_BY_EFFORT = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32000,
}
# (maximum budget in tokens, effort it corresponds to).
_EFFORT_BY_MAX_BUDGET = ((1500, "low"), (6000, "medium"), (16000, "high"), (28000, "xhigh"))
_DISPLAY_BY_VISIBILITY = {"none": "omitted", "summary": "summarized", "raw": "summarized"}


def render_thinking(context: RenderContext, body: Json) -> None:
    """Renders the requested reasoning into the body, as far as the target supports it."""
    thinking = _effective_thinking(context)
    if thinking is None:
        return
    match context.traits.thinking_request:
        case "thinking" if context.traits.thinking_modes or context.traits.efforts:
            _render_claude(context, body, thinking)
        case "reasoning" if context.traits.reasoning:
            _render_nova(context, thinking)
        case "reasoning_effort" if context.traits.efforts:
            effort = _select_effort(context, _requested_effort(thinking))
            if thinking.mode == "off":
                context.approximate(
                    _thinking_path(context),
                    f"{context.model} cannot disable reasoning",
                    after=effort,
                )
            context.model_fields["reasoning_effort"] = effort
        case _ if thinking.mode != "off":
            context.drop(_thinking_path(context), f"{context.model} has no thinking to control")
        case _:
            pass


def _effective_thinking(context: RenderContext) -> Thinking | None:
    """The reasoning for the complete request; the effort of a later turn overrides it."""
    thinking = context.request.thinking
    effort = context.effort_override or (thinking.effort if thinking else None)
    if effort == "none":
        return msgspec.structs.replace(thinking or Thinking(), mode="off", effort=None)
    if effort is None:
        return thinking
    return msgspec.structs.replace(thinking or Thinking(), effort=effort)


def _thinking_path(context: RenderContext) -> str:
    """The path of the client's field that requests reasoning."""
    field_paths = context.request.client_paths
    return field_paths.get("thinking") or field_paths.get("effort") or "thinking"


def _requested_effort(thinking: Thinking) -> str:
    """The requested effort, or the one that corresponds to the requested budget."""
    if thinking.mode == "off":
        return "minimal"
    if thinking.effort is None and thinking.mode == "budget" and thinking.budget is not None:
        return next(
            (
                effort
                for max_budget, effort in _EFFORT_BY_MAX_BUDGET
                if thinking.budget <= max_budget
            ),
            "max",
        )
    return thinking.effort or "medium"


# --- Claude ------------------------------------------------------------------------------


def _render_claude(context: RenderContext, body: Json, thinking: Thinking) -> None:
    modes = context.traits.thinking_modes
    if thinking.mode == "off":
        _render_disabled(context, thinking)
    elif not modes:
        context.drop(_thinking_path(context), f"{context.model} has no thinking to control")
    elif "adaptive" in modes and not (thinking.mode == "budget" and "enabled" in modes):
        _render_adaptive(context, body, thinking)
    else:
        _render_budget(context, body, thinking)


def _render_disabled(context: RenderContext, thinking: Thinking) -> None:
    if context.traits.thinking_always_on:
        context.approximate(_thinking_path(context), f"{context.model} cannot disable reasoning")
    elif "adaptive" in context.traits.thinking_modes:
        context.model_fields["thinking"] = {"type": "disabled"}


def _render_adaptive(context: RenderContext, body: Json, thinking: Thinking) -> None:
    effort = thinking.effort
    if thinking.mode == "budget" and thinking.budget is not None:
        effort = effort or _requested_effort(thinking)
        why = f"{context.model} takes an effort, not a number of tokens"
        context.approximate(
            context.request.client_path("budget"), why, before=thinking.budget, after=effort
        )
    if thinking.visible == "raw":
        context.approximate(
            context.request.client_path("visible"), "reasoning is shown as summaries"
        )
    display = _DISPLAY_BY_VISIBILITY[thinking.visible or "summary"]
    context.model_fields["thinking"] = {"type": "adaptive", "display": display}
    _render_effort(context, body, effort)


def _render_budget(context: RenderContext, body: Json, thinking: Thinking) -> None:
    """Thinking with a number of tokens."""
    conflict = _budget_conflict(body)
    if conflict is not None:
        context.drop(_thinking_path(context), conflict)
        return
    effort = thinking.effort or ("high" if thinking.mode == "auto" else "medium")
    requested_budget = thinking.budget if thinking.mode == "budget" else None
    requested_budget = requested_budget or BUDGET_BY_EFFORT.get(effort, BUDGET_BY_EFFORT["medium"])
    sent_budget = _fit_budget(context, body, requested_budget)
    if sent_budget is None:
        context.drop(_thinking_path(context), "the limit leaves no room for thinking")
        return
    if thinking.mode == "auto" and thinking.effort is None:
        why = f"{context.model} takes a number of tokens"
        context.approximate(_thinking_path(context), why, before="adaptive", after=sent_budget)
    elif sent_budget != requested_budget:
        name = "budget" if thinking.mode == "budget" else "effort"
        why = f"at least {_MIN_BUDGET} tokens and fewer than the limit"
        context.approximate(
            context.request.client_path(name), why, before=requested_budget, after=sent_budget
        )
    context.model_fields["thinking"] = {"type": "enabled", "budget_tokens": sent_budget}
    if thinking.effort is not None and context.traits.efforts:
        _render_effort(context, body, thinking.effort)


def _budget_conflict(body: Json) -> str | None:
    choice = body.get("toolConfig", {}).get("toolChoice", {})
    if choice.keys() & {"any", "tool"}:
        return "not together with a forced tool"
    if body["messages"][-1]["role"] == "assistant":
        return "not together with the beginning of an answer"
    return None


def _fit_budget(context: RenderContext, body: Json, budget: int) -> int | None:
    """The budget between 1024 and the limit; None where that leaves nothing.

    A limit that the client left out is made to hold both the thoughts and an answer.
    """
    budget = max(_MIN_BUDGET, budget)
    config = body.setdefault("inferenceConfig", {})
    if "maxTokens" not in config:
        max_output = context.traits.max_output
        requested_tokens = budget + context.default_max_tokens
        config["maxTokens"] = (
            requested_tokens if max_output is None else min(requested_tokens, max_output)
        )
        why = "the reasoning budget must be less than the limit"
        context.default("max_tokens", why, after=config["maxTokens"])
    limit: int = config["maxTokens"]
    if budget < limit:
        return budget
    return None if limit < 2 * _MIN_BUDGET else max(_MIN_BUDGET, limit - _MIN_BUDGET)


def _render_effort(context: RenderContext, body: Json, effort: str | None) -> None:
    if effort is None:
        return
    if not context.traits.efforts:
        context.drop(context.request.client_path("effort"), f"{context.model} takes no effort")
        return
    body.setdefault("outputConfig", {})["effort"] = _select_effort(context, effort)


def _select_effort(context: RenderContext, effort: str) -> str:
    """The effort itself, a documented synonym, or the next weaker supported one."""
    efforts = context.traits.efforts
    sent_effort = context.traits.effort_map.get(effort, effort)
    if sent_effort in efforts:
        return sent_effort
    rank = EFFORTS.index(effort) if effort in EFFORTS else EFFORTS.index("medium")
    weaker_efforts = [name for name in efforts if name in EFFORTS and EFFORTS.index(name) < rank]
    enabled_efforts = [name for name in efforts if name != "none"]
    sent_effort = (
        weaker_efforts[-1]
        if weaker_efforts and weaker_efforts[-1] != "none"
        else (enabled_efforts or list(efforts))[0]
    )
    why = f"{context.model} knows {', '.join(efforts)}"
    context.approximate(
        context.request.client_path("effort"), why, before=effort, after=sent_effort
    )
    return sent_effort


# --- Nova --------------------------------------------------------------------------------


def _render_nova(context: RenderContext, thinking: Thinking) -> None:
    if thinking.mode == "off":
        context.model_fields["reasoningConfig"] = {"type": "disabled"}
        return
    effort = _select_effort(context, _requested_effort(thinking))
    if thinking.mode == "budget":
        why = f"{context.model} takes an effort, not a number of tokens"
        context.approximate(
            context.request.client_path("budget"), why, before=thinking.budget, after=effort
        )
    context.model_fields["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": effort}
