"""Every error response of the API has the same shape."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import (
    DataError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)
from django.test import Client

from gateway.api.failures import MAX_BODY
from gateway.compat.litellm.api.failures import run_in_transaction
from gateway.models import UsageHour
from tests.api.test_resources import send


def error_shape(response: Any) -> tuple[int, str]:
    """Return status and field of an error; the body has only `detail` and `field`."""
    body = json.loads(response.content)
    assert body.keys() <= {"detail", "field"}
    assert isinstance(body["detail"], str)
    return response.status_code, body.get("field", "")


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "no-such", None, (404, "")),
        ("POST", "teams/a/b/c/no-such", {}, (405, "")),
        ("DELETE", "teams", None, (405, "")),
        ("PUT", "usage", {}, (405, "")),
        ("GET", "requests?limit=x", None, (422, "limit")),
        ("GET", "usage?step=week", None, (422, "step")),
        ("GET", "teams?cursor=x", None, (422, "cursor")),
        ("POST", "users", {"name": 5, "password": "x"}, (422, "name")),
        ("POST", "users", "{", (422, "")),
        ("POST", "teams", "{", (422, "")),
        ("POST", "teams", {"name": "x" * MAX_BODY}, (413, "")),
        ("POST", "translate", {"from": "x" * MAX_BODY}, (413, "")),
        ("GET", "capability-reports/1", None, (404, "")),
        ("GET", "users/%00", None, (404, "")),
        ("GET", "requests?" + "q=a&" * 1001, None, (422, "")),
    ],
)
def test_a_refused_request_has_a_json_error(
    api: Client, method: str, path: str, body: Any, expected: tuple[int, str]
) -> None:

    assert error_shape(send(api, method, path, body)) == expected


def test_a_405_lists_the_allowed_methods(api: Client) -> None:
    assert set(send(api, "DELETE", "teams")["Allow"].split(", ")) == {"GET", "POST"}


def test_an_unavailable_database_is_503(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_unavailable(*_args: Any, **_kwargs: Any) -> None:
        raise OperationalError("could not connect to 10.0.0.7")

    monkeypatch.setattr(UsageHour.objects.__class__, "in_range", raise_unavailable)
    response = send(api, "GET", "usage")
    assert error_shape(response) == (503, "")
    assert response["Retry-After"]
    assert "10.0.0.7" not in response.content.decode()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InternalError("cannot execute INSERT in a read-only transaction"), "read-only"),
        (OperationalError("attempt to write a readonly database"), "read-only"),
        (OperationalError("database or disk is full"), "disk space"),
        (InterfaceError("connection already closed"), "not responding"),
        (InternalError("current transaction is aborted"), ""),
        (ProgrammingError("no such column"), ""),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_database_that_cannot_be_changed_is_503(
    api: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def reject(*_args: Any, **_kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(UsageHour.objects.__class__, "in_range", reject)
    response = send(api, "GET", "usage")
    assert error_shape(response) == (503 if reason else 500, "")
    assert reason in response.content.decode()
    if not reason:
        with pytest.raises(type(error)):
            run_in_transaction(reject)
        return
    litellm = run_in_transaction(reject)
    assert litellm.status_code == 503
    assert reason in json.loads(litellm.content)["error"]["message"]


def test_a_value_that_the_database_rejects_is_the_clients_error(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reject(*_args: Any, **_kwargs: Any) -> None:
        raise DataError("invalid byte sequence")

    monkeypatch.setattr(UsageHour.objects.__class__, "in_range", reject)
    assert error_shape(send(api, "GET", "usage")) == (422, "")
    assert run_in_transaction(reject).status_code == 400


def test_an_internal_error_is_logged_and_hidden_from_the_client(
    api: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def raise_key_error(*_args: Any, **_kwargs: Any) -> None:
        raise KeyError("sk-canary")

    monkeypatch.setattr(UsageHour.objects.__class__, "in_range", raise_key_error)
    response = send(api, "GET", "usage")
    assert error_shape(response) == (500, "")
    assert "canary" not in response.content.decode()
    assert any(record.exc_info for record in caplog.records)
