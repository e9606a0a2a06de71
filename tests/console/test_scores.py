"""Scores and comments on requests: permissions, display and search."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from console import accounts
from gateway import store
from gateway.models import ApiKey, RequestLog, RequestScore
from gateway.models.score import MAX_SCORES
from tests.console.test_requests import logged, matching_rows


def _client(name: str, role: Any) -> Client:
    client = Client()
    client.force_login(accounts.create_account(name, "correct horse", role=role))
    return client


def _score(row: RequestLog, value: float | None = 1, **values: Any) -> RequestScore:
    content = {"name": "feedback", "comment": "", **values}
    author = content.pop("author", "ada")
    return RequestScore.objects.save_score(row, author, value=value, **content)


def test_a_thumb_is_set_changed_and_removed(admin_client: Client) -> None:
    row = logged()
    url = f"/console/requests/{row.pk}/scores"
    assert admin_client.post(url, {"thumb": "up"}).status_code == 302
    assert admin_client.post(url, {"thumb": "down"}).status_code == 302
    (score,) = RequestScore.objects.all()
    assert (score.name, score.value, score.scored_by) == ("feedback", 0.0, "ada")
    text = admin_client.get(f"/console/requests/{row.pk}").content.decode()
    assert text.count('aria-pressed="true"') == 2  # the live switch, and the thumb
    admin_client.post(url, {"thumb": "down"})
    assert not RequestScore.objects.exists()


def test_a_thumb_keeps_the_comment(admin_client: Client) -> None:
    row = logged()
    url = f"/console/requests/{row.pk}/scores"
    admin_client.post(url, {"name": "feedback", "value": "", "comment": "Too long."})
    admin_client.post(url, {"thumb": "down"})
    (score,) = RequestScore.objects.all()
    assert (score.value, score.comment) == (0.0, "Too long.")
    admin_client.post(url, {"thumb": "down"})
    (score,) = RequestScore.objects.all()
    assert (score.value, score.comment) == (None, "Too long.")


def test_a_named_score_and_its_comment_are_shown_and_deleted(admin_client: Client) -> None:
    row = logged()
    url = f"/console/requests/{row.pk}/scores?tab=scores"
    response = admin_client.post(url, {"name": "tone", "value": "0.75", "comment": "<b>Kind</b>"})
    assert response["Location"] == f"/console/requests/{row.pk}?tab=scores"
    text = admin_client.get(f"/console/requests/{row.pk}?tab=scores").content.decode()
    assert "tone" in text
    assert "0.75" in text
    assert "&lt;b&gt;Kind&lt;/b&gt;" in text
    (score,) = RequestScore.objects.all()
    assert f"/console/requests/{row.pk}/scores/{score.pk}/delete" in text
    admin_client.post(f"/console/requests/{row.pk}/scores/{score.pk}/delete")
    assert not RequestScore.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"name": "tone", "value": "1.5"},
        {"name": "tone", "value": "-1"},
        {"name": "tone", "value": "nan"},
        {"name": "a b", "value": "1"},
        {"name": "", "value": "1"},
        {"name": "tone", "value": "", "comment": " "},
        {"name": "tone", "value": "1", "comment": "x" * 2001},
    ],
)
def test_an_invalid_score_is_refused_with_its_field(
    admin_client: Client, values: dict[str, str]
) -> None:
    row = logged()
    htmx = {"HX-Request": "true"}
    url = f"/console/requests/{row.pk}/scores?tab=scores"
    response = admin_client.post(url, values, headers=htmx)
    assert response.status_code == 422
    assert 'class="errors"' in response.content.decode()
    assert not RequestScore.objects.exists()


def test_a_refused_score_keeps_what_was_entered(admin_client: Client) -> None:
    key, _secret = store.create_key("ada's")
    ApiKey.objects.filter(pk=key.pk).update(owner=User.objects.get(username="ada"))
    row = logged(key_id=key.pk)
    for path in (f"requests/{row.pk}/scores?tab=overview", f"personal/requests/{row.pk}/scores"):
        values = {"name": "tone", "value": "7", "comment": "A long comment."}
        response = admin_client.post(f"/console/{path}", values)
        assert response.status_code == 422
        page = response.content.decode()
        assert "A long comment." in page and 'value="tone"' in page and 'class="errors"' in page


def test_a_request_has_a_limited_number_of_scores(admin_client: Client) -> None:
    row = logged()
    RequestScore.objects.bulk_create(
        RequestScore(log=row, name=f"n{n}", value=1, scored_by="app") for n in range(MAX_SCORES)
    )
    url = f"/console/requests/{row.pk}/scores"
    admin_client.post(url, {"name": "more", "value": "1"})
    assert RequestScore.objects.count() == MAX_SCORES


def test_viewers_read_and_editors_score(admin_client: Client) -> None:
    row = logged()
    score = _score(row, 0.5, name="tone", comment="Dry.")
    viewer_client, editor_client = _client("vera", "viewer"), _client("eddy", "editor")
    text = viewer_client.get(f"/console/requests/{row.pk}?tab=scores").content.decode()
    assert "Dry." in text
    assert "/scores" not in text.replace("tab=scores", "")
    url = f"/console/requests/{row.pk}/scores"
    assert viewer_client.post(url, {"thumb": "up"}).status_code == 403
    assert editor_client.post(url, {"thumb": "up"}).status_code == 302
    # An editor deletes own scores only.
    assert editor_client.post(f"{url}/{score.pk}/delete").status_code == 403
    assert admin_client.post(f"{url}/{score.pk}/delete").status_code == 302
    assert [row.scored_by for row in RequestScore.objects.all()] == ["eddy"]


def test_a_member_scores_requests_of_personal_keys_only(db: None) -> None:
    member_client = _client("mia", "member")
    key, _secret = store.create_key("mia's")
    ApiKey.objects.filter(pk=key.pk).update(owner=User.objects.get(username="mia"))
    own_row, other = logged("req_own", key_id=key.pk), logged("req_other")
    assert (
        member_client.post(
            f"/console/personal/requests/{own_row.pk}/scores", {"thumb": "up"}
        ).status_code
        == 302
    )
    assert (
        member_client.post(
            f"/console/personal/requests/{other.pk}/scores", {"thumb": "up"}
        ).status_code
        == 404
    )
    assert (
        member_client.post(f"/console/requests/{own_row.pk}/scores", {"thumb": "up"}).status_code
        == 403
    )
    (score,) = RequestScore.objects.all()
    text = member_client.get(f"/console/personal/requests/{own_row.pk}").content.decode()
    assert f"/console/personal/requests/{own_row.pk}/scores/{score.pk}/delete" in text
    assert (
        member_client.post(
            f"/console/personal/requests/{own_row.pk}/scores/{score.pk}/delete"
        ).status_code
        == 302
    )
    assert not RequestScore.objects.exists()


def test_requests_are_found_by_scores_and_comments(db: None) -> None:
    rows = {name: logged(f"req_{name}") for name in "abcd"}
    _score(rows["a"], 1)
    _score(rows["b"], 0, comment="Wrong.")
    _score(rows["c"], 0.4, name="tone")
    _score(rows["c"], None, comment="A remark.", author="bo")
    assert matching_rows("score:<0.5") == ["req_c", "req_b"]
    assert matching_rows("score>=0.4") == ["req_c", "req_a"]
    assert matching_rows("score:1") == ["req_a"]
    assert matching_rows("score:tone") == ["req_c"]
    assert matching_rows("has:comment") == ["req_c", "req_b"]
    assert matching_rows("has:comment,score") == ["req_c", "req_b", "req_a"]
    assert matching_rows("has:!score") == ["req_d"]
    assert matching_rows("has:comment score:<0.1 status:200") == ["req_b"]


def test_an_unknown_has_filter_is_named(admin_client: Client) -> None:
    text = admin_client.get("/console/requests?q=has:picture").content.decode()
    assert "Ignored: has:picture is not a valid filter" in text


def test_the_list_and_the_exports_have_the_scores(admin_client: Client) -> None:
    row = logged()
    logged("req_b")
    _score(row, 0.25, name="tone", comment="=Dry, and\nshort.")
    _score(row, 1)
    text = admin_client.get("/console/requests").content.decode()
    assert text.count('class="score-pills"') == 1
    items = admin_client.get("/console/requests/export.jsonl").getvalue().decode().splitlines()
    newer, older = (json.loads(item) for item in items)
    assert newer["scores"] == []
    assert [(item["name"], item["value"]) for item in older["scores"]] == [
        ("tone", 0.25),
        ("feedback", 1.0),
    ]
    table = csv.DictReader(
        io.StringIO(admin_client.get("/console/requests/export.csv").getvalue().decode())
    )
    lines = {line["request_id"]: line for line in table}
    assert lines["req_a"]["scores"] == "tone=0.25; feedback=1"
    assert lines["req_a"]["comments"] == "ada: =Dry, and\nshort."
    assert lines["req_b"]["comments"] == ""


def test_scores_are_deleted_with_their_request(db: None) -> None:
    row = logged()
    _score(row)
    assert RequestLog.objects.prune(timezone.now()) == 1
    assert not RequestScore.objects.exists()


def test_the_choice_of_cases_is_searched_by_score(admin_client: Client) -> None:
    from console.evaluate.definition import Definition
    from console.models import Evaluation
    from console.pages.evaluate.views import save

    row = logged()
    logged("req_b")
    _score(row)
    evaluation = Evaluation(owner=User.objects.get(username="ada"))
    save(evaluation, Definition(name="from log"))
    text = admin_client.get(
        f"/console/evaluate/{evaluation.pk}/log?q=score:1&range=all"
    ).content.decode()
    assert f'value="{row.pk}"' in text
    assert text.count('name="request"') == 1
