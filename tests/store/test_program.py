"""A program refuses a database migrated by a newer version, and stores its own version."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from gateway import store
from gateway.config.asgi import lifespan
from gateway.management.start.bootstrap import migrate
from gateway.models import Registry

FUTURE = "0042_of_the_future"


def apply_unknown(app: str) -> None:
    MigrationRecorder(connection).record_applied(app, FUTURE)


@pytest.mark.django_db
def test_a_known_database_is_accepted_and_keeps_the_version() -> None:
    version = store.current_version()
    store.check_program()
    store.record_program()
    assert Registry.objects.get().program_version == settings.PROGRAM_VERSION
    # It is no change of the configuration.
    assert store.current_version() == version


@pytest.mark.django_db
@pytest.mark.parametrize("stored", ["9.9.9", ""])
def test_an_unknown_migration_is_refused_with_both_versions(stored: str) -> None:
    Registry.objects.update_row(program_version=stored)
    apply_unknown("gateway")
    with pytest.raises(store.NewerDatabase) as refusal:
        store.check_program()
    for text in (settings.PROGRAM_VERSION, stored or "a newer version", f"gateway.{FUTURE}"):
        assert text in str(refusal.value)
    assert "dragoman restore" in str(refusal.value)


@pytest.mark.django_db
def test_only_a_start_with_migrations_to_apply_imports_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Imported(Exception):
        pass

    def load_disk(loader: MigrationLoader) -> None:
        raise Imported

    monkeypatch.setattr(MigrationLoader, "load_disk", load_disk)
    store.check_program()
    migrate()
    MigrationRecorder(connection).record_unapplied("gateway", "0001_initial")
    store.check_program()
    with pytest.raises(Imported):
        migrate()


@pytest.mark.django_db
def test_migrations_of_other_applications_are_ignored() -> None:
    apply_unknown("somebody_else")
    store.check_program()


@pytest.mark.django_db(transaction=True)
def test_a_worker_of_an_older_program_does_not_start() -> None:
    store.check_secrets()
    apply_unknown("gateway")
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            raise EOFError
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    try:
        asyncio.run(lifespan({}, receive, send))
    finally:
        MigrationRecorder(connection).record_unapplied("gateway", FUTURE)
    assert messages[0]["type"] == "lifespan.startup.failed"
    assert f"gateway.{FUTURE}" in messages[0]["message"]
