"""Traces where each value of a JSON body ends up when it is translated.

The translator runs again on changed bodies: all strings at once, each replaced by a unique
stamp, other values one at a time. A target that contains the stamp is a copy of the value; a
target that changes with a value otherwise is derived from it; a target that never changes
was added; and a value on which no target depends was dropped. Runs and time are limited.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from console.tracing.changes import TYPE_FIELDS, Findings, Trace
from console.tracing.json_values import (
    REMOVED,
    Pointer,
    contains_value,
    format_stamp,
    leaves,
    replace_value,
    replacement_values,
    strictly_equal,
    unique_string,
)
from gateway.canon.errors import GatewayError

MAX_RUNS = 300
BUDGET_S = 0.3
# A change of more targets than this changed the shape of the result, not a value.
_MAX_CHANGED_TARGETS = 12

Body = dict[str, Any] | list[Any]
Translate = Callable[[Any], Any]
_SWAPPED_ROLES = {"user": "assistant", "assistant": "user"}


def trace(
    body: Body,
    translate: Translate,
    leaf_pointers: Iterable[Pointer] | None = None,
    known_pairs: dict[Pointer, Pointer] | None = None,
    **limits: Any,
) -> Trace:
    """Changes between a body and its translation.

    `leaf_pointers` limits tracing to these leaves; others stay unknown. `known_pairs` are
    links that the translator does not make (the route chooses the model). Raises
    GatewayError if the body itself cannot be translated.
    """
    return _Tracer(body, translate, known_pairs or {}, **limits).run(leaf_pointers)


class _Tracer:
    def __init__(
        self,
        body: Body,
        translate: Translate,
        known_pairs: dict[Pointer, Pointer],
        runs: int = MAX_RUNS,
        budget_s: float = BUDGET_S,
    ) -> None:
        self.body = body
        self.known_pairs = known_pairs
        self.translate = translate
        self.remaining_runs = runs
        self.deadline = time.monotonic() + budget_s
        self.source_leaves = dict(leaves(body))
        self.target_leaves = dict(leaves(translate(body)))
        self.runs = 1
        self.findings = Findings(self.source_leaves, self.target_leaves, known_pairs)
        self.copies, self.derived_targets = self.findings.copies, self.findings.derived_targets
        self.dropped_pointers, self.type_fields = (
            self.findings.dropped_pointers,
            self.findings.type_fields,
        )

    def run(self, leaf_pointers: Iterable[Pointer] | None) -> Trace:
        """Run all steps within the limits of time and runs."""
        traced_pointers = [
            p
            for p in (self.source_leaves if leaf_pointers is None else leaf_pointers)
            if p in self.source_leaves
        ]
        strings = [
            p
            for p in traced_pointers
            if isinstance(self.source_leaves[p], str) and self.source_leaves[p]
        ]
        type_fields = [p for p in strings if p[-1] in TYPE_FIELDS]
        free_strings = [p for p in strings if p[-1] not in TYPE_FIELDS]
        free_strings = [p for p in free_strings if p not in self.known_pairs]
        excluded_pointers = {*strings, *self.known_pairs}
        single_leaves = [p for p in traced_pointers if p not in excluded_pointers]
        single_leaves.sort(key=len)
        single_leaves += self._trace_strings(free_strings)
        traced_count = 0
        for pointer in single_leaves:
            if not self._has_budget():
                break
            self._trace_single(pointer)
            traced_count += 1
        for pointer in type_fields:
            if not self._has_budget():
                break
            self._trace_type_field(pointer)
        complete = traced_count == len(single_leaves) and self._has_budget()
        return self.findings.trace(traced_pointers, complete=complete, runs=self.runs)

    def _has_budget(self) -> bool:
        return self.remaining_runs > 0 and time.monotonic() < self.deadline

    def _translate_leaves(self, body: Any) -> dict[Pointer, Any] | None:
        """Leaves of the translation of a changed body; None if it is refused."""
        self.remaining_runs -= 1
        self.runs += 1
        try:
            return dict(leaves(self.translate(body)))
        except (GatewayError, ValueError, TypeError, KeyError, AttributeError):
            return None

    # Strings, many per run

    def _trace_strings(self, pointers: list[Pointer]) -> list[Pointer]:
        """Stamp all strings in one run, or halves if that fails; returns the untraced pointers."""
        if not pointers or not self._has_budget():
            return pointers
        # One stamp for equal values: an id that a later block repeats must stay the same id.
        distinct_values = dict.fromkeys(self.source_leaves[p] for p in pointers)
        stamp_by_value = {value: unique_string(n) for n, value in enumerate(distinct_values)}
        stamp_by_pointer = {p: stamp_by_value[self.source_leaves[p]] for p in pointers}
        changed_body = self.body
        for pointer, value_stamp in stamp_by_pointer.items():
            changed_body = replace_value(
                changed_body, pointer, format_stamp(self.source_leaves[pointer], value_stamp)
            )
        result = self._translate_leaves(changed_body)
        if result is None or result.keys() != self.target_leaves.keys():
            if len(stamp_by_value) == 1:
                return pointers
            first_half = set(list(stamp_by_value)[: len(stamp_by_value) // 2])
            halves = (
                [p for p in pointers if (self.source_leaves[p] in first_half) == in_first_half]
                for in_first_half in (True, False)
            )
            return [pointer for half in halves for pointer in self._trace_strings(half)]
        untraced_pointers = []
        changed_targets = [
            (target, str(value))
            for target, value in result.items()
            if value != self.target_leaves[target]
        ]
        changed_targets += [(target, "\0".join(map(str, target))) for target in result]
        for value, value_stamp in stamp_by_value.items():
            same_value = [p for p in pointers if stamp_by_pointer[p] == value_stamp]
            stamped_targets = list(
                dict.fromkeys(
                    target for target, target_text in changed_targets if value_stamp in target_text
                )
            )
            if not stamped_targets:
                untraced_pointers += same_value
            elif len(stamped_targets) == len(same_value):
                for pointer, target in zip(same_value, stamped_targets, strict=True):
                    self._link_targets(pointer, value, [target])
            else:
                for pointer in same_value:
                    self._link_targets(pointer, value, stamped_targets)
        return untraced_pointers

    def _link_targets(self, pointer: Pointer, value: Any, targets: list[Pointer]) -> None:
        for target in targets:
            is_copy = contains_value(self.target_leaves.get(target), value)
            (self.copies if is_copy else self.derived_targets).setdefault(pointer, []).append(
                target
            )

    # Other values, one at a time

    def _trace_single(self, pointer: Pointer) -> None:
        """Change and remove one value to find the targets that depend on it."""
        value = self.source_leaves[pointer]
        is_refused, has_effect = True, False
        for replacement in replacement_values(value):
            result = self._translate_leaves(replace_value(self.body, pointer, replacement))
            if result is None:
                continue
            is_refused = False
            changed_targets = self._changed_targets(result)
            if not changed_targets:
                has_effect = has_effect or result.keys() != self.target_leaves.keys()
                continue
            copies = [
                p
                for p in changed_targets
                if strictly_equal(self.target_leaves[p], value)
                and (strictly_equal(result.get(p, REMOVED), replacement) or p[-1:] == pointer[-1:])
            ]
            if copies:
                self.copies[pointer] = copies
            elif len(changed_targets) <= _MAX_CHANGED_TARGETS:
                self.derived_targets[pointer] = changed_targets
            else:
                has_effect = True
                continue
            return
        if is_refused:
            self.type_fields.add(pointer)
        elif not has_effect:
            self.dropped_pointers.add(pointer)

    def _trace_type_field(self, pointer: Pointer) -> None:
        """Trace a `type` or `role`: swap the role if possible, else remove its object."""
        self.type_fields.add(pointer)
        swapped_role = _SWAPPED_ROLES.get(self.source_leaves[pointer])
        if swapped_role is None:
            self._trace_parent(pointer)
            return
        result = self._translate_leaves(replace_value(self.body, pointer, swapped_role))
        if result is None or result.keys() != self.target_leaves.keys():
            return
        changed_targets = [p for p in self._changed_targets(result) if result[p] == swapped_role]
        if changed_targets:
            self.copies[pointer] = changed_targets
            self.type_fields.discard(pointer)

    def _trace_parent(self, pointer: Pointer) -> None:
        """Remove the object of a type field if it has no other leaf or is a top-level field."""
        parent = pointer[:-1]
        is_only_leaf = sum(1 for leaf in self.source_leaves if leaf[: len(parent)] == parent) == 1
        if not parent or isinstance(parent[-1], int) or not (is_only_leaf or len(parent) == 1):
            return
        result = self._translate_leaves(replace_value(self.body, parent, REMOVED))
        if result is None:
            return
        linked_targets = {
            target
            for targets in (*self.copies.values(), *self.derived_targets.values())
            for target in targets
        }
        changed_targets = [
            target for target in self._changed_targets(result) if target not in linked_targets
        ]
        if changed_targets and len(changed_targets) <= _MAX_CHANGED_TARGETS:
            copies = [
                p
                for p in changed_targets
                if strictly_equal(self.target_leaves[p], self.source_leaves[pointer])
            ]
            (self.copies if copies else self.derived_targets)[pointer] = copies or changed_targets
            self.type_fields.discard(pointer)
        elif not changed_targets and is_only_leaf:
            self.type_fields.discard(pointer)
            self.dropped_pointers.add(pointer)

    def _changed_targets(self, result: dict[Pointer, Any]) -> list[Pointer]:
        """Targets that a change changed or removed."""
        return [
            p
            for p, value in self.target_leaves.items()
            if not strictly_equal(result.get(p, REMOVED), value)
        ]
