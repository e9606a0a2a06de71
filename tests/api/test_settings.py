"""Settings in the API: values with their origin, and changes of editable settings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from console.api.settings import SettingsChange
from gateway import store
from gateway.models import Change, RowSource, Setting
from gateway.routing.limits import Budget, Limits
from gateway.store.options import OPTIONS
from tests.api.test_resources import send


def read_settings(api: Client) -> dict[str, Any]:
    return {row["name"]: row for row in send(api, "GET", "settings").json()["items"]}


def test_each_setting_shows_its_origin(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_LOG_RETENTION_DAYS", "9")
    settings_values = read_settings(api)
    assert settings_values["row_days"]["origin"] == "environment"
    assert settings_values["row_days"]["ref"] == "DRAGOMAN_LOG_RETENTION_DAYS"
    assert not settings_values["row_days"]["editable"]
    assert settings_values["body_days"]["editable"]
    assert settings_values["DRAGOMAN_MASTER_KEY"]["value"] is None
    assert settings_values["DRAGOMAN_MAX_BODY_BYTES"]["value"] > 0


def test_every_editable_setting_is_in_the_schema() -> None:
    assert SettingsChange.model_fields.keys() == OPTIONS.keys()


def test_a_setting_that_may_contain_a_secret_is_shown_only_when_empty(
    api: Client, settings: Any
) -> None:
    settings.REDIS_URL = ""
    assert read_settings(api)["REDIS_URL"]["value"] == ""
    settings.REDIS_URL = "redis://:pass@cache:6379/0"
    assert read_settings(api)["REDIS_URL"]["value"] is None
    assert read_settings(api)["DRAGOMAN_SECRET_KEY"]["value"] is None
    assert read_settings(api)["DRAGOMAN_LOG_LEVEL"]["value"] == settings.LOG_LEVEL


def test_a_setting_is_changed_and_reset(api: Client) -> None:
    response = send(api, "PATCH", "settings", {"body_days": 3, "masks": ["secret-[0-9]+"]})
    assert response.status_code == 200, response.content
    assert store.load_options().values["body_days"].value == 3
    assert read_settings(api)["masks"]["value"] == ["secret-[0-9]+"]
    assert Change.objects.filter(kind="setting", via="api").count() == 2
    send(api, "PATCH", "settings", {"body_days": None, "masks": None})
    assert read_settings(api)["masks"]["origin"] == "default"
    assert not Setting.objects.exists()


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"row_days": 9}, 409, "row_days"),
        ({"body_days": -1}, 422, "body_days"),
        ({"body_days": "3"}, 422, "body_days"),
        ({"masks": ["("]}, 422, "masks"),
        ({"masks": ["secret\0[0-9]+"]}, 422, "masks"),
        ({"log_bodys": True}, 422, "log_bodys"),
        ({"DATABASE_URL": "x"}, 422, "DATABASE_URL"),
    ],
)
def test_an_invalid_change_is_refused_completely(
    api: Client,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    status: int,
    field: str,
) -> None:
    monkeypatch.setenv("DRAGOMAN_LOG_RETENTION_DAYS", "9")
    response = send(api, "PATCH", "settings", {"log_bodies": False, **change})
    assert (response.status_code, response.json()["field"]) == (status, field)
    assert not Setting.objects.exists()


def test_settings_of_a_file_are_read_only(api: Client) -> None:
    Setting.objects.create(name="body_days", value=5, source=RowSource.FILE, source_ref="c.yaml:3")
    assert send(api, "PATCH", "settings", {"body_days": 3}).status_code == 409
    assert send(api, "PATCH", "settings", {"body_days": None}).status_code == 409
    assert read_settings(api)["body_days"]["ref"] == "c.yaml:3"


def test_limits_and_a_budget_of_all_requests_are_settings(api: Client) -> None:
    limits_document = {"limits": {"concurrency": 9}, "budget": {"day_usd": "2.50"}}
    assert send(api, "PATCH", "settings", limits_document).status_code == 200
    snapshot = store.load_snapshot()
    assert snapshot.limits == Limits(concurrency=9)
    assert snapshot.budget == Budget(day_usd=Decimal("2.5"))
    assert read_settings(api)["limits"]["value"] == {"concurrency": 9}
    send(api, "PATCH", "settings", {"limits": None, "budget": {}})
    assert store.load_snapshot().limits == Limits()
    assert not Setting.objects.exists()


@pytest.mark.parametrize(
    ("limits_document", "message"),
    [
        ({"limits": {"concurrency": 0}}, "concurrency must be at least 1"),
        ({"limits": {"rpm": 3}}, "there is no `rpm`"),
        ({"limits": [3]}, "must be an object"),
        ({"budget": {"day_usd": "much"}}, "day_usd"),
    ],
)
def test_an_invalid_global_limit_is_refused(
    api: Client, limits_document: dict[str, Any], message: str
) -> None:
    response = send(api, "PATCH", "settings", limits_document)
    assert (response.status_code, message in response.content.decode()) == (422, True)
