"""A request log of generated rows, for benches of the console."""

from __future__ import annotations

import time

from django.db import connection

from gateway.management.seed_requests import seed


def fill_log(rows: int) -> None:
    """Add this many rows that end now, and collect the statistics of the database."""
    for _ in seed(rows, until=time.time()):
        pass
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
