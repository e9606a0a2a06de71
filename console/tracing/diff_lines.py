"""Renders traced bodies as lines of JSON and aligns two of them side by side."""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Iterator
from typing import Any

import msgspec

from console.tracing.changes import Change, Trace
from console.tracing.json_values import Pointer, leaves

# Longer lists are folded: the first two items and the last one stay.
MAX_ITEMS = 5
MAX_KEYS = 60
MAX_CHARS = 160
# Shorter containers are written on one line.
_MAX_INLINE_CHARS = 60

Token = tuple[str, str]


class Line(msgspec.Struct):
    """One line: its tokens (class, text), its kind of change, and its leaves.

    Attributes:
        pointer: the value that the line shows, or the container that it opens or closes.
        links: numbers of the lines of the other side that show the same values.
    """

    indent: int
    tokens: list[Token]
    kind: str = ""
    leaves: tuple[Pointer, ...] = ()
    number: int = 0
    pointer: Pointer = ()
    links: tuple[int, ...] = ()


class Row(msgspec.Struct, frozen=True):
    """A line of each side, or a gap on one."""

    left: Line | None
    right: Line | None


def unfolded_leaves(value: Any, pointer: Pointer = ()) -> Iterator[Pointer]:
    """Leaves that are not folded."""
    if isinstance(value, dict) and value:
        for key, item in list(value.items())[:MAX_KEYS]:
            yield from unfolded_leaves(item, (*pointer, key))
    elif isinstance(value, list) and value:
        for index in _visible_indexes(value):
            if index is not None:
                yield from unfolded_leaves(value[index], (*pointer, index))
    else:
        yield pointer


def _visible_indexes(items: list[Any]) -> list[int | None]:
    """Indexes of the visible items; None marks collapsed ones."""
    if len(items) <= MAX_ITEMS:
        return list(range(len(items)))
    return [0, 1, None, len(items) - 1]


def json_lines(value: Any, changes: dict[Pointer, Change]) -> list[Line]:
    """Numbered lines of the body, each with the common kind of change of its leaves."""
    numbered_lines = list(_render_lines(value, changes, (), 0, [], is_last=True))
    for number, line in enumerate(numbered_lines, 1):
        line.number = number
    return numbered_lines


def _render_lines(
    value: Any,
    changes: dict[Pointer, Change],
    pointer: Pointer,
    indent: int,
    prefix: list[Token],
    *,
    is_last: bool,
) -> Iterator[Line]:
    comma: list[Token] = [] if is_last else [("", ",")]
    leaves_of_line = tuple(unfolded_leaves(value, pointer))
    kind = _common_kind(changes, leaves_of_line)
    if (
        not isinstance(value, dict | list)
        or not value
        or (pointer and _fits_inline(value) and kind is not None)
    ):
        yield Line(
            indent,
            [*prefix, *_inline_tokens(value), *comma],
            kind or "",
            leaves_of_line,
            pointer=pointer,
        )
        return
    start, end = ("{", "}") if isinstance(value, dict) else ("[", "]")
    yield Line(indent, [*prefix, ("", start)], kind or "", pointer=pointer)
    if isinstance(value, dict):
        keys = list(value)
        for key in keys[:MAX_KEYS]:
            name = [("k", _quote_text(key)), ("", ": ")]
            is_last_child = key == keys[-1]
            yield from _render_lines(
                value[key], changes, (*pointer, key), indent + 1, name, is_last=is_last_child
            )
        if len(keys) > MAX_KEYS:
            yield _fold_line(indent + 1, len(keys) - MAX_KEYS, pointer)
    else:
        for index in _visible_indexes(value):
            if index is None:
                yield _fold_line(indent + 1, len(value) - 3, pointer)
                continue
            is_last_child = index == len(value) - 1
            yield from _render_lines(
                value[index], changes, (*pointer, index), indent + 1, [], is_last=is_last_child
            )
    yield Line(indent, [("", end), *comma], kind or "", pointer=pointer)


def _fold_line(indent: int, count: int, container: Pointer) -> Line:
    return Line(indent, [("more", f"… {count}")], "fold", pointer=container)


def _common_kind(changes: dict[Pointer, Change], leaf_pointers: tuple[Pointer, ...]) -> str | None:
    """Kind of change that all leaves share; None if they differ."""
    kinds = {
        changes[pointer].kind if pointer in changes else "unknown" for pointer in leaf_pointers
    }
    if len(kinds) > 1:
        return None
    kind = kinds.pop() if kinds else "same"
    return "" if kind in {"same", "unknown"} else kind


def _fits_inline(value: Any) -> bool:
    chars = sum(len(text) for _, text in _inline_tokens(value))
    return len(list(leaves(value))) <= 3 and chars <= _MAX_INLINE_CHARS


def _inline_tokens(value: Any) -> list[Token]:
    """Tokens of a value on one line."""
    match value:
        case dict():
            parts = [
                [("k", _quote_text(key)), ("", ": "), *_inline_tokens(item)]
                for key, item in value.items()
            ]
            return [("", "{"), *_join_tokens(parts), ("", "}")]
        case list():
            return [("", "["), *_join_tokens([_inline_tokens(item) for item in value]), ("", "]")]
        case str():
            return [("s", _quote_text(_truncate_text(value)))]
        case bool() | None:
            return [("l", msgspec.json.encode(value).decode())]
        case _:
            return [("n", msgspec.json.encode(value).decode())]


def _join_tokens(parts: list[list[Token]]) -> list[Token]:
    tokens: list[Token] = []
    for part in parts:
        tokens += [("", ", "), *part] if tokens else part
    return tokens


def _quote_text(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _truncate_text(text: str) -> str:
    if len(text) <= MAX_CHARS:
        return text
    return f"{text[:MAX_CHARS]}… ({len(text)})"


def order_like_source(target: Any, trace: Trace) -> Any:
    """The target with the keys of each object in the order of their sources.

    The order of keys has no meaning in JSON. A key without a source stays after the key
    before it.
    """
    position = {pointer: n for n, pointer in enumerate(trace.source)}
    positions: dict[Pointer, list[int]] = {}
    for leaf, change in trace.target.items():
        sources = [position[link] for link in change.links if link in position]
        for depth in range(1, len(leaf) + 1):
            positions.setdefault(leaf[:depth], []).extend(sources)

    def sort_value(value: Any, pointer: Pointer) -> Any:
        if isinstance(value, list):
            return [sort_value(item, (*pointer, index)) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        ranks: dict[str, int] = {}
        rank = -1
        for key in value:
            sources = positions.get((*pointer, key))
            # Most values of `messages` are from `messages`, although the first is from `system`.
            ranks[key] = rank = statistics.median_low(sources) if sources else rank
        return {
            key: sort_value(value[key], (*pointer, key))
            for key in sorted(value, key=ranks.__getitem__)
        }

    return sort_value(target, ())


def link_lines(left_lines: list[Line], right_lines: list[Line], trace: Trace) -> None:
    """Set the links of lines whose values, or whose containers, are on the other side."""
    left_by_leaf = {leaf: line for line in left_lines for leaf in line.leaves}
    right_by_leaf = {leaf: line for line in right_lines for leaf in line.leaves}
    # The first line of a container, not the one that closes it.
    left_by_pointer = {line.pointer: line for line in reversed(left_lines)}
    right_by_pointer = {line.pointer: line for line in reversed(right_lines)}
    pairs = [
        (left_by_leaf.get(leaf), right_by_leaf.get(target))
        for leaf, change in trace.source.items()
        for target in change.links
    ]
    pairs += [
        (left_by_pointer.get(source), right_by_pointer.get(target))
        for source, target in container_pairs(trace)
    ]
    right_numbers: dict[int, set[int]] = {}
    left_numbers: dict[int, set[int]] = {}
    for left, right in pairs:
        if left is not None and right is not None:
            right_numbers.setdefault(left.number, set()).add(right.number)
            left_numbers.setdefault(right.number, set()).add(left.number)
    for line in left_lines:
        line.links = tuple(sorted(right_numbers.get(line.number, ())))
    for line in right_lines:
        line.links = tuple(sorted(left_numbers.get(line.number, ())))


def container_pairs(trace: Trace) -> list[tuple[Pointer, Pointer]]:
    """Containers of both sides that hold the same values.

    Either their pointers are equal and a value of one is in the other, or each is the
    smallest container of all values of the other.
    """
    targets: dict[Pointer, Pointer] = {}
    sources: dict[Pointer, Pointer] = {}
    equal_pointers: set[Pointer] = set()
    for leaf, change in trace.source.items():
        for link in change.links:
            _narrow_container(targets, leaf, link)
            _narrow_container(sources, link, leaf)
            depth = len(_common_prefix(leaf, link))
            equal_pointers.update(leaf[:end] for end in range(1, depth + 1))
    pairs = [(pointer, pointer) for pointer in equal_pointers]
    pairs += [
        (source, target)
        for source, target in targets.items()
        if source != target and sources.get(target) == source
    ]
    return pairs


def _narrow_container(containers: dict[Pointer, Pointer], leaf: Pointer, link: Pointer) -> None:
    """Narrow the container of the linked values of all containers around a leaf."""
    for depth in range(1, len(leaf)):
        container = leaf[:depth]
        container_line = containers.get(container)
        containers[container] = (
            link[:-1] if container_line is None else _common_prefix(container_line, link)
        )


def _common_prefix(first: Pointer, second: Pointer) -> Pointer:
    length = 0
    while length < min(len(first), len(second)) and first[length] == second[length]:
        length += 1
    return first[:length]


def align_lines(left_lines: list[Line], right_lines: list[Line], trace: Trace) -> list[Row]:
    """Link the lines of both sides: linked lines share a row, others face a gap."""
    link_lines(left_lines, right_lines, trace)
    rows: list[Row] = []
    i = j = 0
    for left_index, right_index in [
        *_anchor_pairs(left_lines, right_lines),
        (len(left_lines), len(right_lines)),
    ]:
        rows += _pair_unlinked(left_lines[i:left_index], right_lines[j:right_index])
        if left_index < len(left_lines) and right_index < len(right_lines):
            rows.append(Row(left_lines[left_index], right_lines[right_index]))
        i, j = left_index + 1, right_index + 1
    return rows


def _pair_unlinked(left_lines: list[Line], right_lines: list[Line]) -> list[Row]:
    """Pair unlinked lines in order; dropped and added lines get a row of their own."""
    rows: list[Row] = []
    i = j = 0
    while i < len(left_lines) or j < len(right_lines):
        if i < len(left_lines) and (left_lines[i].kind == "dropped" or j >= len(right_lines)):
            rows.append(Row(left_lines[i], None))
            i += 1
        elif j < len(right_lines) and (right_lines[j].kind == "added" or i >= len(left_lines)):
            rows.append(Row(None, right_lines[j]))
            j += 1
        else:
            rows.append(Row(left_lines[i], right_lines[j]))
            i, j = i + 1, j + 1
    return rows


def _anchor_pairs(left_lines: list[Line], right_lines: list[Line]) -> list[tuple[int, int]]:
    """Pairs of linked lines that keep the order on both sides."""
    pairs: list[tuple[int, int]] = [(0, 0)] if left_lines and right_lines else []
    pairs += [(line.number - 1, line.links[0] - 1) for line in left_lines if line.links]
    anchors = _longest_increasing(pairs)
    if (
        left_lines
        and right_lines
        and (not anchors or anchors[-1] != (len(left_lines) - 1, len(right_lines) - 1))
    ):
        anchors.append((len(left_lines) - 1, len(right_lines) - 1))
    return anchors


def _longest_increasing(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Longest sequence of pairs that increases on both sides (patience sorting)."""
    end_indexes: list[int] = []
    tails: list[int] = []
    previous_indexes: list[int] = [-1] * len(pairs)
    for n, (_, right_index) in enumerate(pairs):
        index = bisect.bisect_left(end_indexes, right_index)
        previous_indexes[n] = tails[index - 1] if index else -1
        end_indexes[index : index + 1] = [right_index]
        tails[index : index + 1] = [n]
    longest_pairs: list[tuple[int, int]] = []
    index = tails[-1] if tails else -1
    while index >= 0:
        longest_pairs.append(pairs[index])
        index = previous_indexes[index]
    return longest_pairs[::-1]
