"""Django's PostgreSQL backend, with a bound on every wait for the server's answer."""

from __future__ import annotations


def abandon(waiting_s: float) -> None:
    """Distrust the connections of this process; see `gateway.database.base`."""
    # Where the database is SQLite, PostgreSQL's library need not be there.
    import sys

    backend = sys.modules.get("gateway.database.base")
    if backend is not None:
        backend.abandon(waiting_s)
