"""Reasoning: the settings of a request, and opaque state in `thoughtSignature`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated_field, dropped_field
from gateway.canon.request import Part, Reasoning, ReasoningConfig, Signature, Turn
from gateway.canon.signature import is_from_target, unwrap_signature, wrap_signature
from gateway.canon.traits import Traits
from gateway.dialects.gemini.context import (
    GENERATION_CONFIG,
    NEXT_PART_SIGNATURE,
    SAME_PART_SIGNATURE,
    SIGNATURE_FIELDS,
    SKIP_SIGNATURE,
    THINKING_LEVELS,
    Json,
    RenderContext,
)
from gateway.dialects.shared import state_tokens
from gateway.dialects.shared.effort import (
    drop_effort_of_disabled_reasoning,
    effort_for_budget,
    next_lower_effort,
)
from gateway.dialects.shared.fields import boolean, enum_value, integer, mapping
from gateway.dialects.shared.state_tokens import REASONING_REFUSED, Fields

# --- settings of a request ------------------------------------------------------------------------
#
# Gemini 2.5 models accept a number of tokens, later ones a level; both together are a 400.

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


# --- parsing a client's request -------------------------------------------------------------------


def parse_reasoning_config(config: Json, extra: Json) -> ReasoningConfig | None:
    """The reasoning requested by `thinkingConfig`; None if it requests nothing."""
    thinking_config = mapping(config, "thinkingConfig", GENERATION_CONFIG)
    if thinking_config is None:
        return None
    extra |= {
        f"{_THINKING_PATH}.{key}": field_value
        for key, field_value in thinking_config.items()
        if key not in _PARSED_FIELDS and field_value is not None
    }
    include_thoughts = boolean(thinking_config, "includeThoughts", _THINKING_PATH)
    visible: Any = None if include_thoughts is None else ("summary" if include_thoughts else "none")
    budget = integer(thinking_config, "thinkingBudget", minimum=-1, path=_THINKING_PATH)
    level = _parse_level(thinking_config)
    if level is not None:
        if budget is not None:
            extra[f"{_THINKING_PATH}.thinkingBudget"] = budget  # Gemini itself refuses both
        return ReasoningConfig(effort=level, visible=visible)
    if budget is None:
        return ReasoningConfig(visible=visible) if visible else None
    if budget == -1:
        return ReasoningConfig(mode="auto", visible=visible)
    if budget == 0:
        return ReasoningConfig(mode="off", visible=visible)
    return ReasoningConfig(mode="budget", budget=budget, visible=visible)


def _parse_level(thinking_config: Json) -> str | None:
    level = thinking_config.get("thinkingLevel")
    upper = {**thinking_config, "thinkingLevel": level.upper() if isinstance(level, str) else level}
    level_name = enum_value(
        upper, "thinkingLevel", (*THINKING_LEVELS, _UNSPECIFIED_LEVEL), _THINKING_PATH
    )
    return None if level_name in (None, _UNSPECIFIED_LEVEL) else level_name.lower()


# --- rendering for a provider ---------------------------------------------------------------------


def render_reasoning_config(context: RenderContext, config: Json, effort: str | None) -> None:
    """Render the requested reasoning into the config; `effort` is that of a later turn."""
    reasoning = context.request.reasoning
    if effort is not None:
        reasoning = msgspec.structs.replace(reasoning or ReasoningConfig(), effort=effort)
    if reasoning is None:
        return
    if reasoning.mode == "off":
        drop_effort_of_disabled_reasoning(context)
    if reasoning.effort == "none":
        reasoning = msgspec.structs.replace(reasoning, mode="off", effort=None)
    if not context.traits.reasoning:
        if reasoning.mode != "off":
            context.drop(context.reasoning_path, f"{context.model} does not support reasoning")
        return
    thinking_config = (
        _render_budget(context, reasoning)
        if context.traits.reasoning_budgets
        else _render_level(context, reasoning)
    )
    visibility = reasoning.visible
    if visibility is None and not context.same_dialect and reasoning.mode != "off":
        visibility = "summary"
    if visibility == "raw":
        context.approximate(
            context.request.client_path("visible"), "reasoning is shown as summaries"
        )
    if visibility is not None and (visibility != "none" or context.same_dialect):
        thinking_config["includeThoughts"] = visibility != "none"
    if thinking_config:
        config["thinkingConfig"] = thinking_config


def _render_budget(context: RenderContext, reasoning: ReasoningConfig) -> Json:
    """A budget, clamped to the model's range."""
    min_budget, max_budget = context.traits.reasoning_budgets
    if reasoning.mode == "off":
        if not context.traits.reasoning_always_on:
            return {"thinkingBudget": 0}
        context.approximate(
            context.reasoning_path,
            f"{context.model} cannot disable reasoning",
            after=min_budget,
        )
        return {"thinkingBudget": min_budget}
    if reasoning.mode == "budget" and reasoning.budget is not None:
        requested_budget, path = reasoning.budget, context.request.client_path("budget")
    elif reasoning.effort is not None:
        requested_budget, path = (
            BUDGET_BY_EFFORT.get(reasoning.effort, BUDGET_BY_EFFORT["medium"]),
            context.request.client_path("effort"),
        )
    else:
        return {"thinkingBudget": -1} if reasoning.mode == "auto" else {}
    sent_budget = min(max(requested_budget, min_budget), max_budget)
    if sent_budget != requested_budget:
        reason = f"{context.model} accepts {min_budget} to {max_budget} tokens"
        context.approximate(path, reason, before=requested_budget, after=sent_budget)
    return {"thinkingBudget": sent_budget}


def _render_level(context: RenderContext, reasoning: ReasoningConfig) -> Json:
    """A level: that of the effort, or the nearest one that the model supports."""
    levels = context.traits.efforts
    if reasoning.mode == "off":
        sent_level = levels[0] if levels else "low"
        if sent_level == "none":
            return {"thinkingBudget": 0}
        context.approximate(
            context.reasoning_path,
            f"{context.model} cannot disable reasoning",
            after=sent_level.upper(),
        )
        return {"thinkingLevel": sent_level.upper()}
    effort, path = reasoning.effort, context.request.client_path("effort")
    if effort is None and reasoning.mode == "budget" and reasoning.budget is not None:
        path = context.request.client_path("budget")
        sent_level = _nearest_effort(effort_for_budget(reasoning.budget), levels)
        reason = f"{context.model} accepts a reasoning level, not a token budget"
        context.approximate(path, reason, before=reasoning.budget, after=sent_level.upper())
        return {"thinkingLevel": sent_level.upper()}
    if effort is None:
        return {}
    sent_level = context.traits.effort_map.get(effort) or _nearest_effort(effort, levels)
    if sent_level != effort:
        context.approximate(
            path, f"{context.model} supports {', '.join(levels)}", before=effort, after=sent_level
        )
    return {"thinkingLevel": sent_level.upper()}


def _nearest_effort(effort: str, efforts: tuple[str, ...]) -> str:
    """The effort itself, the next weaker supported one, or the weakest."""
    enabled_efforts = [name for name in efforts if name != "none"]
    if effort in enabled_efforts or not enabled_efforts:
        return effort if effort in enabled_efforts else "low"
    return next_lower_effort(effort, efforts)


# --- state ----------------------------------------------------------------------------------------
#
# The official SDKs decode the field, so a token that is not base64 would be an error there.

MISSING_SIGNATURE = (
    "no thought signature is known for this step: a placeholder that skips validation is sent"
)
_CALL_NAMES = ("functionCall", "function_call")
# Parts that only carried the signature, which the API rejects or ignores without it.
_EMPTY_PARTS: tuple[Json, ...] = ({}, {"text": ""}, {"text": "", "thought": True})


def parse_signature(value: str | None, kind: str = SAME_PART_SIGNATURE) -> Signature | None:
    """The signature inside a gateway token, or the native value itself."""
    if not value:
        return None
    return unwrap_signature(_decode_base64_text(value)) or Signature(kind=kind, value=value)


def _decode_base64_text(value: str) -> str:
    """The text in base64 of either alphabet; empty if it does not decode to text."""
    try:
        padded_value = value + "=" * (-len(value) % 4)
        return base64.urlsafe_b64decode(padded_value.replace("+", "-").replace("/", "_")).decode(
            "ascii"
        )
    except (binascii.Error, ValueError):
        return ""


def render_signature(signature: Signature) -> str:
    """The token that represents the state to a client."""
    return base64.b64encode(wrap_signature(signature).encode()).decode()


def is_gemini(signature: Signature) -> bool:
    """Whether the value is a signature as Gemini writes it, whichever dialect carried it."""
    return signature.kind in {NEXT_PART_SIGNATURE, SAME_PART_SIGNATURE, "thought_signature"}


def can_be_replayed(signature: Signature | None, traits: Traits, *, native: bool) -> bool:
    """Whether this reasoning state may be sent to the target.

    A client of this dialect may bring values that passed through to it unwrapped.
    """
    if signature is None or not signature.value or not is_gemini(signature):
        return False
    return is_from_target(signature, traits) or (native and not signature.provider)


def is_unsigned_thought(signature: Signature | None, traits: Traits) -> bool:
    """Whether reasoning is a thought of the target, whose signature follows on another part."""
    if signature is None or signature.kind != "text" or signature.value:
        return False
    return is_from_target(signature, traits)


def merge_split_reasoning(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Join reasoning that a client stored as the fragments of a stream.

    The last fragment of another dialect's reasoning has no text but the state token of all
    fragments; chats of Google's SDK store every chunk as a separate content.
    """
    merged_turns: list[Turn] = []
    unsigned_fragments: list[
        tuple[int, int]
    ] = []  # (turn, part) of the preceding unsigned reasoning
    for turn in turns:
        parts: list[Part] = []
        if turn.role != "assistant":
            unsigned_fragments = []
        for part in turn.parts:
            if not isinstance(part, Reasoning):
                unsigned_fragments = []
            elif part.signature is None:
                unsigned_fragments.append((len(merged_turns), len(parts)))
            else:
                part = _join_reasoning(part, merged_turns, parts, unsigned_fragments)
                unsigned_fragments = []
            parts.append(part)
        merged_turns.append(replace(turn, parts=tuple(parts)))
    return tuple(replace(t, parts=_drop_merged_parts(t.parts)) for t in merged_turns)


_MERGED_PART = Reasoning(text="", path="taken")


def _join_reasoning(
    last_fragment: Reasoning,
    turns: list[Turn],
    parts: list[Part],
    unsigned_fragments: list[tuple[int, int]],
) -> Reasoning:
    """The complete reasoning that ends with this fragment; the earlier fragments are removed."""
    signature = last_fragment.signature
    if (
        last_fragment.text
        or last_fragment.redacted
        or signature is None
        or not signature.provider
        or is_gemini(signature)
    ):
        return last_fragment
    texts: list[str] = []
    for turn, part_index in unsigned_fragments:
        turn_parts = list(turns[turn].parts) if turn < len(turns) else parts
        fragment = turn_parts[part_index]
        assert isinstance(fragment, Reasoning)
        texts.append(fragment.text)
        turn_parts[part_index] = _MERGED_PART
        if turn < len(turns):
            turns[turn] = replace(turns[turn], parts=tuple(turn_parts))
    return replace(last_fragment, text="".join(texts))


def _drop_merged_parts(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(part for part in parts if part is not _MERGED_PART)


# --- passthrough ----------------------------------------------------------------------------------


def drop_state(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The body without thought signatures, and a report.

    A model that requires them gets the value that its validator skips.
    """
    markers = tuple(f'"{name}"'.encode() for name in SIGNATURE_FIELDS + _CALL_NAMES)
    return state_tokens.edit_items(fields, "contents", markers, _drop_content_state, traits)


def _drop_content_state(
    content: Json, path: str, traits: Traits, report: list[Adaptation]
) -> Json | None:
    """The content without signatures; None if nothing else is in it."""
    parts = content.get("parts")
    if not isinstance(parts, list):
        return content
    requires_signature = traits.requires_reasoning_replay
    remaining_parts: list[object] = []
    for index, part in enumerate(parts):
        if not isinstance(part, dict):
            remaining_parts.append(part)
            continue
        part_path = f"{path}.parts[{index}]"
        signatures = [name for name in SIGNATURE_FIELDS if name in part]
        unsigned_part = {name: value for name, value in part.items() if name not in signatures}
        report += [dropped_field(f"{part_path}.{name}", REASONING_REFUSED) for name in signatures]
        if requires_signature and any(name in part for name in _CALL_NAMES):
            requires_signature = False  # the first call of a content carries the signature for all
            unsigned_part["thoughtSignature"] = SKIP_SIGNATURE
            if not signatures:
                report.append(approximated_field(part_path, MISSING_SIGNATURE))
        if not signatures or unsigned_part not in _EMPTY_PARTS:
            remaining_parts.append(unsigned_part)
    return {**content, "parts": remaining_parts} if remaining_parts else None
