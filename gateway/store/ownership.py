"""Transfers rows of a file or the environment to the database."""

from __future__ import annotations

from typing import Any

from gateway.models import Provider, RegistryRow, RowSource


def adopt_row(row: Any) -> bool:
    """Make a row and its dependents database rows; False if they were already.

    Later starts with the same file do not overwrite them.
    """
    if not row.read_only:
        return False
    if isinstance(row, Provider):
        row.models.from_source(row.source).update(source=RowSource.DATABASE, source_ref="")
    for child_list in ("steps", "targets", "aliases"):
        for part in getattr(row, child_list).all() if hasattr(row, child_list) else ():
            _release_row(part)
    _release_row(row)
    return True


def _release_row(row: RegistryRow) -> None:
    """Save each row separately, so that the audit log records it."""
    if row.read_only:
        row.source, row.source_ref = RowSource.DATABASE, ""
        row.save()
