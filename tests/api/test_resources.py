"""The registry in the API: every resource can be read and changed, and writes are atomic."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateway import store
from gateway.models import ApiKey, Change, IdempotentResponse, Provider, Route, RowSource, Team
from tests.api.conftest import MASTER

JSON = "application/json"
PROVIDER = {
    "name": "one",
    "base_url": "http://127.0.0.1:9/v1",
    "credential": "sk-canary-0123456789abcdef",
}


def send(api: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    return api.generic(method, f"/api/{path}", data=_text(body), content_type=JSON, headers=headers)


def _text(body: Any) -> Any:
    import json

    return body if isinstance(body, str) else "" if body is None else json.dumps(body)


@pytest.fixture
def api_with_resources(api: Client) -> Client:
    for path, body in (
        ("providers", PROVIDER),
        ("models", {"name": "one/org/m"}),
        ("routes", {"name": "fast", "steps": [{"targets": [{"model": "one/org/m"}]}]}),
        ("teams", {"name": "crew"}),
        ("keys", {"name": "agent", "team": "crew"}),
    ):
        response = send(api, "POST", path, body)
        assert response.status_code == 201, response.content
    return api


ROWS = [
    ("providers", "one"),
    ("models", "one/org/m"),
    ("routes", "fast"),
    ("teams", "crew"),
    ("keys", "agent"),
]


@pytest.mark.parametrize(("kind", "name"), ROWS)
def test_each_kind_is_created_read_changed_and_deleted(
    api_with_resources: Client, kind: str, name: str
) -> None:
    document = send(api_with_resources, "GET", f"{kind}/{name}").json()
    (item,) = send(api_with_resources, "GET", kind).json()["items"]
    assert item == document
    assert document["name"] == name
    assert document["source"] == "database"

    second_response = send(api_with_resources, "PUT", f"{kind}/{name}", document)
    assert second_response.status_code == 200, second_response.content
    same = {k: v for k, v in second_response.json().items() if k != "updated_at"}
    assert same == {k: v for k, v in document.items() if k != "updated_at"}

    for row in ("keys/agent", "routes/fast", "models/one/org/m", "providers/one", "teams/crew"):
        assert send(api_with_resources, "DELETE", row).status_code == 204
    assert send(api_with_resources, "GET", f"{kind}/{name}").status_code == 404


def test_a_change_applies_immediately(api_with_resources: Client) -> None:
    before = store.current_version()
    changed = send(
        api_with_resources,
        "PATCH",
        "routes/fast",
        {"retries": 4, "limits": {"requests_per_minute": 7}},
    )
    assert changed.json()["retries"] == 4
    assert store.current_version() > before
    route = store.load_snapshot().routes["fast"]
    assert (route.retries, route.limits.requests_per_minute) == (4, 7)

    back = send(
        api_with_resources, "PATCH", "routes/fast", {"retries": None, "limits": None}
    ).json()
    assert (back["retries"], back["limits"]["requests_per_minute"]) == (1, None)


def test_put_resets_missing_fields(api_with_resources: Client) -> None:
    send(api_with_resources, "PATCH", "teams/crew", {"budget": {"month_usd": "5"}})
    assert send(api_with_resources, "PUT", "teams/crew", {}).json()["budget"]["month_usd"] is None


def test_a_key_is_returned_once_and_works(api_with_resources: Client) -> None:
    change = send(api_with_resources, "POST", "keys", {"name": "other", "routes": ["fast"]}).json()
    assert store.load_snapshot().keys[store.digest(change["key"])].routes == ("fast",)
    assert change["key"] not in send(api_with_resources, "GET", "keys").content.decode()
    assert "key" not in send(api_with_resources, "GET", "keys/other").json()


def test_a_rotated_key_keeps_its_identity(api_with_resources: Client) -> None:
    first = send(api_with_resources, "POST", "keys", {"name": "other"}).json()
    second = send(api_with_resources, "POST", "keys/other/rotate?grace_s=60").json()
    keys = store.load_snapshot().keys
    assert (
        keys[store.digest(first["key"])].id == keys[store.digest(second["key"])].id == first["id"]
    )
    assert (
        send(api_with_resources, "POST", "keys/other/rotate?grace_s=-1").json()["field"]
        == "grace_s"
    )

    assert send(api_with_resources, "POST", "keys/other/revoke").json()["revoked_at"] is not None
    assert store.digest(second["key"]) not in store.load_snapshot().keys
    assert send(api_with_resources, "POST", "keys/other/rotate").status_code == 422
    send(api_with_resources, "POST", "keys/other/restore")
    assert store.digest(second["key"]) in store.load_snapshot().keys


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "providers", {"name": "x", "base_uri": "y"}, 422, "base_uri"),
        ("POST", "providers", PROVIDER, 422, "name"),
        ("POST", "providers", "{", 422, None),
        ("POST", "providers", [1], 422, None),
        (
            "PATCH",
            "routes/fast",
            {"steps": [{"targets": [{"model": "no/m"}]}]},
            422,
            "steps[0].targets[0].model",
        ),
        ("PATCH", "teams/crew", {"budget": {"month_usd": "-1"}}, 422, "budget.month_usd"),
        ("PATCH", "routes/fast", {"retries": 2**63}, 422, "retries"),
        ("PATCH", "routes/fast", {"cooldown_after": 40_000}, 422, "cooldown_after"),
        ("PATCH", "routes/fast", {"default_max_output": -1}, 422, "default_max_output"),
        ("PATCH", "routes/fast", {"steps": [{"min_context": 2**40}]}, 422, "steps[0].min_context"),
        ("PATCH", "routes/fast", {"name": "fast\n"}, 422, "name"),
        ("PATCH", "teams/crew", {"name": "crew\u2028"}, 422, "name"),
        ("POST", "keys", {"name": "a\r\nb"}, 422, "name"),
        ("POST", "models", {"name": "one/a\x85b"}, 422, "name"),
        ("PATCH", "teams/nobody", {}, 404, None),
        ("DELETE", "teams/crew", None, 409, None),
        ("GET", "models/one/none", None, 404, None),
    ],
)
def test_an_invalid_field_is_named(
    api_with_resources: Client, method: str, path: str, body: Any, status: int, field: str | None
) -> None:
    changes = Change.objects.count()
    response = send(api_with_resources, method, path, body)
    assert response.status_code == status, response.content
    assert response.json()["detail"]
    assert response.json().get("field") == field
    assert Change.objects.count() == changes


def test_rows_of_a_file_are_read_only(api_with_resources: Client) -> None:
    Provider.objects.update(source=RowSource.FILE, source_ref="litellm.yaml:3")
    for method in ("PUT", "PATCH", "DELETE"):
        response = send(api_with_resources, method, "providers/one", PROVIDER)
        assert response.status_code == 409
        assert "litellm.yaml:3" in response.json()["detail"]


def test_a_row_of_the_environment_names_it_in_the_error(api_with_resources: Client) -> None:
    Provider.objects.update(source=RowSource.ENVIRONMENT)
    response = send(api_with_resources, "DELETE", "providers/one")
    assert response.status_code == 409
    assert "one is managed by the environment; remove it there" in response.json()["detail"]


def test_pagination_returns_every_row_once(api: Client) -> None:
    for number in range(5):
        Team.objects.create(name=f"t{number}")
    names, cursor = [], 0
    while cursor is not None:
        page = send(api, "GET", f"teams?limit=2&cursor={cursor}").json()
        names += [row["name"] for row in page["items"]]
        cursor = page["next"]
    assert names == [f"t{number}" for number in range(5)]


def test_a_repeated_request_is_idempotent(api: Client) -> None:
    first = send(api, "POST", "keys", {"name": "a"}, **{"idempotency-key": "k1"})
    second_response = send(api, "POST", "keys", {"name": "a"}, **{"idempotency-key": "k1"})
    assert (first.status_code, second_response.status_code) == (201, 201)
    assert second_response.json() == first.json()
    assert second_response["Idempotency-Replayed"] == "true"
    assert ApiKey.objects.count() == 1
    assert first.json()["key"] not in IdempotentResponse.objects.get().body

    other = send(api, "POST", "keys", {"name": "b"}, **{"idempotency-key": "k1"})
    assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")
    send(api, "POST", "keys", {"name": "b"}, **{"idempotency-key": "k2"})
    assert ApiKey.objects.count() == 2


def test_a_repeated_request_in_progress_is_a_conflict(api: Client) -> None:
    send(api, "POST", "teams", {"name": "a"}, **{"idempotency-key": "k"})
    IdempotentResponse.objects.update(status=0)
    assert send(api, "POST", "teams", {"name": "a"}, **{"idempotency-key": "k"}).status_code == 409


def test_a_viewer_reads_all_but_teams_and_changes_nothing(api_with_resources: Client) -> None:
    viewer = Client()
    viewer.force_login(User.objects.create_user("vic"))
    for kind, name in ROWS:
        status = 403 if kind == "teams" else 200
        assert send(viewer, "GET", kind).status_code == status
        assert send(viewer, "GET", f"{kind}/{name}").status_code == status
        for method in ("PUT", "PATCH", "DELETE"):
            assert send(viewer, method, f"{kind}/{name}", {}).status_code == 403
        assert send(viewer, "POST", kind, {}).status_code == 403
    assert send(viewer, "GET", "changes").status_code == 403
    assert Route.objects.count() == 1
    assert send(Client(), "GET", "providers").status_code == 401


def test_gateway_keys_are_refused(api_with_resources: Client) -> None:
    _, plain = store.create_key("agent")
    response = Client(headers={"authorization": f"Bearer {plain}"}).get("/api/providers")
    assert response.status_code == 401


def test_the_audit_log_is_read_by_pages_and_filters(api_with_resources: Client) -> None:
    page = send(api_with_resources, "GET", "changes?limit=3").json()
    assert len(page["items"]) == 3
    assert page["next"] == page["items"][-1]["id"]
    # A stored credential is sealed for its row, so the row comes first.
    _sealed, change = send(api_with_resources, "GET", "changes?kind=provider").json()["items"]
    assert (change["actor"], change["via"], change["action"]) == ("master key", "api", "created")
    text = send(api_with_resources, "GET", "changes?limit=200").content.decode()
    assert PROVIDER["credential"] not in text
    assert MASTER not in text
