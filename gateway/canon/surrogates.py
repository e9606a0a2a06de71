"""Joins surrogate pairs that a server splits between consecutive JSON texts.

A server in JavaScript may cut text between the two UTF-16 surrogates of a character; each half
is then an escape that is not valid alone (RFC 8259, section 8.2).
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole character
    rb"|\\u[dD](?:(?P<high>[89abAB])|[c-fC-F])[0-9a-fA-F]{2}"
    rb"|\\.",
    re.DOTALL,
)
_LONE_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_REPLACEMENT = b"\\ufffd"


class SurrogateJoiner:
    """Moves the first half of a character to its second half in a later text."""

    def __init__(self) -> None:
        self._first_half = b""

    def join(self, text: bytes) -> bytes:
        """The JSON text without lone halves; a second half without a first one is replaced."""
        return _ESCAPE.sub(self._join_match, text)

    def _join_match(self, match: re.Match[bytes]) -> bytes:
        escape = match[0]
        if not _LONE_HALF.fullmatch(escape):
            return escape
        if match["high"]:
            self._first_half = escape
            return b""
        first_half, self._first_half = self._first_half, b""
        return first_half + escape if first_half else _REPLACEMENT
