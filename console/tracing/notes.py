"""Describes a translation in sentences: reported adaptations, then other changes.

A subtree that moved, was dropped or was added as a whole is one change.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from console.tracing.changes import Change, Trace
from console.tracing.json_values import Pointer, leaves, pointer_text

MAX_NOTES = 40
_ORDER = {"dropped": 0, "converted": 1, "moved": 2, "added": 3}
_ACTIONS = {"dropped": "dropped", "approximated": "converted", "defaulted": "added"}
_PATH_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_MAX_VALUE_CHARS = 60
# Reasons of adaptations that depend on the capabilities of the model.
_CAPABILITY = re.compile(r"does not support|not a reasoning model|cannot be forced")


class Note(msgspec.Struct, frozen=True):
    """One change: pointer in the source, pointer in the target, and an explanation.

    Attributes:
        loss: whether the upstream gets less than the client sent.
        advice: what to do about a loss; empty if there is nothing to do.
        count: changes that differ only in list indexes.
        source_pointer, target_pointer: the places of the first of them; None without one.
    """

    kind: str
    source: str
    target: str
    explanation: str
    count: int = 1
    loss: bool = False
    advice: str = ""
    source_pointer: Pointer | None = None
    target_pointer: Pointer | None = None


class ApiNames(msgspec.Struct, frozen=True):
    """Names of the two APIs in sentences; empty if unknown."""

    client: str = ""
    upstream: str = ""


def parse_path(path: str) -> Pointer:
    """Path of an adaptation, such as `messages[2].content`, as a pointer."""
    return tuple(int(index) if index else name for index, name in _PATH_PART.findall(path))


def change_notes(
    trace: Trace,
    adaptations: list[dict[str, Any]],
    source: Any,
    target: Any,
    names: ApiNames | None = None,
) -> list[Note]:
    """Merged notes of all changes, losses first."""
    names = names or ApiNames()
    adaptation_notes = [_adaptation_note(row, trace, names) for row in adaptations]
    adapted_pointers = [parse_path(str(row.get("field", ""))) for row in adaptations]
    other_notes = _unreported_changes(
        trace, adapted_pointers, dict(leaves(source)), dict(leaves(target))
    )
    return sorted(
        _merge_notes([*adaptation_notes, *other_notes]), key=lambda note: _ORDER.get(note.kind, 9)
    )[:MAX_NOTES]


# --- reported adaptations --------------------------------------------------------------


def adaptation_sentence(row: dict[str, Any], names: ApiNames) -> str:
    """Sentence that says what happened to a field, and why."""
    field, reason = _field_name(row), str(row.get("note", ""))
    upstream = names.upstream or _("The provider's API")
    if row.get("action") == "dropped" and reason.startswith("no equivalent"):
        feature = reason.partition(" for the ")[2]
        if feature:
            return _("%(api)s has no %(feature)s, so it was removed.") % {
                "api": upstream,
                "feature": feature,
            }
        return _("%(api)s has no %(field)s, so it was removed.") % {
            "api": upstream,
            "field": field,
        }
    if row.get("from") is not None and row.get("to") is not None:
        reason = f"{reason} ({_value_text(row['from'])} → {_value_text(row['to'])})"
    if row.get("action") == "dropped":
        return _("Removed: %(reason)s.") % {"reason": reason}
    return f"{reason[:1].upper()}{reason[1:]}."


def adaptation_advice(row: dict[str, Any], names: ApiNames) -> str:
    """Advice on an adaptation; empty if there is nothing to do."""
    reason = str(row.get("note", ""))
    if _CAPABILITY.search(reason):
        return _("If the model supports it, correct the capabilities on the model's page.")
    if row.get("action") == "defaulted":
        return _("Set it in the request to choose another value.")
    if row.get("action") == "dropped" and names.client and names.client != names.upstream:
        return _("A provider with the %(api)s API keeps it.") % {"api": names.client}
    return ""


def _field_name(row: dict[str, Any]) -> str:
    """The name of the field without its path in the body."""
    names = [part for part in parse_path(str(row.get("field", ""))) if isinstance(part, str)]
    return f"`{names[-1]}`" if names else _("such a field")


def _adaptation_note(row: dict[str, Any], trace: Trace, names: ApiNames) -> Note:
    """Note of an adaptation that the translator reported."""
    pointer = parse_path(str(row.get("field", "")))
    kind = _ACTIONS.get(str(row.get("action")), "converted")
    targets = [
        link
        for leaf, change in trace.source.items()
        if leaf[: len(pointer)] == pointer
        for link in change.links
    ]
    target = None if kind == "dropped" or not targets else targets[0]
    source = None if kind == "added" and not targets else pointer
    return Note(
        kind,
        "" if source is None else pointer_text(source),
        pointer_text(target if target is not None else pointer),
        adaptation_sentence(row, names),
        loss=kind != "added",
        advice=adaptation_advice(row, names),
        source_pointer=source,
        target_pointer=pointer if kind == "added" and target is None else target,
    )


# --- other changes ---------------------------------------------------------------------


def _unreported_changes(
    trace: Trace,
    adapted_pointers: list[Pointer],
    source_leaves: dict[Pointer, Any],
    target_leaves: dict[Pointer, Any],
) -> list[Note]:
    """Notes of changes that the translator did not report."""

    def reported(pointer: Pointer) -> bool:
        # A name alone is reported once for all places, such as `cache_control`.
        return any(
            pointer[: len(path)] == path or (len(path) == 1 and path[0] in pointer)
            for path in adapted_pointers
            if path
        )

    result = []
    for pointer in topmost_changed(trace.source, "dropped"):
        if not reported(pointer):
            explanation = _("Not used in the upstream request.")
            note = Note(
                "dropped", pointer_text(pointer), "", explanation, loss=True, source_pointer=pointer
            )
            result.append(note)
    for source, target in moved_subtrees(trace):
        if not reported(source):
            result.append(_pair_note("moved", source, target, _move_explanation(source, target)))
    for leaf, change in trace.source.items():
        if change.kind == "converted" and change.links and not reported(leaf):
            target = change.links[0]
            explanation = _("%(before)s became %(after)s.") % {
                "before": _value_text(source_leaves.get(leaf)),
                "after": _value_text(target_leaves.get(target)),
            }
            result.append(_pair_note("converted", leaf, target, explanation))
    for target in topmost_changed(trace.target, "added"):
        if target in adapted_pointers:
            continue
        if target in target_leaves:
            explanation = _("Not in the original; added with the value %(value)s.") % {
                "value": _value_text(target_leaves[target])
            }
        else:
            explanation = _("Not in the original.")
        result.append(Note("added", "", pointer_text(target), explanation, target_pointer=target))
    return result


def _pair_note(kind: str, source: Pointer, target: Pointer, explanation: str) -> Note:
    return Note(
        kind,
        pointer_text(source),
        pointer_text(target),
        explanation,
        source_pointer=source,
        target_pointer=target,
    )


def topmost_changed(changes: dict[Pointer, Change], kind: str) -> list[Pointer]:
    """The topmost pointers under which every leaf has this kind of change."""
    total: Counter[Pointer] = Counter()
    of_kind: Counter[Pointer] = Counter()
    for leaf, change in changes.items():
        for depth in range(1, len(leaf) + 1):
            total[leaf[:depth]] += 1
            of_kind[leaf[:depth]] += change.kind == kind
    tops = (
        next(
            leaf[:depth]
            for depth in range(1, len(leaf) + 1)
            if of_kind[leaf[:depth]] == total[leaf[:depth]]
        )
        for leaf, change in changes.items()
        if change.kind == kind
    )
    return list(dict.fromkeys(tops))


def moved_subtrees(trace: Trace) -> list[tuple[Pointer, Pointer]]:
    """Source and target of everything that moved, the largest subtrees as one pair each.

    A subtree moved as a whole if each of its leaves is at the same path below the target.
    A leaf without a link, such as a `type`, shares the fate of its object.
    """
    total: Counter[Pointer] = Counter()
    unlinked: Counter[Pointer] = Counter()
    pairs: Counter[tuple[Pointer, Pointer]] = Counter()
    chains: dict[Pointer, list[tuple[Pointer, Pointer]]] = {}
    for leaf, change in trace.source.items():
        for depth in range(1, len(leaf) + 1):
            total[leaf[:depth]] += 1
            unlinked[leaf[:depth]] += change.kind == "moved" and not change.links
        if change.kind == "moved" and change.links:
            chains[leaf] = _parents_with_equal_path(leaf, change.links[0])
            pairs.update(chains[leaf])
    tops = (
        next(
            (pair for pair in reversed(chain) if pairs[pair] + unlinked[pair[0]] == total[pair[0]]),
            chain[0],
        )
        for chain in chains.values()
    )
    return list(dict.fromkeys(tops))


def _parents_with_equal_path(leaf: Pointer, target: Pointer) -> list[tuple[Pointer, Pointer]]:
    """The pair itself, then pairs of parents below which both paths are equal."""
    chain = [(leaf, target)]
    while len(leaf) > 1 and len(target) > 1 and leaf[-1] == target[-1]:
        leaf, target = leaf[:-1], target[:-1]
        chain.append((leaf, target))
    return chain


def _move_explanation(leaf: Pointer, target: Pointer) -> str:
    if leaf[:-1] == target[:-1] and isinstance(leaf[-1], str) and leaf[-1] != target[-1]:
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
        group = groups.get(key)
        if group is None:
            groups[key] = note
        else:
            groups[key] = msgspec.structs.replace(
                group, source=source, target=target, count=group.count + 1
            )
    return list(groups.values())


def _wildcard_indexes(pointer: str) -> str:
    return re.sub(r"/\d+(?=/|$)", "/*", pointer)
