"""How long the log is kept: rows by one number of days, their bodies by another.

Responses that clients may name by id go with the bodies."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

from gateway.models import RequestBody, RequestLog, StoredResponse
from gateway.store import thread
from gateway.store.options import load_options


def prune(row_days: int | None = None) -> tuple[int, int]:
    """Delete what is too old; how many rows, and how many bodies of rows that stay.

    `row_days` is instead of what the settings say. Several processes may do this at once.
    """
    thread.refresh()
    options = load_options()
    now = timezone.now()
    days = options.row_days if row_days is None else row_days
    rows = RequestLog.objects.prune(now - dt.timedelta(days=days))
    oldest = now - dt.timedelta(days=options.body_days)
    StoredResponse.objects.prune(oldest)
    return rows, RequestBody.objects.prune(oldest)
