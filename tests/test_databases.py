"""The database tests, which usually run on SQLite, also run on PostgreSQL."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")


def is_running() -> bool:
    try:
        with socket.create_connection(("127.0.0.1", 5432), timeout=10):
            return True
    except OSError:
        return False


@pytest.mark.postgres
@pytest.mark.timeout(900)
def test_database_tests_pass_on_postgresql(pytestconfig: pytest.Config) -> None:
    if "TEST_POSTGRES_URL" not in os.environ and not is_running():
        pytest.skip("no PostgreSQL on 127.0.0.1:5432; start one, or set TEST_POSTGRES_URL")
    if os.environ.get("DATABASE_URL", "").startswith("postgres"):
        pytest.fail("run with DATABASE_URL unset: this test sets it for the run it starts")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    # These see to both databases by themselves.
    elsewhere = ["store/test_both_databases.py", "store/test_batches.py::test_of_several_processes"]
    elsewhere += ["store/test_log_export.py"]
    # Processes with a SQLite file of their own.
    elsewhere += ["store/test_checkpoint.py", "store/test_crash.py"]
    # Documents that no row changes.
    elsewhere += ["api/test_openapi.py", "api/test_postman.py"]
    # How SQLite plans a query.
    elsewhere += ["store/test_log_queries.py::test_each_filter_walks_an_index_in_order"]
    elsewhere += ["store/test_bills.py::test_a_bill_reads_no_table_from_its_beginning"]
    for name in elsewhere:
        command += ["--deselect", f"tests/{name}"]
    run = subprocess.run(
        [*command, "tests/store", *(["tests/api"] if pytestconfig.getoption("wide") else [])],
        cwd=ROOT,
        env={**environment, "DATABASE_URL": POSTGRES},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
