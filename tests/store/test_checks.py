"""System checks report what cannot work, and how to fix it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from gateway import checks
from gateway.models import Registry


def ids(**kwargs: Any) -> set[str]:
    messages = run_checks(**kwargs)
    assert all(message.hint for message in messages if str(message.id).startswith("gateway."))
    return {str(message.id) for message in messages if str(message.id).startswith("gateway.")}


@pytest.mark.django_db
def test_a_usual_configuration_has_no_notes(settings: Any) -> None:
    settings.MASTER_KEY, settings.OPEN = "", False
    assert ids(databases=["default"]) == set()


def test_an_encryption_key_that_is_none_is_an_error(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), "short"]
    assert "gateway.E001" in ids()


def test_one_key_for_two_purposes_is_warned_of(settings: Any) -> None:
    settings.SECRET_KEY = settings.ENCRYPTION_KEYS[0]
    assert "gateway.W002" in ids()


@pytest.mark.parametrize("key", ["sk-1234", "changeme", "x" * 19])
def test_a_master_key_that_can_be_guessed_is_warned_of(settings: Any, key: str) -> None:
    settings.MASTER_KEY = key
    assert "gateway.W001" in ids()


def test_an_open_gateway_is_warned_of(settings: Any) -> None:
    settings.OPEN = True
    assert "gateway.W003" in ids()


def test_every_check_is_in_the_table_of_the_module() -> None:
    import re

    source = Path(str(checks.__file__)).read_text(encoding="utf-8")
    check_ids = set(re.findall(r'id="(gateway\.[EW]\d+)"', source))
    assert check_ids == set(re.findall(r"\| (gateway\.[EW]\d+) \|", source))


def deploy_ids() -> set[str]:
    return ids(include_deployment_checks=True)


@pytest.fixture
def deployed(settings: Any, tmp_path: Path) -> Any:
    """Settings of a node behind a proxy that pass every check."""
    settings.MASTER_KEY, settings.OPEN, settings.DATA_DIR = "", False, tmp_path
    settings.ALLOWED_HOSTS, settings.TRUSTED_PROXIES = ["llm.example.com"], ["127.0.0.1"]
    get_user_model().objects.create_superuser("root", password="x")
    Registry.objects.update_row(backup_at=timezone.now())
    return settings


@pytest.mark.django_db
def test_a_node_behind_a_proxy_passes_the_checks_for_deployment(deployed: Any) -> None:
    messages = run_checks(include_deployment_checks=True)
    assert [message for message in messages if not message.is_silenced()] == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"OPEN": True}, {"gateway.W003", "gateway.E005"}),
        ({"TRUSTED_PROXIES": []}, {"gateway.W006"}),
        ({"TRUSTED_PROXIES": [], "ALLOWED_HOSTS": ["localhost"]}, set()),
        ({"ALLOWED_HOSTS": ["*"]}, {"gateway.W009"}),
        ({"ENCRYPTION_KEYS": [Fernet.generate_key().decode() for _ in range(2)]}, {"gateway.W007"}),
    ],
)
def test_exposed_settings_are_named(
    deployed: Any, changes: dict[str, Any], expected: set[str]
) -> None:
    for name, value in changes.items():
        setattr(deployed, name, value)
    assert deploy_ids() == expected


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("database", "redis", "expected"),
    [
        ({"ENGINE": "django.db.backends.sqlite3"}, "redis://127.0.0.1", {"gateway.W004"}),
        ({"ENGINE": "django.db.backends.sqlite3"}, "", set()),
        (
            {"ENGINE": "gateway.database", "HOST": "db.example.com", "OPTIONS": {}},
            "",
            {"gateway.W008"},
        ),
        ({"ENGINE": "gateway.database", "HOST": "127.0.0.1", "OPTIONS": {}}, "", set()),
        (
            {"ENGINE": "gateway.database", "HOST": "db", "OPTIONS": {"sslmode": "verify-full"}},
            "redis://127.0.0.1",
            set(),
        ),
    ],
)
def test_a_database_that_does_not_fit_is_named(
    deployed: Any,
    monkeypatch: pytest.MonkeyPatch,
    database: dict[str, Any],
    redis: str,
    expected: set[str],
) -> None:
    deployed.REDIS_URL = redis
    monkeypatch.setitem(deployed.DATABASES, "default", database)
    texts = {message.id for message in checks.database_setup()}
    assert texts == expected


@pytest.mark.django_db
def test_a_secret_that_others_can_read_is_named(deployed: Any, tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    path.touch(mode=0o600)
    assert deploy_ids() == set()
    path.chmod(0o640)
    assert deploy_ids() == {"gateway.E004"}


@pytest.mark.django_db
@pytest.mark.parametrize("backup_at", [None, timezone.now() - dt.timedelta(days=8)])
def test_a_missing_backup_is_named(deployed: Any, backup_at: dt.datetime | None) -> None:
    Registry.objects.update_row(backup_at=backup_at)
    assert deploy_ids() == {"gateway.W005"}


@pytest.mark.django_db
def test_a_missing_admin_is_named(deployed: Any) -> None:
    get_user_model().objects.all().delete()
    assert deploy_ids() == {"gateway.W010"}


@pytest.mark.django_db
def test_a_newer_database_is_an_error_of_the_command(deployed: Any) -> None:
    MigrationRecorder(connection).record_applied("gateway", "0042_of_the_future")
    with pytest.raises(SystemCheckError, match="gateway.E006"):
        call_command("check", deploy=True)
