"""Database connections in threads that Django does not manage."""

from __future__ import annotations

from django.db import close_old_connections, connection


def refresh() -> None:
    """Close this thread's connection if it is broken or too old; the next query opens a new one.

    Does nothing inside a transaction, which would lose its connection.
    """
    if not connection.in_atomic_block:
        close_old_connections()
