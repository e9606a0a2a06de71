"""Sign-in attempts, counted across all processes."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable

from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone

WINDOW = dt.timedelta(minutes=10)
# Anonymous callers create rows, so their number is limited.
MAX_ROWS = 10_000


class ThrottleQuerySet(models.QuerySet["Throttle"]):
    """Counters of the current window."""

    def take(self, limits: Iterable[tuple[str, int]]) -> dt.timedelta | None:
        """Count an attempt against each limit; return how long to wait if one is exhausted.

        A refused attempt is not counted, since otherwise it could lock users out forever.
        """
        now = timezone.now()
        with transaction.atomic():
            self._drop_expired(now)
            for name, limit in limits:
                row = self._lock_row(name, now)
                if row.attempts >= limit:
                    transaction.set_rollback(True)
                    return row.window_start + WINDOW - now
                self.filter(pk=row.pk).update(attempts=F("attempts") + 1)
        return None

    def clear(self, names: Iterable[str]) -> None:
        """Delete the attempts of a user who has signed in."""
        self.filter(pk__in=[_throttle_key(name) for name in names]).delete()

    def _lock_row(self, name: str, now: dt.datetime) -> Throttle:
        self.bulk_create(
            [Throttle(key=_throttle_key(name), window_start=now)], ignore_conflicts=True
        )
        # On PostgreSQL this waits for concurrent attempts of the same name.
        return self.select_for_update().get(pk=_throttle_key(name))

    def _drop_expired(self, now: dt.datetime) -> None:
        # A window that begins later was counted before the clock was set back.
        expired = Q(window_start__lte=now - WINDOW) | Q(window_start__gt=now + WINDOW)
        self.filter(expired).delete()
        if self.count() > MAX_ROWS:
            # Fewest attempts first: a flood of other names must not reset an exhausted limit.
            rows = self.order_by("attempts", "window_start")
            pks = rows.values_list("pk", flat=True)[: MAX_ROWS // 10]
            self.filter(pk__in=list(pks)).delete()


class Throttle(models.Model):
    """Failed sign-ins since a time. `key` is a digest: the typed name may be a password."""

    key = models.CharField(max_length=64, primary_key=True)
    attempts = models.PositiveIntegerField(default=0)
    window_start = models.DateTimeField(db_index=True)

    objects = ThrottleQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.attempts} since {self.window_start}"


def _throttle_key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
