"""One line of the report on a LiteLLM file."""

from __future__ import annotations

from typing import Self


class Remark(str):
    """A remark as one line of text, with its parts for a preview.

    Attributes:
        entry: what the remark is about: the path of a key, or kind and name of a row.
        location: file and line of the entry.
        reason: the remark without location and entry.
        is_skipped: whether the entry has no effect; otherwise it has a different one.
    """

    entry: str
    location: str
    reason: str
    is_skipped: bool

    def __new__(
        cls, text: str, *, entry: str, location: str, reason: str, is_skipped: bool
    ) -> Self:
        """Create a remark that reads as `text`."""
        remark = super().__new__(cls, text)
        remark.entry, remark.location = entry, location
        remark.reason, remark.is_skipped = reason, is_skipped
        return remark


def key_remark(location: str, key_path: str, reason: str, *, is_skipped: bool) -> Remark:
    """A remark on a key of the file."""
    text = f"{location}: {key_path}: {reason}"
    return Remark(text, entry=key_path, location=location, reason=reason, is_skipped=is_skipped)


def row_remark(location: str, row: str, reason: str, *, is_skipped: bool) -> Remark:
    """A remark on a row that the file describes; `row` is its kind and name."""
    text = f"{location}: the {row} {reason}"
    return Remark(text, entry=row, location=location, reason=reason, is_skipped=is_skipped)
