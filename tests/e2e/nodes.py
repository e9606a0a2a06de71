"""Gateway nodes: processes with their own data directories and one PostgreSQL database."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet

from tests.e2e.stack import Gateway
from tests.test_databases import POSTGRES, is_running

SECRETS = {
    "DRAGOMAN_SECRET_KEY": "the secret key of all nodes of a test, long enough",
    "DRAGOMAN_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
}


class Node(Gateway):
    """A node of the gateway; `more` are environment variables of this node."""

    def __init__(self, directory: Path, config: dict[str, Any], **more: str) -> None:
        directory.mkdir()
        super().__init__(directory, config)
        self._more = {**SECRETS, **more}

    def environment(self) -> dict[str, str]:
        """Return the environment of its process."""
        return {**super().environment(), **self._more}


@contextmanager
def new_database() -> Iterator[str]:
    """Create an empty database and return its URL. Skip the test without PostgreSQL."""
    if "TEST_POSTGRES_URL" not in os.environ and not is_running():
        pytest.skip("no PostgreSQL on 127.0.0.1:5432; start one, or set TEST_POSTGRES_URL")
    name = f"nodes_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES, autocommit=True) as database:
        database.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{POSTGRES.rpartition('/')[0]}/{name}"
        finally:
            database.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
