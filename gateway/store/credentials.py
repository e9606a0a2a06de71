"""Provider credentials: encrypted for one row, or the name of an environment variable."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from gateway.models import AlertChannel, Guardrail, Provider
from gateway.models.sealed import (
    UndecryptableError,
    is_sealed_with,
    is_sealed_without,
    key_id,
    seal_for,
    sealing_keys,
    unseal_for,
)

# Dragoman's own secrets, which no provider may reference.
_RESERVED_PREFIXES = ("DRAGOMAN_", "DATABASE_URL", "REDIS_URL")
_HINT_CHARS = 4
# Annotation name -> sealed column, to read the column without decrypting it.
_RAW = {f"raw_{name}": name for name in ("headers", "query", "proxy", "client_key")}
# Four characters of a shorter credential would reveal too much.
_HINT_MIN_LENGTH = 16


def _seal_context(provider_id: int) -> str:
    return f"provider:{provider_id}:credential"


def seal(provider_id: int, credential: str) -> str:
    """The credential, encrypted for this row."""
    return seal_for(_seal_context(provider_id), credential)


def unseal(provider_id: int, sealed_text: str) -> str:
    """The credential that was sealed for this row.

    Raises:
        UndecryptableError: no key decrypts it, or it was sealed for another row.
    """
    return unseal_for(_seal_context(provider_id), sealed_text)


def set_credential(provider: Provider, credential: str) -> None:
    """Seal a credential into a provider's row and save it; an empty one removes it."""
    with transaction.atomic():
        if provider.pk is None:
            provider.save()
        provider.credential = seal(provider.pk, credential) if credential else ""
        provider.save()


def credential_of(provider: Provider) -> str:
    """The credential of a provider, sealed or from its variable; empty if it has none.

    Raises:
        UndecryptableError: it cannot be decrypted.
        LookupError: the variable is not set, or is one of Dragoman's own.
    """
    if provider.credential:
        return unseal(provider.pk, provider.credential)
    return variable_value(provider.credential_env) if provider.credential_env else ""


def variable_value(name: str) -> str:
    """The value of an environment variable, or of the file that `NAME_FILE` names.

    Raises:
        LookupError: it is not set, or is one of Dragoman's own.
    """
    if name.upper().startswith(_RESERVED_PREFIXES):
        raise LookupError(
            f"the variable {name} belongs to Dragoman and cannot be used for a provider"
        )
    value = os.environ.get(name, "").strip()
    path = os.environ.get(f"{name}_FILE")
    if not value and path:
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise LookupError(f"the file named by {name}_FILE cannot be read") from None
    if not value:
        raise LookupError(f"the variable {name} is not set")
    if value in gateway_secrets():
        raise LookupError(f"the variable {name} contains a secret of Dragoman itself")
    return value


def gateway_secrets() -> set[str]:
    """Values that are never sent to a provider, whichever variable contains them."""
    urls = (settings.DATABASE_URL, settings.REDIS_URL)
    secrets = {
        settings.SECRET_KEY,
        settings.MASTER_KEY,
        settings.ADMIN_KEY,
        *settings.ENCRYPTION_KEYS,
        *urls,
        *(unquote(urlsplit(url).password or "") for url in urls),
    }
    return secrets - {""}


def credential_hint(provider: Provider) -> str:
    """A displayable hint of a stored credential: its last four characters, or `set`."""
    if not provider.credential:
        return ""
    try:
        credential = unseal(provider.pk, provider.credential)
    except UndecryptableError:
        return "unreadable"
    return f"...{credential[-_HINT_CHARS:]}" if len(credential) >= _HINT_MIN_LENGTH else "set"


def rotate_credentials() -> int:
    """Re-encrypt all credentials with the newest encryption key; return how many changed.

    Credentials that cannot be decrypted are left unchanged; the snapshot warns of them.
    """
    newest = key_id(settings.ENCRYPTION_KEYS[0])
    renewed_count = 0
    for provider in Provider.objects.exclude(credential=""):
        if provider.credential.startswith(f"{newest}:"):
            continue
        try:
            credential = unseal(provider.pk, provider.credential)
        except UndecryptableError:
            continue
        set_credential(provider, credential)
        renewed_count += 1
    return (
        renewed_count
        + _rotate_pairs(newest)
        + _rotate_channels(newest)
        + _rotate_guardrails(newest)
    )


def is_sealing_key_used(sealing_key: str) -> bool:
    """Whether anything is sealed with the encryption key of this id."""
    for table in (Provider, AlertChannel):
        if table.objects.filter(credential__startswith=f"{sealing_key}:").exists():
            return True
    if any(not is_sealed_without(text, sealing_key) for _, text in _guardrail_credentials()):
        return True
    return any(
        not is_sealed_without(getattr(row, name) or "", sealing_key)
        for row in _with_raw_pairs()
        for name in _RAW
    )


def sealed_counts() -> dict[str, int]:
    """How many values each encryption key sealed, by key id.

    Values are credentials, headers and query parameters of providers, the destinations of alert
    channels, and the credentials of guardrails.
    """
    counts: Counter[str] = Counter()
    for channel in AlertChannel.objects.all():
        counts[channel.credential.partition(":")[0]] += 1
    for _, text in _guardrail_credentials():
        counts.update(sealing_keys(text))
    for row in _with_raw_pairs():
        if row.credential:
            counts[row.credential.partition(":")[0]] += 1
        for name in _RAW:
            counts.update(sealing_keys(getattr(row, name) or ""))
    return dict(counts)


def _with_raw_pairs() -> QuerySet[Provider]:
    """Providers, annotated with the ciphertext of their sealed columns."""
    return Provider.objects.annotate(**{raw: Cast(name, TextField()) for raw, name in _RAW.items()})


def _rotate_pairs(newest: str) -> int:
    """Re-encrypt the columns that are sealed on save."""
    renewed_count = 0
    for provider in _with_raw_pairs():
        raw = [getattr(provider, name) or "" for name in _RAW]
        if all(is_sealed_with(text, newest) for text in raw):
            continue
        provider.save()
        renewed_count += 1
    return renewed_count


def _rotate_channels(newest: str) -> int:
    """Re-encrypt the destinations of alert channels."""
    renewed_count = 0
    for channel in AlertChannel.objects.exclude(credential__startswith=f"{newest}:"):
        try:
            channel.destination = channel.destination
        except UndecryptableError:
            continue
        channel.save()
        renewed_count += 1
    return renewed_count


def _guardrail_credentials() -> Iterator[tuple[Guardrail, str]]:
    """Guardrails with the ciphertext of their credential."""
    raw = dict(
        Guardrail.objects.annotate(raw=Cast("credential", TextField())).values_list("pk", "raw")
    )
    for row in Guardrail.objects.in_order():
        yield row, str(raw.get(row.pk) or "")


def _rotate_guardrails(newest: str) -> int:
    """Re-encrypt the credentials of guardrails, which are sealed on save."""
    renewed_count = 0
    for row, text in _guardrail_credentials():
        if not is_sealed_with(text, newest):
            row.save()
            renewed_count += 1
    return renewed_count
