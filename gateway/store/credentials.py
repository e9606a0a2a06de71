"""Provider credentials at rest: sealed, bound to their row and field, or a variable's name.

A sealed text is `<key id>:<Fernet token>`. The key id tells which of ENCRYPTION_KEYS
made it; inside, the credential follows the row and field it belongs to, so that a
ciphertext copied to another row opens nothing.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import transaction

from gateway.models import Provider

# Dragoman's own secrets are no provider's credentials, whatever a row says.
_OWN = ("DRAGOMAN_", "DATABASE_URL", "REDIS_URL")
_HINT_CHARS = 4
# Of a shorter credential four characters would tell too much.
_HINT_LEAST = 16


class Undecryptable(ValueError):
    """A sealed credential that no encryption key opens, or that is another row's."""


def _key_id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def _cipher() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


def _place(provider_id: int) -> str:
    return f"provider:{provider_id}:credential"


def seal(provider_id: int, plain: str) -> str:
    """The credential, encrypted for this row."""
    return seal_for(_place(provider_id), plain)


def seal_for(place: str, plain: str) -> str:
    """A text, encrypted for one place, which `unseal_for` must name again."""
    token = _cipher().encrypt(f"{place}\n{plain}".encode()).decode()
    return f"{_key_id(settings.ENCRYPTION_KEYS[0])}:{token}"


def unseal(provider_id: int, sealed: str) -> str:
    """The credential that was sealed for this row.

    Raises:
        Undecryptable: no key opens it, or it was sealed for another row.
    """
    return unseal_for(_place(provider_id), sealed)


def unseal_for(wanted: str, sealed: str) -> str:
    """The text that was sealed for this place. Raises Undecryptable."""
    key_id, _, token = sealed.rpartition(":")
    try:
        place, _, plain = _cipher().decrypt(token.encode()).decode().partition("\n")
    except (InvalidToken, ValueError):
        known = key_id in {_key_id(key) for key in settings.ENCRYPTION_KEYS}
        why = "is damaged" if known else f"was sealed with another encryption key ({key_id})"
        raise Undecryptable(f"the credential {why}; enter it again") from None
    if place != wanted:
        raise Undecryptable("the credential was sealed for another row; enter it again")
    return plain


def set_credential(provider: Provider, plain: str) -> None:
    """Seal a credential into a provider's row, and save it; empty removes it."""
    with transaction.atomic():
        if provider.pk is None:
            provider.save()
        provider.credential = seal(provider.pk, plain) if plain else ""
        provider.save()


def credential_of(provider: Provider) -> str:
    """The credential of a provider, sealed or from its variable; empty if it has none.

    Raises:
        Undecryptable: it can not be opened.
        LookupError: the variable is not set, or is one of Dragoman's own.
    """
    if provider.credential:
        return unseal(provider.pk, provider.credential)
    return _variable(provider.credential_env) if provider.credential_env else ""


def _variable(name: str) -> str:
    if name.upper().startswith(_OWN):
        raise LookupError(f"the variable {name} is Dragoman's own and is given to no provider")
    value = os.environ.get(name, "").strip()
    path = os.environ.get(f"{name}_FILE")
    if not value and path:
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise LookupError(f"the file that {name}_FILE names can not be read") from None
    if not value:
        raise LookupError(f"the variable {name} is not set")
    return value


def credential_hint(provider: Provider) -> str:
    """What may be shown of a stored credential: its last four characters, or less."""
    if not provider.credential:
        return ""
    try:
        plain = unseal(provider.pk, provider.credential)
    except Undecryptable:
        return "unreadable"
    return f"...{plain[-_HINT_CHARS:]}" if len(plain) >= _HINT_LEAST else "set"


def rotate_credentials() -> int:
    """Seal all credentials with the newest encryption key; how many were renewed.

    Those that can not be opened stay as they are: the snapshot warns of them.
    """
    newest = _key_id(settings.ENCRYPTION_KEYS[0])
    renewed = 0
    for provider in Provider.objects.exclude(credential=""):
        if provider.credential.startswith(f"{newest}:"):
            continue
        try:
            plain = unseal(provider.pk, provider.credential)
        except Undecryptable:
            continue
        set_credential(provider, plain)
        renewed += 1
    return renewed
