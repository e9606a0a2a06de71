"""Database connections of threads, which Django does not close."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import close_old_connections, connection, connections

Result = TypeVar("Result")


def refresh() -> None:
    """Close this thread's connection if it is broken or too old; the next query opens a new one.

    Do nothing inside a transaction, which would lose its connection.
    """
    if not connection.in_atomic_block:
        close_old_connections()


def close_connection() -> None:
    """Close this thread's connection; the next query opens a new one.

    Do nothing inside a transaction, which would lose its connection.
    """
    for open_connection in connections.all(initialized_only=True):
        if not open_connection.in_atomic_block:
            open_connection.close()


def with_own_connection(work: Callable[[], Result]) -> Result:
    """Run `work`, then close this thread's connection."""
    try:
        return work()
    finally:
        close_connection()
