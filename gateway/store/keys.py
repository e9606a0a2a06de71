"""Gateway keys in the database: made here, shown once, kept as a keyed hash."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from gateway.edge import auth
from gateway.models import ApiKey, Source


@lru_cache(maxsize=8)
def _derived(secret: str, purpose: str) -> bytes:
    """A key for one purpose, so that what leaks of one opens no other."""
    return HKDF(SHA256(), 32, salt=None, info=purpose.encode()).derive(secret.encode())


def pepper() -> bytes:
    """What keys the digests of API keys. A new SECRET_KEY makes all keys unknown."""
    return _derived(settings.SECRET_KEY, "dragoman: digests of API keys")


def digest(token: str) -> bytes:
    """The hash by which a token is looked up."""
    return auth.key_digest(token, pepper())


def create_key(
    name: str,
    *,
    routes: Iterable[str] = (),
    expires_at: datetime | None = None,
    log_bodies: bool | None = None,
    source: str = Source.DATABASE,
    source_ref: str = "",
    **limits: Any,
) -> tuple[ApiKey, str]:
    """A new key: its row, and the key itself, which is kept nowhere.

    `limits` are the row's `budget_*` and `limit_*` fields.
    """
    row, secret = new_key_row(
        name=name,
        routes=list(routes),
        expires_at=expires_at,
        log_bodies=log_bodies,
        source=source,
        source_ref=source_ref,
        **limits,
    )
    row.save()
    return row, secret


def new_key_row(**values: Any) -> tuple[ApiKey, str]:
    """A key's row that is not saved yet, and the secret it was made for."""
    secret = auth.generate_key()
    return ApiKey(prefix=auth.public_prefix(secret), digest=digest(secret), **values), secret


def rotate_key(row: ApiKey, *, grace: timedelta) -> str:
    """Give a key a new secret; the one it had stays good for `grace`.

    It is still the same key: what it spent, may and did stays with it. A secret that was
    in its own grace ends now, so that there are never more than two.

    Raises:
        ValueError: the key has been revoked.
    """
    secret = auth.generate_key()
    with transaction.atomic():
        locked = ApiKey.objects.select_for_update().get(pk=row.pk)
        if locked.revoked_at is not None:
            raise ValueError("the key has been revoked")
        has_grace = grace > timedelta()
        locked.previous_prefix = locked.prefix if has_grace else ""
        locked.previous_digest = bytes(locked.digest) if has_grace else None
        locked.previous_expires_at = timezone.now() + grace if has_grace else None
        locked.prefix, locked.digest = auth.public_prefix(secret), digest(secret)
        locked.save()
    row.refresh_from_db()
    return secret


def end_grace(row: ApiKey) -> None:
    """Refuse the secret before the last rotation from now on."""
    row.previous_prefix, row.previous_digest, row.previous_expires_at = "", None, None
    row.save()
