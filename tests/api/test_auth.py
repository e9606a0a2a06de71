"""Authentication of the management API: admin credentials, and sessions with a CSRF token."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from console.pages.changes import actor_label
from gateway import store
from gateway.models import Change
from tests.api.conftest import MASTER

pytestmark = pytest.mark.django_db

PATHS = [
    "/api/requests",
    "/api/requests/1",
    "/api/requests/1/bodies",
    "/api/providers",
    "/api/models",
    "/api/routes",
    "/api/warnings",
]


@pytest.fixture(autouse=True)
def master_key(settings: Any) -> None:
    settings.MASTER_KEY = MASTER


def with_session(client: Client, **values: Any) -> Client:
    client.force_login(User.objects.create(username="someone", **values))
    return client


@pytest.mark.parametrize("path", PATHS)
def test_a_missing_credential_is_a_json_401(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 401
    assert response.json() == {"detail": "Unauthorized"}


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {MASTER}"},
        {"x-api-key": MASTER},
        {"api-key": MASTER},
    ],
    ids=["bearer", "x-api-key", "api-key"],
)
def test_the_master_key_authenticates_the_management_api(
    client: Client, headers: dict[str, str]
) -> None:
    assert client.get("/api/routes", headers=headers).status_code == 200


def test_api_responses_have_no_store_and_nosniff_headers(client: Client) -> None:
    """Every response has them, and cookies are marked secure if the request came over HTTPS."""
    headers = {"authorization": f"Bearer {MASTER}"}
    for path in (*PATHS, "/api/openapi.json", "/api/nowhere"):
        for response in (client.get(path), client.get(path, headers=headers)):
            assert response.headers["Cache-Control"] == "no-store", path
            assert response.headers["X-Content-Type-Options"] == "nosniff", path
    signed_in = with_session(Client())
    page = signed_in.get("/console/login", secure=True)
    assert page.cookies
    assert all(cookie["secure"] for cookie in page.cookies.values())


def test_the_generated_admin_key_authenticates_the_management_api(
    client: Client, settings: Any
) -> None:
    settings.MASTER_KEY, settings.ADMIN_KEY = "", "generated-admin-key-0123456789"
    headers = {"authorization": f"Bearer {settings.ADMIN_KEY}"}
    assert client.get("/api/routes", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("setting", "actor", "label"),
    [("MASTER_KEY", "master key", "Master key"), ("ADMIN_KEY", "admin key", "Admin key")],
)
def test_a_change_names_the_credential_that_caused_it(
    client: Client, settings: Any, setting: str, actor: str, label: str
) -> None:
    settings.MASTER_KEY = settings.ADMIN_KEY = ""
    setattr(settings, setting, "a-key-for-admins-0123456789")
    headers = {"authorization": "Bearer a-key-for-admins-0123456789"}
    body = {"name": "house", "preset": "demo"}
    response = client.post("/api/providers", body, content_type="application/json", headers=headers)
    assert response.status_code == 201, response.content
    assert {row.actor for row in Change.objects.all()} == {actor}
    assert actor_label(actor) == label


@pytest.mark.parametrize(
    "token", ["", " ", "wrong", MASTER[:-1], MASTER + "x", MASTER.upper(), "\xff"], ids=ascii
)
def test_a_wrong_credential_is_refused(client: Client, token: str) -> None:
    response = client.get("/api/routes", headers={"x-api-key": token})
    assert response.status_code == 401


def test_an_empty_credential_is_refused_even_if_none_is_configured(
    client: Client, settings: Any
) -> None:
    settings.MASTER_KEY = settings.ADMIN_KEY = ""
    for headers in ({}, {"authorization": "Bearer "}, {"x-api-key": ""}):
        assert client.get("/api/routes", headers=headers).status_code == 401


def test_a_gateway_key_does_not_authenticate_an_admin(client: Client) -> None:
    _, plain = store.create_key("a client")
    assert client.get("/api/routes", headers={"x-api-key": plain}).status_code == 401


def test_the_master_key_is_not_read_from_the_url(client: Client) -> None:
    assert client.get(f"/api/routes?key={MASTER}").status_code == 401


@pytest.mark.parametrize(
    ("values", "status"),
    [({"is_staff": True}, 200), ({}, 403), ({"is_staff": True, "is_active": False}, 401)],
    ids=["staff", "no staff", "inactive"],
)
def test_a_staff_session_has_access(client: Client, values: dict[str, Any], status: int) -> None:
    assert with_session(client, **values).get("/api/changes").status_code == status


def test_a_session_without_its_csrf_token_changes_nothing() -> None:
    client = with_session(Client(enforce_csrf_checks=True), is_staff=True)
    body = {"from": "openai_chat", "to": "anthropic_messages", "request": {"messages": []}}
    response = client.post("/api/translate", body, content_type="application/json")
    assert response.status_code == 403
    assert "X-CSRFToken" in response.json()["detail"]
    client.cookies["csrftoken"] = token = "a" * 32
    headers = {"x-csrftoken": token}
    response = client.post("/api/translate", body, content_type="application/json", headers=headers)
    assert response.status_code not in {401, 403}
