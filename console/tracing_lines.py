"""A traced body as lines of JSON that people can read, and two of them side by side."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Any

import msgspec

from console.tracing import Mark, Pointer, Trace, leaves

# More items of a list than this are folded: the first two and the last stay.
MOST_ITEMS = 5
MOST_KEYS = 60
MOST_CHARS = 160
# A container this short stands on one line.
_INLINE = 60

Token = tuple[str, str]


class Line(msgspec.Struct):
    """One line: its tokens (class, text), what became of it, and the leaves it shows."""

    indent: int
    tokens: list[Token]
    kind: str = ""
    leaves: tuple[Pointer, ...] = ()
    number: int = 0


class Row(msgspec.Struct, frozen=True):
    """A line of each side, or a gap on one."""

    left: Line | None
    right: Line | None


def visible(value: Any, at: Pointer = ()) -> Iterator[Pointer]:
    """The leaves that are not folded away."""
    if isinstance(value, dict) and value:
        for key, item in list(value.items())[:MOST_KEYS]:
            yield from visible(item, (*at, key))
    elif isinstance(value, list) and value:
        for index in _kept(value):
            if index is not None:
                yield from visible(value[index], (*at, index))
    else:
        yield at


def _kept(items: list[Any]) -> list[int | None]:
    """Indexes of the items that are shown; None stands for those folded."""
    if len(items) <= MOST_ITEMS:
        return list(range(len(items)))
    return [0, 1, None, len(items) - 1]


def lines(value: Any, marks: dict[Pointer, Mark]) -> list[Line]:
    """The body's lines, numbered, each with the mark that all it shows has in common."""
    found = list(_lines(value, marks, (), 0, [], last=True))
    for number, line in enumerate(found, 1):
        line.number = number
    return found


def _lines(
    value: Any,
    marks: dict[Pointer, Mark],
    at: Pointer,
    indent: int,
    head: list[Token],
    *,
    last: bool,
) -> Iterator[Line]:
    comma: list[Token] = [] if last else [("", ",")]
    shown = tuple(visible(value, at))
    kind = _common(marks, shown)
    if (
        not isinstance(value, dict | list)
        or not value
        or (at and _short(value) and kind is not None)
    ):
        yield Line(indent, [*head, *_inline(value), *comma], kind or "", shown)
        return
    start, end = ("{", "}") if isinstance(value, dict) else ("[", "]")
    yield Line(indent, [*head, ("", start)], kind or "")
    if isinstance(value, dict):
        keys = list(value)
        for key in keys[:MOST_KEYS]:
            name = [("k", _quoted(key)), ("", ": ")]
            final = key == keys[-1]
            yield from _lines(value[key], marks, (*at, key), indent + 1, name, last=final)
        if len(keys) > MOST_KEYS:
            yield _fold(indent + 1, len(keys) - MOST_KEYS)
    else:
        for index in _kept(value):
            if index is None:
                yield _fold(indent + 1, len(value) - 3)
                continue
            final = index == len(value) - 1
            yield from _lines(value[index], marks, (*at, index), indent + 1, [], last=final)
    yield Line(indent, [("", end), *comma], kind or "")


def _fold(indent: int, count: int) -> Line:
    return Line(indent, [("more", f"… {count}")], "fold")


def _common(marks: dict[Pointer, Mark], shown: tuple[Pointer, ...]) -> str | None:
    """The mark that all have; None where they differ."""
    kinds = {marks[pointer].kind if pointer in marks else "unknown" for pointer in shown}
    if len(kinds) > 1:
        return None
    kind = kinds.pop() if kinds else "same"
    return "" if kind in {"same", "unknown"} else kind


def _short(value: Any) -> bool:
    return len(list(leaves(value))) <= 3 and len(_text(value)) <= _INLINE


def _text(value: Any) -> str:
    return "".join(text for _, text in _inline(value))


def _inline(value: Any) -> list[Token]:
    """A value on one line."""
    match value:
        case dict():
            parts = [
                [("k", _quoted(key)), ("", ": "), *_inline(item)] for key, item in value.items()
            ]
            return [("", "{"), *_joined(parts), ("", "}")]
        case list():
            return [("", "["), *_joined([_inline(item) for item in value]), ("", "]")]
        case str():
            return [("s", _quoted(_cut(value)))]
        case bool() | None:
            return [("l", msgspec.json.encode(value).decode())]
        case _:
            return [("n", msgspec.json.encode(value).decode())]


def _joined(parts: list[list[Token]]) -> list[Token]:
    found: list[Token] = []
    for part in parts:
        found += [("", ", "), *part] if found else part
    return found


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _cut(text: str) -> str:
    if len(text) <= MOST_CHARS:
        return text
    return f"{text[:MOST_CHARS]}… ({len(text)})"


def aligned(left: list[Line], right: list[Line], found: Trace) -> list[Row]:
    """The two sides line by line: linked lines stand beside each other, others next to a gap."""
    rows: list[Row] = []
    i = j = 0
    for at, to in [*_anchors(left, right, found), (len(left), len(right))]:
        rows += _between(left[i:at], right[j:to])
        if at < len(left) and to < len(right):
            rows.append(Row(left[at], right[to]))
        i, j = at + 1, to + 1
    return rows


def _between(left: list[Line], right: list[Line]) -> list[Row]:
    """Lines without a partner: what was dropped or added stands alone, the rest pairs up."""
    rows: list[Row] = []
    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and (left[i].kind == "dropped" or j >= len(right)):
            rows.append(Row(left[i], None))
            i += 1
        elif j < len(right) and (right[j].kind == "added" or i >= len(left)):
            rows.append(Row(None, right[j]))
            j += 1
        else:
            rows.append(Row(left[i], right[j]))
            i, j = i + 1, j + 1
    return rows


def _anchors(left: list[Line], right: list[Line], found: Trace) -> list[tuple[int, int]]:
    """Pairs of linked lines, as many as keep the order on both sides."""
    places = {pointer: n for n, line in enumerate(right) for pointer in line.leaves}
    pairs: list[tuple[int, int]] = [(0, 0)] if left and right else []
    for n, line in enumerate(left):
        for pointer in line.leaves:
            mark = found.source.get(pointer)
            targets = [places[link] for link in (mark.links if mark else ()) if link in places]
            if targets:
                pairs.append((n, targets[0]))
                break
    chosen = _rising(pairs)
    if left and right and (not chosen or chosen[-1] != (len(left) - 1, len(right) - 1)):
        chosen.append((len(left) - 1, len(right) - 1))
    return chosen


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run of pairs that rises on both sides (patience sorting)."""
    ends: list[int] = []
    tails: list[int] = []
    before: list[int] = [-1] * len(pairs)
    for n, (_, to) in enumerate(pairs):
        at = bisect.bisect_left(ends, to)
        before[n] = tails[at - 1] if at else -1
        ends[at : at + 1] = [to]
        tails[at : at + 1] = [n]
    chosen: list[tuple[int, int]] = []
    at = tails[-1] if tails else -1
    while at >= 0:
        chosen.append(pairs[at])
        at = before[at]
    return chosen[::-1]
