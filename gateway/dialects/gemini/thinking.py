"""Reasoning: requested effort or budget and its display, in both directions.

Models of 2.5 take a number of tokens, later ones a level; both together are a 400.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.request import Thinking
from gateway.dialects.gemini.names import EFFORTS, GENERATION_CONFIG, THINKING_LEVELS, Json
from gateway.dialects.gemini.render_context import RenderContext
from gateway.dialects.shared.fields import enum_value, flag, integer, mapping

_THINKING_PATH = f"{GENERATION_CONFIG}.thinkingConfig"
_PARSED_FIELDS = frozenset({"includeThoughts", "thinkingBudget", "thinkingLevel"})
_UNSPECIFIED_LEVEL = "THINKING_LEVEL_UNSPECIFIED"
# An effort in tokens, for models without levels (wire/spec.md, 3.6).
BUDGET_BY_EFFORT = {
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24_576,
    "xhigh": 24_576,
    "max": 32_768,
}
# (maximum budget in tokens, effort it corresponds to).
_EFFORT_BY_MAX_BUDGET = ((1500, "low"), (6000, "medium"), (16_000, "high"), (28_000, "xhigh"))


# --- parsing a client's request---------------------------------------------------------------


def parse_thinking(config: Json, extra: Json) -> Thinking | None:
    """The reasoning requested by `thinkingConfig`; None if it requests nothing."""
    thinking_config = mapping(config, "thinkingConfig", GENERATION_CONFIG)
    if thinking_config is None:
        return None
    extra |= {
        f"{_THINKING_PATH}.{key}": field_value
        for key, field_value in thinking_config.items()
        if key not in _PARSED_FIELDS and field_value is not None
    }
    include_thoughts = flag(thinking_config, "includeThoughts", _THINKING_PATH)
    visible: Any = None if include_thoughts is None else ("summary" if include_thoughts else "none")
    budget = integer(thinking_config, "thinkingBudget", minimum=-1, path=_THINKING_PATH)
    level = _parse_level(thinking_config)
    if level is not None:
        if budget is not None:
            extra[f"{_THINKING_PATH}.thinkingBudget"] = budget  # Gemini itself refuses both
        return Thinking(effort=level, visible=visible)
    if budget is None:
        return Thinking(visible=visible) if visible else None
    if budget == -1:
        return Thinking(mode="auto", visible=visible)
    if budget == 0:
        return Thinking(mode="off", visible=visible)
    return Thinking(mode="budget", budget=budget, visible=visible)


def _parse_level(thinking_config: Json) -> str | None:
    level = thinking_config.get("thinkingLevel")
    upper = {**thinking_config, "thinkingLevel": level.upper() if isinstance(level, str) else level}
    level_name = enum_value(
        upper, "thinkingLevel", (*THINKING_LEVELS, _UNSPECIFIED_LEVEL), _THINKING_PATH
    )
    return None if level_name in (None, _UNSPECIFIED_LEVEL) else level_name.lower()


# --- rendering for a provider---------------------------------------------------------


def render_thinking(context: RenderContext, config: Json, effort: str | None) -> None:
    """Renders the requested reasoning into the config; `effort` is that of a later turn."""
    thinking = context.request.thinking
    if effort is not None:
        thinking = msgspec.structs.replace(thinking or Thinking(), effort=effort)
    if thinking is None:
        return
    if thinking.effort == "none":
        thinking = msgspec.structs.replace(thinking, mode="off", effort=None)
    if not context.traits.reasoning:
        if thinking.mode != "off":
            context.drop(_thinking_path(context), f"{context.model} does not reason")
        return
    thinking_config = (
        _render_budget(context, thinking)
        if context.traits.thinking_budgets
        else _render_level(context, thinking)
    )
    visibility = thinking.visible
    if visibility is None and not context.same_dialect and thinking.mode != "off":
        visibility = "summary"
    if visibility == "raw":
        context.approximate(
            context.request.client_path("visible"), "reasoning is shown as summaries"
        )
    if visibility is not None and (visibility != "none" or context.same_dialect):
        thinking_config["includeThoughts"] = visibility != "none"
    if thinking_config:
        config["thinkingConfig"] = thinking_config


def _thinking_path(context: RenderContext) -> str:
    """The path of the client's field that requests reasoning."""
    field_paths = context.request.client_paths
    return field_paths.get("thinking") or field_paths.get("effort") or "thinking"


def _render_budget(context: RenderContext, thinking: Thinking) -> Json:
    """A budget, clamped to the model's range."""
    min_budget, max_budget = context.traits.thinking_budgets
    if thinking.mode == "off":
        if not context.traits.thinking_always_on:
            return {"thinkingBudget": 0}
        context.approximate(
            _thinking_path(context),
            f"{context.model} cannot disable reasoning",
            after=min_budget,
        )
        return {"thinkingBudget": min_budget}
    if thinking.mode == "budget" and thinking.budget is not None:
        requested_budget, path = thinking.budget, context.request.client_path("budget")
    elif thinking.effort is not None:
        requested_budget, path = (
            BUDGET_BY_EFFORT.get(thinking.effort, BUDGET_BY_EFFORT["medium"]),
            context.request.client_path("effort"),
        )
    else:
        return {"thinkingBudget": -1} if thinking.mode == "auto" else {}
    sent_budget = min(max(requested_budget, min_budget), max_budget)
    if sent_budget != requested_budget:
        why = f"{context.model} takes {min_budget} to {max_budget} tokens"
        context.approximate(path, why, before=requested_budget, after=sent_budget)
    return {"thinkingBudget": sent_budget}


def _render_level(context: RenderContext, thinking: Thinking) -> Json:
    """A level: that of the effort, or the nearest one that the model supports."""
    levels = context.traits.efforts
    if thinking.mode == "off":
        sent_level = levels[0] if levels else "low"
        if sent_level == "none":
            return {"thinkingBudget": 0}
        context.approximate(
            _thinking_path(context),
            f"{context.model} cannot disable reasoning",
            after=sent_level.upper(),
        )
        return {"thinkingLevel": sent_level.upper()}
    effort, path = thinking.effort, context.request.client_path("effort")
    if effort is None and thinking.mode == "budget" and thinking.budget is not None:
        path = context.request.client_path("budget")
        effort = next(
            (
                effort_name
                for max_budget, effort_name in _EFFORT_BY_MAX_BUDGET
                if thinking.budget <= max_budget
            ),
            "max",
        )
        sent_level = _nearest_effort(effort, levels)
        why = f"{context.model} takes a level, not a number of tokens"
        context.approximate(path, why, before=thinking.budget, after=sent_level.upper())
        return {"thinkingLevel": sent_level.upper()}
    if effort is None:
        return {}
    sent_level = context.traits.effort_map.get(effort) or _nearest_effort(effort, levels)
    if sent_level != effort:
        context.approximate(
            path, f"{context.model} knows {', '.join(levels)}", before=effort, after=sent_level
        )
    return {"thinkingLevel": sent_level.upper()}


def _nearest_effort(effort: str, efforts: tuple[str, ...]) -> str:
    """The effort itself, the next weaker supported one, or the weakest."""
    enabled_efforts = [name for name in efforts if name != "none"]
    if effort in enabled_efforts or not enabled_efforts:
        return effort if effort in enabled_efforts else "low"
    rank = EFFORTS.index(effort) if effort in EFFORTS else EFFORTS.index("medium")
    weaker_efforts = [
        name for name in enabled_efforts if name in EFFORTS and EFFORTS.index(name) < rank
    ]
    return weaker_efforts[-1] if weaker_efforts else enabled_efforts[0]
