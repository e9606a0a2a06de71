"""Gateway API keys: generated here, shown once, stored as a keyed hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from gateway.edge import admission
from gateway.models import ApiKey, RowSource
from gateway.routing.snapshot import ApiKey as Key
from gateway.routing.snapshot import Snapshot

_SHA256 = re.compile(r"[0-9a-f]{64}")


@lru_cache(maxsize=8)
def _derive_key(secret: str, purpose: str) -> bytes:
    """A key derived for one purpose, so that leaking it exposes no other."""
    return HKDF(SHA256(), 32, salt=None, info=purpose.encode()).derive(secret.encode())


def pepper() -> bytes:
    """The HMAC key for digests of API keys. Changing SECRET_KEY invalidates all API keys."""
    return _derive_key(settings.SECRET_KEY, "dragoman: digests of API keys")


def digest(token: str) -> bytes:
    """The hash by which a token is looked up."""
    return admission.key_digest(token, pepper())


def hashed_digest(sha256: str) -> bytes:
    """The hash of an imported key that is known only by its SHA-256 hash, in hexadecimal."""
    return admission.hashed_key_digest(bytes.fromhex(sha256), pepper())


def lookup_digests(name: str) -> list[bytes]:
    """Every digest under which a key may be stored, by its secret or its SHA-256 hash."""
    digests = [
        digest(name),
        hashed_digest(hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()),
    ]
    return [*digests, hashed_digest(name)] if _SHA256.fullmatch(name) else digests


def find_key(snapshot: Snapshot, token: str) -> Key | None:
    """The key of a token in a snapshot."""
    return admission.find_key(snapshot, token, digest(token), pepper())


def create_key(
    name: str,
    *,
    routes: Iterable[str] = (),
    expires_at: datetime | None = None,
    log_bodies: bool | None = None,
    source: str = RowSource.DATABASE,
    source_ref: str = "",
    **limits: Any,
) -> tuple[ApiKey, str]:
    """Create a key: its row, and its secret, which is not stored.

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
    """An unsaved key row, and its secret."""
    secret = admission.generate_key()
    return ApiKey(prefix=admission.public_prefix(secret), digest=digest(secret), **values), secret


def rotate_key(row: ApiKey, *, grace: timedelta) -> str:
    """Give a key a new secret and return it; the old secret stays valid for `grace`.

    Usage, limits and history stay with the key. A secret still in its grace period from an
    earlier rotation ends now, so that at most two are valid.

    Raises:
        ValueError: the key has been revoked.
    """
    secret = admission.generate_key()
    with transaction.atomic():
        locked_row = ApiKey.objects.select_for_update().get(pk=row.pk)
        if locked_row.revoked_at is not None:
            raise ValueError("the key has been revoked")
        has_grace = grace > timedelta()
        locked_row.previous_prefix = locked_row.prefix if has_grace else ""
        locked_row.previous_digest = bytes(locked_row.digest) if has_grace else None
        locked_row.previous_expires_at = timezone.now() + grace if has_grace else None
        locked_row.prefix, locked_row.digest = admission.public_prefix(secret), digest(secret)
        locked_row.save()
    row.refresh_from_db()
    return secret


def end_grace(row: ApiKey) -> None:
    """Invalidate the secret from before the last rotation."""
    row.previous_prefix, row.previous_digest, row.previous_expires_at = "", None, None
    row.save()
