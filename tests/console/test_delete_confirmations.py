"""Rows are deleted after a confirmation that names the consequences."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import accounts
from console.models import Evaluation, EvaluationRun, SavedView
from gateway.models import (
    AlertChannel,
    AlertSilence,
    ApiKey,
    Guardrail,
    Prompt,
    RequestScore,
    Team,
)
from tests.console.test_requests import logged

pytestmark = pytest.mark.django_db


def make_team() -> tuple[Any, str, str]:
    team = Team.objects.create(name="Search")
    ApiKey.objects.create(name="ci", prefix="sk-dgm-1", digest=b"1" * 32, team=team)
    return team, reverse("team-edit", args=[team.pk]), "team-delete"


def make_guardrail() -> tuple[Any, str, str]:
    row = Guardrail.objects.create(name="Cards", kind="patterns", settings={"pii": ["email"]})
    return row, reverse("guardrail", args=[row.pk]), "guardrail-delete"


def make_prompt() -> tuple[Any, str, str]:
    row = Prompt.objects.create(name="greeting")
    return row, reverse("prompt", args=[row.pk]), "prompt-delete"


def make_channel() -> tuple[Any, str, str]:
    row = AlertChannel(name="ops", kind=AlertChannel.Kind.WEBHOOK)
    row.destination = "https://example.com/hook"
    row.save()
    return row, reverse("alert-channel", args=[row.pk]), "alert-channel-delete"


def make_evaluation() -> tuple[Any, str, str]:
    owner = User.objects.get(username="ada")
    row = Evaluation.objects.create(owner=owner, name="Capitals", document={"name": "Capitals"})
    return row, reverse("evaluation", args=[row.pk]), "evaluation-delete"


@pytest.mark.parametrize(
    ("make", "consequence"),
    [
        (make_team, "1 key keeps working, without the team"),
        (make_guardrail, "no longer checked"),
        (make_prompt, "will get an error"),
        (make_channel, "no longer gets alerts"),
        (make_evaluation, "0 runs"),
    ],
)
def test_a_row_is_deleted_after_a_confirmation(
    admin_client: Client, make: Any, consequence: str
) -> None:
    row, page_url, view_name = make()
    url = reverse(view_name, args=[row.pk])
    page = admin_client.get(page_url).content.decode()
    assert f'href="{url}"' in page
    assert f'action="{url}"' not in page, "one click deletes"
    confirmation = admin_client.get(url)
    text = " ".join(confirmation.content.decode().split())
    assert f"Delete {row.name}" in text
    assert consequence in text
    assert f'href="{page_url}"' in text, "Cancel leads back"
    assert type(row).objects.filter(pk=row.pk).exists()
    assert admin_client.post(url).status_code == 302
    assert not type(row).objects.filter(pk=row.pk).exists()


def assert_asks(client: Client, page_url: str, url: str, question: str) -> None:
    """The page links to the question, and asking changes nothing."""
    page = client.get(page_url).content.decode()
    assert f'href="{url}' in page
    assert f'action="{url}' not in page, "one click deletes"
    confirmation = client.get(url)
    assert confirmation.status_code == 200
    text = " ".join(confirmation.content.decode().split())
    assert question in text
    assert f'href="{page_url}"' in text, "Cancel leads back"


@pytest.mark.parametrize(("comment", "status"), [("until\u00a08 pm", 302), ("a\x1bb", 422)])
def test_a_comment_of_a_silence_is_one_line(
    admin_client: Client, comment: str, status: int
) -> None:
    fields = {"hours": "1", "comment": comment}
    response = admin_client.post(reverse("alert-silence-add"), fields)
    assert response.status_code == status
    assert AlertSilence.objects.exists() == (status == 302)


def test_a_silence_ends_after_a_confirmation(admin_client: Client) -> None:
    row = AlertSilence.objects.create(subject="demo", ends_at=timezone.now() + timedelta(hours=2))
    url = reverse("alert-silence-delete", args=[row.pk])
    assert_asks(admin_client, reverse("alerts"), url, "End the silence of All events: demo")
    assert AlertSilence.objects.exists()
    assert admin_client.post(url).status_code == 302
    assert not AlertSilence.objects.exists()


def test_a_case_is_deleted_after_a_confirmation(admin_client: Client) -> None:
    evaluation, page_url, _ = make_evaluation()
    cases = [{"vars": {"input": "one"}}, {"vars": {"input": "two"}}]
    Evaluation.objects.update(document={"name": "Capitals", "cases": cases})
    url = reverse("evaluation-case-delete", args=[evaluation.pk, 0])
    assert_asks(admin_client, page_url, url, "Delete case")
    evaluation.refresh_from_db()
    assert evaluation.document["cases"] == cases
    assert admin_client.post(url).status_code == 302
    evaluation.refresh_from_db()
    assert evaluation.document["cases"] == cases[1:]


def test_a_saved_view_is_deleted_after_a_confirmation(admin_client: Client) -> None:
    owner = User.objects.get(username="ada")
    view = SavedView.objects.create(owner=owner, name="Failures", query="status=failed")
    url = reverse("view-delete", args=[view.pk])
    assert_asks(admin_client, reverse("requests"), url, "Delete Failures")
    assert SavedView.objects.exists()
    assert admin_client.post(url).status_code == 302
    assert not SavedView.objects.exists()


def make_score(**request: Any) -> RequestScore:
    row = logged("req_scored", **request)
    return RequestScore.objects.save_score(row, "ada", name="tone", value=0.5, comment="Dry.")


def test_a_score_is_deleted_after_a_confirmation(admin_client: Client) -> None:
    score = make_score()
    page_url = f"{reverse('request', args=[score.log_id])}?tab=scores"
    url = f"{reverse('request-score-delete', args=[score.log_id, score.pk])}?tab=scores"
    assert_asks(admin_client, page_url, url, "Delete tone by ada")
    assert RequestScore.objects.exists()
    response = admin_client.post(url)
    assert response["Location"] == page_url
    assert not RequestScore.objects.exists()


def test_a_member_deletes_an_own_score_after_a_confirmation(db: None) -> None:
    client = Client()
    user = accounts.create_account("ada", "correct horse", role="member")
    key = ApiKey.objects.create(name="own", prefix="sk-dgm-2", digest=b"2" * 32, owner=user)
    score = make_score(key_id=key.pk)
    client.force_login(user)
    page_url = reverse("personal-request", args=[score.log_id])
    url = reverse("personal-request-score-delete", args=[score.log_id, score.pk])
    assert_asks(client, page_url, url, "Delete tone by ada")
    assert RequestScore.objects.exists()
    assert client.post(url).status_code == 302
    assert not RequestScore.objects.exists()


def test_a_score_of_others_is_not_asked_about(db: None) -> None:
    score = make_score()
    client = Client()
    client.force_login(accounts.create_account("ben", "correct horse", role="editor"))
    url = reverse("request-score-delete", args=[score.log_id, score.pk])
    assert client.get(url).status_code == 403


def test_a_run_is_deleted_after_a_confirmation(admin_client: Client) -> None:
    evaluation, _, _ = make_evaluation()
    run = EvaluationRun.objects.create(
        owner=evaluation.owner,
        evaluation=evaluation,
        number=3,
        total=0,
        document=evaluation.document,
    )
    url = reverse("evaluation-run-delete", args=[run.uuid])
    assert "Delete run 3" in admin_client.get(url).content.decode()
    assert EvaluationRun.objects.exists()
    assert admin_client.post(url).status_code == 302
    assert not EvaluationRun.objects.exists()


def test_a_user_is_deactivated_after_a_confirmation(admin_client: Client) -> None:
    """Reactivation does not restore the keys."""
    user = accounts.create_account("mia", "correct horse", role="member")
    ApiKey.objects.create(name="own", prefix="sk-dgm-2", digest=b"2" * 32, owner=user)
    url, page_url = reverse("user-active", args=[user.pk]), reverse("user-edit", args=[user.pk])
    assert_asks(admin_client, page_url, url, "Deactivate mia")
    assert "1 personal key is revoked" in admin_client.get(url).content.decode()
    assert ApiKey.objects.live().exists()
    assert admin_client.post(url).status_code == 302
    assert not ApiKey.objects.live().exists()
    assert not User.objects.get(username="mia").is_active
    assert admin_client.get(url)["Location"] == page_url


def test_second_factors_are_removed_after_a_confirmation(admin_client: Client) -> None:
    user = accounts.create_account("mia", "correct horse", role="viewer")
    factors = apps.get_model("mfa", "Authenticator")._default_manager
    factors.create(user=user, type="totp", data={})
    url = reverse("user-two-factor", args=[user.pk])
    page_url = reverse("user-edit", args=[user.pk])
    assert_asks(admin_client, page_url, url, "Remove the second factors of mia")
    assert factors.exists()
    assert admin_client.post(url).status_code == 302
    assert not factors.exists()


def test_a_personal_key_is_revoked_after_a_confirmation(db: None) -> None:
    """There is no undo, and the button is beside Rotate."""
    client = Client()
    user = accounts.create_account("mia", "correct horse", role="member")
    client.force_login(user)
    key = ApiKey.objects.create(name="laptop", prefix="sk-dgm-2", digest=b"2" * 32, owner=user)
    url = reverse("personal-key-revoke", args=[key.pk])
    assert_asks(client, reverse("personal-keys"), url, "Revoke laptop")
    assert ApiKey.objects.live().exists()
    assert client.post(url).status_code == 302
    assert not ApiKey.objects.live().exists()
