"""Errors of the database about values, apart from those about the database itself."""

from __future__ import annotations

from django.db import DataError, Error, IntegrityError, ProgrammingError

# SQLSTATE classes: data exception, integrity constraint violation, program limit exceeded.
_VALUE_CLASSES = frozenset({"22", "23", "54"})


def is_refusal(error: Exception) -> bool:
    """Whether these values are refused for good.

    Otherwise the database cannot be written at present: it is away, read-only (a standby after
    a fail-over), or its schema is not ours yet. The same values may be written later.
    """
    if not isinstance(error, Error):
        return True  # a value that could not be made ready
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    if sqlstate:
        return sqlstate[:2] in _VALUE_CLASSES
    return isinstance(error, DataError | IntegrityError | ProgrammingError)
