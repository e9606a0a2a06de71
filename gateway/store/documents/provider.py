"""Providers as documents."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.db import transaction

from gateway.models import Provider
from gateway.models.sealed import UndecryptableError
from gateway.providers.auth import VARIABLE_PREFIX
from gateway.providers.catalog import resolve_preset
from gateway.providers.network import mask_proxy, unmask_proxy
from gateway.store.credentials import set_credential
from gateway.store.documents.schemas import (
    HIDDEN,
    ProviderDoc,
    Refused,
    as_json,
    check_row,
    claim,
    convert_document,
    hide_value,
    hide_values,
    restore_hidden_values,
)
from gateway.store.field_values import InvalidField
from gateway.store.key_values import (
    budget_value,
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
    "client_credential",
    "ca_certificates",
    "client_certificate",
    "ssl_verify",
    "enabled",
)


def read_provider(row: Provider) -> dict[str, Any]:
    """The provider as a document."""
    credential = HIDDEN if row.credential else ""
    if row.credential_env and not row.credential:
        credential = f"${row.credential_env}"
    copied_fields = {name: getattr(row, name) for name in _COPIED_FIELDS}
    values = ProviderDoc(
        credential=credential,
        headers=hide_values(row.headers),
        query=None if row.query is None else hide_values(row.query),
        proxy=mask_proxy(row.proxy),
        client_key=hide_value(row.client_key),
        limits=limits_value(row),
        budget=budget_value(row),
        markup=strip_trailing_zeros(row.markup),
        **copied_fields,
    )
    document: dict[str, Any] = as_json(values)
    return document


def write_provider(document: dict[str, Any], row: Provider | None) -> Provider:
    """Create or change a provider. Raises Refused."""
    values = convert_document(document, ProviderDoc)
    row = row or Provider()
    claim(row)
    previous_recipient = recipient_of(row) if row.pk else None
    for name in _COPIED_FIELDS:
        setattr(row, name, getattr(values, name))
    row.proxy = unmask_proxy(values.proxy, row.proxy)
    if values.client_key != HIDDEN:
        row.client_key = values.client_key
    elif not row.client_key:
        raise Refused("client_key", f"{HIDDEN} stands for the stored key, but no key is stored")
    new_recipient = previous_recipient is not None and is_new_recipient(
        previous_recipient, recipient_of(row)
    )
    credential = _set_credential_source(row, values.credential, new_recipient=new_recipient)
    row.headers = restore_hidden_values(
        values.headers, row.headers or {}, "headers", new_recipient=new_recipient
    )
    stored_query = row.query or {}
    row.query = None
    if values.query is not None:
        row.query = restore_hidden_values(
            values.query, stored_query, "query", new_recipient=new_recipient
        )
    set_limits(row, values.limits)
    set_budget(row, values.budget)
    row.markup = values.markup
    check_row(row)
    try:
        provider_value(row, credential)
    except InvalidField as error:
        raise Refused(error.field, error.message) from None
    except ValueError as error:
        raise Refused(field_of(error), str(error)) from None
    with transaction.atomic():
        row.save()
        if credential:
            set_credential(row, credential)
    return row


def _set_credential_source(
    row: Provider, entered_credential: str, *, new_recipient: bool
) -> str | None:
    """Set the row's credential source; return a new credential to be stored, or None.

    `new_recipient` means that a stored credential would be sent to another server.
    """
    if entered_credential == HIDDEN:
        if not row.credential:
            raise Refused("credential", f"{HIDDEN} stands for the stored key, but no key is stored")
        if new_recipient:
            raise Refused(
                "credential",
                "the server has changed: enter the key again to confirm sending it there",
            )
        return None
    row.credential = row.credential_env = ""
    for prefix in ("$", VARIABLE_PREFIX):
        if entered_credential.startswith(prefix):
            row.credential_env = entered_credential.removeprefix(prefix)
            return None
    return entered_credential or None


def field_of(error: ValueError) -> str:
    """The field that an error of `provider_value` is about; empty for none."""
    if isinstance(error, UndecryptableError):
        return "credential"
    return error.field if isinstance(error, InvalidField) else ""


class Recipient(NamedTuple):
    """Who receives a provider's secrets: its server, and who could read them on the way there.

    Attributes:
        path: proxy, trusted authorities and `ssl_verify`; empty over TLS that is verified against
            the usual authorities, as then only the server can read them.
    """

    scheme: str
    host: str
    path: tuple[str, str, bool] | None


def recipient_of(row: Provider) -> Recipient:
    """The recipient of a provider's secrets."""
    preset = resolve_preset(row.preset)
    url = row.base_url or (preset.base_url if preset is not None else "")
    try:
        parts = urlsplit(url)
    except ValueError:
        return Recipient("", url, None)
    is_private = parts.scheme == "https" and row.ssl_verify and not row.ca_certificates
    path = None if is_private else (row.proxy, row.ca_certificates, row.ssl_verify)
    return Recipient(parts.scheme, parts.netloc.lower(), path)


def is_new_recipient(before: Recipient, after: Recipient) -> bool:
    """Whether secrets that were entered for one recipient must be entered again for another."""
    if before[:2] != after[:2]:
        return True
    return after.path is not None and after.path != before.path
