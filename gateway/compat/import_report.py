"""The report of an import from another gateway: counts, and remarks on unsupported settings.

    report.count("keys", "added"); report.add_remark("key ci", "aliases are not imported")

It names rows by their names, never by their secrets.
"""

from __future__ import annotations

_MAX_NAMES = 5
_OUTCOMES = ("added", "existing", "skipped")


class ImportReport:
    """Counts by kind of row, and remarks; equal remarks become one line."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, int]] = {}
        self._subjects_by_text: dict[str, list[str]] = {}

    def count(self, kind: str, outcome: str, number: int = 1) -> None:
        """Count rows of a kind (in the plural) as `added`, `existing` or `skipped`."""
        counts = self.counts.setdefault(kind, dict.fromkeys(_OUTCOMES, 0))
        counts[outcome] += number

    def count_skipped(self, kind: str, subject: str, reason: str) -> None:
        """Count one row as skipped, with the reason."""
        self.count(kind, "skipped")
        self.add_remark(subject, f"skipped: {reason}")

    def add_remark(self, subject: str, text: str) -> None:
        """Add a remark about a row; `subject` is its kind and name, or empty."""
        self._subjects_by_text.setdefault(text, []).append(subject)

    @property
    def notes(self) -> list[str]:
        """One line for each remark, with the rows that it is about."""
        return [
            f"{_join_names(subjects)}: {text}" if subjects[0] else text
            for text, subjects in self._subjects_by_text.items()
        ]

    def lines(self) -> list[str]:
        """The whole report: a table of counts, then the remarks."""
        width = max((len(kind) for kind in self.counts), default=0)
        lines = [f"{'':{width}}  {'added':>8}  {'existing':>8}  {'skipped':>8}"]
        for kind, counts in self.counts.items():
            lines.append(
                f"{kind:{width}}  " + "  ".join(f"{counts[name]:>8}" for name in _OUTCOMES)
            )
        return [*lines, "", *self.notes] if self.notes else lines


def _join_names(subjects: list[str]) -> str:
    names = list(dict.fromkeys(subjects))
    omitted_count = len(names) - _MAX_NAMES
    name_list = ", ".join(names[:_MAX_NAMES])
    return f"{name_list} and {omitted_count} more" if omitted_count > 0 else name_list
