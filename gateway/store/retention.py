"""Retention of the log: rows and their bodies have separate limits in days.

Stored responses of the Responses API expire with the bodies. Spans of clients expire with the
rows, their content with the bodies. Expired sessions of the console are deleted.
"""

from __future__ import annotations

import datetime as dt

from django.contrib.sessions.models import Session
from django.utils import timezone

from gateway.models import ClientSpan, ClientTrace, RequestBody, RequestLog, StoredResponse
from gateway.querysets import delete_in_batches
from gateway.store import thread
from gateway.store.options import load_options


def prune(row_days: int | None = None) -> tuple[int, int]:
    """Delete expired data; return the number of rows, and of bodies whose rows remain.

    `row_days` overrides the setting. Several processes may prune at the same time.
    """
    thread.refresh()
    options = load_options()
    now = timezone.now()
    days = options.row_days if row_days is None else row_days
    oldest_row = now - dt.timedelta(days=days)
    rows = RequestLog.objects.prune(oldest_row)
    ClientSpan.objects.prune(oldest_row)
    ClientTrace.objects.prune(oldest_row)
    delete_in_batches(Session.objects.filter(expire_date__lt=now).order_by("expire_date"))
    oldest_kept_at = now - dt.timedelta(days=options.body_days)
    StoredResponse.objects.prune(oldest_kept_at)
    ClientSpan.objects.prune_content(oldest_kept_at)
    return rows, RequestBody.objects.prune(oldest_kept_at)
