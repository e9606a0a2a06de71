"""Refuses a database that a newer version of the program has migrated.

An older program would read and write tables whose meaning has changed. The version of the last
program that prepared the database is stored in it, for the message.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from gateway.models import Registry

_SHOWN = 3


class NewerDatabase(Exception):
    """The database has migrations that this program does not know."""


def check_program() -> None:
    """Check that this program knows all migrations of the database.

    Raises:
        NewerDatabase: it does not; the message names both versions and says what to do.
    """
    unknown = unknown_migrations(MigrationRecorder(connection).applied_migrations())
    if not unknown:
        return
    newer_version = _stored_version() or "a newer version"
    omitted_text = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    raise NewerDatabase(
        f"this program is Dragoman {settings.PROGRAM_VERSION}, and its database was migrated by "
        f"Dragoman {newer_version}: {', '.join(unknown[:_SHOWN])}{omitted_text} is unknown here. "
        f"Start version {newer_version} or later, or restore a backup of this version "
        "(`dragoman restore FILE`)"
    )


def unknown_migrations(applied_migrations: Iterable[tuple[str, str]]) -> list[str]:
    """The applied migrations that this program does not have, as `app.name`.

    Applications that this program does not have are ignored: it does not use their tables.
    """
    labels = {config.label for config in apps.get_app_configs()}
    unknown = {key for key in applied_migrations if key[0] in labels} - migration_names()
    if unknown:  # squashed migrations replace others
        for migration in MigrationLoader(None).disk_migrations.values():
            unknown.difference_update(migration.replaces)
    return sorted(f"{app}.{name}" for app, name in unknown)


def migration_names() -> set[tuple[str, str]]:
    """The migrations of this program, as (app, name), without importing them."""
    return {
        (config.label, module.name)
        for config in apps.get_app_configs()
        for module in pkgutil.iter_modules([str(Path(config.path) / "migrations")])
        if module.name[0] not in "_~"
    }


def record_program() -> None:
    """Store this program's version in the database, as the last one that prepared it."""
    Registry.objects.update_row(program_version=settings.PROGRAM_VERSION)


def _stored_version() -> str:
    """The version of the last program that prepared the database; empty if it is unknown."""
    try:
        with transaction.atomic():
            return Registry.objects.values_list("program_version", flat=True).first() or ""
    except DatabaseError:
        return ""
