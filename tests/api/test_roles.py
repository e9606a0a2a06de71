"""Permissions: every operation of the document with every kind of caller."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from gateway import store
from gateway.api.app import api as ninja
from gateway.compat.litellm.api.app import openapi_schema as litellm_document
from gateway.edge.endpoints import is_edge_path
from gateway.models import Account, Change
from tests.api.conftest import MASTER

pytestmark = pytest.mark.django_db

# What each sort of operation answers to whom; 0 stands for "let in", whatever comes then.
_ALLOWED = 0
WHO = (
    "nobody",
    "gateway key",
    "member",
    "viewer",
    "granted",
    "editor",
    "admin, no token",
    "admin",
    "master key",
)
RULES: dict[str, tuple[int, ...]] = {
    "read": (401, 401, 403, 0, 0, 0, 0, 0, 0),
    "read bodies": (401, 401, 403, 403, 0, 403, 0, 0, 0),
    "read as editor": (401, 401, 403, 403, 403, 0, 0, 0, 0),
    "read as editor or with a key": (401, 0, 403, 403, 403, 0, 0, 0, 0),
    "read as admin": (401, 401, 403, 403, 403, 403, 0, 0, 0),
    "edit": (401, 401, 403, 403, 403, 0, 403, 0, 0),
    "change": (401, 401, 403, 403, 403, 403, 403, 0, 0),
    # The token is asked of a viewer too, who has it here.
    "score": (401, 401, 0, 403, 403, 0, 403, 0, 0),
    "change one's own": (401, 401, 403, 0, 0, 0, 403, 0, 0),
    "read own": (401, 401, 0, 403, 403, 0, 0, 0, 403),
    "change own": (401, 401, 0, 403, 403, 0, 403, 0, 403),
    "score as client": (401, 0, 0, 403, 403, 0, 403, 0, 0),
    "read with a key": (401, 0, 403, 0, 0, 0, 0, 0, 0),
    "count with a key": (401, 0, 403, 0, 0, 0, 403, 0, 0),
    "public": (0, 0, 0, 0, 0, 0, 0, 0, 0),
}
_BODIES = {"get_bodies", "get_span_content"}
_ADMINS = {
    "list_alerts",
    "list_alert_channels",
    "list_alert_silences",
    "list_changes",
    "list_cache",
    "get_spend",
    "list_users",
    "get_user",
    "list_settings",
    "litellm_customer_info",
    "litellm_customer_list",
    "litellm_spend_logs",
}
# LiteLLM lets the holder of any key call these, and shows what that key may use.
_KEY_HOLDERS = {
    "litellm_model_info",
    "litellm_model_info_v1",
    "litellm_model_group_info",
    "litellm_key_info",
    "litellm_token_counter",
}
_OWN_TEAM = {"litellm_team_info", "litellm_user_info"}
_SCORES = {"create_score": "score as client", "delete_score": "score"}
_PUBLIC = {"postman_collection"}  # like the OpenAPI document
_OWN = {"create_preset", "delete_preset"}
# Rows that editors may change; providers have credentials.
_EDITABLE = ("/api/models", "/api/routes", "/api/teams", "/api/keys", "/api/translate")
_EDITABLE += ("/api/prompts", "/api/capability-reports", "/api/health/targets/reset")
_EDITABLE += ("/key/", "/team/", "/user/")


def operations() -> list[tuple[str, str, str]]:
    """Yield method, path and id of each operation of the management API."""
    return [
        (method, path, operation["operationId"])
        for path, item in ninja.get_openapi_schema()["paths"].items()
        for method, operation in item.items()
        if path.startswith("/api/") and not is_edge_path(path)
    ]


def litellm_operations() -> list[tuple[str, str, str]]:
    """Method, path and id of each operation of the LiteLLM-compatible endpoints."""
    return [
        (method, path, operation["operationId"])
        for path, item in litellm_document()["paths"].items()
        for method, operation in item.items()
    ]


def expected_rule(method: str, path: str, name: str) -> str:
    if name in _KEY_HOLDERS:
        return "read with a key" if method == "get" else "count with a key"
    if name in _OWN_TEAM:
        return "read as editor or with a key"
    if name in _PUBLIC:
        return "public"
    if name in _OWN:
        return "change one's own"
    if name in _SCORES:
        return _SCORES[name]
    if path.startswith("/api/personal/"):
        return "read own" if method == "get" else "change own"
    if method != "get":
        return "edit" if path.startswith(_EDITABLE) else "change"
    if path.startswith(("/api/teams", "/team/", "/user/")):
        return "read as editor"
    if name in _BODIES:
        return "read bodies"
    return "read as admin" if name in _ADMINS else "read"


def _session(role: str = "", **values: Any) -> Client:
    client = Client(enforce_csrf_checks=True)
    user = User.objects.create(username="someone", **values)
    if role:
        Account.objects.create(user=user, role=role)
    client.force_login(user)
    return client


def _with_token(client: Client) -> Client:
    client.cookies["csrftoken"] = token = "a" * 32
    client.defaults["HTTP_X_CSRFTOKEN"] = token
    return client


def _client_with_body_grant() -> Client:
    client = _with_token(_session())
    grant = Permission.objects.get(codename="view_requestbody")
    User.objects.get(username="someone").user_permissions.add(grant)
    return client


def _bearer(token: str) -> Client:
    return Client(headers={"authorization": f"Bearer {token}"}, enforce_csrf_checks=True)


CLIENTS: dict[str, Callable[[], Client]] = {
    "nobody": lambda: Client(enforce_csrf_checks=True),
    "gateway key": lambda: _bearer(store.create_key("agent")[1]),
    "member": lambda: _with_token(_session("member")),
    "viewer": lambda: _with_token(_session()),
    "editor": lambda: _with_token(_session("editor")),
    "granted": _client_with_body_grant,
    "admin, no token": lambda: _session(is_staff=True),
    "admin": lambda: _with_token(_session(is_staff=True)),
    "master key": lambda: _bearer(MASTER),
}


@pytest.fixture
def editor_client(db: None) -> Client:
    return CLIENTS["editor"]()


@pytest.mark.parametrize("role", WHO)
def test_each_operation_checks_the_role(role: str, settings: Any) -> None:
    """Resources do not exist and bodies are empty, so a permitted caller gets 200, 404 or 422."""
    settings.MASTER_KEY = MASTER
    client, requested_operations = CLIENTS[role](), [*operations(), *litellm_operations()]
    assert len(requested_operations) > 110
    for method, path, name in requested_operations:
        expected = RULES[expected_rule(method, path, name)][WHO.index(role)]
        concrete = path.replace("{number}", "1").replace(
            "{run}", "0" * 8 + "-0000" * 3 + "-" + "0" * 12
        )
        concrete = re.sub(r"\{\w+\}", "no-such-thing", concrete)
        response = client.generic(method.upper(), concrete, "{}", content_type="application/json")
        failure = (role, method, path, response.status_code, response.content[:200])
        if expected == _ALLOWED:
            assert response.status_code in {200, 204, 400, 404, 422}, failure
        else:
            assert response.status_code == expected, failure
            problem = response.json()
            assert problem["detail" if path.startswith("/api/") else "error"], failure


def test_every_role_rule_names_existing_operations() -> None:
    names = {name for _method, _path, name in operations()}
    names |= {name for _method, _path, name in litellm_operations()}
    assert names >= _BODIES | _ADMINS | _OWN | _KEY_HOLDERS


def test_searching_bodies_needs_the_grant(settings: Any) -> None:
    viewer = CLIENTS["viewer"]()
    assert viewer.get("/api/requests").status_code == 200
    assert viewer.get("/api/requests?q=secret").status_code == 403
    User.objects.all().delete()
    assert CLIENTS["granted"]().get("/api/requests?q=secret").status_code == 200


@pytest.mark.parametrize("path", ["/spend/logs", "/api/spend"])
def test_only_admins_read_spend(path: str) -> None:
    """The LiteLLM-compatible path and the gateway's own path have the same rule."""
    assert CLIENTS["viewer"]().get(path).status_code == 403
    User.objects.all().delete()
    assert CLIENTS["admin"]().get(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "lowest_role"),
    [("/team/list", "editor"), ("/user/list", "editor"), ("/customer/list", "admin")],
)
def test_litellm_paths_have_the_roles_of_the_console_pages(path: str, lowest_role: str) -> None:
    """Budgets of teams are for editors, end users (a setting) for admins."""
    for role, allowed in (("viewer", False), ("editor", lowest_role == "editor"), ("admin", True)):
        assert CLIENTS[role]().get(path).status_code == (200 if allowed else 403), role
        User.objects.all().delete()


def test_guardrails_of_all_requests_are_enforced_by_admins_only(
    editor_client: Client, api: Client
) -> None:
    """Editors attach and detach guardrails of routes, which the audit log shows."""
    for name, everywhere in (("everyone", True), ("one-route", False)):
        body = {"name": name, "kind": "patterns", "everywhere": everywhere}
        body["settings"] = {"pii": ["email"]}
        created = api.post("/api/guardrails", body, content_type="application/json")
        assert created.status_code == 201, created.content
    route = {"name": "chat", "guardrails": ["one-route"]}
    assert api.post("/api/routes", route, content_type="application/json").status_code == 201
    json_type = {"content_type": "application/json"}
    for change in ({"everywhere": False}, {"enabled": False}):
        response = editor_client.patch("/api/guardrails/everyone", change, **json_type)
        assert response.status_code == 403
    assert editor_client.delete("/api/guardrails/everyone").status_code == 403
    detached = editor_client.patch("/api/routes/chat", {"guardrails": []}, **json_type)
    assert detached.status_code == 200 and detached.json()["guardrails"] == []
    last_change = Change.objects.filter(kind="route").order_by("-pk").first()
    assert last_change is not None and last_change.actor == "someone"


def test_only_admins_read_guardrail_requests(api: Client) -> None:
    """LiteLLM's parameters and webhook metadata may include keys, and a URL may include a token."""
    body = {
        "name": "hook",
        "kind": "litellm",
        "settings": {"url": "https://x.test/hook?token=SECRET", "parameters": {"key": "SECRET"}},
    }
    created = api.post("/api/guardrails", body, content_type="application/json")
    assert created.status_code == 201, created.content
    viewer = Client()
    viewer.force_login(User.objects.create_user("vic"))
    for path in ("/api/guardrails", "/api/guardrails/hook"):
        assert b"SECRET" in api.get(path).content
        reply = viewer.get(path)
        assert reply.status_code == 200
        assert b"SECRET" not in reply.content
        assert b"https://x.test/hook" in reply.content
    body |= {"name": "other", "settings": {"url": "https://ada:SECRET@x.test/"}}
    refused_response = api.post("/api/guardrails", body, content_type="application/json")
    assert refused_response.status_code == 422
    assert b"set the credential" in refused_response.content
