"""Validates JSON against the TypedDicts of an official SDK, including unknown fields.

pydantic would accept any iterable as a list and drop unknown fields; an upstream does neither.
"""

from __future__ import annotations

import collections.abc
import functools
import types
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import typing_extensions

Path = tuple[str | int, ...]
_REQUIRED = (Required, typing_extensions.Required)
_LISTS = (list, collections.abc.Iterable, collections.abc.Sequence)


@dataclass(frozen=True)
class Problem:
    """A validation error: `kind` is missing, extra, type or value."""

    path: Path
    kind: str
    detail: str

    def dotted(self) -> str:
        """Return the path as Anthropic writes it."""
        return ".".join(map(str, self.path))

    def bracketed(self) -> str:
        """Return the path as OpenAI writes it."""
        text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in self.path)
        return text.removeprefix(".")


def problems(value: Any, shape: Any, path: Path = ()) -> list[Problem]:
    """Return the validation errors of a value for this type; empty if it is valid."""
    origin, args = get_origin(shape), get_args(shape)
    if origin in (*_REQUIRED, NotRequired, Annotated):
        return problems(value, args[0], path)
    if typing_extensions.is_typeddict(shape):
        return _fields(value, shape, path)
    if origin is Union or isinstance(shape, types.UnionType):
        return _best_branch(value, args, path)
    if origin is Literal:
        return [] if value in args else [Problem(path, "value", f"expected one of {args}")]
    if origin in _LISTS:
        if not isinstance(value, list):
            return [Problem(path, "type", "expected an array")]
        return [p for n, item in enumerate(value) for p in problems(item, args[0], (*path, n))]
    if origin in (dict, collections.abc.Mapping):
        if not isinstance(value, dict):
            return [Problem(path, "type", "expected an object")]
        return [p for k, item in value.items() for p in problems(item, args[1], (*path, k))]
    return _scalar_problems(value, shape, path)


def _scalar_problems(value: Any, shape: Any, path: Path) -> list[Problem]:
    if shape in (Any, object):
        return []
    if shape is None or shape is type(None):
        return [] if value is None else [Problem(path, "type", "expected null")]
    if shape is float:
        shape = (int, float)
    if shape in (int, (int, float)) and isinstance(value, bool):
        return [Problem(path, "type", "expected a number, got a boolean")]
    if isinstance(shape, type | tuple):
        expected_getattr = getattr(shape, "__name__", "number")
        return (
            []
            if isinstance(value, shape)
            else [Problem(path, "type", f"expected {expected_getattr}")]
        )
    return []


def _best_branch(value: Any, branches: tuple[Any, ...], path: Path) -> list[Problem]:
    """Return the errors of the branch that was most likely meant."""
    found_problems = [problems(value, branch, path) for branch in branches]
    return min(found_problems, key=lambda listed: (_mismatch(listed, path), len(listed)))


def _mismatch(found_problems: list[Problem], path: Path) -> int:
    """Return how certain it is that this branch was not meant: another tag, or another type."""
    tags = {(*path, "type"), (*path, "role"), (*path, "mode")}
    return sum(
        2 if p.path == path and p.kind == "type" else p.path in tags
        for p in found_problems
        if p.kind != "extra"
    )


@functools.cache
def _hints(shape: Any) -> dict[str, Any]:
    return get_type_hints(shape, include_extras=True)


def _fields(value: Any, shape: Any, path: Path) -> list[Problem]:
    if not isinstance(value, dict):
        return [Problem(path, "type", "expected an object")]
    hints = _hints(shape)
    required = [n for n, hint in hints.items() if get_origin(hint) in _REQUIRED]
    found_problems = [
        Problem((*path, n), "missing", "field required") for n in required if n not in value
    ]
    for name, item in value.items():
        if name not in hints:
            found_problems.append(Problem((*path, name), "extra", "unknown field"))
        else:
            found_problems += problems(item, hints[name], (*path, name))
    return found_problems
