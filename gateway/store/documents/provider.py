"""Providers as documents."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.db import transaction

from gateway.models import Provider
from gateway.models.sealed import UndecryptableError
from gateway.providers.catalog import resolve
from gateway.store.credentials import set_credential
from gateway.store.documents.shape import (
    HIDDEN,
    ProviderDoc,
    Refused,
    as_json,
    check_row,
    claim,
    convert_document,
    hide_values,
    restore_hidden_values,
)
from gateway.store.field_values import InvalidField
from gateway.store.key_values import (
    budget_of,
    limits_value,
    set_budget,
    set_limits,
    strip_trailing_zeros,
)
from gateway.store.snapshot import provider_value

_COPIED_FIELDS = (
    "name",
    "preset",
    "dialect",
    "base_url",
    "auth",
    "paths",
    "edits",
    "timeouts",
    "passthrough",
    "drop_params",
    "enabled",
)


def read_provider(row: Provider) -> dict[str, Any]:
    """The provider as a document."""
    credential = HIDDEN if row.credential else ""
    if row.credential_env and not row.credential:
        credential = f"${row.credential_env}"
    copied = {name: getattr(row, name) for name in _COPIED_FIELDS}
    values = ProviderDoc(
        credential=credential,
        headers=hide_values(row.headers),
        query=None if row.query is None else hide_values(row.query),
        limits=limits_value(row),
        budget=budget_of(row),
        margin=strip_trailing_zeros(row.margin),
        **copied,
    )
    document: dict[str, Any] = as_json(values)
    return document


def write_provider(document: dict[str, Any], row: Provider | None) -> Provider:
    """Create or change a provider. Raises Refused."""
    values = convert_document(document, ProviderDoc)
    row = row or Provider()
    claim(row)
    previous_origin = origin_of(row) if row.pk else None
    for name in _COPIED_FIELDS:
        setattr(row, name, getattr(values, name))
    entered = _credential(row, values.credential, previous_origin)
    moved = previous_origin is not None and origin_of(row) != previous_origin
    row.headers = restore_hidden_values(values.headers, row.headers or {}, "headers", moved=moved)
    stored_query = row.query or {}
    row.query = None
    if values.query is not None:
        row.query = restore_hidden_values(values.query, stored_query, "query", moved=moved)
    set_limits(row, values.limits)
    set_budget(row, values.budget)
    row.margin = values.margin
    check_row(row)
    try:
        provider_value(row, entered)
    except ValueError as error:
        raise Refused(field_of(error), str(error)) from None
    with transaction.atomic():
        row.save()
        if entered:
            set_credential(row, entered)
    return row


def _credential(row: Provider, entered: str, previous_origin: tuple[str, str] | None) -> str | None:
    """Set the row's credential source; return a new credential to be stored, or None."""
    if entered == HIDDEN:
        if not row.credential:
            raise Refused("credential", f"{HIDDEN} stands for a key that is stored; none is")
        if origin_of(row) != previous_origin:
            raise Refused(
                "credential", "the server is another one now: give the key again, meant for it"
            )
        return None
    row.credential = ""
    row.credential_env = entered[1:] if entered.startswith("$") else ""
    return entered if entered and not entered.startswith("$") else None


def field_of(error: ValueError) -> str:
    """The field that an error of `provider_value` is about; empty for none."""
    if isinstance(error, UndecryptableError):
        return "credential"
    return error.field if isinstance(error, InvalidField) else ""


def origin_of(row: Provider) -> tuple[str, str]:
    """The scheme and host that a provider's secrets are sent to."""
    preset = resolve(row.preset)
    url = row.base_url or (preset.base_url if preset is not None else "")
    try:
        parts = urlsplit(url)
    except ValueError:
        return ("", url)
    return parts.scheme, parts.netloc.lower()
