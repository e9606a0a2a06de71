"""The page of a request says why its bodies are not stored."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import Client

from gateway import store
from tests.console.test_requests import detail, logged

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bodies_omitted": "off"}, "body logging is off"),
        ({"bodies_omitted": "rejected"}, "rejected the request before it selected a route"),
        ({"bodies_omitted": "pressure"}, "queue was full"),
        ({"bodies_omitted": "size"}, "too large for"),
        ({"started_at": 1_600_000_000.0}, "Expired on"),
        ({}, "were not recorded"),
    ],
)
@pytest.mark.parametrize("tab", ["translation", "response", "headers"])
def test_missing_bodies_show_the_actual_reason(
    admin_client: Client, values: Any, message: str, tab: str
):
    assert message in detail(admin_client, logged(**values), f"tab={tab}")


def test_expired_bodies_name_the_retention_that_is_set(admin_client: Client) -> None:
    row = logged(started_at=time.time() - 40 * 86_400)
    store.set_options({"body_days": 7})
    assert "Bodies are stored for 7 days" in detail(admin_client, row, "tab=response")
    store.set_options({"row_days": 90, "body_days": None})
    assert "were not recorded" in detail(admin_client, row, "tab=response")
