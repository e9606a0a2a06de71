"""SQLite and PostgreSQL give the same results for one scenario.

The other tests of the store run on either (`DATABASE_URL=... pytest tests/store`); this one
compares them in one run.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")


def results_on(url: str, data_dir: Path) -> Any:
    environment = {**os.environ, "DRAGOMAN_DATA_DIR": str(data_dir), "PYTHONPATH": str(ROOT)}
    environment["PYTHONHASHSEED"] = "0"  # sets are compared as they are printed
    environment.pop("DATABASE_URL", None)
    if url:
        environment["DATABASE_URL"] = url
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.store.scenario"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture
def postgres() -> str:
    try:
        socket.create_connection(("127.0.0.1", 5432), timeout=10).close()
    except OSError:
        if "TEST_POSTGRES_URL" not in os.environ:
            pytest.skip("no PostgreSQL on 127.0.0.1:5432; start one, or set TEST_POSTGRES_URL")
    return POSTGRES


@pytest.mark.postgres
def test_a_sequence_of_writes_has_the_same_result_on_sqlite_and_postgresql(
    postgres: str, tmp_path: Path
) -> None:
    on_sqlite, on_postgresql = results_on("", tmp_path), results_on(postgres, tmp_path)
    assert on_sqlite.keys() == on_postgresql.keys()
    for part, value in on_sqlite.items():
        assert value == on_postgresql[part], part
    assert on_sqlite["found"]["sky"] == ["last", "sky"]
    assert len(on_sqlite["rows"]) == 12
