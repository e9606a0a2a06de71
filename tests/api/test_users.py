"""Users in the API: created, changed and deleted, except for the last admin."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from console import hashing
from gateway.models import Change, Team
from tests.api.test_resources import send

PASSWORD = "four words are enough"


def create_user(api: Client, name: str, **values: Any) -> Any:
    return send(api, "POST", "users", {"name": name, "password": PASSWORD, **values})


def test_an_account_is_created_signs_in_and_is_deleted(api: Client) -> None:
    response = create_user(api, "vic", bodies=True)
    assert response.status_code == 201
    assert (response.json()["role"], response.json()["bodies"]) == ("viewer", True)
    assert PASSWORD not in response.content.decode()
    assert Client().login(username="vic", password=PASSWORD)
    assert User.objects.get(username="vic").has_perm("gateway.view_requestbody")
    assert send(api, "GET", "users/vic").json()["name"] == "vic"

    assert send(api, "DELETE", "users/vic").status_code == 204
    assert send(api, "GET", "users/vic").status_code == 404
    rows = [(row.action, row.actor, row.via) for row in Change.objects.filter(kind="user")]
    assert sorted(rows) == [("created", "master key", "api"), ("deleted", "master key", "api")]


def test_role_grant_access_and_password_are_changed(api: Client) -> None:
    create_user(api, "ada", role="admin")
    create_user(api, "vic")
    changed = send(api, "PATCH", "users/vic", {"bodies": True}).json()
    assert (changed["role"], changed["bodies"], changed["active"]) == ("viewer", True, True)
    assert send(api, "PATCH", "users/vic", {"role": "admin"}).json()["role"] == "admin"
    assert User.objects.get(username="vic").is_staff
    assert not send(api, "PATCH", "users/vic", {"active": False}).json()["active"]
    send(api, "PATCH", "users/vic", {"active": True, "password": "another long password"})
    assert not Client().login(username="vic", password=PASSWORD)
    assert Client().login(username="vic", password="another long password")


def test_limits_of_personal_keys_are_set_and_shown(api: Client) -> None:
    Team.objects.create(name="Search")
    limits = {"max_keys": 2, "month_usd": "7.5", "key_days": 30, "routes": ["a*"], "team": "Search"}
    body = create_user(api, "mia", role="member", personal_keys=limits).json()
    assert (body["role"], body["personal_keys"]) == ("member", limits)
    fewer = send(api, "PATCH", "users/mia", {"personal_keys": {"max_keys": 1}}).json()[
        "personal_keys"
    ]
    assert (fewer["max_keys"], fewer["team"], fewer["routes"]) == (1, None, [])
    response = send(api, "PATCH", "users/mia", {"personal_keys": {"team": "Nobody"}})
    assert (response.status_code, response.json()["field"]) == (422, "personal_keys.team")
    assert send(api, "PATCH", "users/mia", {"personal_keys": {"max_keys": 101}}).status_code == 422


def test_an_account_is_refused_while_too_many_passwords_are_checked(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "_slots", threading.BoundedSemaphore(1))
    with hashing._slots:
        response = create_user(api, "vic")
    assert (response.status_code, "Try again" in response.content.decode()) == (503, True)
    assert not User.objects.filter(username="vic").exists()


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"active": False}, None], ids=str)
def test_the_last_admin_cannot_be_demoted_or_deleted(
    api: Client, change: dict[str, Any] | None
) -> None:
    create_user(api, "ada", role="admin")
    method = "DELETE" if change is None else "PATCH"
    response = send(api, method, "users/ada", change)
    assert (response.status_code, response.json()["field"]) == (409, "role")
    assert User.objects.get(username="ada").is_superuser
    create_user(api, "bob", role="admin")
    assert send(api, method, "users/ada", change).status_code in {200, 204}


def test_a_change_that_fails_changes_nothing(api: Client) -> None:
    create_user(api, "ada", role="admin")
    change = {"password": "another long password", "active": False}
    assert send(api, "PATCH", "users/ada", change).status_code == 409
    assert Client().login(username="ada", password=PASSWORD)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a b", "password": PASSWORD}, "name"),
        ({"name": "VIC", "password": PASSWORD}, "name"),
        ({"name": "x" * 151, "password": PASSWORD}, "name"),
        ({"name": "bob", "password": "short"}, "password"),
        ({"name": "bob", "password": "x" * 1001}, "password"),
        ({"name": "bob"}, "password"),
        ({"name": "bob", "password": PASSWORD, "role": "king"}, "role"),
    ],
)
def test_an_invalid_field_is_named(api: Client, body: dict[str, Any], field: str) -> None:
    create_user(api, "vic")
    response = send(api, "POST", "users", body)
    assert (response.status_code, response.json()["field"]) == (422, field)
    assert User.objects.count() == 1


def test_accounts_are_paginated(api: Client) -> None:
    for name in ("a", "b", "c"):
        create_user(api, name)
    first = send(api, "GET", "users?limit=2").json()
    second = send(api, "GET", f"users?limit=2&cursor={first['next']}").json()
    names = [row["name"] for row in first["items"] + second["items"]]
    assert (names, second["next"]) == (["a", "b", "c"], None)


def test_an_account_is_created_once(api: Client) -> None:
    body = {"name": "vic", "password": PASSWORD}
    first = send(api, "POST", "users", body, **{"idempotency-key": "k"})
    second_response = send(api, "POST", "users", body, **{"idempotency-key": "k"})
    assert (second_response.status_code, second_response.json()) == (201, first.json())
    assert second_response["Idempotency-Replayed"] == "true"
