"""JSON Schema validation with limits for time and without network access.

Schemas are untrusted input and are checked in the event loop of the gateway. References
resolve within the document only (by default the library fetches them over the network).
Patterns and the complete check have time limits: a schema of a few lines can refer to
itself a billion times.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import Draft202012Validator, extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from console.playground.partial_json import Path
from gateway.canon.untrusted_patterns import InvalidPattern, compile_untrusted

Schema = dict[str, Any]
Keyword = Callable[..., Iterator[ValidationError] | None]

SCHEMA_BYTES = 100_000
CHECK_S = 0.2
PATTERN_S = 0.05
# Comparing this many items, some of them objects, takes quadratic time.
UNIQUE_ITEMS = 1_000
# The library resolves references for these in one step, which has no time limit.
_UNSUPPORTED_KEYWORDS = ("unevaluatedProperties", "unevaluatedItems")
# Keywords whose errors are certain even for an incomplete value.
_FINAL_KEYWORDS = {"type", "additionalProperties", "maxItems", "maxProperties"}
_MESSAGE_CHARS = 300


class CheckTimeout(Exception):
    """The check exceeded its time limit."""


class SchemaViolation(msgspec.Struct, frozen=True, kw_only=True):
    """First violation of a schema: a JSON pointer into the value, and a message."""

    path: str
    message: str


def schema_error(schema: Any) -> str | None:
    """Why this is not a valid JSON Schema; None if it is valid."""
    if not isinstance(schema, dict):
        return "a JSON Schema must be an object"
    text = msgspec.json.encode(schema)
    if len(text) > SCHEMA_BYTES:
        return f"it is larger than {SCHEMA_BYTES // 1000} kB"
    for keyword in _UNSUPPORTED_KEYWORDS:
        if b'"%s":' % keyword.encode() in text:
            return f"{keyword} is not supported"
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        pointer = json_pointer(tuple(error.absolute_path))
        return f"{pointer}: {error.message[:_MESSAGE_CHARS]}" if pointer else error.message
    except (RecursionError, Unresolvable) as error:
        return str(error)[:_MESSAGE_CHARS] or "it is nested too deeply"
    return None


def first_violation(
    value: Any, schema: Schema, incomplete_paths: frozenset[Path]
) -> SchemaViolation | None:
    """First error of a value; in incomplete parts only errors that are certain."""
    checker_class = _with_time_limit(validator_for(schema, default=Draft202012Validator))
    checker: Any = checker_class(schema, registry=Registry())
    _deadline.cpu_time = time.thread_time() + CHECK_S
    try:
        errors = [e for e in checker.iter_errors(value) if _is_final_error(e, incomplete_paths)]
    except Unresolvable as error:
        return SchemaViolation(
            path="", message=f"the schema has a reference without a target: {error.ref}"
        )
    except RecursionError:
        return SchemaViolation(path="", message="the schema refers to itself endlessly")
    except CheckTimeout as timeout:
        return SchemaViolation(path="", message=f"checking takes too long: {timeout}")
    return _first_error(errors, incomplete_paths) if errors else None


def _first_error(
    errors: list[ValidationError], incomplete_paths: frozenset[Path]
) -> SchemaViolation:
    errors.sort(key=lambda error: [str(step) for step in error.absolute_path])
    # For `anyOf`, the error of the best matching alternative is more helpful.
    reported_error = best_match(errors[:1]) or errors[0]
    if incomplete_paths and not _is_final_error(reported_error, incomplete_paths):
        reported_error = errors[0]
    return SchemaViolation(
        path=json_pointer(tuple(reported_error.absolute_path)),
        message=reported_error.message[:_MESSAGE_CHARS],
    )


def _is_final_error(error: ValidationError, incomplete_paths: frozenset[Path]) -> bool:
    path = tuple(error.absolute_path)
    if path not in incomplete_paths:
        return True
    if error.validator not in _FINAL_KEYWORDS:
        return False
    return not isinstance(error.instance, int | float | None)


def json_equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(json_equal(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(json_equal, left, right))
    return bool(left == right)


def json_pointer(path: Path) -> str:
    """JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


# --- bounds ------------------------------------------------------------------------------


class _Deadline(threading.local):
    """CPU time at which the check of this thread must end.

    With wall-clock time, a busy machine would make schemas time out.
    """

    cpu_time = 0.0


_deadline = _Deadline()


@lru_cache(maxsize=16)
def _with_time_limit(kind: Any) -> Any:
    """Validator class of a draft in which every keyword checks the deadline."""
    replacements: dict[str, Keyword] = {
        "pattern": _check_pattern,
        "uniqueItems": _unique_items(kind),
    }
    keywords = {
        **kind.VALIDATORS,
        **{k: v for k, v in replacements.items() if k in kind.VALIDATORS},
    }
    # By default both match patterns without a time limit.
    keywords["patternProperties"] = _pattern_properties
    keywords["additionalProperties"] = _additional_properties(kind)
    return extend(
        kind, validators={name: _check_deadline(check) for name, check in keywords.items()}
    )


def _check_deadline(check: Keyword) -> Keyword:
    def check_with_deadline(
        validator: Any, value: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        if time.thread_time() > _deadline.cpu_time:
            raise CheckTimeout("the schema refers to itself too often")
        yield from check(validator, value, instance, schema) or ()

    return check_with_deadline


def _matches_pattern(pattern: str, text: str) -> bool:
    try:
        return compile_untrusted(pattern).search(text, timeout=PATTERN_S) is not None
    except TimeoutError:
        raise CheckTimeout(f"the pattern {pattern[:80]}") from None
    except InvalidPattern as error:
        raise CheckTimeout(f"invalid pattern {pattern[:80]}: {error}") from None


def _check_pattern(
    validator: Any, pattern: str, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _matches_pattern(pattern, instance):
        yield ValidationError(f"{instance[:80]!r} does not match {pattern[:80]!r}")


def _pattern_properties(
    validator: Any, patterns: Schema, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in patterns.items():
        for name, value in instance.items():
            if _matches_pattern(pattern, name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(kind: Any) -> Keyword:
    """The draft's default check, unless the schema has patterns, which need a time limit."""
    default_check: Keyword = kind.VALIDATORS["additionalProperties"]

    def additional(
        validator: Any, subschema: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        patterns = schema.get("patternProperties")
        if not patterns or not isinstance(instance, dict):
            yield from default_check(validator, subschema, instance, schema) or ()
            return
        declared_properties = schema.get("properties") or {}
        for name, value in instance.items():
            if name in declared_properties or any(
                _matches_pattern(pattern, name) for pattern in patterns
            ):
                continue
            if subschema is False:
                yield ValidationError(f"{name[:80]!r} is not one of the properties")
            elif isinstance(subschema, dict):
                yield from validator.descend(value, subschema, path=name)

    return additional


def _unique_items(kind: Any) -> Keyword:
    default_check: Keyword = kind.VALIDATORS["uniqueItems"]

    def unique(
        validator: Any, must_be_unique: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        if isinstance(instance, list) and len(instance) > UNIQUE_ITEMS:
            raise CheckTimeout(f"uniqueItems of more than {UNIQUE_ITEMS}")
        yield from default_check(validator, must_be_unique, instance, schema) or ()

    return unique
