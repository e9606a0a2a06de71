"""Numbers in query parameters and forms."""

from __future__ import annotations

# Every number of so many digits fits in a column of row ids.
_MAX_DIGITS = 18


def number_in(text: str, max_digits: int = _MAX_DIGITS) -> int | None:
    """Parse a number in ASCII digits; None for any other text, or a longer one.

    `str.isdigit` also accepts `²`, which `int` refuses, and any number of digits.
    """
    is_number = text.isascii() and text.isdigit() and len(text) <= max_digits
    return int(text) if is_number else None
