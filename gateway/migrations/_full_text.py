"""The full-text index: FTS5 on SQLite, tsvector with GIN on PostgreSQL."""

import sqlite3

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# SQLite deletes from an index that keeps no text since 3.43; before, the text is kept.
FTS5 = """
CREATE VIRTUAL TABLE gateway_requesttext USING fts5(
    document, tokenize = 'unicode61 remove_diacritics 0'{without_text}
)
"""
WITHOUT_TEXT = ", content = '', contentless_delete = 1"
TSVECTOR = (
    "CREATE TABLE gateway_requesttext (rowid bigint PRIMARY KEY, document tsvector NOT NULL)",
    "CREATE INDEX gateway_requesttext_words ON gateway_requesttext USING gin (document)",
)


def create_index(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the table in the database's own way."""
    if schema_editor.connection.vendor == "postgresql":
        for statement in TSVECTOR:
            schema_editor.execute(statement)
        return
    modern = sqlite3.sqlite_version_info >= (3, 43)
    schema_editor.execute(FTS5.format(without_text=WITHOUT_TEXT if modern else ""))


def drop_index(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Remove it again."""
    schema_editor.execute("DROP TABLE gateway_requesttext")
