"""Django's PostgreSQL backend with a timeout on every wait for the server."""

from __future__ import annotations


def mark_connections_suspect(waiting_s: float) -> None:
    """Mark this process's connections as suspect; see `gateway.database.base`."""
    # With SQLite, psycopg need not be installed.
    import sys

    if "gateway.database.base" in sys.modules:
        from gateway.database import base

        base.mark_connections_suspect(waiting_s)
