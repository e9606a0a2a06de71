"""Rows are deleted after a confirmation that names the consequences."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.models import Evaluation, EvaluationRun
from gateway.models import AlertChannel, ApiKey, Guardrail, Prompt, Team

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
