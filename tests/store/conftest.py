"""What the store's tests share: a database, and a way to see all of its bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection


@pytest.fixture
def dump(db: None) -> Callable[[], str]:
    """Everything the database holds, as text: what a stolen backup would show."""

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
