"""Text of clients, models and providers for a terminal, which escape sequences could control."""

from __future__ import annotations


def printable_line(text: str) -> str:
    """The text on one line; a space replaces each character that is not printable."""
    return "".join(char if char.isprintable() else " " for char in text)


def printable_text(text: str) -> str:
    """The text with its lines and tabs, without other characters that are not printable."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t")
