"""Fixture of a management API client with the master key."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.api.conformance import ConformanceClient

MASTER = "master-key-0123456789-abcdef"


@pytest.fixture
def api(db: None, settings: Any) -> Client:
    settings.MASTER_KEY = MASTER
    return ConformanceClient(headers={"authorization": f"Bearer {MASTER}"})
