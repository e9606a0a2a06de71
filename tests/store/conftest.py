"""Fixtures of the store's tests: a database, and all of its bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection


@pytest.fixture
def dump(db: None) -> Callable[[], str]:
    """A function that returns everything in the database as text, as a stolen backup would."""

    def read() -> str:
        parts = []
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f'SELECT * FROM "{table}"')
                for row in cursor.fetchall():
                    parts += [
                        bytes(v).decode("latin-1") if isinstance(v, bytes | memoryview) else str(v)
                        for v in row
                    ]
        return "\n".join(parts)

    return read
