"""Fixtures of all console tests."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from console.pages.requests import histogram, log_search, sessions


@pytest.fixture(autouse=True)
def patient_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the time limit of searches for busy machines."""
    for module in (histogram, log_search, sessions):
        monkeypatch.setattr(module, "BUDGET_S", 30.0)
    monkeypatch.setattr(log_search, "SORT_BUDGET_S", 30.0)


@pytest.fixture
def admin_client(db: None) -> Client:
    """A client of the admin `ada`."""
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def viewer_client(db: None) -> Client:
    """A client of the viewer `vic`."""
    client = Client()
    client.force_login(User.objects.create_user("vic"))
    return client
