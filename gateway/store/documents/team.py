"""Teams as documents."""

from __future__ import annotations

from typing import Any

from gateway.models import Team
from gateway.store.documents.schemas import (
    TeamDoc,
    as_json,
    check_guardrails,
    check_row,
    claim,
    convert_document,
    find_team,
)
from gateway.store.key_values import (
    budget_value,
    limits_value,
    set_budget,
    set_limits,
    strip_trailing_zeros,
)


def read_team(row: Team) -> dict[str, Any]:
    """The team as a document."""
    document: dict[str, Any] = as_json(
        TeamDoc(
            name=row.name,
            parent=row.parent.name if row.parent is not None else "",
            guardrails=row.guardrails,
            limits=limits_value(row),
            budget=budget_value(row),
            markup=strip_trailing_zeros(row.markup),
        )
    )
    return document


def write_team(document: dict[str, Any], row: Team | None) -> Team:
    """Create or change a team. Raises Refused."""
    values = convert_document(document, TeamDoc)
    row = row or Team()
    claim(row)
    row.name = values.name
    row.parent = find_team(values.parent, "parent", "; list a team before its projects")
    set_limits(row, values.limits)
    set_budget(row, values.budget)
    row.markup, row.guardrails = values.markup, values.guardrails
    check_guardrails(row.guardrails)
    check_row(row)
    row.save()
    return row
