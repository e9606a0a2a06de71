"""The full-text index: FTS5 on SQLite, tsvector with GIN on PostgreSQL."""

import sqlite3

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# Since 3.43 SQLite can delete from an index that stores no text; older versions store the text.
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
    """Create the index in the form that the database supports."""
    if schema_editor.connection.vendor == "postgresql":
        for statement in TSVECTOR:
            schema_editor.execute(statement)
        return
    modern = sqlite3.sqlite_version_info >= (3, 43)
    schema_editor.execute(FTS5.format(without_text=WITHOUT_TEXT if modern else ""))


def drop_index(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Drop the index."""
    schema_editor.execute("DROP TABLE gateway_requesttext")
