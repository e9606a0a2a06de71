"""An operator's own patterns of what no log may hold, and their use on stored bodies.

A pattern runs over every stored body, so that what could run for ever is refused: the
ways in which it can match at one place are counted before it is used.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import Any

MAX_CHARS = 500
MAX_WAYS = 4096
# Less would mask ordinary words.
LEAST_WIDTH = 3

Mask = re.Pattern[bytes]

# Python's own reading of a pattern: counting its text would be guessing.
_parser: Any = importlib.import_module("re._parser")
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
_PLAIN = {"LITERAL", "NOT_LITERAL", "ANY", "IN", "CATEGORY", "RANGE", "AT"}
# Escapes and what gives a body its form: masked, it would no longer be JSON, nor a stream.
_CONTENT = re.compile(rb'(\\(?:u[0-9a-fA-F]{0,4}|.)?|["{}\[\],:\s])|.', re.DOTALL)
# The rest of an escape whose backslash stands before the match.
_CUT = re.compile(rb"u[0-9a-fA-F]{0,4}|.", re.DOTALL)


def mask(text: str) -> Mask:
    """The pattern, ready for bodies.

    Raises:
        ValueError: it is no pattern, or one that could take too long; says what to do.
    """
    if not text.isascii():
        raise ValueError("use ASCII characters only; other text may stand escaped in a body")
    if not text or len(text) > MAX_CHARS:
        raise ValueError(f"a pattern has 1 to {MAX_CHARS} characters")
    try:
        parsed = _parser.parse(text)
        compiled = re.compile(text.encode())
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if parsed.getwidth()[0] < LEAST_WIDTH:
        raise ValueError(f"it must match at least {LEAST_WIDTH} characters")
    if _ways(parsed, last=True) > MAX_WAYS:
        raise ValueError("it can match in too many ways; use fewer or shorter repetitions")
    return compiled


def masked(data: bytes, masks: Iterable[Mask]) -> bytes:
    """The body with every match as asterisks; its length and its form stay."""
    for found in masks:
        data = found.sub(_stars, data)
    return data


def masked_text(text: str, masks: Iterable[Mask]) -> str:
    """The same for a line of text."""
    return masked(text.encode(errors="replace"), masks).decode(errors="replace")


def _stars(match: re.Match[bytes]) -> bytes:
    # Of the same length, as the log knows the pieces of a stream by their lengths.
    found, kept = match.group(), b""
    before = match.string[max(0, match.start() - 64) : match.start()]
    if (len(before) - len(before.rstrip(b"\\"))) % 2 and (cut := _CUT.match(found)):
        kept = cut.group()
    return kept + _CONTENT.sub(lambda part: part.group(1) or b"*", found[len(kept) :])


def _ways(sequence: Any, *, last: bool) -> int:
    """In how many ways a sequence can match at one place, at most."""
    total, items = 1, list(sequence)
    for position, (code, value) in enumerate(items):
        at_end = last and position == len(items) - 1
        total *= _ways_of(str(code), value, last=at_end)
        if total > MAX_WAYS:
            break
    return total


def _ways_of(code: str, value: Any, *, last: bool) -> int:
    if code in _PLAIN:
        return 1
    if code == "SUBPATTERN":
        return _ways(value[-1], last=last)
    if code == "BRANCH":
        return sum(_ways(choice, last=last) for choice in value[1])
    if code in _REPEATS:
        return _repeated(*value, last=last)
    raise ValueError("look-around, back-references and conditions are not for masks")


def _repeated(least: int, most: Any, body: Any, *, last: bool) -> int:
    inner = _ways(body, last=False)
    if int(most) <= MAX_WAYS:
        ways: int = min(inner ** min(int(most), 64), MAX_WAYS + 1)
        return ways * (int(most) - int(least) + 1)
    if last and inner == 1 and len(body) == 1:
        return 1  # nothing follows that could fail
    raise ValueError("say how often at most, as in {1,64}; + and * may only stand at the end")
