"""A subset of JSONPath (RFC 9535): names, indexes, wildcards and descendants.

Filters (`[?...]`) and slices are not supported: `$.items[*].name`, `$..price` and
`$["a b"][0]` are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_SEGMENT = re.compile(
    r"(?P<deep>\.\.)?(?:"
    r"(?:\.(?!\.))?(?P<name>[A-Za-z_\u0080-\uffff][\w\u0080-\uffff-]*|\*)"
    r"|\[\s*(?:(?P<index>-?\d{1,9})|(?P<star>\*)|'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\")\s*\])"
)
MAX_PATH = 500
MAX_MATCHES = 10_000
_WILDCARD = object()


class InvalidPath(ValueError):
    """The path is not valid, or uses an unsupported part of JSONPath."""


class Segment(NamedTuple):
    """One step: a name, an index or a wildcard, and whether all descendants are searched."""

    deep: bool
    selector: Any


def parse_path(path: str) -> list[Segment]:
    """The steps of a path; a leading `$` is optional. Raises InvalidPath."""
    if len(path) > MAX_PATH:
        raise InvalidPath(f"the path is longer than {MAX_PATH} characters")
    text = path.strip().removeprefix("$")
    if text and not text.startswith((".", "[")):
        text = f".{text}"
    segments, position = [], 0
    while position < len(text):
        match = _SEGMENT.match(text, position)
        if match is None or match.end() == position:
            raise InvalidPath(f"not supported: {text[position:][:20]}")
        segments.append(Segment(match["deep"] is not None, _parse_selector(match)))
        position = match.end()
    return segments


def _parse_selector(match: re.Match[str]) -> Any:
    if match["index"] is not None:
        return int(match["index"])
    if match["star"] is not None or match["name"] == "*":
        return _WILDCARD
    return next(match[k] for k in ("name", "single", "double") if match[k] is not None)


def find_values(path: str, document: Any) -> list[Any]:
    """The values at a path, at most MAX_MATCHES; empty if there are none. Raises InvalidPath."""
    values = [document]
    for deep, selector in parse_path(path):
        matched_nodes: list[Any] = []
        for value in values:
            for node in _descendants_or_self(value) if deep else (value,):
                matched_nodes += _matching_children(node, selector)
                if len(matched_nodes) > MAX_MATCHES:
                    raise InvalidPath(f"it matches more than {MAX_MATCHES} values")
        values = matched_nodes
    return values


def _matching_children(node: Any, selector: Any) -> list[Any]:
    if selector is _WILDCARD:
        return _child_nodes(node)
    if isinstance(selector, int):
        if not isinstance(node, list) or not -len(node) <= selector < len(node):
            return []
        return [node[selector]]
    return [node[selector]] if isinstance(node, dict) and selector in node else []


def _child_nodes(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [*node.values()]
    return node if isinstance(node, list) else []


def _descendants_or_self(node: Any) -> Iterator[Any]:
    """The node and everything below it, parents first."""
    pending = [node]
    while pending:
        descendant = pending.pop()
        yield descendant
        if isinstance(descendant, dict):
            pending.extend(reversed(descendant.values()))
        elif isinstance(descendant, list):
            pending.extend(reversed(descendant))
