"""Numbers in query parameters and forms."""

from __future__ import annotations

# Every number of so many digits fits in a column of row ids.
_MAX_DIGITS = 18


def number_in(text: str, max_digits: int = _MAX_DIGITS) -> int | None:
    """The number that a text is, in ASCII digits; None if it is none or is too long.

    `str.isdigit` also accepts `²`, which `int` refuses, and any number of digits.
    """
    is_number = text.isascii() and text.isdigit() and len(text) <= max_digits
    return int(text) if is_number else None
