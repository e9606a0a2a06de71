"""Combines the findings of a trace into changes of the leaves on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from console.tracing.json_values import REMOVED, Pointer, leaves, strictly_equal

ChangeKind = Literal["same", "moved", "converted", "added", "dropped", "unknown"]
# Fields that name the type of their object; they share its fate.
TYPE_FIELDS = frozenset({"type", "role", "object"})


class Change(msgspec.Struct, frozen=True):
    """Change of a leaf, and the linked leaves on the other side."""

    kind: ChangeKind
    links: tuple[Pointer, ...] = ()


class Trace(msgspec.Struct):
    """Changes of the leaves on both sides. `complete` is false if a limit was reached."""

    source: dict[Pointer, Change]
    target: dict[Pointer, Change]
    complete: bool = True
    runs: int = 0


def compare_bodies(source: Any, target: Any) -> Trace:
    """Changes between two bodies without a translation, compared by pointer."""
    source_leaves, target_leaves = dict(leaves(source)), dict(leaves(target))
    result = Trace({}, {})
    for pointer, value in source_leaves.items():
        if pointer not in target_leaves:
            result.source[pointer] = Change("dropped")
            continue
        change = Change("same" if target_leaves[pointer] == value else "converted", (pointer,))
        result.source[pointer] = result.target[pointer] = change
    for pointer in target_leaves.keys() - source_leaves.keys():
        result.target[pointer] = Change("added")
    return result


class Findings:
    """Findings about the leaves of a body.

    Attributes:
        source_leaves: leaves of the body, with their values.
        target_leaves: leaves of its translation.
        known_pairs: links that the translator does not make.
        copies: leaf -> targets with the unchanged value.
        derived_targets: leaf -> targets that depend on it otherwise.
        dropped_pointers: leaves on which no target depends.
        type_fields: leaves that share the fate of their object.
    """

    def __init__(
        self,
        source_leaves: dict[Pointer, Any],
        target_leaves: dict[Pointer, Any],
        known_pairs: dict[Pointer, Pointer],
    ) -> None:
        self.source_leaves = source_leaves
        self.target_leaves = target_leaves
        self.known_pairs = known_pairs
        self.copies: dict[Pointer, list[Pointer]] = {}
        self.derived_targets: dict[Pointer, list[Pointer]] = {}
        self.dropped_pointers: set[Pointer] = set()
        self.type_fields: set[Pointer] = set()

    def linked_targets(self) -> set[Pointer]:
        """Targets that are linked to a leaf."""
        return {
            target
            for targets_by_leaf in (self.copies, self.derived_targets)
            for targets in targets_by_leaf.values()
            for target in targets
        }

    def trace(self, traced_pointers: list[Pointer], *, complete: bool, runs: int) -> Trace:
        """Changes of both sides; `traced_pointers` are the leaves that were traced."""
        result = Trace({}, {}, complete, runs)
        self._link_by_parent()
        sources_by_target: dict[Pointer, list[Pointer]] = {}
        for pointer in traced_pointers:
            change = self._source_change(pointer)
            result.source[pointer] = change
            for target in change.links:
                sources_by_target.setdefault(target, []).append(pointer)
        for pointer in self.type_fields:
            result.source[pointer] = self._type_field_change(pointer, result.source)
        for target in self.target_leaves:
            result.target[target] = self._target_change(
                target, sources_by_target.get(target, []), result.source
            )
        _set_target_type_fields(result.target)
        if not complete or len(traced_pointers) < len(self.source_leaves):
            # An untraced leaf may be its source.
            _reset_uncertain_additions(result.target, traced_pointers, self.source_leaves)
        return result

    def _link_by_parent(self) -> None:
        """Link leaves to equal targets under the parent to which their siblings moved.

        The translator always writes some values, such as `additionalProperties: false`, so
        changing them in the source has no effect.
        """
        target_parents: dict[Pointer, Pointer] = {}
        for pointer, targets in self.copies.items():
            for target in targets:
                target_parents.update(_parent_pairs(pointer, target))
        linked_targets = {
            target
            for targets in (*self.copies.values(), *self.derived_targets.values())
            for target in targets
        }
        for pointer in [*self.dropped_pointers, *self.type_fields]:
            for depth in range(len(pointer) - 1, 0, -1):
                target_parent = target_parents.get(pointer[:depth])
                candidate = None if target_parent is None else (*target_parent, *pointer[depth:])
                if (
                    candidate is not None
                    and candidate not in linked_targets
                    and candidate in self.target_leaves
                ):
                    if strictly_equal(self.target_leaves[candidate], self.source_leaves[pointer]):
                        self.copies[pointer] = [candidate]
                        linked_targets.add(candidate)
                        self.dropped_pointers.discard(pointer)
                        self.type_fields.discard(pointer)
                    break

    def _source_change(self, pointer: Pointer) -> Change:
        known_target = self.known_pairs.get(pointer)
        if known_target is not None and known_target in self.target_leaves:
            is_same = strictly_equal(self.target_leaves[known_target], self.source_leaves[pointer])
            return Change(
                "same" if is_same and known_target == pointer else "converted", (known_target,)
            )
        copies, derived_targets = self.copies.get(pointer), self.derived_targets.get(pointer)
        if copies:
            targets = tuple(copies)
            is_same = pointer in copies and strictly_equal(
                self.target_leaves.get(pointer), self.source_leaves[pointer]
            )
            return Change("same" if is_same else "moved", targets)
        if derived_targets:
            return Change("converted", tuple(derived_targets))
        return Change("dropped" if pointer in self.dropped_pointers else "unknown")

    def _type_field_change(self, pointer: Pointer, changes: dict[Pointer, Change]) -> Change:
        """Change of a type field, derived from its siblings."""
        if strictly_equal(self.target_leaves.get(pointer, REMOVED), self.source_leaves[pointer]):
            return Change("same", (pointer,))
        for depth in range(len(pointer) - 1, 0, -1):
            sibling_changes = [
                change
                for leaf, change in changes.items()
                if leaf[:depth] == pointer[:depth] and leaf not in self.type_fields
            ]
            kinds = {change.kind for change in sibling_changes} - {"unknown"}
            if kinds:
                # It remains with its object unless all of that was dropped.
                surviving_kinds = [k for k in ("moved", "converted", "same") if k in kinds]
                if surviving_kinds == ["same"]:
                    is_in_target = pointer in self.target_leaves
                    return Change("converted", (pointer,)) if is_in_target else Change("dropped")
                return Change(surviving_kinds[0] if surviving_kinds else "dropped")
        return Change("unknown")

    def _target_change(
        self, target: Pointer, sources: list[Pointer], changes: dict[Pointer, Change]
    ) -> Change:
        kinds = {changes[source].kind for source in sources}
        for kind in ("same", "moved", "converted"):
            if kind in kinds:
                return Change(kind, tuple(sources))
        source_value = self.source_leaves.get(target, REMOVED)
        if target in self.type_fields and strictly_equal(source_value, self.target_leaves[target]):
            return Change("same", (target,))
        return Change("added")


def _parent_pairs(source: Pointer, target: Pointer) -> Iterator[tuple[Pointer, Pointer]]:
    """Pairs of parents in which two linked leaves have the same relative path, innermost first."""
    depth = 0
    while depth < min(len(source), len(target)) - 1 and source[-1 - depth] == target[-1 - depth]:
        depth += 1
        yield source[:-depth], target[:-depth]


def _set_target_type_fields(changes: dict[Pointer, Change]) -> None:
    """Set the change of type fields of the result from their siblings."""
    for target, change in list(changes.items()):
        if change.kind != "added" or not target or target[-1] not in TYPE_FIELDS:
            continue
        parent = target[:-1]
        sibling_kinds = {
            m.kind for p, m in changes.items() if p != target and p[: len(parent)] == parent
        }
        surviving_kinds = [kind for kind in ("moved", "converted", "same") if kind in sibling_kinds]
        if parent and surviving_kinds:
            changes[target] = Change(surviving_kinds[0])


def _reset_uncertain_additions(
    changes: dict[Pointer, Change], traced_pointers: list[Pointer], all_leaves: dict[Pointer, Any]
) -> None:
    """Reset `added` of deep leaves, which may derive from an untraced leaf, to `unknown`."""
    untraced_fields = {
        pointer[0] for pointer in all_leaves.keys() - set(traced_pointers) if pointer
    }
    for target, change in changes.items():
        if change.kind == "added" and len(target) > 2 and untraced_fields:
            changes[target] = Change("unknown")
