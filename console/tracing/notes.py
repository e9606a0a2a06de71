"""Describes a translation in sentences: reported adaptations, then other changes."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from console.tracing.changes import Trace
from console.tracing.json_values import Pointer, leaves, pointer_text

MAX_NOTES = 40
_ORDER = {"dropped": 0, "converted": 1, "moved": 2, "added": 3}
_ACTIONS = {"dropped": "dropped", "approximated": "converted", "defaulted": "added"}
_PATH_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_MAX_VALUE_CHARS = 60


class Note(msgspec.Struct, frozen=True):
    """One change: pointer in the source, pointer in the target, and an explanation."""

    kind: str
    source: str
    target: str
    explanation: str
    count: int = 1


def parse_path(path: str) -> Pointer:
    """Path of an adaptation, such as `messages[2].content`, as a pointer."""
    return tuple(int(index) if index else name for index, name in _PATH_PART.findall(path))


def change_notes(
    trace: Trace, adaptations: list[dict[str, Any]], source: Any, target: Any
) -> list[Note]:
    """Merged notes of all changes, losses first."""
    adaptation_notes = [_adaptation_note(row, trace) for row in adaptations]
    adapted_pointers = [parse_path(str(row.get("field", ""))) for row in adaptations]
    other_notes = _unreported_changes(
        trace, adapted_pointers, dict(leaves(source)), dict(leaves(target))
    )
    return sorted(
        _merge_notes([*adaptation_notes, *other_notes]), key=lambda note: _ORDER.get(note.kind, 9)
    )[:MAX_NOTES]


def _adaptation_note(row: dict[str, Any], trace: Trace) -> Note:
    """Note of an adaptation that the translator reported."""
    pointer = parse_path(str(row.get("field", "")))
    kind = _ACTIONS.get(str(row.get("action")), "converted")
    targets = [
        link
        for leaf, change in trace.source.items()
        if leaf[: len(pointer)] == pointer
        for link in change.links
    ]
    target = "" if kind == "dropped" or not targets else pointer_text(targets[0])
    explanation = str(row.get("note", ""))
    if row.get("from") is not None and row.get("to") is not None:
        explanation = f"{explanation} ({_value_text(row['from'])} → {_value_text(row['to'])})"
    source = pointer_text(pointer)
    return Note(
        kind, "" if kind == "added" and not targets else source, target or source, explanation
    )


def _unreported_changes(
    trace: Trace,
    adapted_pointers: list[Pointer],
    source_leaves: dict[Pointer, Any],
    target_leaves: dict[Pointer, Any],
) -> list[Note]:
    """Notes of changes that the translator did not report."""
    result = []
    for leaf, change in trace.source.items():
        if any(leaf[: len(path)] == path for path in adapted_pointers if path):
            continue
        target = change.links[0] if change.links else None
        if change.kind == "dropped":
            explanation = _("Not used in the upstream request.")
            result.append(Note("dropped", pointer_text(leaf), "", explanation))
        elif target is not None and change.kind == "moved":
            result.append(
                Note(
                    "moved",
                    pointer_text(leaf),
                    pointer_text(target),
                    _move_explanation(leaf, target),
                )
            )
        elif target is not None and change.kind == "converted":
            explanation = _("%(before)s became %(after)s.") % {
                "before": _value_text(source_leaves.get(leaf)),
                "after": _value_text(target_leaves.get(target)),
            }
            result.append(Note("converted", pointer_text(leaf), pointer_text(target), explanation))
    for target, change in trace.target.items():
        if change.kind == "added" and target not in adapted_pointers:
            explanation = _("Not in the original; added with the value %(value)s.") % {
                "value": _value_text(target_leaves.get(target))
            }
            result.append(Note("added", "", pointer_text(target), explanation))
    return result


def _move_explanation(leaf: Pointer, target: Pointer) -> str:
    if leaf[-1] != target[-1] and leaf[:-1] == target[:-1]:
        return _("Renamed; same value.")
    return _("Moved; same value.")


def _value_text(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}…"


def _merge_notes(notes: list[Note]) -> list[Note]:
    """Merge notes that only differ in list indexes, with a count."""
    groups: dict[tuple[str, ...], Note] = {}
    for note in notes:
        source, target = _wildcard_indexes(note.source), _wildcard_indexes(note.target)
        explanation = (
            "" if note.kind in {"moved", "dropped"} else _wildcard_indexes(note.explanation)
        )
        key = (note.kind, source, target, explanation)
        existing = groups.get(key)
        if existing is None:
            groups[key] = note
        else:
            groups[key] = Note(note.kind, source, target, existing.explanation, existing.count + 1)
    return list(groups.values())


def _wildcard_indexes(pointer: str) -> str:
    return re.sub(r"/\d+(?=/|$)", "/*", pointer)
