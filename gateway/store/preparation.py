"""One node at a time prepares the database: its migrations and first rows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from django.db import connection

# The key of the advisory lock in PostgreSQL: any number that other programs do not use.
_LOCK = 0x647261676F6D616E
_POLL_S = 0.2


@contextlib.contextmanager
def exclusive_preparation() -> Iterator[None]:
    """Wait until no other node prepares the database; others wait until the block ends.

    With SQLite there is one node. PostgreSQL releases the lock of a node that was killed.
    """
    if connection.vendor != "postgresql":
        yield
        return
    # In a transaction on a connection of its own: migrations commit, and a pooler may assign
    # another server connection after each transaction.
    guard = connection.copy()
    try:
        guard.set_autocommit(False)
        with guard.cursor() as cursor:
            # A waiting statement would hold a snapshot, for which an index that a migration
            # builds concurrently waits.
            while not _try_lock(cursor):
                guard.rollback()
                time.sleep(_POLL_S)
        yield
    finally:
        guard.close()


def _try_lock(cursor: Any) -> bool:
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
    return bool(cursor.fetchone()[0])
