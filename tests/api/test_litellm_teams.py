"""LiteLLM's endpoints for teams and users, with the requests of its documentation."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from gateway import store
from gateway.models import ApiKey, Change, RowSource, Team
from tests.each import each
from tests.store.factories import add_usage

OWN_ID = "45e3e396-ee08-4a61-a88e-16b3ce7e0849"


def post(api: Client, path: str, body: Any, status: int = 200) -> Any:
    response = api.post(path, json.dumps(body), content_type="application/json")
    assert response.status_code == status, response.content
    return response.json()


def get(api: Client, path: str, status: int = 200, **query: Any) -> Any:
    response = api.get(path, query)
    assert response.status_code == status, response.content
    return response.json()


def log_usage(key: ApiKey, usd: int) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    add_usage(hour, usd, key_id=key.pk)


# --- teams ------------------------------------------------------------------------------


def test_a_team_is_created_and_its_keys_share_its_budget(api: Client) -> None:
    team = post(
        api,
        "/team/new",
        {"team_alias": "QA Prod Bot", "max_budget": 0.5, "budget_duration": "1d", "rpm_limit": 9},
    )
    assert (team["team_id"], team["team_alias"]) == ("QA Prod Bot", "QA Prod Bot")
    assert (team["max_budget"], team["budget_duration"], team["rpm_limit"]) == (0.5, "1d", 9)
    key = post(api, "/key/generate", {"team_id": team["team_id"], "user_id": "ann"})
    api_key = store.load_snapshot().keys[store.digest(key["key"])]
    assert api_key.team is not None
    assert api_key.team.budget.day_usd == Decimal("0.5")
    log_usage(ApiKey.objects.get(), 3)
    info = get(api, "/team/info", team_id="QA Prod Bot")
    assert (info["team_info"]["spend"], info["keys"][0]["user_id"]) == (3, "ann")
    assert info["team_info"]["members_with_roles"] == [{"user_id": "ann", "role": "user"}]


def test_the_audit_log_shows_that_a_team_was_created_over_the_api(api: Client) -> None:
    post(api, "/team/new", {"team_alias": "crew"})
    change = Change.objects.latest("pk")
    assert (change.actor, change.via) == ("master key", "api")


def test_a_teams_own_id_identifies_it_everywhere(api: Client) -> None:
    post(api, "/team/new", {"team_alias": "crew", "team_id": OWN_ID})
    key = post(api, "/key/generate", {"team_id": OWN_ID, "key_alias": "ci"})
    assert key["team_id"] == OWN_ID
    assert ApiKey.objects.get().team == Team.objects.get(name="crew")
    changed = post(api, "/team/update", {"team_id": OWN_ID, "team_alias": "crew 2", "tpm_limit": 7})
    assert (changed["team_id"], changed["data"]["team_alias"]) == (OWN_ID, "crew 2")
    assert changed["data"]["tpm_limit"] == 7
    post(api, "/key/update", {"key": key["key"], "rpm_limit": 3})
    assert ApiKey.objects.get().team == Team.objects.get(name="crew 2")
    assert get(api, "/key/list", team_id=OWN_ID)["total_count"] == 1
    # An ID that was the name remains valid after the name changes.
    post(api, "/team/new", {"team_alias": "plain"})
    post(api, "/team/update", {"team_id": "plain", "team_alias": "fancy"})
    assert get(api, "/team/info", team_id="plain")["team_info"]["team_alias"] == "fancy"
    assert post(api, "/team/delete", {"team_ids": [OWN_ID, "plain"]}) == {
        "deleted_teams": [OWN_ID, "plain"]
    }
    assert (Team.objects.count(), ApiKey.objects.count()) == (0, 0)


def test_an_update_changes_only_what_it_has(api: Client) -> None:
    fields = {"max_budget": 10, "budget_duration": "30d", "soft_budget": 5, "rpm_limit": 2}
    post(api, "/team/new", {"team_id": "crew", **fields})
    team = post(api, "/team/update", {"team_id": "crew", "rpm_limit": None})["data"]
    assert (team["rpm_limit"], team["max_budget"], team["soft_budget"]) == (None, 10, 5)
    assert team["budget_duration"] == "30d"
    team = post(api, "/team/update", {"team_id": "crew", "max_budget": None})["data"]
    assert (team["max_budget"], team["budget_duration"], team["soft_budget"]) == (None, None, None)


def test_an_organization_is_the_team_above(api: Client) -> None:
    post(api, "/team/new", {"team_alias": "acme", "max_budget": 100})
    team = post(api, "/team/new", {"team_alias": "search", "organization_id": "acme"})
    assert team["organization_id"] == "acme"
    teams = get(api, "/team/list", organization_id="acme")
    assert [row["team_alias"] for row in teams] == ["search"]
    error = post(api, "/team/new", {"team_alias": "x", "organization_id": "none"}, 400)["error"]
    assert error["param"] == "organization_id"


def test_members_are_the_users_of_keys(api: Client) -> None:
    post(api, "/team/new", {"team_id": "crew"})
    member = {"team_id": "crew", "member": {"role": "user", "user_id": "user123"}}
    assert "not stored" in post(api, "/team/member_add", member)["notes"][0]
    post(api, "/team/member_add", {**member, "max_budget_in_team": 100.0}, 400)
    post(api, "/team/member_add", {"team_id": "crew", "member": {"role": "user"}}, 400)
    post(api, "/key/generate", {"team_id": "crew", "user_id": "user123"})
    post(api, "/key/generate", {"team_id": "crew", "user_id": "other"})
    team = post(api, "/team/member_delete", {"team_id": "crew", "user_id": "user123"})
    assert team["members"] == ["other"]
    assert ApiKey.objects.get().user == "other"
    post(api, "/team/member_delete", {"team_id": "crew", "user_id": "user123"}, 400)


@each(
    ("body", "param"),
    [
        ({}, "team_alias"),
        ({"team_alias": "a", "models": ["gpt-4o"]}, "models"),
        ({"team_alias": "a", "blocked": True}, "blocked"),
        ({"team_alias": "a", "team_member_budget": 1}, "team_member_budget"),
        ({"team_alias": "a", "model_aliases": {"a": "b"}}, "model_aliases"),
        ({"team_alias": "a", "speed": 1}, "speed"),
        ({"team_alias": "a", "max_budget": -1}, "max_budget"),
        ({"team_alias": "a", "budget_duration": "1d"}, "budget_duration"),
        ({"team_alias": "a\0"}, "team_alias"),
        ({"team_alias": "taken"}, "team_alias"),
        ({"team_alias": "a", "team_id": "taken"}, "team_id"),
    ],
)
def test_unsupported_team_fields_are_refused(api: Client, body: Any, param: str) -> None:
    Team.objects.get_or_create(name="taken")
    assert post(api, "/team/new", body, 400)["error"]["param"] == param
    assert Team.objects.count() == 1


def test_values_without_effect_are_accepted(api: Client) -> None:
    body = {"team_alias": "a", "models": ["all-proxy-models"], "blocked": False, "tags": []}
    team = post(api, "/team/new", {**body, "metadata": {"place": "x"}, "admins": ["ann"]})
    assert [note.partition(":")[0] for note in team["notes"]] == ["metadata.place", "admins"]


def test_unknown_teams_and_teams_of_a_file_are_refused(api: Client) -> None:
    Team.objects.create(name="filed", source=RowSource.CODE, source_ref="conf.yaml:3")
    assert get(api, "/team/info", 404, team_id="none")["error"]["code"] == "404"
    get(api, "/team/info", 400)
    assert get(api, "/team/list", user_id="\0") == []
    post(api, "/team/update", {"team_id": "filed", "rpm_limit": 1}, 409)
    post(api, "/team/delete", {"team_ids": ["filed"]}, 409)
    post(api, "/team/delete", {"team_ids": "filed"}, 400)


# --- users ------------------------------------------------------------------------------


def test_a_user_has_a_budget_over_all_own_keys(api: Client) -> None:
    user = post(
        api,
        "/user/new",
        {"user_id": "ishaan", "max_budget": 10, "budget_duration": "30d", "models": ["fast"]},
    )
    first = store.load_snapshot().keys[store.digest(user["key"])]
    assert (first.routes, user["user_id"], user["max_budget"]) == (("fast",), "ishaan", 10)
    second = post(api, "/key/generate", {"user_id": "ishaan"})
    keys = store.load_snapshot().keys
    assert keys[store.digest(second["key"])].team == first.team
    assert first.team is not None
    assert first.team.budget.month_usd == 10
    for key in ApiKey.objects.all():
        log_usage(key, 2)
    info = get(api, "/user/info", user_id="ishaan")
    assert (info["user_info"]["spend"], len(info["keys"]), info["teams"]) == (4, 2, [])
    # A key of a team is not subject to the user's budget, as in LiteLLM.
    post(api, "/team/new", {"team_id": "crew"})
    post(api, "/key/generate", {"user_id": "ishaan", "team_id": "crew"})
    info = get(api, "/user/info", user_id="ishaan")
    assert [team["team_id"] for team in info["teams"]] == ["crew"]
    assert get(api, "/team/list") == get(api, "/team/list", user_id="ishaan")


def test_a_user_is_changed_listed_and_deleted(api: Client) -> None:
    post(api, "/key/generate", {"user_id": "before"})
    user = post(api, "/user/new", {"user_email": "ann@example.com", "auto_create_key": False})
    assert (user["key"], user["user_id"]) == (None, "ann@example.com")
    assert ["user_email" in note for note in user["notes"]] == [True]
    user_list = get(api, "/user/list", page_size=1)
    assert (user_list["total"], user_list["users"][0]["user_id"]) == (2, "ann@example.com")
    # One that only has keys gets a budget, and with it all its keys.
    data = post(api, "/user/update", {"user_id": "before", "max_budget": 3})["data"]
    assert (data["max_budget"], data["key_count"]) == (3, 1)
    (key,) = store.load_snapshot().keys.values()
    assert key.team is not None
    assert key.team.budget.total_usd == 3
    post(api, "/user/delete", {"user_ids": ["before", "none"]}, 404)
    assert ApiKey.objects.count() == 1
    post(api, "/user/delete", {"user_ids": ["before", "ann@example.com"]})
    assert (ApiKey.objects.count(), Team.objects.count()) == (0, 0)


@each(
    ("body", "param"),
    [
        ({"user_id": "a" * 191}, "user_id"),
        ({"user_id": "a", "user_role": "proxy_admin"}, "user_role"),
        ({"user_id": "a", "password": "x"}, "password"),
        ({"user_id": "a", "auto_create_key": "no"}, "auto_create_key"),
        ({"user_id": "a", "models": ["x"], "auto_create_key": False}, "models"),
        ({"user_id": "a", "model_max_budget": {"x": 1}}, "model_max_budget"),
        ({"user_id": "a", "speed": 1}, "speed"),
        ({"user_id": "a", "duration": "soon"}, "duration"),
    ],
)
def test_unsupported_user_fields_are_refused(api: Client, body: Any, param: str) -> None:
    assert post(api, "/user/new", body, 400)["error"]["param"] == param
    assert (Team.objects.count(), ApiKey.objects.count()) == (0, 0)


def test_unknown_users_are_refused(api: Client) -> None:
    get(api, "/user/info", 404, user_id="none")
    get(api, "/user/info", 400)
    get(api, "/user/info", 400, user_id="a\0")
    get(api, "/user/list", 400, page=0)
    # A list of all users would be the wrong answer.
    for path, name in (("/user/list", "user_ids"), ("/team/list", "team_alias")):
        assert get(api, path, 400, **{name: "ann"})["error"]["param"] == name
    post(api, "/user/update", {"user_id": "none", "rpm_limit": 1}, 404)
    for user_ids in ([1], [{}], {}, [], None):
        post(api, "/user/delete", {"user_ids": user_ids}, 400)


def test_a_user_without_an_id_gets_one(api: Client) -> None:
    users = [post(api, "/user/new", {}) for _ in range(2)]
    ids = {user["user_id"] for user in users}
    assert {len(user_id) for user_id in ids} == {36}
    assert set(ApiKey.objects.values_list("user", flat=True)) == ids


# --- with a gateway key -----------------------------------------------------------------


def own_client(key: dict[str, Any]) -> Client:
    return Client(headers={"authorization": f"Bearer {key['key']}"})


def test_a_key_reads_its_own_user(api: Client) -> None:
    ann = post(api, "/user/new", {"user_id": "ann", "max_budget": 5})
    post(api, "/user/new", {"user_id": "bob"})
    client = own_client(ann)
    for query in ({}, {"user_id": "ann"}):
        info = get(client, "/user/info", **query)
        assert (info["user_info"]["user_id"], info["user_info"]["max_budget"]) == ("ann", 5)
        assert [key["user_id"] for key in info["keys"]] == ["ann"]
    assert get(client, "/user/info", 403, user_id="bob")["error"]["param"] == "user_id"
    assert get(client, "/user/info", 403, user_id="none")["error"]["param"] == "user_id"
    nobody = own_client(post(api, "/key/generate", {}))
    assert get(nobody, "/user/info", 404)["error"]["param"] == "user_id"
    get(nobody, "/user/info", 403, user_id="ann")


def test_a_key_reads_its_own_team_without_the_other_keys(api: Client) -> None:
    post(api, "/team/new", {"team_alias": "crew", "team_id": "t-1", "max_budget": 5})
    post(api, "/team/new", {"team_alias": "others"})
    own = post(api, "/key/generate", {"team_id": "t-1", "user_id": "ann"})
    post(api, "/key/generate", {"team_id": "t-1", "user_id": "bob"})
    client = own_client(own)
    for query in ({}, {"team_id": "t-1"}, {"team_id": "crew"}):
        info = get(client, "/team/info", **query)
        assert (info["team_id"], info["team_info"]["max_budget"]) == ("t-1", 5)
        assert [key["token"] for key in info["keys"]] == [own["token"]]
    for team_id in ("others", "none"):
        assert get(client, "/team/info", 403, team_id=team_id)["error"]["param"] == "team_id"
    # The team of a user's own keys is the user.
    user = own_client(post(api, "/user/new", {"user_id": "carl", "max_budget": 1}))
    assert get(user, "/team/info", 404)["error"]["param"] == "team_id"
    get(user, "/team/info", 403, team_id="user carl")


@pytest.mark.parametrize("path", ["/user/info", "/team/info"])
def test_a_caller_without_a_key_reads_no_user_and_no_team(api: Client, path: str) -> None:
    post(api, "/user/new", {"user_id": "ann"})
    get(Client(), path, 401)
    get(Client(headers={"authorization": "Bearer sk-dgm-unknown"}), path, 401)


@each("path", ["/team/new", "/team/update", "/team/delete", "/user/new", "/user/update"])
def test_only_admins_and_editors_change_teams_and_users(db: None, path: str) -> None:
    _, secret = store.create_key("client")
    for headers in ({}, {"authorization": f"Bearer {secret}"}):
        response = Client(headers=headers).post(path, "{}", content_type="application/json")
        assert response.status_code == 401
    with pytest.raises(AssertionError):
        get(Client(), "/team/list")
