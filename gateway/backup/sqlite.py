"""Copies the SQLite database through the online backup API, and replaces it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from django.db import connection

from gateway.backup.archive import ArchiveError, Manifest

NAME = "database.sqlite3"


class DatabaseInUse(Exception):
    """Another process has the database open."""


def dump(directory: Path) -> list[tuple[str, str]]:
    """Copy the database to `directory`; return the migrations applied in it.

    The copy is one read transaction: consistent, and it does not delay the writers.
    """
    connection.ensure_connection()
    copy = sqlite3.connect(directory / NAME)
    with contextlib.closing(copy):
        connection.connection.backup(copy)
        # One file without a write-ahead log beside it.
        copy.execute("PRAGMA journal_mode=DELETE")
        return list(copy.execute("SELECT app, name FROM django_migrations ORDER BY id"))


def is_empty() -> bool:
    """Whether the database has no tables yet."""
    return not connection.introspection.table_names()


def close_connections() -> None:
    """Close this process's connection, after moving the write-ahead log into the database.

    Raises:
        DatabaseInUse: another process has the database open.
    """
    path = connection.settings_dict["NAME"]
    connection.close()
    with contextlib.closing(sqlite3.connect(path, timeout=1)) as database:
        try:
            # Leaving WAL mode takes the exclusive lock: https://www.sqlite.org/wal.html
            (mode,) = database.execute("PRAGMA journal_mode=DELETE").fetchone()
        except sqlite3.OperationalError:
            mode = "locked"
        except sqlite3.DatabaseError:
            return  # what is there is no database
    if mode != "delete":
        raise DatabaseInUse("the gateway runs on this database: stop it first")


def check_copy(directory: Path, manifest: Manifest) -> None:
    """Check that the unpacked copy is an intact database with the manifest's migrations.

    Raises:
        ArchiveError: it is not.
    """
    path = directory / NAME
    if not path.is_file():
        raise ArchiveError(f"the backup is incomplete: {NAME} is missing")
    with contextlib.closing(sqlite3.connect(path)) as copy:
        try:
            (problem,) = copy.execute("PRAGMA quick_check(1)").fetchone()
            migrations = copy.execute("SELECT app, name FROM django_migrations").fetchall()
        except sqlite3.DatabaseError as error:
            raise ArchiveError(f"the database of the backup is damaged: {error}") from None
    if problem != "ok":
        raise ArchiveError(f"the database of the backup is damaged: {problem}")
    if set(migrations) != set(manifest.migrations):
        raise ArchiveError("the backup is damaged: its database does not match its manifest")


def load(directory: Path, manifest: Manifest) -> None:
    """Move the restored database to the database's path, atomically."""
    (directory / NAME).replace(connection.settings_dict["NAME"])
