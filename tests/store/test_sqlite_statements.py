"""Statements for SQLite: Django's placeholders, which are converted once for each statement."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.store.test_sqlite_errors import connection_to


@pytest.mark.django_db
def test_placeholders_and_percent_signs(tmp_path: Path) -> None:
    database = connection_to(tmp_path / "db", 0.1)
    with database.cursor() as cursor:
        for _ in range(2):
            cursor.execute("SELECT %s, '100%%'", [1])
            assert cursor.fetchall() == [(1, "100%")]
            cursor.execute("SELECT %(a)s, '100%%'", {"a": 2})
            assert cursor.fetchall() == [(2, "100%")]
        cursor.execute("SELECT '100%'")
        assert cursor.fetchall() == [("100%",)]
    database.close()


@pytest.mark.django_db
def test_a_statement_is_searched_for_placeholders_once(tmp_path: Path) -> None:
    database = connection_to(tmp_path / "db", 0.1)
    called: list[str] = []

    def note(_: FrameType, event: str, function: Any) -> None:
        if event == "c_call":
            called.append(function.__qualname__)

    with database.cursor() as cursor:
        cursor.execute("CREATE TABLE t (x)")
        statement = "INSERT INTO t VALUES (%s)"
        cursor.executemany(statement, [(0,)])
        sys.setprofile(note)
        try:
            cursor.executemany(statement, [(1,), (2,)])
            cursor.execute(statement, [3])
        finally:
            sys.setprofile(None)
        cursor.execute("SELECT count(*) FROM t")
        assert cursor.fetchone() == (4,)
    database.close()
    assert "Cursor.executemany" in called or "Cursor.execute" in called, called
    assert "Pattern.sub" not in called
