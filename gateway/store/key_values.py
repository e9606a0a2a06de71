"""Rows of keys -> the values of the hot path, two for a key that was just rotated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from gateway import models
from gateway.routing.snapshot import ApiKey, Budget, Limits
from gateway.store import compile as made


def key_value(row: models.ApiKey) -> ApiKey:
    """A key as its row says. Raises ValueError."""
    return ApiKey(
        id=row.pk,
        prefix=row.prefix,
        name=row.name,
        digest=bytes(row.digest),
        routes=made.texts(row.routes, "routes"),
        expires_at=row.expires_at.timestamp() if row.expires_at else None,
        log_bodies=row.log_bodies,
        budget=Budget(
            total_usd=row.budget_total_usd,
            day_usd=row.budget_day_usd,
            month_usd=row.budget_month_usd,
        ),
        limits=Limits(
            requests_per_minute=row.limit_rpm,
            tokens_per_minute=row.limit_tpm,
            concurrency=row.limit_concurrency,
        ),
    )


def by_digest(rows: Iterable[models.ApiKey], keys: dict[int, ApiKey]) -> dict[bytes, ApiKey]:
    """The keys by the hashes of their secrets."""
    return {key.digest: key for key in (*_previous(rows, keys), *keys.values())}


def _previous(rows: Iterable[models.ApiKey], keys: dict[int, ApiKey]) -> Iterator[ApiKey]:
    """The keys with the secrets they had before they were rotated.

    One whose grace is over stays: its client is told that it has expired, not that
    nobody knows it.
    """
    for row in rows:
        key = keys.get(row.pk)
        if key is None or row.previous_digest is None or row.previous_expires_at is None:
            continue
        ends = row.previous_expires_at.timestamp()
        if key.expires_at is not None:
            ends = min(ends, key.expires_at)
        old = bytes(row.previous_digest)
        yield msgspec.structs.replace(key, digest=old, prefix=row.previous_prefix, expires_at=ends)
