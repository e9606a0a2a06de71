"""Migrations match the models and are reversible."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection

from gateway.models import RequestText


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_migrations_can_be_reversed_and_reapplied() -> None:
    call_command("migrate", "gateway", "zero", verbosity=0)
    remaining_tables = [
        name for name in connection.introspection.table_names() if name.startswith("gateway_")
    ]
    call_command("migrate", "gateway", verbosity=0)
    assert remaining_tables == []
    assert RequestText.objects.count() == 0
