"""The page of changes: readable, filtered, paged, and for admins alone."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from gateway import audit, store
from gateway.models import Change, Provider, Team

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


def text(client: Client, query: str = "", **headers: str) -> str:
    response: Any = client.get(reverse("changes") + query, headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def test_nothing_has_changed_yet(admin: Client) -> None:
    assert "is written down here" in text(admin)


def test_who_changed_what_from_what_to_what(admin: Client) -> None:
    with audit.acting("eva", "console"):
        row = Provider.objects.create(name="one", preset="custom", base_url="http://10.0.0.1")
        row.base_url = "http://10.0.0.2"
        store.set_credential(row, "sk-secret-of-the-provider")
    page = text(admin)
    assert "<del>http://10.0.0.1</del>" in page
    assert "<ins>http://10.0.0.2</ins>" in page
    assert "eva, in the console" in page
    assert "sk-secret" not in page


def test_filters_and_pages(admin: Client) -> None:
    for number in range(60):
        Team.objects.create(name=f"team-{number:02}")
    Provider.objects.create(name="one", preset="custom", base_url="http://10.0.0.1")
    page = text(admin, "?kind=team")
    assert "team-59" in page
    assert "team-09" not in page
    assert "one</h2>" not in page
    last = Change.objects.get(name="team-10")
    assert f"before={last.pk}" in page
    rest = text(admin, f"?kind=team&before={last.pk}", **{"HX-Request": "true"})
    assert "team-09" in rest
    assert "<html" not in rest
    assert "No change fits" in text(admin, "?name=nobody")
    assert "team-07" in text(admin, "?name=M-07&before=x")


def test_what_was_written_is_text_and_never_markup(admin: Client) -> None:
    Team.objects.create(name="<script>alert(1)</script>")
    assert "<script>alert" not in text(admin)


def test_viewers_are_refused(client: Client) -> None:
    client.force_login(User.objects.create_user("vic"))
    assert client.get(reverse("changes")).status_code == 403
