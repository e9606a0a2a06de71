"""Where each value of a JSON body lands when it is translated: found out by translating.

Nothing is guessed from what two bodies look like. The translator runs again on the body
with values changed: all strings at once, each to a mark of its own, other values one at a
time. Where a mark turns up in the result, the value went; what changes with a value and
is not its copy was made from it; what changes with nothing was added; and a value on
which nothing depends was dropped. All of it is bounded in runs and in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from console.tracing_marks import NAMING, Findings, Mark, Trace, compared
from console.tracing_values import (
    GONE,
    Pointer,
    equal,
    holds,
    leaves,
    others,
    put,
    shaped,
    stamp,
    text_of,
)
from gateway.canon.errors import GatewayError

MAX_RUNS = 300
BUDGET_S = 0.3
# A change that moves more of the result than this changed its shape, not a value.
_SHAPE = 12

Body = dict[str, Any] | list[Any]
Translate = Callable[[Any], Any]
_SWAPS = {"user": "assistant", "assistant": "user"}


def trace(
    body: Body,
    translate: Translate,
    wanted: Iterable[Pointer] | None = None,
    known: dict[Pointer, Pointer] | None = None,
    **limits: Any,
) -> Trace:
    """The marks for a body and its translation.

    `wanted` are the leaves that matter; the rest is left unknown. `known` are pairs that
    the translator does not make (the route chooses the model). Raises GatewayError where
    the body itself can not be translated.
    """
    return _Tracer(body, translate, known or {}, **limits).run(wanted)


__all__ = ["Mark", "Pointer", "Trace", "compared", "leaves", "text_of", "trace"]


class _Tracer:
    def __init__(
        self,
        body: Body,
        translate: Translate,
        known: dict[Pointer, Pointer],
        runs: int = MAX_RUNS,
        budget_s: float = BUDGET_S,
    ) -> None:
        self.body = body
        self.known = known
        self.translate = translate
        self.left = runs
        self.until = time.monotonic() + budget_s
        self.leaves = dict(leaves(body))
        self.base = dict(leaves(translate(body)))
        self.runs = 1
        self.findings = Findings(self.leaves, self.base, known)
        self.copies, self.made = self.findings.copies, self.findings.made
        self.dropped, self.naming = self.findings.dropped, self.findings.naming

    def run(self, wanted: Iterable[Pointer] | None) -> Trace:
        """All steps, as far as time and runs go."""
        chosen = [p for p in (self.leaves if wanted is None else wanted) if p in self.leaves]
        strings = [p for p in chosen if isinstance(self.leaves[p], str) and self.leaves[p]]
        named = [p for p in strings if p[-1] in NAMING]
        free = [p for p in strings if p[-1] not in NAMING]
        free = [p for p in free if p not in self.known]
        others = {*strings, *self.known}
        singles = [p for p in chosen if p not in others]
        singles.sort(key=len)
        singles += self._strings(free)
        done = 0
        for pointer in singles:
            if not self._may_go_on():
                break
            self._single(pointer)
            done += 1
        for pointer in named:
            if not self._may_go_on():
                break
            self._name(pointer)
        complete = done == len(singles) and self._may_go_on()
        return self.findings.trace(chosen, complete=complete, runs=self.runs)

    def _may_go_on(self) -> bool:
        return self.left > 0 and time.monotonic() < self.until

    def _result(self, body: Any) -> dict[Pointer, Any] | None:
        """The leaves of a changed body's translation; None if it is refused."""
        self.left -= 1
        self.runs += 1
        try:
            return dict(leaves(self.translate(body)))
        except (GatewayError, ValueError, TypeError, KeyError, AttributeError):
            return None

    # Strings, many at once

    def _strings(self, pointers: list[Pointer]) -> list[Pointer]:
        """Mark them all; those that can not be marked together are halved. Gives the rest."""
        if not pointers or not self._may_go_on():
            return pointers
        # One mark for equal values: an id that a later block repeats must stay the same id.
        known = dict.fromkeys(self.leaves[p] for p in pointers)
        values = {value: stamp(n) for n, value in enumerate(known)}
        marks = {p: values[self.leaves[p]] for p in pointers}
        changed = self.body
        for pointer, mark in marks.items():
            changed = put(changed, pointer, shaped(self.leaves[pointer], mark))
        result = self._result(changed)
        if result is None or result.keys() != self.base.keys():
            if len(values) == 1:
                return pointers
            early = set(list(values)[: len(values) // 2])
            halves = (
                [p for p in pointers if (self.leaves[p] in early) == first]
                for first in (True, False)
            )
            return [pointer for half in halves for pointer in self._strings(half)]
        lost = []
        places = [
            (place, str(value)) for place, value in result.items() if value != self.base[place]
        ]
        places += [(place, "\0".join(map(str, place))) for place in result]
        for value, mark in values.items():
            alike = [p for p in pointers if marks[p] == mark]
            hits = list(dict.fromkeys(place for place, shown in places if mark in shown))
            if not hits:
                lost += alike
            elif len(hits) == len(alike):
                for pointer, place in zip(alike, hits, strict=True):
                    self._note(pointer, value, [place])
            else:
                for pointer in alike:
                    self._note(pointer, value, hits)
        return lost

    def _note(self, pointer: Pointer, value: Any, places: list[Pointer]) -> None:
        for place in places:
            copied = holds(self.base.get(place), value)
            (self.copies if copied else self.made).setdefault(pointer, []).append(place)

    # Other values, one at a time

    def _single(self, pointer: Pointer) -> None:
        """Change one value, take it away, and see what depends on it."""
        value = self.leaves[pointer]
        refused, matters = True, False
        for other in others(value):
            result = self._result(put(self.body, pointer, other))
            if result is None:
                continue
            refused = False
            moved = self._moved(result)
            if not moved:
                matters = matters or result.keys() != self.base.keys()
                continue
            copies = [
                p
                for p in moved
                if equal(self.base[p], value)
                and (equal(result.get(p, GONE), other) or p[-1:] == pointer[-1:])
            ]
            if copies:
                self.copies[pointer] = copies
            elif len(moved) <= _SHAPE:
                self.made[pointer] = moved
            else:
                matters = True
                continue
            return
        if refused:
            self.naming.add(pointer)
        elif not matters:
            self.dropped.add(pointer)

    def _name(self, pointer: Pointer) -> None:
        """A `type` or `role`: it stands or falls with what it names, unless it can be swapped."""
        self.naming.add(pointer)
        swapped = _SWAPS.get(self.leaves[pointer])
        if swapped is None:
            self._whole(pointer)
            return
        result = self._result(put(self.body, pointer, swapped))
        if result is None or result.keys() != self.base.keys():
            return
        moved = [p for p in self._moved(result) if result[p] == swapped]
        if moved:
            self.copies[pointer] = moved
            self.naming.discard(pointer)

    def _whole(self, pointer: Pointer) -> None:
        """Take away the object that a naming word is all of, or that is a field of its own."""
        parent = pointer[:-1]
        alone = sum(1 for other in self.leaves if other[: len(parent)] == parent) == 1
        if not parent or isinstance(parent[-1], int) or not (alone or len(parent) == 1):
            return
        result = self._result(put(self.body, parent, GONE))
        if result is None:
            return
        linked = {
            place for places in (*self.copies.values(), *self.made.values()) for place in places
        }
        moved = [place for place in self._moved(result) if place not in linked]
        if moved and len(moved) <= _SHAPE:
            same = [p for p in moved if equal(self.base[p], self.leaves[pointer])]
            (self.copies if same else self.made)[pointer] = same or moved
            self.naming.discard(pointer)
        elif not moved and alone:
            self.naming.discard(pointer)
            self.dropped.add(pointer)

    def _moved(self, result: dict[Pointer, Any]) -> list[Pointer]:
        """Places of the result that a change changed, those that went with it too."""
        return [p for p, value in self.base.items() if not equal(result.get(p, GONE), value)]
