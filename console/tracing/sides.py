"""Two traced bodies side by side: aligned lines, notes and counts of changes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from console.tracing.changes import Trace
from console.tracing.diff_lines import (
    Line,
    Row,
    align_lines,
    json_lines,
    order_like_source,
)
from console.tracing.json_values import Pointer
from console.tracing.notes import ApiNames, Note, change_notes

CHANGE_KINDS = ("moved", "converted", "added", "dropped")


class NoteLines(msgspec.Struct, frozen=True):
    """A note and the lines where it applies, as numbers; None if the line is not shown."""

    note: Note
    left: int | None
    right: int | None


def compare_sides(
    trace: Trace,
    left: Any,
    right: Any,
    adaptations: list[Any],
    names: ApiNames | None = None,
    *,
    losses_only: bool = False,
) -> dict[str, Any]:
    """The context of the template `console/translation/_sides.html`.

    With `losses_only`, the rows and notes of losses, and the containers around them.
    """
    adaptation_rows = [row for row in adaptations if isinstance(row, dict)]
    notes = change_notes(trace, adaptation_rows, left, right, names)
    counts: Counter[str] = Counter()
    for note in notes:
        counts[note.kind] += note.count
    left_lines = json_lines(left, trace.source)
    right_lines = json_lines(order_like_source(right, trace), trace.target)
    rows = align_lines(left_lines, right_lines, trace)
    losses = [note for note in notes if note.loss]
    return {
        "rows": _loss_rows(rows, losses) if losses_only else rows,
        "notes": [
            NoteLines(
                note,
                _line_number(left_lines, note.source_pointer),
                _line_number(right_lines, note.target_pointer),
            )
            for note in (losses if losses_only else notes)
        ],
        "counts": [(kind, counts[kind]) for kind in CHANGE_KINDS if counts[kind]],
        "losses": len(losses),
        "losses_only": losses_only,
        "complete": trace.complete,
    }


def _line_number(lines: list[Line], pointer: Pointer | None) -> int | None:
    """The first line of a value; of its container if the value shares a line."""
    if pointer is None:
        return None
    for depth in range(len(pointer), 0, -1):
        for line in lines:
            if line.pointer == pointer[:depth]:
                return line.number
    return None


def _loss_rows(rows: list[Row], losses: list[Note]) -> list[Row]:
    """Rows of losses, and of the containers around them."""
    left = [note.source_pointer for note in losses if note.source_pointer is not None]
    left += [row.left.pointer for row in rows if row.left and row.left.kind == "dropped"]
    right = [note.target_pointer for note in losses if note.target_pointer is not None]
    return [row for row in rows if _is_related(row.left, left) or _is_related(row.right, right)]


def _is_related(line: Line | None, lost_pointers: list[Pointer]) -> bool:
    """Whether a line shows a lost value, a part of it, or a container around it."""
    if line is None:
        return False
    pointer = line.pointer
    return any(
        pointer[: len(lost_pointer)] == lost_pointer or lost_pointer[: len(pointer)] == pointer
        for lost_pointer in lost_pointers
    )
