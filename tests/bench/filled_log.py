"""A request log of generated rows, for benchmarks of the console."""

from __future__ import annotations

import time

from django.db import connection

from gateway.management.seed_requests import seed


def fill_log(rows: int) -> None:
    """Add `rows` log rows, the last of them from now, and update the database statistics."""
    for _ in seed(rows, until=time.time()):
        pass
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
