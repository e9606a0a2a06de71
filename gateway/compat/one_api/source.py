"""Reads the tables of one-api or new-api from an SQLite file or from PostgreSQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

Row = dict[str, Any]
_TABLES = ("channels", "tokens", "users", "options")
_CONNECT_S = 15


class SourceError(ValueError):
    """The database cannot be read; the message names the remedy, and no password."""


class Tables(msgspec.Struct, kw_only=True):
    """The rows of a database, and whether it is new-api's."""

    channels: list[Row]
    tokens: list[Row]
    users: list[Row]
    options: dict[str, str]
    new_api: bool

    @property
    def gateway(self) -> str:
        """The name of the gateway."""
        return "new-api" if self.new_api else "one-api"


def read_tables(location: str) -> Tables:
    """Read the database at a path or URL. Raises SourceError."""
    scheme = location.partition("://")[0]
    if scheme in {"postgres", "postgresql"}:
        rows = _from_postgres(location)
    elif "://" in location:
        raise SourceError("only SQLite files and postgresql:// URLs can be read")
    else:
        rows = _from_sqlite(Path(location))
    if not {"channels", "tokens"} <= rows.keys():
        raise SourceError(
            "it has no tables `channels` and `tokens`: this is not one-api's database"
        )
    columns = set().union(*(row.keys() for row in rows["tokens"] + rows["channels"]))
    return Tables(
        channels=rows["channels"],
        tokens=rows["tokens"],
        users=rows.get("users", []),
        options={row["key"]: str(row["value"]) for row in rows.get("options", [])},
        new_api=bool(columns & {"model_limits_enabled", "channel_info"}),
    )


def _from_sqlite(path: Path) -> dict[str, list[Row]]:
    if not path.is_file():
        raise SourceError(f"there is no file {path}")
    try:
        # Read-only: the file is neither created nor changed.
        connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
        try:
            connection.row_factory = sqlite3.Row
            table_rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            names = {row[0] for row in table_rows} & set(_TABLES)
            return {
                name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]  # noqa: S608 - one of _TABLES
                for name in names
            }
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise SourceError(f"the file cannot be read: {error}") from None


def _from_postgres(url: str) -> dict[str, list[Row]]:
    try:
        import psycopg
        from psycopg import sql
        from psycopg.rows import dict_row
    except ImportError:
        raise SourceError("PostgreSQL needs the extra `postgres`: dragoman[postgres]") from None
    try:
        with psycopg.connect(url, connect_timeout=_CONNECT_S, row_factory=dict_row) as connection:
            connection.read_only = True
            table_rows = connection.execute(
                "SELECT table_name FROM information_schema.tables "
                "WHERE table_schema = current_schema()"
            )
            names = {row["table_name"] for row in table_rows} & set(_TABLES)
            query = sql.SQL("SELECT * FROM {}")
            return {
                name: [dict(row) for row in connection.execute(query.format(sql.Identifier(name)))]
                for name in names
            }
    except psycopg.OperationalError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise SourceError(f"the database cannot be read: {lines[0][:300]}") from None
    except psycopg.Error:
        raise SourceError("the database cannot be read: check the form of the URL") from None
