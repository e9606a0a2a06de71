"""Guardrails as documents."""

from __future__ import annotations

from typing import Any

from gateway.guardrails.settings import parse_settings, settings_json
from gateway.models import Guardrail
from gateway.store.documents.schemas import (
    HIDDEN,
    GuardrailDoc,
    Refused,
    as_json,
    check_row,
    claim,
    convert_document,
    hide_value,
)
from gateway.store.field_values import InvalidField
from gateway.store.guardrails import guardrail_value

_COPIED_FIELDS = (
    *("kind", "action", "check_requests", "check_responses", "everywhere", "on_error"),
    *("timeout_s", "position", "enabled"),
)


def read_guardrail(row: Guardrail) -> dict[str, Any]:
    """The guardrail as a document."""
    document: dict[str, Any] = as_json(
        GuardrailDoc(
            name=row.name,
            settings=row.settings,
            credential=hide_value(row.credential),
            **{name: getattr(row, name) for name in _COPIED_FIELDS},
        )
    )
    return document


def write_guardrail(document: dict[str, Any], row: Guardrail | None) -> Guardrail:
    """Create or change a guardrail. Raises Refused."""
    values = convert_document(document, GuardrailDoc)
    row = row or Guardrail()
    claim(row)
    if row.pk and values.name != row.name:
        raise Refused("name", "a guardrail cannot be renamed: routes and keys refer to its name")
    stored_url = (row.settings or {}).get("url")
    row.name = values.name
    for name in _COPIED_FIELDS:
        setattr(row, name, getattr(values, name))
    try:
        row.settings = settings_json(parse_settings(values.kind, values.settings))
    except ValueError as error:
        raise Refused("settings", str(error).removeprefix("settings: ")) from None
    if values.credential != HIDDEN:
        row.credential = values.credential
    elif not row.credential:
        raise Refused("credential", f"{HIDDEN} stands for the stored value, but none is stored")
    elif row.settings.get("url") != stored_url:
        raise Refused("credential", "the URL has changed: enter the credential again")
    check_row(row)
    try:
        guardrail_value(row)
    except InvalidField as error:
        raise Refused(error.field, error.message) from None
    row.save()
    return row
