"""Connections in threads that Django does not know: nobody else ends them there."""

from __future__ import annotations

from django.db import close_old_connections, connection


def refresh() -> None:
    """Drop this thread's connection if it broke or is too old; the next query makes one.

    Not inside a transaction, whose connection Django would drop with it.
    """
    if not connection.in_atomic_block:
        close_old_connections()
