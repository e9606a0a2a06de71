"""Reasoning: the settings of a request, and opaque state in histories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, approximated_field, dropped_field
from gateway.canon.errors import invalid
from gateway.canon.request import EFFORTS, ReasoningConfig
from gateway.canon.signature import is_from_target, recover_reasoning_text, unwrap_signature
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages.blocks import (
    FOREIGN_CITATIONS_DROPPED,
    can_be_replayed,
)
from gateway.dialects.anthropic_messages.context import (
    NAME,
    VISIBILITY_BY_DISPLAY,
    Json,
    RenderContext,
)
from gateway.dialects.shared import code_execution, state_tokens
from gateway.dialects.shared.claude import (
    DISPLAY_BY_VISIBILITY,
    MIN_BUDGET,
    REASONING_SKIPPED,
    budget_below,
    report_budget,
    requested_budget,
)
from gateway.dialects.shared.effort import BUDGET_BY_EFFORT, effort_for_budget
from gateway.dialects.shared.fields import enum_value, integer, mapping, text
from gateway.dialects.shared.state_tokens import (
    REASONING_REFUSED,
    Fields,
    foreign_reasoning_drop,
    is_token,
)
from gateway.dialects.shared.web_search import is_foreign

# --- settings of a request ------------------------------------------------------------------------

_THINKING_TYPES = ("adaptive", "enabled", "disabled", "between_tools")
_PARSED_FIELDS = frozenset({"type", "budget_tokens", "display"})
# With this beta a budget may be larger than the limit of one response.
_INTERLEAVED_BETA = "interleaved-thinking-2025-05-14"


# --- parsing a client's request -------------------------------------------------------------------


def parse_reasoning_config(body: Json, extra: Json) -> ReasoningConfig | None:
    """The reasoning requested by `thinking` and `output_config.effort`; None if neither is set."""
    effort = parse_effort(body, "")
    thinking_object = mapping(body, "thinking")
    if thinking_object is None:
        if effort is None:
            return None
        return ReasoningConfig(effort=effort, effort_covers_output=True)
    thinking_type = enum_value(thinking_object, "type", _THINKING_TYPES, "thinking")
    if thinking_type is None:
        path = "thinking.type"
        raise invalid(f"{path} is required and must be one of {', '.join(_THINKING_TYPES)}", path)
    budget = integer(thinking_object, "budget_tokens", minimum=0, path="thinking")
    if thinking_type == "enabled" and budget is None:
        path = "thinking.budget_tokens"
        raise invalid(f"{path} is required where thinking.type is 'enabled'", path)
    extra |= {
        f"thinking.{k}": v
        for k, v in thinking_object.items()
        if k not in _PARSED_FIELDS and v is not None
    }
    if thinking_type == "between_tools":
        extra["thinking.type"] = thinking_type
    visible: Any = _parse_visible(thinking_object, extra)
    reasoning = ReasoningConfig(
        effort=effort, effort_covers_output=effort is not None, visible=visible
    )
    if thinking_type == "disabled":
        return msgspec.structs.replace(reasoning, mode="off")
    if thinking_type == "enabled":
        return msgspec.structs.replace(reasoning, mode="budget", budget=budget)
    return msgspec.structs.replace(reasoning, mode="auto")


def parse_effort(holder: Json, path: str) -> str | None:
    """The effort in an `output_config`, a request's or a system message's."""
    config = mapping(holder, "output_config", path)
    config_path = f"{path}.output_config" if path else "output_config"
    return None if config is None else enum_value(config, "effort", EFFORTS, config_path)


def _parse_visible(thinking_object: Json, extra: Json) -> str | None:
    display = text(thinking_object, "display", "thinking")
    if display is None or display in VISIBILITY_BY_DISPLAY:
        return VISIBILITY_BY_DISPLAY.get(display or "")
    # Claude Code's `updates` are summaries as they come.
    extra["thinking.display"] = display
    return "summary"


# --- rendering for a provider ---------------------------------------------------------------------


def render_reasoning_config(context: RenderContext, body: Json) -> None:
    """Render the requested reasoning into the body, as far as the target supports it."""
    reasoning = context.effective_reasoning_config()
    if reasoning is None:
        return
    if reasoning.mode == "off":
        _render_disabled(context, body, reasoning)
        return
    if not context.traits.reasoning_modes:
        _render_without_thinking(context, body, reasoning)
        return
    if reasoning.mode is None and reasoning.effort_covers_output:
        context.render_effort(body, reasoning.effort)
        return
    if "adaptive" in context.traits.reasoning_modes and not _accepts_budget(context, reasoning):
        _render_adaptive(context, body, reasoning)
        return
    _render_budget(context, body, reasoning)


def _render_disabled(context: RenderContext, body: Json, reasoning: ReasoningConfig) -> None:
    modes = context.traits.reasoning_modes
    if context.traits.reasoning_always_on:
        context.approximate(context.reasoning_path, f"{context.model} cannot disable reasoning")
    elif "adaptive" in modes or "disabled" in modes:
        body["thinking"] = {"type": "disabled"}
    context.render_effort_without_reasoning(body, reasoning)


def _render_without_thinking(
    context: RenderContext, body: Json, reasoning: ReasoningConfig
) -> None:
    if reasoning.mode is not None:
        context.drop(context.reasoning_path, f"{context.model} has no reasoning setting")
    context.render_effort(body, reasoning.effort)


def _accepts_budget(context: RenderContext, reasoning: ReasoningConfig) -> bool:
    """Whether the target accepts the requested budget unchanged."""
    return reasoning.mode == "budget" and "enabled" in context.traits.reasoning_modes


def _render_adaptive(context: RenderContext, body: Json, reasoning: ReasoningConfig) -> None:
    effort = reasoning.effort
    if reasoning.mode == "budget" and reasoning.budget is not None:
        effort = effort or effort_for_budget(reasoning.budget)
        reason = f"{context.model} accepts a reasoning effort, not a token budget"
        context.approximate(
            context.request.client_path("budget"), reason, before=reasoning.budget, after=effort
        )
    requested_type = context.request.extra.get(NAME, {}).get("thinking.type")
    thinking_type = (
        requested_type if requested_type in context.traits.reasoning_modes else "adaptive"
    )
    body["thinking"] = {"type": thinking_type}
    visibility = reasoning.visible if context.same_dialect else reasoning.visible or "summary"
    if visibility is not None and thinking_type == "adaptive":
        _render_display(context, body, visibility)
    context.render_effort(body, effort)


def _render_display(context: RenderContext, body: Json, visibility: str) -> None:
    if visibility == "raw":
        context.approximate(
            context.request.client_path("visible"), "reasoning is shown as summaries"
        )
    body["thinking"]["display"] = DISPLAY_BY_VISIBILITY[visibility]


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
        context.drop(context.reasoning_path, "max_tokens leaves no tokens for thinking")
        context.render_effort_without_reasoning(body, reasoning)
        return
    report_budget(context, reasoning, sent_budget, "max_tokens")
    body["thinking"] = {"type": "enabled", "budget_tokens": sent_budget}
    if _skips_thinking(body["messages"]):
        context.approximate(context.reasoning_path, REASONING_SKIPPED)
    if reasoning.visible == "none" or (reasoning.visible is not None and context.same_dialect):
        body["thinking"]["display"] = DISPLAY_BY_VISIBILITY[reasoning.visible]
    if reasoning.effort is not None and (context.traits.efforts or reasoning.mode == "budget"):
        context.render_effort(body, reasoning.effort)


def _skips_thinking(messages: list[Json]) -> bool:
    """Whether the model continues after calls whose reasoning cannot be replayed.

    The API then skips reasoning for this response without an error.
    """
    last_content: list[Json] = next(
        (m["content"] for m in reversed(messages) if m["role"] == "assistant"), []
    )
    block_types = {block.get("type") for block in last_content}
    has_tool_result = any(block.get("type") == "tool_result" for block in messages[-1]["content"])
    return (
        has_tool_result
        and "tool_use" in block_types
        and not block_types & {"thinking", "redacted_thinking"}
    )


def _budget_conflict(body: Json) -> str | None:
    if body.get("tool_choice", {}).get("type") in {"any", "tool"}:
        return "cannot be combined with a forced tool"
    if body["messages"][-1]["role"] == "assistant":
        return "cannot be combined with a prefilled response"
    return None


def _fit_budget(context: RenderContext, body: Json, budget: int) -> int | None:
    """The budget between 1024 and the limit; None if the limit is too low for any.

    A limit that the client omitted is raised to leave room for reasoning and response.
    """
    budget = max(MIN_BUDGET, budget)
    if context.same_dialect and _INTERLEAVED_BETA in context.request.betas:
        return budget
    if budget >= body["max_tokens"] and context.request.max_output is None:
        max_output = context.traits.max_output
        requested_tokens = budget + body["max_tokens"]
        body["max_tokens"] = (
            requested_tokens if max_output is None else min(requested_tokens, max_output)
        )
    return budget_below(body["max_tokens"], budget)


# --- state in a body that passes through ----------------------------------------------------------
#
# All reasoning is dropped if the provider refuses its state.

_REASONING_BLOCK_TYPES = frozenset({"thinking", "redacted_thinking"})
_THINKING_MARKERS = (b'"thinking"', b'"redacted_thinking"')


def replace_tokens(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The body with each token replaced by the target's own thinking, and a report of the drops."""
    return state_tokens.replace_tokens(fields, "messages", _replace_message_thinking, traits)


def drop_state(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The body without thinking blocks, and an adaptation for each."""
    return state_tokens.edit_items(
        fields, "messages", _THINKING_MARKERS, _drop_message_thinking, traits
    )


def _replace_message_thinking(
    message: Json, path: str, traits: Traits, report: list[Adaptation]
) -> Json | None:
    """The message without thinking of other models; None if nothing else is in it."""
    return _replace_blocks(
        message,
        path,
        lambda block, block_path: _replace_block_token(block, block_path, traits, report),
    )


def _drop_message_thinking(
    message: Json, path: str, _: Traits, report: list[Adaptation]
) -> Json | None:
    """The message without thinking; None if nothing else is in it."""

    def drop_thinking(block: Json, block_path: str) -> Json | None:
        if block.get("type") not in _REASONING_BLOCK_TYPES:
            return block
        report.append(dropped_field(block_path, REASONING_REFUSED))
        return None

    return _replace_blocks(message, path, drop_thinking)


def _replace_blocks(
    message: Json, path: str, replace_block: Callable[[Json, str], Json | None]
) -> Json | None:
    """The message with each block replaced or dropped; None if no block remains."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    blocks: list[object] = []
    for index, block in enumerate(content):
        block_path = f"{path}.content[{index}]"
        replacement = replace_block(block, block_path) if isinstance(block, dict) else block
        if replacement is not None:
            blocks.append(replacement)
    return {**message, "content": blocks} if blocks else None


def _replace_block_token(
    block: Json, path: str, traits: Traits, report: list[Adaptation]
) -> Json | None:
    block_type = block.get("type")
    if block_type == "text":
        return _without_foreign_citations(block, path, report)
    if is_foreign(block):
        if text := code_execution.history_text(block):
            report.append(approximated_field(path, code_execution.SENT_AS_TEXT))
            return {"type": "text", "text": text}
        report.append(dropped_field(path, "a search by another provider"))
        return None
    token = block.get(
        {"thinking": "signature", "redacted_thinking": "data"}.get(str(block_type), "")
    )
    if not is_token(token):
        return block
    thinking_text, signature = recover_reasoning_text(
        str(block.get("thinking", "")), unwrap_signature(str(token))
    )
    if signature is None or not is_from_target(signature, traits):
        report.append(foreign_reasoning_drop(path))
        return None
    if block_type == "redacted_thinking":
        return {**block, "data": signature.value}
    return {**block, "thinking": thinking_text, "signature": signature.value}


def _without_foreign_citations(block: Json, path: str, report: list[Adaptation]) -> Json:
    """The text without the sources that another provider found."""
    citations = block.get("citations")
    if not isinstance(citations, list):
        return block
    replayable_citations = [
        item for item in citations if not isinstance(item, dict) or can_be_replayed(item)
    ]
    if len(replayable_citations) == len(citations):
        return block
    report.append(dropped_field(f"{path}.citations", FOREIGN_CITATIONS_DROPPED))
    fields = {key: value for key, value in block.items() if key != "citations"}
    return {**fields, "citations": replayable_citations} if replayable_citations else fields
