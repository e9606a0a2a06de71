"""Scores of requests in the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from gateway import store
from gateway.api import scores
from gateway.models import ApiKey, RequestScore
from tests.api.test_roles import _session, _with_token
from tests.store.factories import make_record


def _post(client: Client, request_id: str = "req_a", **body: Any) -> Any:
    return client.post(
        f"/api/requests/{request_id}/scores", data=body, content_type="application/json"
    )


@pytest.fixture(autouse=True)
def _row(db: None) -> None:
    store.write([make_record("req_a"), make_record("req_b")])


def test_a_score_is_created_read_and_replaced(api: Client) -> None:
    created = _post(api, name="helpful", value=0.5, comment="Ok.")
    assert created.status_code == 201
    assert _post(api, name="helpful", value=1, comment="").json()["id"] == created.json()["id"]
    (item,) = api.get("/api/requests/req_a/scores").json()["items"]
    assert (item["name"], item["value"], item["comment"]) == ("helpful", 1.0, "")
    assert item["scored_by"] == "master key"
    assert [len(row["scores"]) for row in api.get("/api/requests").json()["items"]] == [0, 1]
    assert api.get("/api/requests/req_a").json()["scores"] == [item]


def test_an_application_names_the_author(api: Client) -> None:
    for author in ("u1", "u2"):
        assert _post(api, value=1, scored_by=author).status_code == 201
    assert {row.scored_by for row in RequestScore.objects.all()} == {"u1", "u2"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"value": 1.5}, "value"),
        ({"value": "up"}, "value"),
        ({}, "value"),
        ({"name": "a b", "value": 1}, "name"),
        ({"comment": "x" * 2001}, "comment"),
        ({"comment": "a\0b"}, "comment"),
        ({"value": 1, "scored_by": "x" * 151}, "scored_by"),
    ],
)
def test_an_invalid_score_is_refused_with_its_field(api: Client, body: Any, field: str) -> None:
    response = _post(api, **body)
    assert response.status_code == 422
    assert response.json()["field"] == field
    assert not RequestScore.objects.exists()


def test_an_unknown_request_is_not_found(api: Client) -> None:
    assert _post(api, "req_z", value=1).status_code == 404
    assert api.get("/api/requests/req_z/scores").status_code == 404


def test_a_member_scores_only_requests_of_personal_keys() -> None:
    member_client = _with_token(_session("member"))
    assert _post(member_client, value=1).status_code == 404
    key, _secret = store.create_key("mia's")
    ApiKey.objects.filter(pk=key.pk).update(owner=User.objects.get())
    store.write([make_record("req_own", key_id=key.pk)])
    assert _post(member_client, "req_own", value=1).status_code == 201
    assert _post(member_client, "req_own", value=1, scored_by="someone else").status_code == 403
    score = RequestScore.objects.get()
    assert score.scored_by == "someone"
    assert member_client.delete(f"/api/requests/req_own/scores/{score.pk}").status_code == 204


def _client_of(name: str) -> tuple[Client, ApiKey]:
    key, secret = store.create_key(name)
    return Client(headers={"authorization": f"Bearer {secret}"}), key


def test_a_gateway_key_scores_its_own_requests() -> None:
    client, key = _client_of("shop")
    other, _key = _client_of("other")
    store.write([make_record("req_shop", key_id=key.pk)])
    created = _post(client, "req_shop", value=1, comment="Right.")
    assert created.status_code == 201
    assert created.json()["scored_by"] == "key shop"
    # Its own author is replaced, an end user's score stands beside it.
    assert _post(client, "req_shop", value=0).json()["id"] == created.json()["id"]
    ended = _post(client, "req_shop", value=0.5, scored_by="ada")
    assert ended.json()["scored_by"] == "key shop: ada"
    assert RequestScore.objects.count() == 2
    # Neither requests of other keys nor those without a key, and nothing but scoring.
    for scoring_client, name in ((other, "req_shop"), (client, "req_a"), (client, "req_z")):
        refused_response = _post(scoring_client, name, value=1)
        assert (refused_response.status_code, refused_response["Retry-After"]) == (404, "1")
    assert client.get("/api/requests/req_shop/scores").status_code == 401
    score = f"/api/requests/req_shop/scores/{created.json()['id']}"
    assert client.delete(score).status_code == 401


def test_an_expired_key_cannot_score() -> None:
    client, key = _client_of("shop")
    store.write([make_record("req_shop", key_id=key.pk)])
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert _post(client, "req_shop", value=1).status_code == 401
    ApiKey.objects.filter(pk=key.pk).update(expires_at=None)
    assert _post(client, "req_shop", value=1).status_code == 201
    ApiKey.objects.revoke()
    assert _post(client, "req_shop", value=1).status_code == 401


def test_scores_of_a_key_are_rate_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setattr(scores, "KEY_SCORES_PER_MINUTE", 2)
    monkeypatch.setattr(scores.time, "time", lambda: 1_700_000_010.0)
    client, key = _client_of("shop")
    other, other_key = _client_of("other")
    store.write([make_record("req_1", key_id=key.pk), make_record("req_2", key_id=other_key.pk)])
    assert [_post(client, "req_1", value=1).status_code for _ in range(3)] == [201, 201, 429]
    assert _post(client, "req_1", value=1)["Retry-After"] == "30"
    assert _post(other, "req_2", value=1).status_code == 201
    monkeypatch.setattr(scores.time, "time", lambda: 1_700_000_041.0)
    assert _post(client, "req_1", value=1).status_code == 201


def test_only_admins_delete_scores_of_others(api: Client) -> None:
    score = _post(api, value=1).json()["id"]
    editor = _with_token(_session("editor"))
    assert editor.delete(f"/api/requests/req_a/scores/{score}").status_code == 403
    assert api.delete(f"/api/requests/req_b/scores/{score}").status_code == 404
    assert api.delete(f"/api/requests/req_a/scores/{score}").status_code == 204
    assert api.delete(f"/api/requests/req_a/scores/{score}").status_code == 404


def test_a_repeated_score_request_is_idempotent(api: Client) -> None:
    headers = {"idempotency-key": "k1"}
    url = "/api/requests/req_a/scores"
    first = api.post(url, {"value": 1}, content_type="application/json", headers=headers)
    second_response = api.post(url, {"value": 1}, content_type="application/json", headers=headers)
    assert first.json() == second_response.json()
    assert second_response["Idempotency-Replayed"] == "true"
