"""Quotes untrusted text for a command that a user pastes into a shell."""

from __future__ import annotations

import shlex


def quote(text: str) -> str:
    """Quote a text as one word of bash, zsh and ksh, whatever it contains.

    Control characters are escaped: in a terminal they could end a paste, or hide what is
    pasted. NUL cannot be in a word of a shell and is left out.
    """
    text = text.replace("\0", "")
    if all(char.isprintable() or char in "\n\t" for char in text):
        return shlex.quote(text)
    return "$'" + "".join(map(_escape_char, text)) + "'"


def _escape_char(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable() or char in "\n\t":
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
