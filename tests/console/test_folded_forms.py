"""Forms with folded advanced fields: an error in one of them opens the fold."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from console import accounts
from console.models import Evaluation
from gateway.models import Team
from tests.store.factories import provider

pytestmark = pytest.mark.django_db
# Matches the start of the fold, open or not.
_FOLD = re.compile(r'<details class="(?:(?:card )?advanced|card more)"( open)?>')
_EVALUATION = {"name": "e", "repeat": "1", "concurrency": "1", "pass_rate": "1"}


def folds(response: Any) -> list[bool]:
    """Return whether each fold of a page is open."""
    return [bool(match) for match in _FOLD.findall(response.content.decode())]


def text_before_fold(response: Any) -> str:
    return _FOLD.split(response.content.decode())[0]


@pytest.mark.parametrize(
    ("path", "first", "folded"),
    [
        ("/console/teams/add", {"name", "budget_month_usd"}, {"parent", "limit_rpm", "markup"}),
        ("/console/users/add", {"username", "password", "role"}, {"bodies"}),
        ("/console/providers/add/openai", {"name", "base_url", "key"}, {"dialect", "total_s"}),
        ("/console/providers/add/custom", {"name", "base_url", "dialect"}, {"auth", "proxy"}),
    ],
)
def test_a_new_form_shows_few_fields(
    admin_client: Client, path: str, first: set[str], folded: set[str]
) -> None:
    response = admin_client.get(path)
    assert folds(response) == [False]
    names = set(re.findall(r'name="(\w+)"', text_before_fold(response)))
    assert first <= names
    assert not folded & names
    assert folded <= set(re.findall(r'name="(\w+)"', response.content.decode()))


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/console/teams/add", {"name": "crew", "limit_rpm": "-1"}),
        ("/console/providers/add/openai", {"name": "o", "mode": "none", "total_s": "soon"}),
        (
            "/console/providers/add/openai",
            {"name": "o", "mode": "none", "drop_params": "on", "headers": "x"},
        ),
        ("/console/evaluate/new", {**_EVALUATION, "repeat": "0"}),
        ("/console/evaluate/new", {**_EVALUATION, "threshold": "2"}),
        ("/console/evaluate/new", {**_EVALUATION, "response_schema": "{"}),
    ],
)
def test_an_error_in_a_folded_field_opens_the_fold(
    admin_client: Client, path: str, values: dict[str, str]
) -> None:
    response = admin_client.post(path, values)
    assert response.status_code == 422
    assert folds(response) == [True]


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/console/teams/add", {"name": "", "budget_month_usd": "5"}),
        ("/console/providers/add/openai", {"name": "", "mode": "none"}),
        ("/console/users/add", {"username": "", "password": "x", "role": "viewer"}),
        ("/console/evaluate/new", {**_EVALUATION, "name": ""}),
    ],
)
def test_an_error_in_a_visible_field_leaves_the_fold_closed(
    admin_client: Client, path: str, values: dict[str, str]
) -> None:
    response = admin_client.post(path, values)
    assert response.status_code == 422
    assert folds(response) == [False]


def test_a_value_in_a_folded_field_opens_the_fold(admin_client: Client) -> None:
    plain, limited = Team.objects.create(name="a"), Team.objects.create(name="b", limit_rpm=60)
    assert folds(admin_client.get(f"/console/teams/{plain.pk}")) == [False]
    assert folds(admin_client.get(f"/console/teams/{limited.pk}")) == [True]
    reader = accounts.create_account("vera", "correct horse", role="viewer", bodies=True)
    assert folds(admin_client.get(f"/console/users/{reader.pk}"))[0] is True
    assert folds(admin_client.get(f"/console/providers/{provider().pk}")) == [False]


def test_messages_of_an_evaluation_are_not_hidden(admin_client: Client) -> None:
    """They are sent instead of the prompt, whose field is empty."""
    owner = User.objects.get(username="ada")
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user")]
    for document, is_open in (({"prompt": "Hi"}, False), ({"messages": turns}, True)):
        row = Evaluation.objects.create(owner=owner, name="e", document=document)
        assert folds(admin_client.get(f"/console/evaluate/{row.pk}/edit")) == [is_open]
