"""Errors of SQLite are freed when they are handled."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

BUSY_S = 3.0


def connection_to(path: Path, timeout_s: float) -> BaseDatabaseWrapper:
    options = {"transaction_mode": "IMMEDIATE", "timeout": timeout_s}
    settings = {"ENGINE": "gateway.database.sqlite", "NAME": str(path), "OPTIONS": options}
    return ConnectionHandler({"default": settings})["default"]


@pytest.mark.django_db
def test_the_database_of_the_tests_uses_the_backend() -> None:
    if connection.vendor == "sqlite":
        assert connection.settings_dict["ENGINE"] == "gateway.database.sqlite"


@pytest.mark.django_db
def test_an_error_leaves_no_cycle_and_names_its_cause(tmp_path: Path) -> None:
    database = connection_to(tmp_path / "db", 0.1)
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(OperationalError):
            database.cursor().execute("SELECT * FROM nothing")
        assert gc.collect() == 0
    finally:
        gc.enable()
    with pytest.raises(OperationalError) as failure:
        database.cursor().execute("SELECT * FROM nothing")
    assert isinstance(failure.value.__cause__, sqlite3.OperationalError)
    database.close()


@pytest.mark.django_db
def test_the_collector_does_not_wait_for_a_locked_database(tmp_path: Path) -> None:
    path = tmp_path / "db"
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("CREATE TABLE t (x)")
    blocker.execute("BEGIN IMMEDIATE")
    failed_once = threading.Event()

    def write_twice() -> None:
        database = connection_to(path, BUSY_S)
        for timeout_ms in (50, BUSY_S * 1000):
            database.cursor().execute(f"PRAGMA busy_timeout={timeout_ms:.0f}")
            with contextlib.suppress(DatabaseError):
                database.cursor().execute("BEGIN IMMEDIATE")
            failed_once.set()
        database.close()

    gc.collect()
    # The objects of the whole test run take seconds to examine on a busy machine.
    gc.freeze()
    gc.disable()
    try:
        thread = threading.Thread(target=write_twice)
        thread.start()
        failed_once.wait()
        time.sleep(0.3)
        started = time.monotonic()
        gc.collect()
        took_s = time.monotonic() - started
        thread.join()
    finally:
        gc.enable()
        gc.unfreeze()
        blocker.close()
    assert took_s < BUSY_S / 2


@pytest.mark.django_db
def test_an_error_in_another_thread_does_not_wait_for_a_locked_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the event loop, which gets the errors of threads that use the database."""
    path = tmp_path / "db"
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("CREATE TABLE t (x)")
    blocker.execute("BEGIN IMMEDIATE")
    database = connection_to(path, 0.05)
    database.inc_thread_sharing()

    def write() -> None:
        with transaction.Atomic(None, savepoint=True, durable=False):
            pass

    monkeypatch.setattr(transaction, "get_connection", lambda _=None: database)
    with ThreadPoolExecutor(1) as threads:
        error = threads.submit(write).exception()
        assert isinstance(error, OperationalError)
        threads.submit(database.cursor().execute, f"PRAGMA busy_timeout={BUSY_S * 1000:.0f}")
        waiting = threads.submit(write)
        time.sleep(0.3)
        started = time.monotonic()
        del error
        took_s = time.monotonic() - started
        assert isinstance(waiting.exception(), OperationalError)
    database.close()
    blocker.close()
    assert took_s < BUSY_S / 2
