"""What the runs of a trace have shown, put together as marks on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from console.tracing_values import GONE, Pointer, equal, leaves

Kind = Literal["same", "moved", "converted", "added", "dropped", "unknown"]
# Words that name what a thing is; they follow the thing they name.
NAMING = frozenset({"type", "role", "object"})


class Mark(msgspec.Struct, frozen=True):
    """What became of a value, and the places on the other side that it is linked with."""

    kind: Kind
    links: tuple[Pointer, ...] = ()


class Trace(msgspec.Struct):
    """Marks of the leaves on both sides. `complete` is false if time or runs were up."""

    source: dict[Pointer, Mark]
    target: dict[Pointer, Mark]
    complete: bool = True
    runs: int = 0


def compared(source: Any, target: Any) -> Trace:
    """The marks where nothing is translated: places that hold the same, or something else."""
    ours, theirs = dict(leaves(source)), dict(leaves(target))
    found = Trace({}, {})
    for pointer, value in ours.items():
        if pointer not in theirs:
            found.source[pointer] = Mark("dropped")
            continue
        mark = Mark("same" if theirs[pointer] == value else "converted", (pointer,))
        found.source[pointer] = found.target[pointer] = mark
    for pointer in theirs.keys() - ours.keys():
        found.target[pointer] = Mark("added")
    return found


class Findings:
    """What the runs have shown of the leaves of a body.

    Attributes:
        leaves: of the body, with their values.
        base: the leaves of its translation.
        known: pairs that the translator does not make.
        copies: leaf -> places that hold it as it is.
        made: leaf -> places that were made from it.
        dropped: leaves on which nothing depends.
        naming: leaves that stand or fall with what they name.
    """

    def __init__(
        self,
        leaves: dict[Pointer, Any],
        base: dict[Pointer, Any],
        known: dict[Pointer, Pointer],
    ) -> None:
        self.leaves = leaves
        self.base = base
        self.known = known
        self.copies: dict[Pointer, list[Pointer]] = {}
        self.made: dict[Pointer, list[Pointer]] = {}
        self.dropped: set[Pointer] = set()
        self.naming: set[Pointer] = set()

    def linked(self) -> set[Pointer]:
        """Places of the result that something is known to have made."""
        return {
            place for many in (self.copies, self.made) for found in many.values() for place in found
        }

    def trace(self, chosen: list[Pointer], *, complete: bool, runs: int) -> Trace:
        """The marks of both sides; `chosen` are the leaves that were looked at."""
        found = Trace({}, {}, complete, runs)
        self._adopt()
        backwards: dict[Pointer, list[Pointer]] = {}
        for pointer in chosen:
            mark = self._mark_of(pointer)
            found.source[pointer] = mark
            for place in mark.links:
                backwards.setdefault(place, []).append(pointer)
        for pointer in self.naming:
            found.source[pointer] = self._follower(pointer, found.source)
        for place in self.base:
            found.target[place] = self._target_mark(place, backwards.get(place, []), found.source)
        _name_targets(found.target)
        if not complete or len(chosen) < len(self.leaves):
            # Something that was not looked at may have made it.
            _forget_added(found.target, chosen, self.leaves)
        return found

    def _adopt(self) -> None:
        """Pair what stands, unchanged, where its neighbours went.

        Some values are written by the translator whether or not they were sent, such as
        `additionalProperties: false`: no change shows that they are the same.
        """
        ways: dict[Pointer, Pointer] = {}
        for pointer, places in self.copies.items():
            for place in places:
                ways.update(_ways(pointer, place))
        taken = {
            place for places in (*self.copies.values(), *self.made.values()) for place in places
        }
        for pointer in [*self.dropped, *self.naming]:
            for depth in range(len(pointer) - 1, 0, -1):
                way = ways.get(pointer[:depth])
                spot = None if way is None else (*way, *pointer[depth:])
                if spot is not None and spot not in taken and spot in self.base:
                    if equal(self.base[spot], self.leaves[pointer]):
                        self.copies[pointer] = [spot]
                        taken.add(spot)
                        self.dropped.discard(pointer)
                        self.naming.discard(pointer)
                    break

    def _mark_of(self, pointer: Pointer) -> Mark:
        place = self.known.get(pointer)
        if place is not None and place in self.base:
            same = equal(self.base[place], self.leaves[pointer])
            return Mark("same" if same and place == pointer else "converted", (place,))
        copies, made = self.copies.get(pointer), self.made.get(pointer)
        if copies:
            here = tuple(copies)
            same = pointer in copies and equal(self.base.get(pointer), self.leaves[pointer])
            return Mark("same" if same else "moved", here)
        if made:
            return Mark("converted", tuple(made))
        return Mark("dropped" if pointer in self.dropped else "unknown")

    def _follower(self, pointer: Pointer, marks: dict[Pointer, Mark]) -> Mark:
        """The mark of what a naming word names: its nearest neighbours'."""
        if equal(self.base.get(pointer, GONE), self.leaves[pointer]):
            return Mark("same", (pointer,))
        for depth in range(len(pointer) - 1, 0, -1):
            near = [
                mark
                for other, mark in marks.items()
                if other[:depth] == pointer[:depth] and other not in self.naming
            ]
            kinds = {mark.kind for mark in near} - {"unknown"}
            if kinds:
                # It went with its thing unless the whole of that was dropped.
                kept = [k for k in ("moved", "converted", "same") if k in kinds]
                if kept == ["same"]:
                    here = pointer in self.base
                    return Mark("converted", (pointer,)) if here else Mark("dropped")
                return Mark(kept[0] if kept else "dropped")
        return Mark("unknown")

    def _target_mark(
        self, place: Pointer, sources: list[Pointer], marks: dict[Pointer, Mark]
    ) -> Mark:
        kinds = {marks[source].kind for source in sources}
        for kind in ("same", "moved", "converted"):
            if kind in kinds:
                return Mark(kind, tuple(sources))
        same = self.leaves.get(place, GONE)
        if place in self.naming and equal(same, self.base[place]):
            return Mark("same", (place,))
        return Mark("added")


def _ways(source: Pointer, target: Pointer) -> Iterator[tuple[Pointer, Pointer]]:
    """The containers that two linked places are at the same spot of, innermost first."""
    depth = 0
    while depth < min(len(source), len(target)) - 1 and source[-1 - depth] == target[-1 - depth]:
        depth += 1
        yield source[:-depth], target[:-depth]


def _name_targets(marks: dict[Pointer, Mark]) -> None:
    """Naming words of the result follow what they name, as those of the source do."""
    for place, mark in list(marks.items()):
        if mark.kind != "added" or not place or place[-1] not in NAMING:
            continue
        parent = place[:-1]
        near = {m.kind for p, m in marks.items() if p != place and p[: len(parent)] == parent}
        kept = [kind for kind in ("moved", "converted", "same") if kind in near]
        if parent and kept:
            marks[place] = Mark(kept[0])


def _forget_added(
    marks: dict[Pointer, Mark], chosen: list[Pointer], all_leaves: dict[Pointer, Any]
) -> None:
    """Deep leaves may come from one that was not looked at; those near the root are sure."""
    unseen = {pointer[0] for pointer in all_leaves.keys() - set(chosen) if pointer}
    for place, mark in marks.items():
        if mark.kind == "added" and len(place) > 2 and unseen:
            marks[place] = Mark("unknown")
