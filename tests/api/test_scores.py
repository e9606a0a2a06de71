"""Scores of requests over the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateway import store
from gateway.models import ApiKey, RequestScore
from tests.api.test_roles import _session, _with_token
from tests.store.factories import entry


def _post(client: Client, request_id: str = "req_a", **body: Any) -> Any:
    return client.post(
        f"/api/requests/{request_id}/scores", data=body, content_type="application/json"
    )


@pytest.fixture(autouse=True)
def _row(db: None) -> None:
    store.write([entry("req_a"), entry("req_b")])


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
    for who in ("u1", "u2"):
        assert _post(api, value=1, scored_by=who).status_code == 201
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
def test_a_bad_score_is_refused_with_its_field(api: Client, body: Any, field: str) -> None:
    answer = _post(api, **body)
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert not RequestScore.objects.exists()


def test_an_unknown_request_is_not_found(api: Client) -> None:
    assert _post(api, "req_z", value=1).status_code == 404
    assert api.get("/api/requests/req_z/scores").status_code == 404


def test_a_member_scores_only_requests_of_own_keys() -> None:
    mia = _with_token(_session("member"))
    assert _post(mia, value=1).status_code == 404
    key, _secret = store.create_key("mia's")
    ApiKey.objects.filter(pk=key.pk).update(owner=User.objects.get())
    store.write([entry("req_own", key_id=key.pk)])
    assert _post(mia, "req_own", value=1).status_code == 201
    assert _post(mia, "req_own", value=1, scored_by="someone else").status_code == 403
    score = RequestScore.objects.get()
    assert score.scored_by == "someone"
    assert mia.delete(f"/api/requests/req_own/scores/{score.pk}").status_code == 204


def test_only_admins_delete_scores_of_others(api: Client) -> None:
    score = _post(api, value=1).json()["id"]
    editor = _with_token(_session("editor"))
    assert editor.delete(f"/api/requests/req_a/scores/{score}").status_code == 403
    assert api.delete(f"/api/requests/req_b/scores/{score}").status_code == 404
    assert api.delete(f"/api/requests/req_a/scores/{score}").status_code == 204
    assert api.delete(f"/api/requests/req_a/scores/{score}").status_code == 404


def test_a_repeated_request_scores_once(api: Client) -> None:
    headers = {"idempotency-key": "k1"}
    url = "/api/requests/req_a/scores"
    first = api.post(url, {"value": 1}, content_type="application/json", headers=headers)
    again = api.post(url, {"value": 1}, content_type="application/json", headers=headers)
    assert first.json() == again.json()
    assert again["Idempotency-Replayed"] == "true"
