"""Applies a provider's edits to the JSON of a request.

One list serves translation (a whole dict) and passthrough (top-level fields as raw
bytes). If no edit matches, the same object is returned and nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, approximated_field, defaulted_field, dropped_field
from gateway.canon.json_values import decode_or_none
from gateway.canon.naming import shorten_with_hash
from gateway.providers.profile import Edit

Object = dict[str, Any]
Raw = msgspec.Raw

_MISSING: Any = object()
_DEFAULT_REASON = "the provider does not support this field"
# A longer value would only bloat the report.
_MAX_SHOWN_CHARS = 80


# The type that `value` must have for each operation.
_VALUES: dict[str, tuple[Any, str]] = {
    "drop": (object, "nothing"),
    "rename": (str, "the new name"),
    "default": (object, "a value"),
    "set": (object, "a value"),
    "min": (int | float, "a number"),
    "max": (int | float, "a number"),
    "map": (dict, "an object"),
    "shorten": (int, "a number"),
}


class _Step(msgspec.Struct, frozen=True):
    key: str
    each: bool


class EditChange(msgspec.Struct, frozen=True):
    """A change that an edit made: the path, and the values before and after."""

    path: str
    before: Any = None
    after: Any = None


def check(edit: Edit) -> None:
    """Validate an edit that an operator wrote.

    Raises:
        ValueError: the path or the value does not fit the operation; the message says which.
    """
    keys = [step.key for step in _path_steps(edit.path)]
    if not all(keys) or any("[" in key or "]" in key for key in keys):
        raise ValueError(f"edit path `{edit.path}` must be names separated by dots")
    expected_type, label = _VALUES[edit.op]
    if not isinstance(edit.value, expected_type) or (
        isinstance(edit.value, bool) and expected_type is not object
    ):
        raise ValueError(f"edit `{edit.op}` of `{edit.path}` requires {label} as its value")


def apply(edits: Sequence[Edit], body: Object) -> tuple[Object, list[Adaptation]]:
    """Return the body after all edits, in order, and a report. Do not modify `body`."""
    report: list[Adaptation] = []
    for edit in edits:
        changes: list[EditChange] = []
        body = _edit_node(body, _path_steps(edit.path), edit, "", changes)
        report += _edit_adaptations(edit, changes)
    return body, report


def apply_raw(
    edits: Sequence[Edit], fields: dict[str, Raw]
) -> tuple[dict[str, Raw], list[Adaptation]]:
    """Apply edits to a shallowly decoded body; only the fields concerned are decoded.

    A field that no edit changes keeps its bytes, so that the provider's prompt cache matches.
    """
    report: list[Adaptation] = []
    texts: dict[str, bytes] = {}
    for edit in edits:
        steps = _path_steps(edit.path)
        top = steps[0].key
        if not _may_match(edit, steps, fields.get(top), texts):
            continue
        names = {top, edit.value} if edit.op == "rename" and len(steps) == 1 else {top}
        # What is invalid, the provider reports; an edit cannot.
        part = {name: decode_or_none(fields[name]) for name in names if name in fields}
        changes: list[EditChange] = []
        edited_part = _edit_node(part, steps, edit, "", changes)
        if edited_part is part:
            continue
        report += _edit_adaptations(edit, changes)
        fields = _merge_fields(fields, part, edited_part)
        texts.clear()
    return fields, report


def _merge_fields(fields: dict[str, Raw], before: Object, after: Object) -> dict[str, Raw]:
    """Return the fields with the changes between `before` and `after`, in the old order."""
    remaining_fields = {
        name: raw for name, raw in fields.items() if name not in before or name in after
    }
    for name, value in after.items():
        if name not in before or before[name] is not value:
            remaining_fields[name] = Raw(msgspec.json.encode(value))
    return remaining_fields


def _may_match(
    edit: Edit, steps: tuple[_Step, ...], raw: Raw | None, texts: dict[str, bytes]
) -> bool:
    """Whether the edit may match, from a search in the bytes of the field, without decoding it.

    `texts` caches the bytes of fields, so that they are copied once for all edits.
    """
    if raw is None:
        return edit.op in ("default", "set")
    text = b""
    if len(steps) > 1 or edit.op == "map":
        text = texts.get(steps[0].key) or memoryview(raw).tobytes()
        texts[steps[0].key] = text
    if edit.op == "map":
        return any(msgspec.json.encode(value) in text for value in edit.value)
    if edit.op == "shorten" and len(steps) == 1:
        return len(memoryview(raw)) > int(edit.value)
    if len(steps) > 1 and edit.op not in ("default", "set"):
        return msgspec.json.encode(steps[-1].key) in text
    return True


@lru_cache(maxsize=1024)
def _path_steps(path: str) -> tuple[_Step, ...]:
    return tuple(_Step(part.removesuffix("[]"), part.endswith("[]")) for part in path.split("."))


def _edit_node(
    node: Any, steps: tuple[_Step, ...], edit: Edit, prefix: str, changes: list[EditChange]
) -> Any:
    """Return the node with the edit applied below it; the same object if nothing changed."""
    if not isinstance(node, dict):
        return node
    step, remaining_steps = steps[0], steps[1:]
    path = f"{prefix}.{step.key}" if prefix else step.key
    if not remaining_steps and not step.each:
        return _OPS[edit.op](node, step.key, edit, path, changes)
    child = node.get(step.key, _MISSING)
    if child is _MISSING:
        if edit.op not in ("default", "set") or step.each:
            return node
        child = {}
    if step.each:
        new_child = _walk_list(child, remaining_steps, edit, path, changes)
    else:
        new_child = _edit_node(child, remaining_steps, edit, path, changes)
    return node if new_child is child else {**node, step.key: new_child}


def _walk_list(
    items: Any, steps: tuple[_Step, ...], edit: Edit, path: str, changes: list[EditChange]
) -> Any:
    if not isinstance(items, list):
        return items
    if not steps:
        return _apply_to_items(items, edit, path, changes)
    edited_items = [
        _edit_node(item, steps, edit, f"{path}[{i}]", changes) for i, item in enumerate(items)
    ]
    is_unchanged = all(new is old for new, old in zip(edited_items, items, strict=True))
    return items if is_unchanged else edited_items


def _apply_to_items(
    items: list[Any], edit: Edit, path: str, changes: list[EditChange]
) -> list[Any]:
    """Apply an edit to the values of a list, for a path that ends in `[]`."""
    holders = [{"value": item} for item in items]
    edited_items = [
        _OPS[edit.op](h, "value", edit, f"{path}[{i}]", changes) for i, h in enumerate(holders)
    ]
    if all(new is old for new, old in zip(edited_items, holders, strict=True)):
        return items
    return [holder["value"] for holder in edited_items if "value" in holder]


def _drop_field(node: Object, key: str, edit: Edit, path: str, changes: list[EditChange]) -> Object:
    if key not in node:
        return node
    changes.append(EditChange(path, before=node[key]))
    return {name: value for name, value in node.items() if name != key}


def _rename_field(
    node: Object, key: str, edit: Edit, path: str, changes: list[EditChange]
) -> Object:
    if key not in node:
        return node
    if edit.value in node:
        # Both names are set: the provider's own name wins, the other one is dropped.
        changes.append(EditChange(path, before=node[key]))
        return {name: value for name, value in node.items() if name != key}
    return {edit.value if name == key else name: value for name, value in node.items()}


def _set_default(
    node: Object, key: str, edit: Edit, path: str, changes: list[EditChange]
) -> Object:
    if key in node:
        return node
    changes.append(EditChange(path, after=edit.value))
    return {**node, key: edit.value}


def _set_field(node: Object, key: str, edit: Edit, path: str, changes: list[EditChange]) -> Object:
    before = node.get(key, _MISSING)
    if before is not _MISSING and before == edit.value and type(before) is type(edit.value):
        return node
    changes.append(
        EditChange(path, before=None if before is _MISSING else before, after=edit.value)
    )
    return {**node, key: edit.value}


def _clamp_value(
    node: Object, key: str, edit: Edit, path: str, changes: list[EditChange]
) -> Object:
    before = node.get(key)
    if isinstance(before, bool) or not isinstance(before, int | float):
        return node
    after = max(before, edit.value) if edit.op == "min" else min(before, edit.value)
    if after == before:
        return node
    changes.append(EditChange(path, before=before, after=after))
    return {**node, key: after}


def _map_field(node: Object, key: str, edit: Edit, path: str, changes: list[EditChange]) -> Object:
    before = node.get(key)
    if not isinstance(before, str) or before not in edit.value:
        return node
    changes.append(EditChange(path, before=before, after=edit.value[before]))
    return {**node, key: edit.value[before]}


def _shorten_field(
    node: Object, key: str, edit: Edit, path: str, changes: list[EditChange]
) -> Object:
    before = node.get(key)
    if not isinstance(before, str) or len(before) <= edit.value:
        return node
    after = shorten_with_hash(before, edit.value)
    changes.append(EditChange(path, before=before, after=after))
    return {**node, key: after}


_OPS: dict[str, Callable[[Object, str, Edit, str, list[EditChange]], Object]] = {
    "drop": _drop_field,
    "rename": _rename_field,
    "default": _set_default,
    "set": _set_field,
    "min": _clamp_value,
    "max": _clamp_value,
    "map": _map_field,
    "shorten": _shorten_field,
}


def _edit_adaptations(edit: Edit, changes: list[EditChange]) -> list[Adaptation]:
    """Return the report of an edit: one entry, however many items of a list it changed."""
    if not changes:
        return []
    first = changes[0]
    path = first.path if len(changes) == 1 else edit.path
    before, after = _shortened_value(first.before), _shortened_value(first.after)
    match edit.op:
        case "drop" | "rename":
            return [dropped_field(path, edit.reason or _DEFAULT_REASON, before=before)]
        case "default" | "set" if first.before is None:
            return [
                defaulted_field(path, edit.reason or "set by the provider's profile", after=after)
            ]
        case "map" if not edit.reason:
            # A synonym: nothing was lost.
            return []
    reason = edit.reason or "changed by the provider's profile"
    return [approximated_field(path, reason, before=before, after=after)]


def _shortened_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if len(value) <= _MAX_SHOWN_CHARS else value[:_MAX_SHOWN_CHARS] + "..."
    text = msgspec.json.encode(value)
    return value if len(text) <= _MAX_SHOWN_CHARS else None
