"""Tells database errors caused by a value from errors of the database itself."""

from __future__ import annotations

from django.db import DataError, Error, IntegrityError, ProgrammingError

# SQLSTATE classes: data exception, integrity constraint violation, program limit exceeded.
_VALUE_CLASSES = frozenset({"22", "23", "54"})


def is_refusal(error: Exception) -> bool:
    """Whether the database rejects these values permanently.

    Otherwise it is not writable at present: it is unreachable, read-only (a standby after a
    failover), or its schema is not migrated yet. The same values can be written later.
    """
    if not isinstance(error, Error):
        return True  # a value that could not be converted
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    if sqlstate:
        return sqlstate[:2] in _VALUE_CLASSES
    return isinstance(error, DataError | IntegrityError | ProgrammingError)
