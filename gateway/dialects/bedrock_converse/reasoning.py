"""The requested reasoning, as the model's own fields."""

from __future__ import annotations

from gateway.canon.request import ReasoningConfig
from gateway.dialects.bedrock_converse.context import Json, RenderContext
from gateway.dialects.shared.claude import (
    DISPLAY_BY_VISIBILITY,
    MIN_BUDGET,
    REASONING_SKIPPED,
    budget_below,
    report_budget,
    requested_budget,
)
from gateway.dialects.shared.effort import (
    BUDGET_BY_EFFORT,
    drop_effort_of_disabled_reasoning,
    effort_for_budget,
)


def render_reasoning_config(context: RenderContext, body: Json) -> None:
    """Render the requested reasoning into the body, as far as the target supports it."""
    reasoning = context.effective_reasoning_config()
    if reasoning is None:
        return
    is_claude = context.traits.reasoning_request == "thinking"
    if reasoning.mode == "off" and not (is_claude and reasoning.effort_covers_output):
        drop_effort_of_disabled_reasoning(context)
    match context.traits.reasoning_request:
        case "thinking" if context.traits.reasoning_modes or context.traits.efforts:
            _render_claude(context, body, reasoning)
        case "reasoning" if context.traits.reasoning:
            _render_nova(context, body, reasoning)
        case "reasoning_effort" if context.traits.efforts:
            effort = context.select_effort(_requested_effort(reasoning))
            if reasoning.mode == "off":
                context.approximate(
                    context.reasoning_path,
                    f"{context.model} cannot disable reasoning",
                    after=effort,
                )
            context.model_fields["reasoning_effort"] = effort
        case _ if reasoning.mode != "off":
            context.drop(context.reasoning_path, f"{context.model} has no reasoning setting")
        case _:
            pass


def _requested_effort(reasoning: ReasoningConfig) -> str:
    """The requested effort, or the one that corresponds to the requested budget."""
    if reasoning.mode == "off":
        return "minimal"
    if reasoning.effort is None and reasoning.mode == "budget" and reasoning.budget is not None:
        return effort_for_budget(reasoning.budget)
    return reasoning.effort or "medium"


# --- Claude ---------------------------------------------------------------------------------------


def _render_claude(context: RenderContext, body: Json, reasoning: ReasoningConfig) -> None:
    modes = context.traits.reasoning_modes
    if reasoning.mode == "off":
        _render_disabled(context, reasoning)
        context.render_effort_without_reasoning(body, reasoning)
    elif reasoning.mode is None and reasoning.effort_covers_output:
        context.render_effort(body, reasoning.effort)
    elif not modes:
        context.drop(context.reasoning_path, f"{context.model} has no reasoning setting")
    elif "adaptive" in modes and not (reasoning.mode == "budget" and "enabled" in modes):
        _render_adaptive(context, body, reasoning)
    else:
        _render_budget(context, body, reasoning)


def _render_disabled(context: RenderContext, reasoning: ReasoningConfig) -> None:
    if context.traits.reasoning_always_on:
        context.approximate(context.reasoning_path, f"{context.model} cannot disable reasoning")
    elif "adaptive" in context.traits.reasoning_modes:
        context.model_fields["thinking"] = {"type": "disabled"}


def _render_adaptive(context: RenderContext, body: Json, reasoning: ReasoningConfig) -> None:
    effort = reasoning.effort
    if reasoning.mode == "budget" and reasoning.budget is not None:
        effort = effort or _requested_effort(reasoning)
        reason = f"{context.model} accepts a reasoning effort, not a token budget"
        context.approximate(
            context.request.client_path("budget"), reason, before=reasoning.budget, after=effort
        )
    if reasoning.visible == "raw":
        context.approximate(
            context.request.client_path("visible"), "reasoning is shown as summaries"
        )
    display = DISPLAY_BY_VISIBILITY[reasoning.visible or "summary"]
    context.model_fields["thinking"] = {"type": "adaptive", "display": display}
    context.render_effort(body, effort)


def _render_budget(context: RenderContext, body: Json, reasoning: ReasoningConfig) -> None:
    """Reasoning with a token budget."""
    conflict = _budget_conflict(body)
    if conflict is not None:
        context.drop(context.reasoning_path, conflict)
        context.render_effort_without_reasoning(body, reasoning)
        return
    budget = requested_budget(reasoning) or BUDGET_BY_EFFORT["medium"]
    sent_budget = _fit_budget(context, body, budget)
    if sent_budget is None:
        context.drop(context.reasoning_path, "the token limit leaves no tokens for thinking")
        context.render_effort_without_reasoning(body, reasoning)
        return
    report_budget(context, reasoning, sent_budget, "the limit")
    context.model_fields["thinking"] = {"type": "enabled", "budget_tokens": sent_budget}
    if _skips_thinking(body["messages"]):
        context.approximate(context.reasoning_path, REASONING_SKIPPED)
    if reasoning.effort is not None and context.traits.efforts:
        context.render_effort(body, reasoning.effort)


def _skips_thinking(messages: list[Json]) -> bool:
    """Whether the model continues after calls whose reasoning cannot be replayed.

    It then skips reasoning for this response without an error.
    """
    last_content: list[Json] = next(
        (m["content"] for m in reversed(messages) if m["role"] == "assistant"), []
    )
    block_kinds = {kind for block in last_content for kind in block}
    has_tool_result = any("toolResult" in block for block in messages[-1]["content"])
    return has_tool_result and "toolUse" in block_kinds and "reasoningContent" not in block_kinds


def _budget_conflict(body: Json) -> str | None:
    choice = body.get("toolConfig", {}).get("toolChoice", {})
    if choice.keys() & {"any", "tool"}:
        return "cannot be combined with a forced tool"
    if body["messages"][-1]["role"] == "assistant":
        return "cannot be combined with a prefilled response"
    return None


def _fit_budget(context: RenderContext, body: Json, budget: int) -> int | None:
    """The budget between 1024 and the limit; None if the limit is too low for any.

    A limit that the client omitted is set so that reasoning and response fit.
    """
    budget = max(MIN_BUDGET, budget)
    config = body.setdefault("inferenceConfig", {})
    if "maxTokens" not in config:
        max_output = context.traits.max_output
        requested_tokens = budget + context.default_max_tokens
        config["maxTokens"] = (
            requested_tokens if max_output is None else min(requested_tokens, max_output)
        )
        reason = "the reasoning budget must be less than the token limit"
        context.default("max_tokens", reason, after=config["maxTokens"])
    return budget_below(config["maxTokens"], budget)


# --- Nova -----------------------------------------------------------------------------------------

HIGH_EFFORT_REASON = "cannot be combined with the reasoning effort high"


def _render_nova(context: RenderContext, body: Json, reasoning: ReasoningConfig) -> None:
    if reasoning.mode == "off":
        context.model_fields["reasoningConfig"] = {"type": "disabled"}
        return
    effort = context.select_effort(_requested_effort(reasoning))
    if reasoning.mode == "budget":
        reason = f"{context.model} accepts a reasoning effort, not a token budget"
        context.approximate(
            context.request.client_path("budget"), reason, before=reasoning.budget, after=effort
        )
    context.model_fields["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": effort}
    if uses_high_effort(context) and body.get("inferenceConfig", {}).pop("maxTokens", None):
        context.drop(context.request.client_path("max_output"), HIGH_EFFORT_REASON)


def uses_high_effort(context: RenderContext) -> bool:
    """Whether Nova reasons with high effort, where it accepts no maxTokens, temperature or topP.

    Source: docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html
    """
    config: Json = context.model_fields.get("reasoningConfig", {})
    return config.get("maxReasoningEffort") == "high"
