"""Teams as documents."""

from __future__ import annotations

from typing import Any

from gateway.models import Team
from gateway.store.documents.shape import (
    Refused,
    TeamDoc,
    as_json,
    checked,
    claim,
    shaped,
)
from gateway.store.key_values import budget_of, limits_value, set_budget, set_limits, tidy


def read_team(row: Team) -> dict[str, Any]:
    """The team as a document."""
    found: dict[str, Any] = as_json(
        TeamDoc(
            name=row.name,
            parent=row.parent.name if row.parent is not None else "",
            limits=limits_value(row),
            budget=budget_of(row),
            margin=tidy(row.margin),
        )
    )
    return found


def write_team(document: dict[str, Any], row: Team | None) -> Team:
    """Make or change a team. Raises Refused."""
    given = shaped(document, TeamDoc)
    row = row or Team()
    claim(row)
    row.name, row.parent = given.name, _parent(given.parent)
    set_limits(row, given.limits)
    set_budget(row, given.budget)
    row.margin = given.margin
    checked(row)
    row.save()
    return row


def _parent(name: str) -> Team | None:
    if not name:
        return None
    found = Team.objects.filter(name=name).first() if "\0" not in name else None
    if found is None:
        raise Refused(
            "parent", f"there is no team `{name[:200]}`; a team stands before its projects"
        )
    return found
