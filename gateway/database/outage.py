"""Errors of the database that pass without a change of the program."""

from __future__ import annotations

import logging

from django.db import InterfaceError, InternalError, OperationalError


def database_outage(error: BaseException | None) -> str:
    """Why the database cannot serve requests at the moment; empty if it is not the cause."""
    text = str(error)
    if isinstance(error, InternalError | OperationalError):
        # The messages of PostgreSQL, for example after a failover, and of SQLite.
        if "read-only" in text or "readonly" in text:
            return "the database is read-only at the moment; try again"
        if "is full" in text or "No space left" in text:
            return "the database has no disk space left; try again"
    if isinstance(error, InterfaceError | OperationalError):
        return "the database is not responding; try again"
    return ""


class OutageFilter(logging.Filter):
    """Logs an outage of the database as one line: each request of the console meets it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, after replacing the traceback of an outage by its message."""
        error = record.exc_info[1] if record.exc_info else None
        if database_outage(error):
            record.exc_info = None
            record.error = " ".join(str(error).split())
        return True
