"""Teams as documents."""

from __future__ import annotations

from typing import Any

from gateway.models import Team
from gateway.store.documents.shape import (
    Refused,
    TeamDoc,
    as_json,
    check_row,
    claim,
    convert_document,
)
from gateway.store.field_values import InvalidField
from gateway.store.guardrails import check_names
from gateway.store.key_values import (
    budget_of,
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
            budget=budget_of(row),
            markup=strip_trailing_zeros(row.markup),
        )
    )
    return document


def write_team(document: dict[str, Any], row: Team | None) -> Team:
    """Make or change a team. Raises Refused."""
    values = convert_document(document, TeamDoc)
    row = row or Team()
    claim(row)
    row.name, row.parent = values.name, _find_parent(values.parent)
    set_limits(row, values.limits)
    set_budget(row, values.budget)
    row.markup, row.guardrails = values.markup, values.guardrails
    try:
        check_names(row.guardrails)
    except InvalidField as error:
        raise Refused(error.field, error.message) from None
    check_row(row)
    row.save()
    return row


def _find_parent(name: str) -> Team | None:
    if not name:
        return None
    team = Team.objects.filter(name=name).first() if "\0" not in name else None
    if team is None:
        raise Refused("parent", f"there is no team `{name[:200]}`; list a team before its projects")
    return team
