"""Providers as documents."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.db import transaction

from gateway.models import Provider
from gateway.providers.catalog import resolve
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
# Where a refusal belongs, by how its words begin.
_PLACES = (
    ("the preset", "preset"),
    ("the base URL", "base_url"),
    ("it has no base URL", "base_url"),
    ("its name", "name"),
    ("dialect", "dialect"),
    ("auth", "auth"),
    ("headers", "headers"),
    ("query", "query"),
    ("paths", "paths"),
    ("timeouts", "timeouts"),
    ("the credential", "credential"),
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
    was = _origin(row) if row.credential else None
    headers = with_values(given.headers, row.headers or {}, "headers")
    row.query = None if given.query is None else with_values(given.query, row.query or {}, "query")
    row.headers = headers
    for name in _PLAIN:
        setattr(row, name, getattr(given, name))
    set_limits(row, given.limits)
    set_budget(row, given.budget)
    row.margin = given.margin
    entered = _credential(row, given.credential, was)
    checked(row)
    try:
        provider_value(row, entered)
    except ValueError as error:
        words = str(error)
        place = next((field for start, field in _PLACES if words.startswith(start)), "")
        raise Refused(place, words) from None
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
        if _origin(row) != was:
            raise Refused(
                "credential", "the server is another one now: give the key again, meant for it"
            )
        return None
    row.credential = ""
    row.credential_env = given[1:] if given.startswith("$") else ""
    return given if given and not given.startswith("$") else None


def _origin(row: Provider) -> tuple[str, str]:
    preset = resolve(row.preset)
    url = row.base_url or (preset.base_url if preset is not None else "")
    try:
        parts = urlsplit(url)
    except ValueError:
        return ("", url)
    return parts.scheme, parts.netloc.lower()
