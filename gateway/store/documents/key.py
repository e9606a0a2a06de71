"""API keys as documents, without their secrets.

A key's name need not be unique, so keys can be looked up by their public prefix too. Users choose
the names of their personal keys: these are found by the prefix only, so that none takes the place
of a key with the same name in a configuration file or a script.
"""

from __future__ import annotations

from typing import Any

from gateway.models import ApiKey
from gateway.routing.limits import Budget, Limits
from gateway.store import field_values
from gateway.store.documents.schemas import (
    KeyDoc,
    Refused,
    as_json,
    check_guardrails,
    check_row,
    claim,
    convert_document,
    find_team,
)
from gateway.store.key_values import (
    budget_value,
    convert_stored,
    limits_value,
    non_null_fields,
    set_budget,
    set_limits,
    strip_trailing_zeros,
    validate_budget,
    validate_limits,
)
from gateway.store.keys import new_key_row


def find_key(name: str) -> ApiKey | None:
    """The key with this public prefix, or else the one that is not personal with this name.

    None if no or several keys have it.
    """
    if "\0" in name:
        return None
    rows = ApiKey.objects.select_related("team")
    row = rows.filter(prefix=name).first()
    if row is not None:
        return row
    matches = list(rows.filter(name=name, owner=None)[:2])
    return matches[0] if len(matches) == 1 else None


def read_key(row: ApiKey) -> dict[str, Any]:
    """The key as a document."""
    document: dict[str, Any] = as_json(
        KeyDoc(
            name=row.name,
            prefix=row.prefix,
            routes=row.routes,
            tags=row.tags,
            guardrails=row.guardrails,
            end_user_limits=convert_stored(row.end_user_limits, Limits, "end_user_limits"),
            end_user_budget=convert_stored(row.end_user_budget, Budget, "end_user_budget"),
            team=row.team.name if row.team is not None else "",
            user=row.user,
            expires_at=row.expires_at,
            log_bodies=row.log_bodies,
            limits=limits_value(row),
            budget=budget_value(row),
            markup=strip_trailing_zeros(row.markup),
        )
    )
    return document


def write_key(document: dict[str, Any], row: ApiKey | None) -> ApiKey:
    """Create or change a key; to get the secret of a new one, pass a row of `new_key_row`.

    Raises Refused.
    """
    values = convert_document(document, KeyDoc)
    row = row if row is not None else new_key_row()[0]
    claim(row)
    row.name, row.routes, row.log_bodies = values.name, values.routes, values.log_bodies
    row.tags, row.guardrails = values.tags, values.guardrails
    try:
        row.end_user_limits = non_null_fields(validate_limits(values.end_user_limits))
        row.end_user_budget = non_null_fields(validate_budget(values.end_user_budget))
    except ValueError as error:
        raise Refused("end_user_limits", str(error)) from None
    row.team, row.user = find_team(values.team, "team"), values.user
    row.expires_at = values.expires_at and field_values.in_utc(values.expires_at)
    set_limits(row, values.limits)
    set_budget(row, values.budget)
    row.markup = values.markup
    for field in ("routes", "tags"):
        try:
            field_values.texts(getattr(row, field), field)
        except ValueError as error:
            raise Refused(field, str(error)) from None
    check_guardrails(row.guardrails)
    check_row(row)
    row.save()
    return row
