"""Regular expressions that clients and users write.

The `regex` library searches with a time limit, but compiles without one: it writes out the
smallest number of repetitions, so that `a{99999999}` takes minutes and gigabytes.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import regex

MAX_CHARS = 10_000
# Compiled in 0.2 s, with 30 MB (measured 2026-11).
MAX_REPEATED_CHARS = 100_000
_REPETITION = regex.compile(r"(\))?\s*\{\s*(\d+)")
_VERBOSE = regex.compile(r"\(\?[a-zA-Z0-9]*x")


class InvalidPattern(ValueError):
    """The pattern is not a regular expression, or is too large; the message says why."""


@lru_cache(maxsize=1024)
def compile_untrusted(pattern: str) -> Any:
    """A compiled pattern; pass `timeout` to its methods. Raises InvalidPattern."""
    if len(pattern) > MAX_CHARS:
        raise InvalidPattern(f"it is longer than {MAX_CHARS} characters")
    if _repeated_chars(pattern) > MAX_REPEATED_CHARS:
        raise InvalidPattern("it repeats too much: use smaller numbers in braces")
    try:
        return regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError, ValueError) as error:
        raise InvalidPattern(f"not a regular expression: {error}") from None


def _repeated_chars(pattern: str) -> int:
    """An upper limit of the pattern's length with its repetitions written out.

    Groups may be nested, so their repetitions multiply. With the flag `x`, spaces and comments
    may stand between a group and its repetition, so all of them count as a group's.
    """
    group_counts: list[int] = []
    char_counts: list[int] = []
    for closing, digits in _REPETITION.findall(pattern):
        count = int(digits) if len(digits) < 10 else MAX_REPEATED_CHARS + 1
        (group_counts if closing else char_counts).append(max(count, 1))
    if _VERBOSE.search(pattern):
        group_counts, char_counts = [*group_counts, *char_counts], []
    return prod(group_counts) * (sum(char_counts) + len(pattern))
