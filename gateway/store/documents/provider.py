"""Providers as documents."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.db import transaction

from gateway.models import Provider
from gateway.models.sealed import Undecryptable
from gateway.providers.catalog import resolve
from gateway.store.compile import InvalidField
from gateway.store.credentials import set_credential
from gateway.store.documents.shape import (
    HIDDEN,
    ProviderDoc,
    Refused,
    as_json,
    checked,
    claim,
    shaped,
    with_values,
    without_values,
)
from gateway.store.key_values import budget_of, limits_value, set_budget, set_limits, tidy
from gateway.store.snapshot import provider_value

_PLAIN = (
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
    plain = {name: getattr(row, name) for name in _PLAIN}
    document = ProviderDoc(
        credential=credential,
        headers=without_values(row.headers),
        query=None if row.query is None else without_values(row.query),
        limits=limits_value(row),
        budget=budget_of(row),
        margin=tidy(row.margin),
        **plain,
    )
    found: dict[str, Any] = as_json(document)
    return found


def write_provider(document: dict[str, Any], row: Provider | None) -> Provider:
    """Make or change a provider. Raises Refused."""
    given = shaped(document, ProviderDoc)
    row = row or Provider()
    claim(row)
    was = origin_of(row) if row.pk else None
    for name in _PLAIN:
        setattr(row, name, getattr(given, name))
    entered = _credential(row, given.credential, was)
    moved = was is not None and origin_of(row) != was
    row.headers = with_values(given.headers, row.headers or {}, "headers", moved=moved)
    held = row.query or {}
    row.query = None
    if given.query is not None:
        row.query = with_values(given.query, held, "query", moved=moved)
    set_limits(row, given.limits)
    set_budget(row, given.budget)
    row.margin = given.margin
    checked(row)
    try:
        provider_value(row, entered)
    except ValueError as error:
        raise Refused(field_of(error), str(error)) from None
    with transaction.atomic():
        row.save()
        if entered:
            set_credential(row, entered)
    return row


def _credential(row: Provider, given: str, was: tuple[str, str] | None) -> str | None:
    """Set where the credential is from; the one that is to be stored, if it is new."""
    if given == HIDDEN:
        if not row.credential:
            raise Refused("credential", f"{HIDDEN} stands for a key that is stored; none is")
        if origin_of(row) != was:
            raise Refused(
                "credential", "the server is another one now: give the key again, meant for it"
            )
        return None
    row.credential = ""
    row.credential_env = given[1:] if given.startswith("$") else ""
    return given if given and not given.startswith("$") else None


def field_of(error: ValueError) -> str:
    """The field of a provider that an error of `provider_value` is about; empty for none."""
    if isinstance(error, Undecryptable):
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
