"""System checks tell what can not work, and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks

from gateway import checks


def ids(**kwargs: Any) -> set[str]:
    found = run_checks(**kwargs)
    assert all(message.hint for message in found if str(message.id).startswith("gateway."))
    return {str(message.id) for message in found if str(message.id).startswith("gateway.")}


@pytest.mark.django_db
def test_a_usual_configuration_has_nothing_to_tell(settings: Any) -> None:
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
    from pathlib import Path

    source = Path(str(checks.__file__)).read_text(encoding="utf-8")
    raised = set(re.findall(r'id="(gateway\.[EW]\d+)"', source))
    assert raised == set(re.findall(r"\| (gateway\.[EW]\d+) \|", source))
