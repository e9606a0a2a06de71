"""An operator's own redaction patterns, and their use on stored bodies.

A pattern runs over every stored body, so a pattern that could backtrack without bound is
rejected: the number of ways it can match at one position is counted first.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import Any

MAX_CHARS = 500
MAX_MATCH_PATHS = 4096
# A shorter match would mask ordinary words.
MIN_WIDTH = 3

Mask = re.Pattern[bytes]

# Python's own parser of patterns, more reliable than parsing their text here.
_parser: Any = importlib.import_module("re._parser")
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
# A number in JSON that is not part of a word, and the text before it: a name, or a list of
# numbers (possibly masked).
_NUMBER = re.compile(rb"(?<![\w.+-])-?\d[\d.eE+-]*(?=\s*[,\]}]|\s*\Z)")
_NUMBER_CONTEXT = re.compile(rb'(?:":|\[(?:\s*-?\d[\d.eE+-]*\s*,)*)\s*\Z')
_DIGITS = re.compile(rb"\d")
_SINGLE_PATH_CODES = {"LITERAL", "NOT_LITERAL", "ANY", "IN", "CATEGORY", "RANGE", "AT"}
# Escapes and structural characters: masking them would break JSON or the stream's format.
_MASKABLE = re.compile(rb'(\\(?:u[0-9a-fA-F]{0,4}|.)?|["{}\[\],:\s])|.', re.DOTALL)
# The remainder of an escape whose backslash is before the match.
_ESCAPE_REMAINDER = re.compile(rb"u[0-9a-fA-F]{0,4}|.", re.DOTALL)


def compile_mask(text: str) -> Mask:
    """Compile a pattern for use on bodies.

    Raises:
        ValueError: it is not a pattern, or may take too long; the message says how to fix it.
    """
    if not text.isascii():
        raise ValueError("use ASCII characters only; other characters may be escaped in a body")
    if "\0" in text:
        raise ValueError("it must not contain NUL characters")
    if not text or len(text) > MAX_CHARS:
        raise ValueError(f"a pattern must have 1 to {MAX_CHARS} characters")
    try:
        tree = _parser.parse(text)
        pattern = re.compile(text.encode())
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if tree.getwidth()[0] < MIN_WIDTH:
        raise ValueError(f"it must match at least {MIN_WIDTH} characters")
    if _count_paths(tree, last=True) > MAX_MATCH_PATHS:
        raise ValueError("it is too ambiguous; use fewer or shorter repetitions")
    return pattern


def apply_masks(data: bytes, masks: Iterable[Mask]) -> bytes:
    """Replace every match in the body with asterisks; its length and structure do not change."""
    for mask in masks:
        data = mask.sub(_mask_match, data)
    return data


def mask_text(text: str, masks: Iterable[Mask]) -> str:
    """Replace every match in a line of text with asterisks."""
    return apply_masks(text.encode(errors="replace"), masks).decode(errors="replace")


def _mask_match(match: re.Match[bytes]) -> bytes:
    masked_text = _mask_characters(match)
    # Asterisks in a number would not be JSON: its digits become 1.
    start, matched_text = match.start(), match.string
    for number in _NUMBER.finditer(matched_text, max(0, start - 64), match.end() + 64):
        first, last = max(number.start(), start), min(number.end(), match.end())
        if first < last and _NUMBER_CONTEXT.search(
            matched_text, max(0, first - 256), number.start()
        ):
            digits = _DIGITS.sub(b"1", matched_text[first:last])
            masked_text = masked_text[: first - start] + digits + masked_text[last - start :]
    return masked_text


def _mask_characters(match: re.Match[bytes]) -> bytes:
    # The same length, since the log records the chunks of a stream by their lengths.
    secret, prefix = match.group(), b""
    before = match.string[max(0, match.start() - 64) : match.start()]
    if (len(before) - len(before.rstrip(b"\\"))) % 2 and (
        cut_match := _ESCAPE_REMAINDER.match(secret)
    ):
        prefix = cut_match.group()
    return prefix + _MASKABLE.sub(lambda part: part.group(1) or b"*", secret[len(prefix) :])


def _count_paths(sequence: Any, *, last: bool) -> int:
    """Return an upper bound of the ways in which a sequence can match at one position."""
    total, items = 1, list(sequence)
    for position, (code, value) in enumerate(items):
        is_last_item = last and position == len(items) - 1
        total *= _count_item_paths(str(code), value, last=is_last_item)
        if total > MAX_MATCH_PATHS:
            break
    return total


def _count_item_paths(code: str, value: Any, *, last: bool) -> int:
    if code in _SINGLE_PATH_CODES:
        return 1
    if code == "SUBPATTERN":
        return _count_paths(value[-1], last=last)
    if code == "BRANCH":
        return sum(_count_paths(choice, last=last) for choice in value[1])
    if code in _REPEATS:
        return _count_repeat_paths(*value, last=last)
    raise ValueError("look-around, back-references and conditions are not supported")


def _count_repeat_paths(min_count: int, max_count: Any, body: Any, *, last: bool) -> int:
    inner = _count_paths(body, last=False)
    if int(max_count) <= MAX_MATCH_PATHS:
        paths: int = min(inner ** min(int(max_count), 64), MAX_MATCH_PATHS + 1)
        return paths * (int(max_count) - int(min_count) + 1)
    if last and inner == 1 and len(body) == 1:
        return 1  # no later element can fail and cause backtracking
    raise ValueError("give a maximum, as in {1,64}; + and * are allowed only at the end")
