"""Efforts and token budgets of reasoning, and the conversion between them."""

from __future__ import annotations

from gateway.canon.request import EFFORTS, ReasoningConfig
from gateway.dialects.shared.render_context import BaseRenderContext

# For models that take tokens instead of an effort; the numbers are wire/spec.md's (3.6).
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


def effort_for_budget(budget: int) -> str:
    """The effort that corresponds to a number of tokens."""
    return next((effort for limit, effort in _EFFORT_BY_MAX_BUDGET if budget <= limit), "max")


def next_lower_effort(effort: str, efforts: tuple[str, ...]) -> str:
    """The strongest of `efforts` below `effort`, else the weakest of them.

    `none` does not count as an effort: a little reasoning is closer to the request.
    """
    supported = [name for name in efforts if name in EFFORTS and name != "none"]
    if effort not in EFFORTS or not supported:
        return efforts[0]
    rank = EFFORTS.index(effort)
    lower = [name for name in supported if EFFORTS.index(name) < rank]
    return lower[-1] if lower else supported[0]


def drop_effort_of_disabled_reasoning(context: BaseRenderContext) -> None:
    """Report an effort that a client sent with disabled reasoning.

    Only Anthropic has such an effort: it limits the model's texts and calls too.
    """
    reasoning = context.request.reasoning
    if reasoning is not None and reasoning.mode == "off" and reasoning.effort not in (None, "none"):
        path = context.request.client_path("effort")
        context.drop(path, "reasoning is disabled", before=reasoning.effort)


def requested_effort(
    context: BaseRenderContext, reasoning: ReasoningConfig
) -> tuple[str, str | None]:
    """The canonical name of the field that sets the effort, and the effort; a budget is converted.

    For targets that accept an effort only; conversions are reported.
    """
    if reasoning.mode == "off":
        return "reasoning", "none"
    path = context.request.client_path("budget")
    if reasoning.effort is not None:
        if reasoning.budget is not None:
            context.drop(path, "a reasoning effort is sent instead", before=reasoning.budget)
        return "effort", reasoning.effort
    if reasoning.budget is None:
        if reasoning.mode != "auto" or context.traits.effort_default != "none":
            return "effort", None
        path = context.request.client_path("reasoning")
        context.approximate(path, f"{context.model} reasons only with an effort", after="medium")
        return "reasoning", "medium"
    traits, level = context.traits, effort_for_budget(reasoning.budget)
    if level not in traits.effort_map and level not in traits.efforts:
        if not traits.efforts:
            reason = f"{context.model} does not support a reasoning effort"
            context.drop(path, reason, before=reasoning.budget)
            return "budget", None
        level = next_lower_effort(level, traits.efforts)
    reason = f"{context.model} accepts a reasoning effort, not a token budget"
    context.approximate(path, reason, before=reasoning.budget, after=level)
    return "budget", level


def supported_effort(context: BaseRenderContext, name: str, level: str) -> str | None:
    """The effort to send: itself, its mapping for the target, or the next lower one.

    `name` is the canonical field that set it. None, reported, if the target supports none.
    """
    traits = context.traits
    path = context.reasoning_path if name == "reasoning" else context.request.client_path(name)
    if level in traits.efforts:
        return level
    if not traits.efforts:
        context.drop(path, f"{context.model} does not support a reasoning effort", before=level)
        return None
    sent_effort = traits.effort_map.get(level)
    if sent_effort is not None and (level == "minimal" or name == "budget"):
        return sent_effort
    sent_effort = sent_effort or next_lower_effort(level, traits.efforts)
    reason = f"{context.model} supports {', '.join(traits.efforts)}"
    context.approximate(path, reason, before=level, after=sent_effort)
    return sent_effort
