"""Rows of guardrails -> values of the hot path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway import models
from gateway.guardrails.guardrail import CANNOT_MASK, Guardrail
from gateway.guardrails.settings import parse_settings
from gateway.models.sealed import UndecryptableError, refuse_sealed
from gateway.providers.auth import VARIABLE_PREFIX
from gateway.providers.profile import Secret
from gateway.store.credentials import variable_value
from gateway.store.field_values import InvalidField

# What `guardrail_value` copies from a row.
_COPIED_COLUMNS = (
    *("name", "action", "check_requests", "check_responses", "everywhere", "on_error"),
    *("timeout_s", "position"),
)


def guardrail_value(row: models.Guardrail) -> Guardrail:
    """The guardrail of a row, saved or not. Raises InvalidField."""
    if row.action == "mask" and row.kind in CANNOT_MASK:
        raise InvalidField("action", "this type only decides; choose to block or to log")
    if not row.check_requests and not row.check_responses:
        raise InvalidField("check_requests", "check requests, responses or both")
    try:
        settings = parse_settings(row.kind, row.settings)
    except ValueError as error:
        raise InvalidField("settings", str(error)) from None
    copied_columns: dict[str, Any] = {name: getattr(row, name) for name in _COPIED_COLUMNS}
    return Guardrail(
        settings=settings, credential=Secret(_resolve_credential(row)), **copied_columns
    )


def _resolve_credential(row: models.Guardrail) -> str:
    text = str(row.credential or "").strip()
    try:
        refuse_sealed(text)
        if text.startswith(VARIABLE_PREFIX):
            return variable_value(text.removeprefix(VARIABLE_PREFIX))
        return text
    except UndecryptableError as error:
        raise InvalidField("credential", str(error)) from None
    except LookupError as error:
        raise InvalidField("credential", str(error.args[0])) from None


def guardrail_values(rows: Iterable[models.Guardrail]) -> tuple[dict[str, Guardrail], list[str]]:
    """The enabled guardrails by name, and the names of disabled ones.

    An invalid row becomes a guardrail with a `fault`: left out, it would stop protecting.
    """
    values: dict[str, Guardrail] = {}
    disabled_names: list[str] = []
    for row in rows:
        if not row.enabled:
            disabled_names.append(row.name)
            continue
        try:
            values[row.name] = guardrail_value(row)
        except ValueError as error:
            copied_columns: dict[str, Any] = {name: getattr(row, name) for name in _COPIED_COLUMNS}
            values[row.name] = Guardrail(
                fault=f"its settings are not valid: {error}", **copied_columns
            )
    return values, disabled_names
