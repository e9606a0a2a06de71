"""Reasoning state in passthrough items: tokens replaced or dropped, refused state dropped."""

from __future__ import annotations

from gateway.canon.adaptation import Adaptation, dropped
from gateway.canon.signature import is_from_target, unwrap_signature
from gateway.canon.traits import Traits
from gateway.dialects.openai_responses.names import STATE_KIND, Json
from gateway.dialects.shared import state_tokens
from gateway.dialects.shared.state_tokens import (
    REASONING_REFUSED,
    Fields,
    foreign_reasoning_drop,
    is_token,
)

# Items that the provider looks up by their id, and then misses the reasoning before them.
_LINKED_ITEM_TYPES = frozenset({"message", "function_call", "custom_tool_call"})
_LINKED_ITEM_MARKERS = (b'"reasoning"', b'"id"')


def replace_tokens(fields: Fields, traits: Traits) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The body with the target's own reasoning for each token, and a report of the drops."""
    return state_tokens.replace_tokens(fields, "input", _replace_item_token, traits)


def _replace_item_token(
    item: Json, path: str, traits: Traits, report: list[Adaptation]
) -> Json | None:
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
        report.append(dropped(path, REASONING_REFUSED))
        return None
    if kind not in _LINKED_ITEM_TYPES:
        return item
    return {name: value for name, value in item.items() if name != "id"}
