"""Adaptations: the fields of a request or response that translation could not carry exactly.

Nothing is lost without one of these: the client reads them in response
headers, the operator in the request log, and a strict route refuses them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

Action = Literal["dropped", "approximated", "defaulted"]


class Adaptation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One departure from what the client sent.

    Attributes:
        path: the path of the field in the client's body, dotted, with list
            indexes in brackets: `messages[2].content[0].content[1]`.
        action: `dropped` (not sent), `approximated` (sent as an approximation)
            or `defaulted` (the upstream requires a value that the client omitted, or
            the route sets one).
        reason: one sentence for a person.
        before: the value in the client's body, where it is short.
        after: the value sent instead, where it is short.
    """

    path: str
    action: Action
    reason: str
    before: Any = None
    after: Any = None


class AdaptationReport(list[Adaptation]):
    """A list of adaptations without duplicates."""

    # Created with the first adaptation: most requests have none.
    _keys: set[tuple[str, str, str, str]] | None = None

    def add(self, adaptation: Adaptation) -> None:
        """Append an adaptation unless the list contains it."""
        key = (
            adaptation.path,
            adaptation.action,
            adaptation.reason,
            repr((adaptation.before, adaptation.after)),
        )
        if self._keys is None:
            self._keys = set()
        if key not in self._keys:
            self._keys.add(key)
            self.append(adaptation)


def dropped_field(path: str, reason: str, *, before: Any = None) -> Adaptation:
    """The record of a field that was not sent at all."""
    return Adaptation(path=path, action="dropped", reason=reason, before=before)


def approximated_field(
    path: str, reason: str, *, before: Any = None, after: Any = None
) -> Adaptation:
    """The record of a field that was sent as an approximation."""
    return Adaptation(path=path, action="approximated", reason=reason, before=before, after=after)


def defaulted_field(path: str, reason: str, *, after: Any = None) -> Adaptation:
    """The record of a value that the upstream requires and the client omitted."""
    return Adaptation(path=path, action="defaulted", reason=reason, after=after)


def adaptation_rows(adaptations: Iterable[Adaptation]) -> list[dict[str, Any]]:
    """The adaptations as JSON rows: field, action, note, and from / to where known."""
    rows = []
    for adaptation in adaptations:
        row: dict[str, Any] = {
            "field": adaptation.path,
            "action": adaptation.action,
            "note": adaptation.reason,
        }
        if adaptation.before is not None:
            row["from"] = adaptation.before
        if adaptation.after is not None:
            row["to"] = adaptation.after
        rows.append(row)
    return rows
