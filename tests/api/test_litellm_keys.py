"""LiteLLM's endpoints for keys: supported fields apply to requests, others are refused."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from gateway import store
from gateway.compat.litellm.api.fields import REFUSED_KEY_FIELDS
from gateway.models import Alias, ApiKey, Change, Provider, Route, RowSource, Team
from tests.store.factories import add_usage

FULL = {
    "key_alias": "ci",
    "models": ["fast", "gpt-*"],
    "duration": "30d",
    "max_budget": 12.5,
    "budget_duration": "30d",
    "soft_budget": 10,
    "rpm_limit": 60,
    "tpm_limit": 90_000,
    "tpd_limit": 1_000_000,
    "max_parallel_requests": 4,
    "team_id": "team",
    "user_id": "ann",
    "tags": ["batch"],
}


def post(api: Client, path: str, body: Any, **headers: str) -> Any:
    return api.post(path, json.dumps(body), content_type="application/json", headers=headers)


def generate_key(api: Client, **fields: Any) -> dict[str, Any]:
    response = post(api, "/key/generate", fields)
    assert response.status_code == 200, response.content
    return dict(response.json())


@pytest.fixture
def team(api: Client) -> Team:
    return Team.objects.create(name="team")


def test_a_key_is_created_with_all_given_fields(api: Client, team: Team) -> None:
    response = generate_key(api, **FULL)
    key = store.load_snapshot().keys[store.digest(response["key"])]
    assert (key.name, key.routes, key.tags) == ("ci", ("fast", "gpt-*"), ("batch",))
    assert key.team is not None
    assert key.team.name == "team"
    assert (key.budget.month_usd, key.budget.soft_percent) == (Decimal("12.5"), 80)
    limits = key.limits
    assert (limits.requests_per_minute, limits.tokens_per_minute) == (60, 90_000)
    assert (limits.tokens_per_day, limits.concurrency) == (1_000_000, 4)
    assert key.expires_at is not None
    remaining = dt.datetime.fromtimestamp(key.expires_at, dt.UTC) - timezone.now()
    assert dt.timedelta(days=29, hours=23) < remaining <= dt.timedelta(days=30)
    responses_by_name = {name: response[name] for name in FULL if name != "duration"}
    assert responses_by_name == {name: value for name, value in FULL.items() if name != "duration"}
    assert response["notes"] == []
    assert response["token"] == response["key"][:15] == response["token_id"]
    assert response["blocked"] is False


def test_a_key_is_blocked_and_unblocked(api: Client) -> None:
    """As LiteLLM documents it: by `key` alone, which may be the key or its token."""
    created = generate_key(api, key_alias="ci", rpm_limit=60)
    for path, blocked in (("/key/block", True), ("/key/unblock", False)):
        response = post(api, path, {"key": created["key"]})
        assert response.status_code == 200, response.content
        row = response.json()
        assert (row["token"], row["blocked"], row["rpm_limit"]) == (created["token"], blocked, 60)
        is_known = store.digest(created["key"]) in store.load_snapshot().keys
        assert is_known is not blocked
    response = post(api, "/key/block", {"key": created["token"], "rpm_limit": 1})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "rpm_limit")
    assert post(api, "/key/block", {}).status_code == 400
    assert post(api, "/key/block", {"key": "sk-none"}).status_code == 404


def test_a_key_without_fields_has_no_limits(api: Client) -> None:
    response = generate_key(api)
    key = store.load_snapshot().keys[store.digest(response["key"])]
    assert (key.routes, key.expires_at, key.budget.total_usd) == ((), None, None)
    assert (response["key_alias"], response["max_budget"], response["expires"]) == (
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("duration", "window"),
    [
        (None, "total_usd"),
        ("1d", "day_usd"),
        ("24h", "day_usd"),
        ("7d", "week_usd"),
        ("weekly", "week_usd"),
        ("1mo", "month_usd"),
        ("30d", "month_usd"),
    ],
)
def test_a_budget_resets_with_its_window(api: Client, duration: str | None, window: str) -> None:
    response = generate_key(api, max_budget=3, budget_duration=duration)
    budget = store.load_snapshot().keys[store.digest(response["key"])].budget
    assert getattr(budget, window) == 3
    assert (response["budget_reset_at"] is None) == (duration is None)


def test_several_budgets_apply_together(api: Client) -> None:
    windows = [{"budget_duration": "24h", "max_budget": 1}]
    response = generate_key(api, max_budget=5, budget_duration="30d", budget_limits=windows)
    budget = store.load_snapshot().keys[store.digest(response["key"])].budget
    assert (budget.day_usd, budget.month_usd) == (1, 5)


def test_a_soft_budget_is_returned_as_stored_in_whole_percent(api: Client) -> None:
    response = generate_key(api, max_budget=3, soft_budget=2)
    assert response["soft_budget"] == pytest.approx(1.98)
    assert response["notes"] == ["soft_budget: is stored as 66 percent of max_budget"]


def test_descriptive_fields_are_noted(api: Client) -> None:
    response = generate_key(api, metadata={"tags": ["a"], "owner": "ann"})
    assert response["tags"] == ["a"]
    assert [note.partition(":")[0] for note in response["notes"]] == ["metadata.owner"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_budget": -1}, "max_budget"),
        ({"max_budget": "much"}, "max_budget"),
        ({"max_budget": 1e15}, "max_budget"),
        ({"max_budget": 1, "budget_duration": "12h"}, "budget_duration"),
        ({"budget_duration": "1d"}, "budget_duration"),
        ({"soft_budget": 1}, "soft_budget"),
        ({"max_budget": 1, "soft_budget": 2}, "soft_budget"),
        ({"max_budget": 1, "budget_limits": [{"max_budget": 1}]}, "budget_limits"),
        ({"duration": "soon"}, "duration"),
        ({"duration": "0d"}, "duration"),
        ({"duration": "999999999mo"}, "duration"),
        ({"rpm_limit": 0}, "rpm_limit"),
        ({"tpm_limit": 2**70}, "tpm_limit"),
        ({"max_parallel_requests": 1.5}, "max_parallel_requests"),
        ({"team_id": "nobody"}, "team_id"),
        ({"models": "fast"}, "models"),
        ({"models": ["all-team-models"]}, "models"),
        ({"models": ["other"]}, "models"),
        ({"key": "sk-of-mine"}, "key"),
        ({"key_type": "management"}, "key_type"),
        ({"blocked": "yes"}, "blocked"),
        ({"metadata": {"model_rpm_limit": {"fast": 1}}}, "metadata"),
        ({"rpm_limits": 3}, "rpm_limits"),
        ({"key_alias": "\0"}, "key_alias"),
        *(({name: ["x"]}, name) for name in REFUSED_KEY_FIELDS),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else None,
)
def test_an_invalid_field_is_refused_with_its_param(api: Client, fields: Any, param: str) -> None:
    route = Route.objects.create(name="fast")
    Alias.objects.create(pattern="other", route=route)
    response = post(api, "/key/generate", fields)
    assert response.status_code == 400, response.content
    error = response.json()["error"]
    assert (error["param"], error["code"], error["type"]) == (param, "400", "bad_request_error")
    assert error["message"]
    assert not ApiKey.objects.exists()


def test_a_key_alias_is_unique(api: Client) -> None:
    generate_key(api, key_alias="ci")
    assert post(api, "/key/generate", {"key_alias": "ci"}).json()["error"]["param"] == "key_alias"


def test_a_lost_response_is_returned_again(api: Client) -> None:
    first = post(api, "/key/generate", {"key_alias": "ci"}, **{"Idempotency-Key": "1"}).json()
    second_response = post(
        api, "/key/generate", {"key_alias": "ci"}, **{"Idempotency-Key": "1"}
    ).json()
    assert second_response == first
    other = post(api, "/key/generate", {"key_alias": "ab"}, **{"Idempotency-Key": "1"})
    assert other.json()["error"]["code"] == "400"


def test_an_update_changes_its_fields_and_nothing_else(api: Client, team: Team) -> None:
    key = generate_key(api, **FULL)["key"]
    row = ApiKey.objects.get()
    row.limit_rph, row.log_bodies = 1000, False
    row.save()

    response = post(api, "/key/update", {"key": key, "max_budget": 20, "rpm_limit": None}).json()
    assert (response["key"], response["max_budget"], response["budget_duration"]) == (
        key,
        20,
        "30d",
    )
    row.refresh_from_db()
    assert (row.budget_month_usd, row.limit_rpm, row.limit_tpm) == (20, None, 90_000)
    assert (row.limit_rph, row.log_bodies, row.tags) == (1000, False, ["batch"])
    assert row.team == team
    assert row.expires_at is not None

    post(api, "/key/update", {"key": key, "max_budget": None, "duration": "-1", "tags": []})
    row.refresh_from_db()
    assert (row.budget_month_usd, row.budget_soft_percent, row.expires_at) == (None, None, None)
    assert row.tags == []
    assert row.limit_tpm == 90_000


def test_an_alias_can_be_set_and_removed(api: Client) -> None:
    key = generate_key(api)["key"]
    named = post(api, "/key/update", {"key": key, "key_alias": "ci"}).json()
    assert named["key_alias"] == "ci"
    assert post(api, "/key/update", {"key": key, "key_alias": None}).json()["key_alias"] is None
    assert post(api, "/key/update", {"key_alias": "ci"}).status_code == 404


def test_a_moved_budget_keeps_its_amount_and_alerts(api: Client) -> None:
    key = generate_key(api, max_budget=10, soft_budget=5)["key"]
    moved = post(api, "/key/update", {"key": key, "budget_duration": "7d"}).json()
    assert (moved["max_budget"], moved["budget_duration"], moved["soft_budget"]) == (10, "7d", 5)
    more = post(api, "/key/update", {"key": key, "max_budget": 20}).json()
    assert (more["max_budget"], more["budget_duration"], more["soft_budget"]) == (20, "7d", 5)
    less = post(api, "/key/update", {"key": key, "max_budget": 2})
    assert less.json()["error"]["param"] == "soft_budget"
    assert ApiKey.objects.get().budget_week_usd == 20


def test_a_blocked_key_is_refused_until_it_is_unblocked(api: Client) -> None:
    key = generate_key(api, key_alias="ci")["key"]
    assert post(api, "/key/update", {"key_alias": "ci", "blocked": True}).json()["blocked"] is True
    assert store.digest(key) not in store.load_snapshot().keys
    post(api, "/key/update", {"key": key, "blocked": False})
    assert store.digest(key) in store.load_snapshot().keys


def test_keys_are_deleted_all_or_none(api: Client) -> None:
    first, second = generate_key(api, key_alias="one"), generate_key(api, key_alias="two")
    response = post(api, "/key/delete", {"keys": [first["key"], "sk-nobody"]})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "404")
    assert ApiKey.objects.count() == 2
    request_body = {"keys": [first["key"], second["token"]]}
    assert post(api, "/key/delete", request_body).json() == {"deleted_keys": request_body["keys"]}
    assert not ApiKey.objects.exists()


def test_keys_are_deleted_by_alias(api: Client) -> None:
    generate_key(api, key_alias="one")
    response = post(api, "/key/delete", {"keys": None, "key_aliases": ["one"]})
    assert response.json() == {"deleted_keys": ["one"]}
    assert post(api, "/key/delete", {}).json()["error"]["param"] == "keys"


@pytest.mark.parametrize("path", ["/key/update", "/key/delete"])
def test_keys_of_a_file_are_not_changed(api: Client, path: str) -> None:
    row, key = store.create_key("ci", source=RowSource.CODE, source_ref="gateway.yaml:3")
    body = {"keys": [key]} if path == "/key/delete" else {"key": key, "rpm_limit": 1}
    response = post(api, path, body)
    assert response.status_code == 409
    assert "gateway.yaml" in response.json()["error"]["message"]
    row.refresh_from_db()
    assert row.limit_rpm is None


def test_info_has_the_spend_of_the_window(api: Client) -> None:
    key = generate_key(api, max_budget=5, budget_duration="30d")
    row = ApiKey.objects.get()
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    for hour, usd in ((now, 2), (now - dt.timedelta(days=40), 9)):
        add_usage(hour, usd, key_id=row.pk, priced_requests=1)
    response = api.get("/key/info", {"key": key["key"]}).json()
    info = response["info"]
    assert (response["key"], info["spend"], info["total_spend"]) == (key["key"], 2.0, 11.0)
    assert info["status"] == "active"
    assert info["budget_reset_at"] is not None
    assert "key" not in info


def test_a_key_reads_only_its_own_info(api: Client) -> None:
    own_key, other = generate_key(api, key_alias="mine"), generate_key(api, key_alias="other")
    client = Client(headers={"authorization": f"Bearer {own_key['key']}"})
    assert client.get("/key/info").json()["info"]["key_alias"] == "mine"
    assert client.get("/key/info", {"key": own_key["key"]}).status_code == 200
    refused_response = client.get("/key/info", {"key": other["token"]})
    assert (refused_response.status_code, refused_response.json()["error"]["code"]) == (403, "403")


def test_keys_are_listed_by_pages(api: Client, team: Team) -> None:
    for number in range(5):
        generate_key(api, key_alias=f"k{number}", team_id="team" if number == 3 else None)
    page = api.get("/key/list", {"size": 2, "page": 2}).json()
    assert (page["total_count"], page["total_pages"], page["current_page"]) == (5, 3, 2)
    names = {row.prefix: row.name for row in ApiKey.objects.all()}
    assert [names[token] for token in page["keys"]] == ["k2", "k1"]
    body = api.get("/key/list", {"team_id": "team", "return_full_object": "true"}).json()
    assert [key["key_alias"] for key in body["keys"]] == ["k3"]
    assert api.get("/key/list", {"key_alias": "k"}).json()["total_count"] == 0
    fuzzy = {"key_alias": "k", "substring_matching": "true"}
    assert api.get("/key/list", fuzzy).json()["total_count"] == 5
    assert api.get("/key/list", {"size": 2, "page": 9}).json()["keys"] == []


def test_keys_are_listed_by_owner(api: Client) -> None:
    token = generate_key(api, user_id="ann")["token"]
    generate_key(api, user_id="bob")
    assert api.get("/key/list", {"user_id": "ann"}).json()["keys"] == [token]
    assert ApiKey.objects.get(prefix=token).user == "ann"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"organization_id": "o"}, "organization_id"),
        ({"status": "deleted"}, "status"),
        ({"sort_by": "spend"}, "sort_by"),
        ({"sort_order": "up"}, "sort_order"),
        ({"size": 1000}, "size"),
        ({"page": "one"}, "page"),
    ],
)
def test_an_invalid_key_list_query_is_refused(api: Client, query: Any, param: str) -> None:
    response = api.get("/key/list", query)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_keys_are_listed_by_state(api: Client) -> None:
    generate_key(api, key_alias="live")
    post(api, "/key/update", {"key": generate_key(api, key_alias="gone")["key"], "blocked": True})
    old = ApiKey.objects.get(pk=store.create_key("old", expires_at=timezone.now())[0].pk)
    for status, alias in (("active", "live"), ("revoked", "gone"), ("expired", old.name)):
        query = {"status": status, "return_full_object": "true"}
        keys = api.get("/key/list", query).json()["keys"]
        assert [(key["key_alias"], key["status"]) for key in keys] == [(alias, status)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/key/generate"),
        ("post", "/key/update"),
        ("post", "/key/delete"),
        ("get", "/key/list"),
        ("get", "/spend/logs"),
        ("post", "/utils/transform_request"),
    ],
)
@pytest.mark.parametrize("token", ["", "sk-nobody", "a client's"])
def test_only_an_admin_manages_keys(api: Client, method: str, path: str, token: str) -> None:
    if token == "a client's":
        token = store.create_key("client")[1]
    client = Client(headers={"authorization": f"Bearer {token}"} if token else {})
    response = getattr(client, method)(path)
    assert response.status_code == 401
    error = response.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("auth_error", "401", None)


def test_the_audit_log_names_the_creator_of_a_key_without_the_key(api: Client) -> None:
    key = generate_key(api, key_alias="ci")["key"]
    change = Change.objects.latest("pk")
    assert (change.actor, change.via) == ("master key", "api")
    assert key not in json.dumps([change.before, change.after])
    assert not Provider.objects.exists()


@pytest.mark.parametrize("body", ["{", "[1]", '"x"'])
def test_a_body_that_is_no_object_is_refused(api: Client, body: str) -> None:
    response = api.post("/key/generate", body, content_type="application/json")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "400"


def test_computed_dollars_are_stored_to_the_millionth(api: Client) -> None:
    response = generate_key(api, max_budget=0.1 + 0.2)
    assert response["max_budget"] == 0.3
    assert ApiKey.objects.get().budget_total_usd == Decimal("0.3")


def test_a_page_beyond_all_keys_is_empty(api: Client) -> None:
    reply = api.get("/key/list?page=9999999999999999999")
    assert (reply.status_code, reply.json()["keys"]) == (200, [])
