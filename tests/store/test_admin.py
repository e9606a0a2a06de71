"""Django's admin works, shows no secret, and cannot change the log."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client

from gateway import store
from gateway.models import ApiKey, Change, Provider, RequestLog, Route
from tests.store.factories import make_record, model, provider, route

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.store.admin_urls")]

SECRET = "sk-canary-0123456789abcdef"
TABLES = sorted(
    m._meta.model_name or "" for m in admin.site._registry if m._meta.app_label == "gateway"
)


@pytest.fixture
def admin_client(client: Client) -> Client:
    client.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    return client


def fill() -> None:
    provider_row = provider()
    store.set_credential(provider_row, SECRET)
    route("fast", model(provided_by=provider_row))
    store.create_key("a key")
    store.write([make_record()])


@pytest.mark.parametrize("table", TABLES)
def test_every_table_opens_and_shows_no_secret(admin_client: Client, table: str) -> None:
    fill()
    row = next(m for m in admin.site._registry if m._meta.model_name == table).objects.first()
    for path in (f"/admin/gateway/{table}/", f"/admin/gateway/{table}/{row.pk}/change/"):
        response = admin_client.get(path)
        assert response.status_code == 200
        assert SECRET[:12] not in response.content.decode()
        assert Provider.objects.get().credential not in response.content.decode()


def save_provider(admin_client: Client, **values: Any) -> None:
    row = Provider.objects.get()
    form = {
        "name": row.name,
        "preset": row.preset,
        "source": row.source,
        "headers": "{}",
        "edits": "[]",
        "timeouts": "{}",
        "query": "null",
        "paths": "null",
        "passthrough": "unknown",
        "enabled": "on",
    }
    response = admin_client.post(f"/admin/gateway/provider/{row.pk}/change/", {**form, **values})
    assert response.status_code == 302, response.content.decode()


def test_a_credential_is_entered_preserved_and_removed(admin_client: Client) -> None:
    provider()
    save_provider(admin_client, new_credential=SECRET)
    assert store.credential_of(Provider.objects.get()) == SECRET
    save_provider(admin_client, base_url="http://10.0.0.1")
    assert store.credential_of(Provider.objects.get()) == SECRET
    save_provider(admin_client, new_credential="-")
    assert Provider.objects.get().credential == ""


def test_a_change_in_the_admin_increments_the_registry_version(admin_client: Client) -> None:
    provider()
    before = store.current_version()
    save_provider(admin_client, base_url="http://10.0.0.1")
    assert store.current_version() > before


def test_deleting_in_the_admin_increments_the_registry_version(admin_client: Client) -> None:
    row = route("fast", model())
    before = store.current_version()
    action = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    assert admin_client.post("/admin/gateway/route/", action).status_code == 302
    assert not Route.objects.exists()
    assert store.current_version() > before


@pytest.mark.parametrize("action", ["add/", "{pk}/delete/"])
def test_the_log_is_read_only(admin_client: Client, action: str) -> None:
    store.write([make_record()])
    path = "/admin/gateway/requestlog/" + action.format(pk=RequestLog.objects.get().pk)
    assert admin_client.get(path).status_code == 403


def test_no_key_is_created_in_the_admin(admin_client: Client) -> None:
    assert admin_client.get("/admin/gateway/apikey/add/").status_code == 403
    assert not ApiKey.objects.exists()


ACCOUNT = {"username": "eve", "password1": "a long passphrase", "password2": "a long passphrase"}


def changes(of: str) -> list[tuple[str, str]]:
    return [
        (row.action, row.actor)
        for row in Change.objects.filter(kind="user", name=of).order_by("pk")
    ]


def test_accounts_created_here_are_in_the_audit_log(admin_client: Client) -> None:
    added = admin_client.post("/admin/auth/user/add/", {**ACCOUNT, "usable_password": "true"})
    assert added.status_code == 302, added.context["adminform"].errors
    assert changes("eve") == [("created", "root")]
    created_user = User.objects.get(username="eve")
    accounts = {
        "username": "eve",
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }
    assert (
        admin_client.post(f"/admin/auth/user/{created_user.pk}/change/", accounts).status_code
        == 302
    )
    assert Change.objects.filter(name="eve").latest("pk").after == {"role": "admin"}
    password = {"password1": "another passphrase", "password2": "another passphrase"}
    path = f"/admin/auth/user/{created_user.pk}/password/"
    assert admin_client.post(path, {**password, "usable_password": "true"}).status_code == 302
    assert list(Change.objects.filter(name="eve").latest("pk").after) == ["password"]
    action = {"action": "delete_selected", "_selected_action": created_user.pk, "post": "yes"}
    assert admin_client.post("/admin/auth/user/", action).status_code == 302
    assert [verb for verb, _ in changes("eve")] == ["created", "changed", "changed", "deleted"]


def test_the_admin_uses_the_consoles_rate_limited_sign_in(
    client: Client, admin_client: Client
) -> None:
    anonymous_client = Client()
    for body in ({}, {"username": "root", "password": "x"}):
        response = anonymous_client.post("/admin/login/?next=/admin/gateway/route/", body)
        assert response.status_code == 302
        assert response.headers["Location"] == "/console/sign-in?next=%2Fadmin%2Fgateway%2Froute%2F"
    viewer = Client()
    viewer.force_login(User.objects.create(username="viewer"))
    assert viewer.get("/admin/").status_code == 302
    assert viewer.get("/admin/login/").status_code == 403


@pytest.mark.urls("gateway.config.urls")
@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/admin/auth/user/"])
def test_the_admin_is_off_by_default(admin_client: Client, path: str) -> None:
    assert admin_client.get(path).status_code == 404
