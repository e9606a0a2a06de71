"""What a translation did, as sentences: the translator's own records, then what is left."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from console.tracing import Pointer, Trace, leaves, text_of

MOST = 40
_ORDER = {"dropped": 0, "converted": 1, "moved": 2, "added": 3}
_ACTIONS = {"dropped": "dropped", "approximated": "converted", "defaulted": "added"}
_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_SHORT = 60


class Note(msgspec.Struct, frozen=True):
    """One thing that happened: where it was, where it is now, and a sentence."""

    kind: str
    source: str
    target: str
    why: str
    times: int = 1


def pointer_of(path: str) -> Pointer:
    """An adaptation's place, such as `messages[2].content`, as a pointer."""
    return tuple(int(index) if index else name for index, name in _PART.findall(path))


def notes(found: Trace, adaptations: list[dict[str, Any]], source: Any, target: Any) -> list[Note]:
    """Every kind of change once, the losses first."""
    told = [_told(row, found) for row in adaptations]
    covered = [pointer_of(str(row.get("field", ""))) for row in adaptations]
    rest = _untold(found, covered, dict(leaves(source)), dict(leaves(target)))
    return sorted(_merged([*told, *rest]), key=lambda note: _ORDER.get(note.kind, 9))[:MOST]


def _told(row: dict[str, Any], found: Trace) -> Note:
    """An adaptation in the translator's words."""
    pointer = pointer_of(str(row.get("field", "")))
    kind = _ACTIONS.get(str(row.get("action")), "converted")
    places = [
        link
        for leaf, mark in found.source.items()
        if leaf[: len(pointer)] == pointer
        for link in mark.links
    ]
    target = "" if kind == "dropped" or not places else text_of(places[0])
    why = str(row.get("note", ""))
    if row.get("from") is not None and row.get("to") is not None:
        why = f"{why} ({_said(row['from'])} → {_said(row['to'])})"
    source = text_of(pointer)
    return Note(kind, "" if kind == "added" and not places else source, target or source, why)


def _untold(
    found: Trace, covered: list[Pointer], ours: dict[Pointer, Any], theirs: dict[Pointer, Any]
) -> list[Note]:
    """Changes without a record: those that lose nothing."""
    result = []
    for leaf, mark in found.source.items():
        if any(leaf[: len(path)] == path for path in covered if path):
            continue
        place = mark.links[0] if mark.links else None
        if mark.kind == "dropped":
            why = _("Nothing in what was sent on depends on it.")
            result.append(Note("dropped", text_of(leaf), "", why))
        elif place is not None and mark.kind == "moved":
            result.append(Note("moved", text_of(leaf), text_of(place), _moved(leaf, place)))
        elif place is not None and mark.kind == "converted":
            why = _("%(before)s became %(after)s.") % {
                "before": _said(ours.get(leaf)),
                "after": _said(theirs.get(place)),
            }
            result.append(Note("converted", text_of(leaf), text_of(place), why))
    for place, mark in found.target.items():
        if mark.kind == "added" and place not in covered:
            why = _("Not sent; written as %(value)s.") % {"value": _said(theirs.get(place))}
            result.append(Note("added", "", text_of(place), why))
    return result


def _moved(leaf: Pointer, place: Pointer) -> str:
    if leaf[-1] != place[-1] and leaf[:-1] == place[:-1]:
        return _("The same value under another name.")
    return _("The same value in another place.")


def _said(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def _merged(found: list[Note]) -> list[Note]:
    """Notes that differ in list indexes only, as one with a count."""
    groups: dict[tuple[str, ...], Note] = {}
    for note in found:
        source, target = _general(note.source), _general(note.target)
        why = "" if note.kind in {"moved", "dropped"} else _general(note.why)
        key = (note.kind, source, target, why)
        before = groups.get(key)
        if before is None:
            groups[key] = note
        else:
            groups[key] = Note(note.kind, source, target, before.why, before.times + 1)
    return list(groups.values())


def _general(pointer: str) -> str:
    return re.sub(r"/\d+(?=/|$)", "/*", pointer)
