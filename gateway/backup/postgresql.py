"""Dumps and loads the tables of PostgreSQL by COPY, without external programs.

`pg_dump` would have to be installed in the version of the server or a later one, also in the
container image. The migrations define the schema, so only rows are dumped.
"""

from __future__ import annotations

from pathlib import Path

from django.apps import apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from gateway.backup.archive import ArchiveError, Manifest, Table

# Of every table of the schema: the columns that hold data, in their order.
_COLUMNS = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
GROUP BY c.relname ORDER BY c.relname
"""
_IDENTITIES = """
SELECT c.relname, a.attname, pg_get_serial_sequence(quote_ident(c.relname), a.attname)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
  AND a.attnum > 0 AND NOT a.attisdropped
  AND pg_get_serial_sequence(quote_ident(c.relname), a.attname) IS NOT NULL
"""


def dump(directory: Path) -> tuple[list[tuple[str, str]], dict[str, Table]]:
    """Copy every table to `directory`; return the migrations applied, and the tables.

    Call it in a transaction that has run no query yet. Writers are not delayed.
    """
    (directory / "tables").mkdir(mode=0o700)
    tables = {}
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for name, columns in _own_tables().items():
            statement = f"COPY {_quote_name(name)} ({_quoted_names(columns)}) TO STDOUT"
            with (
                connection.wrap_database_errors,
                (directory / "tables" / f"{name}.copy").open("wb") as file,
                cursor.copy(statement) as copy,
            ):
                for block in copy:
                    file.write(block)
            tables[name] = Table(columns, cursor.rowcount)
        cursor.execute("SELECT app, name FROM django_migrations ORDER BY id")
        return cursor.fetchall(), tables


def is_empty() -> bool:
    """Whether the schema has none of the program's tables yet."""
    return not _own_tables()


def load(directory: Path, manifest: Manifest) -> None:
    """Replace the rows of the program's tables with those of a backup. Call it in a transaction.

    Raises:
        ArchiveError: the backup has a table that is not of this program, or one without its rows.
    """
    with connection.cursor() as cursor:
        existing_tables = _own_tables()
        if existing_tables:
            cursor.execute(f"DROP TABLE {_quoted_names(list(existing_tables))} CASCADE")
        # The schema at the time of the backup, which `up` then migrates as usual.
        executor = MigrationExecutor(connection)
        executor.migrate(_last_migrations(executor, set(manifest.migrations)))
        own_tables = _own_tables()
        for name in manifest.tables:
            if name not in own_tables or not (directory / "tables" / f"{name}.copy").is_file():
                raise ArchiveError(f"the backup is damaged: its table {name} cannot be restored")
        # Migrations may have inserted rows.
        cursor.execute(f"TRUNCATE {_quoted_names(list(own_tables))}")
        # Tables come in the order of their names; a migration may have made some immediate.
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        for name, table in manifest.tables.items():
            statement = f"COPY {_quote_name(name)} ({_quoted_names(table.columns)}) FROM STDIN"
            with (
                connection.wrap_database_errors,
                (directory / "tables" / f"{name}.copy").open("rb") as file,
                cursor.copy(statement) as copy,
            ):
                while block := file.read(1024 * 1024):
                    copy.write(block)
        cursor.execute(_IDENTITIES)
        for name, column, sequence in cursor.fetchall():
            largest = f"(SELECT max({_quote_name(column)}) FROM {_quote_name(name)})"  # noqa: S608
            cursor.execute(
                f"SELECT setval(%s, coalesce({largest}, 1), {largest} IS NOT NULL)", [sequence]
            )


def _own_tables() -> dict[str, list[str]]:
    """The program's tables in the schema, including those of other versions, with their columns."""
    prefixes = {model._meta.db_table.partition("_")[0] for model in apps.get_models()}
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS)
        rows = cursor.fetchall()
    return {name: list(columns) for name, columns in rows if name.partition("_")[0] in prefixes}


def _last_migrations(
    executor: MigrationExecutor, applied_migrations: set[tuple[str, str]]
) -> list[tuple[str, str]]:
    """The last applied migrations of each app: no applied migration of the app depends on them."""
    nodes = executor.loader.graph.node_map
    return [
        key
        for key in applied_migrations & set(nodes)
        if not {child.key for child in nodes[key].children if child.key[0] == key[0]}
        & applied_migrations
    ]


def _quote_name(name: str) -> str:
    return connection.ops.quote_name(name)


def _quoted_names(names: list[str]) -> str:
    return ", ".join(map(_quote_name, names))
