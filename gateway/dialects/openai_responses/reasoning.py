"""Reasoning: the settings of a request, and opaque state in items."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated_field, dropped_field
from gateway.canon.request import EFFORTS, ReasoningConfig, Request
from gateway.canon.signature import is_from_target, unwrap_signature
from gateway.canon.traits import Traits
from gateway.dialects.openai_responses.context import (
    NAME,
    STATE_KIND,
    Json,
    ResponsesRenderContext,
)
from gateway.dialects.shared import code_execution, state_tokens
from gateway.dialects.shared.effort import (
    drop_effort_of_disabled_reasoning,
    requested_effort,
    supported_effort,
)
from gateway.dialects.shared.fields import enum_value, mapping, text
from gateway.dialects.shared.state_tokens import (
    REASONING_REFUSED,
    Fields,
    foreign_reasoning_drop,
    is_token,
)

_PARSED_FIELDS = frozenset({"effort", "summary", "generate_summary"})
_SUMMARY_PATH = "reasoning.summary"
_DEFAULT_SUMMARY = "auto"


def parse_reasoning_config(body: Json, extra: Json) -> ReasoningConfig | None:
    """The requested reasoning; unknown fields of `reasoning` go to `extra`."""
    fields = mapping(body, "reasoning")
    if fields is None:
        return None
    extra |= {
        f"reasoning.{k}": v for k, v in fields.items() if k not in _PARSED_FIELDS and v is not None
    }
    effort = enum_value(fields, "effort", EFFORTS, "reasoning")
    summary = text(fields, "summary", "reasoning") or text(fields, "generate_summary", "reasoning")
    if summary not in (None, _DEFAULT_SUMMARY):
        extra[_SUMMARY_PATH] = summary
    reasoning = ReasoningConfig(visible="summary" if summary is not None else None)
    if effort == "none":
        reasoning = replace(reasoning, mode="off")
    elif effort is not None:
        reasoning = replace(reasoning, effort=effort)
    return reasoning if reasoning != ReasoningConfig() else None


def render_reasoning_config(context: ResponsesRenderContext, body: Json) -> None:
    """Render the requested reasoning into the body."""
    reasoning = _effective_reasoning_config(context.request)
    if reasoning is None:
        return
    if not context.traits.reasoning:
        _drop_reasoning_config(context, reasoning)
        return
    if reasoning.mode == "off":
        drop_effort_of_disabled_reasoning(context)
    out: Json = {}
    name, level = requested_effort(context, reasoning)
    if level is not None and (sent_effort := supported_effort(context, name, level)) is not None:
        out["effort"] = sent_effort
    if reasoning.mode != "off" and (summary := _summary_setting(context, reasoning)) is not None:
        out["summary"] = summary
    if out:
        body["reasoning"] = out


def _effective_reasoning_config(request: Request) -> ReasoningConfig | None:
    """The reasoning setting in effect: a turn's own effort applies from that turn on."""
    turn_effort = next((turn.effort for turn in reversed(request.turns) if turn.effort), None)
    if turn_effort is None:
        return request.reasoning
    return replace(request.reasoning or ReasoningConfig(), effort=turn_effort)


def _drop_reasoning_config(context: ResponsesRenderContext, reasoning: ReasoningConfig) -> None:
    reason = f"{context.model} is not a reasoning model"
    if reasoning.effort is not None:
        context.drop(context.request.client_path("effort"), reason, before=reasoning.effort)
    if reasoning.mode in {"auto", "budget"}:
        context.drop(context.request.client_path("reasoning"), reason)


def _summary_setting(context: ResponsesRenderContext, reasoning: ReasoningConfig) -> str | None:
    """The summary to request.

    A request with only an effort gets none: not every account may request summaries. For
    models that allow it (`Traits.reasoning_summaries`) the relay requests one.
    """
    client_summary = context.request.extra.get(NAME, {}).get(_SUMMARY_PATH)
    if reasoning.visible in {"summary", "raw"}:
        return client_summary if isinstance(client_summary, str) else _DEFAULT_SUMMARY
    if reasoning.visible is None and reasoning.mode in {"auto", "budget"}:
        return "auto"
    return None


# --- state in a body that passes through ----------------------------------------------------------

# Items that the provider looks up by id; it then requires the reasoning before them.
_LINKED_ITEM_TYPES = frozenset({"message", "function_call", "custom_tool_call"})
_LINKED_ITEM_MARKERS = (b'"reasoning"', b'"id"')


def replace_tokens(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The body with the target's own reasoning for each token, and a report of the drops."""
    return state_tokens.replace_tokens(fields, "input", _replace_item_token, traits)


def _replace_item_token(
    item: Json, path: str, traits: Traits, report: list[Adaptation]
) -> Json | None:
    if code_execution.is_foreign(item):
        report.append(approximated_field(path, code_execution.SENT_AS_TEXT))
        text = code_execution.history_text(item)
        return {"type": "message", "role": "assistant", "content": text}
    token = item.get("encrypted_content")
    if item.get("type") != "reasoning" or not is_token(token):
        return item
    state = unwrap_signature(str(token))
    if (
        state is None
        or not is_from_target(state, traits)
        or state.kind != STATE_KIND
        or not state.value
    ):
        report.append(foreign_reasoning_drop(path))
        return None
    native_item = {**item, "encrypted_content": state.value}
    if state.item_id:
        return {**native_item, "id": state.item_id}
    native_item.pop("id", None)  # an id of the gateway, which the provider does not know
    return native_item


def drop_state(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The body without reasoning items and the ids that refer to them, and a report."""
    return state_tokens.edit_items(fields, "input", _LINKED_ITEM_MARKERS, _drop_item_state, traits)


def _drop_item_state(item: Json, path: str, _: Traits, report: list[Adaptation]) -> Json | None:
    kind = item.get("type", "message")
    if kind == "reasoning":
        report.append(dropped_field(path, REASONING_REFUSED))
        return None
    if kind not in _LINKED_ITEM_TYPES:
        return item
    return {name: value for name, value in item.items() if name != "id"}
