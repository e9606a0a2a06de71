"""A member's own keys in the API: limits apply, and other users' keys are not accessible."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import accounts
from gateway import store
from gateway.models import ApiKey, Change, RequestLog
from gateway.store import configuration
from tests.api.conformance import ConformanceClient
from tests.store.factories import add_usage, make_record

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("frozen_now")]


@pytest.fixture
def member_client(member_user: User) -> Iterator[Client]:
    client = ConformanceClient()
    client.force_login(member_user)
    yield client


def create(client: Client, **values: Any) -> Any:
    body = {"name": "laptop", "month_usd": "4", "days": 30, **values}
    return client.post("/api/personal/keys", body, content_type="application/json")


def with_secret(secret: str) -> Client:
    return ConformanceClient(headers={"authorization": f"Bearer {secret}"})


def log_usage(key: int, usd: int) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    add_usage(hour, usd, key_id=key, requests=1)


def test_a_key_is_created_rotated_and_revoked(member_client: Client, member_user: User) -> None:
    created = create(member_client)
    assert created.status_code == 201
    key = created.json()
    assert (key["month_usd"], key["routes"]) == ("4", ["a*"])
    assert store.find_key(store.load_snapshot(), key["key"]) is not None
    keys = member_client.get("/api/personal/keys").json()
    assert [row["name"] for row in keys["items"]] == ["laptop"]
    assert "key" not in keys["items"][0]
    assert keys["limits"] == {
        "max_keys": 2,
        "month_usd": "10",
        "unassigned_usd": "6",
        "key_days": 30,
        "routes": ["a*"],
        "team": "",
    }
    path = f"/api/personal/keys/{key['id']}"
    rotated = member_client.post(f"{path}/rotate?grace_s=0").json()
    assert rotated["key"] != key["key"]
    assert store.find_key(store.load_snapshot(), key["key"]) is None
    assert member_client.delete(path).status_code == 204
    assert member_client.get("/api/personal/keys").json()["items"] == []
    assert member_client.post(f"{path}/rotate").status_code == 404
    assert {row.actor for row in Change.objects.filter(kind="key")} <= {"mia"}


def test_a_personal_key_takes_the_place_of_no_key_with_its_name(
    api: Client, member_client: Client
) -> None:
    """Otherwise, a file would give its limits to the personal key, or delete the key it lists."""
    file = {"dragoman": 1, "keys": [{"name": "ci", "limits": {"requests_per_minute": 600}}]}
    created = [create(member_client, name="ci", month_usd="1").json()]
    configuration.apply(file, "a.yaml", "a.yaml:{}".format)
    created.append(create(member_client, name="ci", month_usd="1").json())
    assert not configuration.apply(file, "a.yaml", "a.yaml:{}".format).lines
    shared = ApiKey.objects.get(name="ci", owner=None)
    assert api.get("/api/keys/ci").json()["prefix"] == shared.prefix
    for key in created:
        row = api.get(f"/api/keys/{key['prefix']}").json()
        assert row["limits"]["requests_per_minute"] is None
    # LiteLLM's alias is the name: it finds the key of the file, and no other.
    body = {"key_aliases": ["ci"]}
    assert api.post("/key/delete", body, content_type="application/json").status_code == 409


def test_an_editor_without_access_to_bodies_cannot_rotate_keys_of_others(
    member_client: Client,
) -> None:
    """With the new secret, the editor could read what the key has stored."""
    key = create(member_client).json()
    editor = accounts.create_account("eve", None, role="editor")
    client = ConformanceClient()
    client.force_login(editor)
    response = client.post(f"/api/keys/{key['prefix']}/rotate")
    assert response.status_code == 403
    assert "bodies" in response.json()["detail"]
    assert client.post(reverse("key-rotate", args=[key["id"]]), {"grace": "now"}).status_code == 403
    page = client.get(reverse("key-edit", args=[key["id"]])).content.decode()
    assert reverse("key-rotate", args=[key["id"]]) not in page
    shared_key, _ = store.create_key("shared")
    assert client.post(f"/api/keys/{shared_key.prefix}/rotate").status_code == 403
    rotate_url = reverse("key-rotate", args=[shared_key.pk])
    assert client.post(rotate_url, {"grace": "none"}).status_code == 403
    assert rotate_url not in client.get(reverse("key-edit", args=[shared_key.pk])).content.decode()
    own = store.create_key("own", owner=editor)[0]
    assert client.post(f"/api/keys/{own.prefix}/rotate").status_code == 200
    accounts.set_role(editor, role="editor", bodies=True)
    for prefix in (key["prefix"], shared_key.prefix):
        assert client.post(f"/api/keys/{prefix}/rotate").status_code == 200


def test_a_stored_response_is_not_for_another_key_of_the_user(member_client: Client) -> None:
    """A program could otherwise read the secret of a rotated key by its idempotency key."""
    first, second = create(member_client).json(), create(member_client).json()
    path, header = f"/api/personal/keys/{first['id']}/rotate", {"idempotency-key": "1"}
    rotated = member_client.post(path, headers=header)
    assert rotated.status_code == 200
    assert with_secret(second["key"]).post(path, headers=header).status_code == 404
    assert member_client.post(path, headers=header).json() == rotated.json()
    again = with_secret(rotated.json()["key"]).post(path, headers=header)
    assert again.json()["key"] != rotated.json()["key"], "the program's first request"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"month_usd": "11"}, "month_usd"),
        ({"month_usd": None}, "month_usd"),
        ({"days": 31}, "days"),
        ({"days": None}, "days"),
        ({"routes": ["beta"]}, "routes"),
        ({"name": ""}, "name"),
        ({"name": "a\0b"}, "name"),
    ],
)
def test_a_key_beyond_the_limits_is_refused(
    member_client: Client, values: dict[str, Any], field: str
) -> None:
    response = create(member_client, **values)
    assert (response.status_code, response.json()["field"]) == (422, field)
    assert not ApiKey.objects.exists()


def test_the_number_of_keys_is_limited(member_client: Client) -> None:
    assert [create(member_client).status_code for _ in range(3)] == [201, 201, 422]


def test_spend_and_requests_are_those_of_personal_keys(
    member_client: Client, member_user: User
) -> None:
    personal_key = ApiKey.objects.get(pk=create(member_client).json()["id"])
    other, _secret = store.create_key("ci")
    for key, usd in ((personal_key, 1), (other, 2)):
        log_usage(key.pk, usd)
        store.write([make_record(f"req_{key.pk}", key_id=key.pk, key_prefix=key.prefix)])
    (line,) = member_client.get("/api/personal/spend?by=key").json()["items"]
    assert Decimal(line["charged_usd"]) == 1
    assert member_client.get("/api/personal/spend?by=team").status_code == 422
    assert member_client.get("/api/personal/spend?by=").status_code == 422
    (row,) = member_client.get("/api/personal/requests").json()["items"]
    assert row["key_id"] == personal_key.pk
    assert member_client.get(f"/api/personal/requests/req_{personal_key.pk}").status_code == 200
    assert (
        member_client.get(f"/api/personal/requests/req_{personal_key.pk}/bodies").status_code == 200
    )
    for path in (f"req_{other.pk}", f"req_{other.pk}/bodies", "none", "a%00b"):
        assert member_client.get(f"/api/personal/requests/{path}").status_code == 404
    # A revoked key's requests stay its owner's.
    member_client.delete(f"/api/personal/keys/{personal_key.pk}")
    assert len(member_client.get("/api/personal/requests").json()["items"]) == 1


def test_keys_of_others_are_out_of_reach(member_client: Client) -> None:
    other, _secret = store.create_key("ci")
    assert member_client.post(f"/api/personal/keys/{other.pk}/rotate").status_code == 404
    assert member_client.delete(f"/api/personal/keys/{other.pk}").status_code == 404
    other.refresh_from_db()
    assert other.revoked_at is None


def test_the_secret_of_a_key_is_a_credential_for_that_key_only(
    member_client: Client, member_user: User
) -> None:
    first, second = (create(member_client, name=name).json() for name in ("one", "two"))
    for key in (first, second):
        store.write([make_record(f"req_{key['id']}", key_id=key["id"], key_prefix=key["prefix"])])
        log_usage(key["id"], 1)
    program = with_secret(first["key"])
    assert [row["name"] for row in program.get("/api/personal/keys").json()["items"]] == ["one"]
    assert [row["key_id"] for row in program.get("/api/personal/requests").json()["items"]] == [
        first["id"]
    ]
    (line,) = program.get("/api/personal/spend?by=key").json()["items"]
    assert Decimal(line["charged_usd"]) == 1
    assert create(program).status_code == 403
    assert program.delete(f"/api/personal/keys/{first['id']}").status_code == 403
    assert program.post(f"/api/personal/keys/{second['id']}/rotate").status_code == 404
    rotated = program.post(f"/api/personal/keys/{first['id']}/rotate")
    assert rotated.status_code == 200
    assert program.get("/api/personal/keys").status_code == 401  # the old secret
    change = Change.objects.order_by("-pk").first()
    assert change is not None
    assert (change.actor, change.via) == ("mia", "api")
    # It is no credential for the rest of the API.
    assert with_secret(rotated.json()["key"]).get("/api/keys").status_code == 401
    accounts.set_role(member_user, role="viewer", bodies=False)
    assert with_secret(rotated.json()["key"]).get("/api/personal/keys").status_code == 401
    assert RequestLog.objects.count() == 2
