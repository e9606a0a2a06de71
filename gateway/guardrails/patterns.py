"""Regular expressions for personal data and secrets, and the search for their matches.

An operator's pattern may backtrack for hours on a hostile text. All patterns run with the `regex`
library, which takes a timeout and can release the GIL: a search runs in a thread, and one that
takes longer than `time_limit_s` fails.
"""

from __future__ import annotations

import time
import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import regex

from gateway.canon.untrusted_patterns import compile_untrusted

MAX_CHARS = 1000
# Seconds for all patterns of one guardrail together: the types below need 0.3 s per million
# characters of prose and code.
TIMEOUT_S = 0.5
MAX_TIMEOUT_S = 5.0
_CHARS_PER_S = 1_000_000
# Characters after whose replacement the time is checked.
_CHECKED_EVERY = 1024
# Format characters that take no space: soft hyphen, zero-width characters, directions, tags.
_INVISIBLE = (
    r"\u00AD\u034F\u061C\u180E\u200B-\u200F\u202A-\u202E\u2060-\u206F\uFE00-\uFE0F\uFEFF"
    r"\U000E0000-\U000E0FFF"
)
# Dashes that compatibility normalization (NFKC) does not replace by a hyphen.
_DASHES = r"\u2010-\u2015\u2043\u2212\uFE58"
_INVISIBLE_PATTERN = regex.compile(f"[{_INVISIBLE}]")
_DASH_PATTERN = regex.compile(f"[{_DASHES}]")
# Characters with another plain form: full-width and mathematical letters, enclosed and superscript
# digits, ligatures, spaces of other widths.
_CHANGED_BY_NFKC = r"\p{NFKC_Quick_Check=No}"
_FOLDABLE_PATTERN = regex.compile(f"[{_INVISIBLE}{_DASHES}{_CHANGED_BY_NFKC}]")


class PatternTimeoutError(Exception):
    """A search exceeded its time limit."""


class PatternMatch(NamedTuple):
    """A match: its position in the text, and the name of its pattern."""

    start: int
    end: int
    name: str


class Detector(NamedTuple):
    """A pattern; `accepts` is a further condition on the matching text."""

    pattern: str
    accepts: Callable[[str], bool] = lambda text: True


def _passes_luhn(text: str) -> bool:
    """Whether the digits end with the check digit of card numbers (ISO/IEC 7812-1)."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = (digit * 2 for digit in digits[-2::-2])
    total = sum(digits[-1::-2]) + sum(digit - 9 if digit > 9 else digit for digit in doubled)
    return 13 <= len(digits) <= 19 and total % 10 == 0


def _passes_mod_97(text: str) -> bool:
    """Whether the check digits of an IBAN are valid (ISO 13616)."""
    compact = text.replace(" ", "").upper()
    rearranged = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in rearranged)) % 97 == 1


def _is_phone_number(text: str) -> bool:
    return 8 <= sum(character.isdigit() for character in text) <= 15


# Types of personal data and secrets. Repetitions are bounded, so that each search is linear.
PII: dict[str, Detector] = {
    "email": Detector(
        r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"
    ),
    "phone": Detector(
        r"(?<![\w+.-])(?:\+\d{1,3}[ .-]?)(?:\(\d{1,4}\)[ .-]?)?\d{2,4}(?:[ .-]?\d{2,4}){1,4}(?!\w)"
        r"|(?<![\w+.-])(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[ .-]\d{4}(?!\w)",
        _is_phone_number,
    ),
    "credit_card": Detector(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-])", _passes_luhn),
    "iban": Detector(
        r"(?<!\w)[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,3})?(?!\w)",
        _passes_mod_97,
    ),
    "us_ssn": Detector(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])"),
    "ip_address": Detector(
        r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])"
        r"|(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])"
    ),
    "api_key": Detector(
        r"(?<![\w-])(?:sk-[A-Za-z0-9_-]{16,200}|gh[pousr]_[A-Za-z0-9]{36,255}"
        r"|AKIA[0-9A-Z]{16}|AIza[\w-]{35}|xox[abprs]-[A-Za-z0-9-]{10,200}"
        r"|hf_[A-Za-z0-9]{30,60}|gsk_[A-Za-z0-9]{40,60})(?![\w-])"
    ),
    "private_key": Detector(
        r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"
        r"(?:[^-]{0,10000}-----END [A-Z ]{0,20}PRIVATE KEY-----)?"
    ),
    "jwt": Detector(r"(?<![\w-])eyJ[\w-]{10,2000}\.[\w-]{10,4000}\.[\w-]{10,1000}(?![\w-])"),
}


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Any:
    """A compiled pattern.

    Raises:
        ValueError: it is not a regular expression, or it matches the empty text.
    """
    if not pattern or len(pattern) > MAX_CHARS:
        raise ValueError(f"a pattern must have 1 to {MAX_CHARS} characters")
    try:
        empty_match = compile_untrusted(pattern).search("", timeout=TIMEOUT_S)
    except TimeoutError:
        raise ValueError("it takes too long for the empty text") from None
    if empty_match is not None:
        raise ValueError("it matches the empty text")
    return compile_untrusted(pattern)


def time_limit_s(chars: int) -> float:
    """The time limit, in seconds, of all patterns of a guardrail for this many characters."""
    return min(TIMEOUT_S + chars / _CHARS_PER_S, MAX_TIMEOUT_S)


def find_matches(
    text: str,
    detectors: Iterable[tuple[str, Detector]],
    start: int = 0,
    budget_s: float = TIMEOUT_S,
) -> list[PatternMatch]:
    """Matches of all detectors from `start` on, without overlaps: the first and longest ones.

    Invisible characters, such as zero-width spaces and soft hyphens, do not hide a match; neither
    do other forms of a character, such as full-width digits. Text before `start` counts only for
    look-behind and word boundaries.

    Raises:
        PatternTimeoutError: the search took longer than `budget_s`.
    """
    detectors = list(detectors)
    deadline = time.monotonic() + budget_s
    pattern_matches = _search_detectors(text, detectors, start, deadline)
    if (folded := _fold_text(text, deadline)) is not None:
        folded_start = folded.folded_offset(start)
        pattern_matches += [
            PatternMatch(
                folded.original_offset(match.start),
                folded.original_offset(match.end - 1) + 1,
                match.name,
            )
            for match in _search_detectors(folded.text, detectors, folded_start, deadline)
        ]
    pattern_matches.sort(key=lambda match: (match.start, -match.end))
    distinct: list[PatternMatch] = []
    for match in pattern_matches:
        if not distinct or match.start >= distinct[-1].end:
            distinct.append(match)
    return distinct


class _FoldedText(NamedTuple):
    """A text in plain characters.

    Only the offsets of the characters that changed are kept: those of all would take much more
    memory than the text.

    Attributes:
        starts: offset of each changed character in the original text.
        ends: offset in `text` after its plain form.
    """

    text: str
    starts: array[int]
    ends: array[int]

    def original_offset(self, offset: int) -> int:
        """The offset in the original text of the character at an offset of `text`."""
        index = bisect_right(self.ends, offset)
        unchanged = offset
        if index:
            unchanged += self.starts[index - 1] + 1 - self.ends[index - 1]
        return min(unchanged, self.starts[index]) if index < len(self.starts) else unchanged

    def folded_offset(self, offset: int) -> int:
        """The offset in `text` of the first character at or after an offset of the original."""
        index = bisect_left(self.starts, offset)
        if not index:
            return offset
        return self.ends[index - 1] + offset - self.starts[index - 1] - 1


def _fold_text(text: str, deadline: float) -> _FoldedText | None:
    """The text in plain characters; None if it is the same. Raises PatternTimeoutError."""
    if text.isascii():
        return None
    starts, ends = array("L"), array("L")
    parts: list[str] = []
    end = size = 0
    remaining_s = deadline - time.monotonic()
    try:
        if remaining_s <= 0:
            raise TimeoutError
        for match in _FOLDABLE_PATTERN.finditer(text, timeout=remaining_s, concurrent=True):
            start = match.start()
            plain_text = _plain_form(match.group())
            if start > end:
                parts.append(text[end:start])
            if plain_text:
                parts.append(plain_text)
            size += start - end + len(plain_text)
            starts.append(start)
            ends.append(size)
            end = match.end()
            if not len(starts) % _CHECKED_EVERY and time.monotonic() > deadline:
                raise TimeoutError
    except TimeoutError:
        raise PatternTimeoutError from None
    return _FoldedText("".join([*parts, text[end:]]), starts, ends) if starts else None


@lru_cache(maxsize=4096)
def _plain_form(character: str) -> str:
    """The character in its plain form (https://unicode.org/reports/tr15/); empty if invisible."""
    if _INVISIBLE_PATTERN.match(character):
        return ""
    return str(_DASH_PATTERN.sub("-", unicodedata.normalize("NFKC", character)))


def _search_detectors(
    text: str, detectors: Sequence[tuple[str, Detector]], start: int, deadline: float
) -> list[PatternMatch]:
    """Matches of all detectors. Raises PatternTimeoutError."""
    pattern_matches: list[PatternMatch] = []
    for name, detector in detectors:
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            raise PatternTimeoutError
        try:
            matches = compile_pattern(detector.pattern).finditer(
                text, start, timeout=remaining_s, concurrent=True
            )
            pattern_matches += [
                PatternMatch(m.start(), m.end(), name)
                for m in matches
                if m.end() > m.start() and detector.accepts(m.group())
            ]
        except TimeoutError:
            raise PatternTimeoutError from None
    return pattern_matches


def mask_matches(text: str, matches: Sequence[PatternMatch]) -> str:
    """The text with each match replaced by the name of its pattern, as in `[EMAIL]`."""
    parts, offset = [], 0
    for match in matches:
        parts += [text[offset : match.start], f"[{match.name.upper()}]"]
        offset = match.end
    return "".join([*parts, text[offset:]])
