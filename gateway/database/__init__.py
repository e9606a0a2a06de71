"""Django's PostgreSQL backend with a timeout on every wait for the server."""

from __future__ import annotations


def mark_connections_suspect(waiting_s: float) -> None:
    """Mark this process's connections as suspect; see `gateway.database.base`."""
    # With SQLite, psycopg need not be installed.
    import sys

    backend = sys.modules.get("gateway.database.base")
    if backend is not None:
        backend.mark_connections_suspect(waiting_s)
