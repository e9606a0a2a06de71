"""Reasoning state in a passthrough body: state tokens replaced, refused state dropped.

A client with responses from models of several providers sends the wrapped state of one
(`dgm1.`) to another. Only messages that contain such a token are decoded; all others keep
the client's bytes, and with them the provider's own state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, dropped_field
from gateway.canon.json_values import to_raw
from gateway.canon.signature import (
    FOREIGN_CITATIONS,
    FOREIGN_CONTAINER,
    FOREIGN_SEARCH,
    PREFIX,
)
from gateway.canon.traits import Traits

Fields = dict[str, msgspec.Raw]
# One message or item -> itself, a changed one, or None if nothing remains of it.
ReplaceState = Callable[[dict[str, Any], str, Traits, list[Adaptation]], dict[str, Any] | None]

_TOKENS = (
    *(f'"{start}'.encode() for start in (PREFIX, FOREIGN_SEARCH, FOREIGN_CONTAINER)),
    *FOREIGN_CITATIONS,
)
REASONING_REFUSED = "the upstream did not accept the reasoning state; sent again without it"
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


def is_token(value: Any) -> bool:
    """Whether a JSON value is a token of the gateway."""
    return isinstance(value, str) and value.startswith(PREFIX)


def foreign_reasoning_drop(path: str) -> Adaptation:
    """The report of reasoning that is dropped because another model created it."""
    return dropped_field(path, "reasoning of another model")


def replace_tokens(
    fields: Fields, name: str, replace: ReplaceState, traits: Traits
) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The fields with each token in the list `name` replaced, and a report of the drops."""
    return edit_items(fields, name, _TOKENS, replace, traits)


def edit_items(
    fields: Fields, name: str, markers: tuple[bytes, ...], replace: ReplaceState, traits: Traits
) -> tuple[Fields, tuple[Adaptation, ...]]:
    """The fields with each item of the list `name` that contains a marker replaced.

    All other items keep their bytes. The second value reports the drops.
    """
    raw_list = bytes(fields.get(name, b""))
    if not _contains_any(raw_list, markers):
        return fields, ()
    report: list[Adaptation] = []
    edited_items: list[msgspec.Raw] = []
    try:
        for index, item in enumerate(_decode_list(raw_list)):
            if not _contains_any(bytes(item), markers):
                edited_items.append(item)
                continue
            edited = _replace_item(item, f"{name}[{index}]", replace, traits, report)
            if edited is not None:
                edited_items.append(edited)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return fields, ()  # the provider reports what is wrong with it
    return {**fields, name: to_raw(edited_items)}, tuple(report)


def _contains_any(raw: bytes, markers: tuple[bytes, ...]) -> bool:
    return any(marker in raw for marker in markers)


def _replace_item(
    item: msgspec.Raw, path: str, replace: ReplaceState, traits: Traits, report: list[Adaptation]
) -> msgspec.Raw | None:
    value = msgspec.json.decode(item)
    replacement = replace(value, path, traits, report) if isinstance(value, dict) else value
    if replacement is None or replacement is value:
        return item if replacement is value else None
    return to_raw(replacement)
