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
        row_exists: whether the reason is a row that exists already.
    """

    entry: str
    location: str
    reason: str
    is_skipped: bool
    row_exists: bool

    def __new__(
        cls,
        text: str,
        *,
        entry: str,
        location: str,
        reason: str,
        is_skipped: bool,
        row_exists: bool = False,
    ) -> Self:
        """Create a remark that reads as `text`."""
        remark = super().__new__(cls, text)
        remark.entry, remark.location = entry, location
        remark.reason, remark.is_skipped = reason, is_skipped
        remark.row_exists = row_exists
        return remark


def key_remark(location: str, key_path: str, reason: str, *, is_skipped: bool) -> Remark:
    """A remark on a key of the file."""
    text = f"{location}: {key_path}: {reason}"
    return Remark(text, entry=key_path, location=location, reason=reason, is_skipped=is_skipped)


def row_remark(
    location: str, row: str, reason: str, *, is_skipped: bool, row_exists: bool = False
) -> Remark:
    """A remark on a row that the file describes; `row` is its kind and name."""
    return Remark(
        f"{location}: the {row} {reason}",
        entry=row,
        location=location,
        reason=reason,
        is_skipped=is_skipped,
        row_exists=row_exists,
    )


def existing_row_remark(location: str, row: str, consequence: str, *, is_skipped: bool) -> Remark:
    """A remark on a row that exists and is not the file's."""
    reason = f"was not created by this file; {consequence}"
    return row_remark(location, row, reason, is_skipped=is_skipped, row_exists=True)
