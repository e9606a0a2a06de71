"""Gateway keys in the database: made here, shown once, kept as a keyed hash."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from gateway.edge import keys
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
    return keys.digest(token, pepper())


def make_key(
    name: str,
    *,
    routes: Iterable[str] = (),
    expires_at: datetime | None = None,
    log_bodies: bool | None = None,
    source: str = Source.DATABASE,
    source_ref: str = "",
) -> tuple[ApiKey, str]:
    """A new key: its row, and the key itself, which is kept nowhere."""
    plain = keys.fresh()
    row = ApiKey.objects.create(
        name=name,
        prefix=keys.public_part(plain),
        digest=digest(plain),
        routes=list(routes),
        expires_at=expires_at,
        log_bodies=log_bodies,
        source=source,
        source_ref=source_ref,
    )
    return row, plain
