"""JSON Schema by the jsonschema library, within bounds: no reach, no endless work.

A schema is a program that somebody else wrote, and it is run in the loop of the
gateway. References are looked up in the document only (left alone, the library fetches
them over the network), patterns have a time limit, and so has the whole check: a schema
of a few lines can refer to itself a billion times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec
import regex
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import Draft202012Validator, extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from console.playground.partial import Path

Schema = dict[str, Any]
Keyword = Callable[..., Iterator[ValidationError] | None]

# A schema larger than this is no form that a model fills in.
SCHEMA_BYTES = 100_000
CHECK_S = 0.2
PATTERN_S = 0.05
# To tell whether so many items differ, some of them objects, takes the square of it.
UNIQUE_ITEMS = 1_000
# The library follows references for these inside one step, where no clock is looked at.
_UNBOUNDED = ("unevaluatedProperties", "unevaluatedItems")
# What a checker may say of the type of an unfinished value and be right.
_CERTAIN = {"type", "additionalProperties", "maxItems", "maxProperties"}
_MESSAGE_CHARS = 300


class TooMuch(Exception):
    """The check was given up."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing that is wrong: a JSON pointer into the value, and words."""

    path: str
    message: str


def wrong_schema(schema: Any) -> str | None:
    """Why this is no JSON Schema; None if it is one."""
    if not isinstance(schema, dict):
        return "a JSON Schema is an object"
    text = msgspec.json.encode(schema)
    if len(text) > SCHEMA_BYTES:
        return f"it has more than {SCHEMA_BYTES // 1000} kB"
    for keyword in _UNBOUNDED:
        if b'"%s":' % keyword.encode() in text:
            return f"{keyword} is not checked here"
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        place = pointer(tuple(error.absolute_path))
        return f"{place}: {error.message[:_MESSAGE_CHARS]}" if place else error.message
    except (RecursionError, Unresolvable) as error:
        return str(error)[:_MESSAGE_CHARS] or "it is nested too deeply"
    return None


def fault(value: Any, schema: Schema, still_open: frozenset[Path]) -> Fault | None:
    """The first error of a value; of its unfinished parts only what can not heal any more."""
    kind = _bounded(validator_for(schema, default=Draft202012Validator))
    checker: Any = kind(schema, registry=Registry())
    _Clock.due = time.thread_time() + CHECK_S
    try:
        errors = [e for e in checker.iter_errors(value) if _counts(e, still_open)]
    except Unresolvable as error:
        return Fault(path="", message=f"the schema has a reference without a target: {error.ref}")
    except RecursionError:
        return Fault(path="", message="the schema refers to itself without an end")
    except TooMuch as given_up:
        return Fault(path="", message=f"it takes too long to check by this schema: {given_up}")
    return _first(errors, still_open) if errors else None


def _first(errors: list[ValidationError], still_open: frozenset[Path]) -> Fault:
    errors.sort(key=lambda error: [str(step) for step in error.absolute_path])
    # Of an `anyOf` the alternative that came nearest says more than "matches none".
    told = best_match(errors[:1]) or errors[0]
    if still_open and not _counts(told, still_open):
        told = errors[0]
    return Fault(path=pointer(tuple(told.absolute_path)), message=told.message[:_MESSAGE_CHARS])


def _counts(error: ValidationError, still_open: frozenset[Path]) -> bool:
    path = tuple(error.absolute_path)
    if path not in still_open:
        return True
    if error.validator not in _CERTAIN:
        return False
    return not isinstance(error.instance, int | float | None)


def pointer(path: Path) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


# --- bounds ------------------------------------------------------------------------------


class _Clock:
    """The CPU time by which the check under way must be done; checks never run side by side.

    By the wall's clock a busy machine would be told of as a schema that takes too long.
    """

    due = 0.0


@lru_cache(maxsize=16)
def _bounded(kind: Any) -> Any:
    """The checker of a draft with every keyword looking at the clock."""
    own: dict[str, Keyword] = {"pattern": _pattern, "uniqueItems": _unique(kind)}
    keywords = {**kind.VALIDATORS, **{k: v for k, v in own.items() if k in kind.VALIDATORS}}
    # Both match patterns by themselves, in ways that have no limit.
    keywords["patternProperties"] = _pattern_properties
    keywords["additionalProperties"] = _additional(kind)
    return extend(kind, validators={name: _timed(check) for name, check in keywords.items()})


def _timed(check: Keyword) -> Keyword:
    def timed(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if time.thread_time() > _Clock.due:
            raise TooMuch("it refers to itself too often")
        yield from check(validator, value, instance, schema) or ()

    return timed


def _found(pattern: str, text: str) -> bool:
    try:
        return regex.search(pattern, text, timeout=PATTERN_S) is not None
    except TimeoutError:
        raise TooMuch(f"the pattern {pattern[:80]}") from None
    except regex.error as error:
        raise TooMuch(f"the pattern {pattern[:80]} is not one: {error}") from None


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _found(pattern, instance):
        yield ValidationError(f"{instance[:80]!r} does not match {pattern[:80]!r}")


def _pattern_properties(
    validator: Any, patterns: Schema, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, inner in patterns.items():
        for name, value in instance.items():
            if _found(pattern, name):
                yield from validator.descend(value, inner, path=name, schema_path=pattern)


def _additional(kind: Any) -> Keyword:
    """The draft's own, unless the schema has patterns, which it would match without limit."""
    usual: Keyword = kind.VALIDATORS["additionalProperties"]

    def additional(
        validator: Any, allowed: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        patterns = schema.get("patternProperties")
        if not patterns or not isinstance(instance, dict):
            yield from usual(validator, allowed, instance, schema) or ()
            return
        known = schema.get("properties") or {}
        for name, value in instance.items():
            if name in known or any(_found(pattern, name) for pattern in patterns):
                continue
            if allowed is False:
                yield ValidationError(f"{name[:80]!r} is not one of the properties")
            elif isinstance(allowed, dict):
                yield from validator.descend(value, allowed, path=name)

    return additional


def _unique(kind: Any) -> Keyword:
    usual: Keyword = kind.VALIDATORS["uniqueItems"]

    def unique(
        validator: Any, wanted: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        if isinstance(instance, list) and len(instance) > UNIQUE_ITEMS:
            raise TooMuch(f"uniqueItems of more than {UNIQUE_ITEMS}")
        yield from usual(validator, wanted, instance, schema) or ()

    return unique
