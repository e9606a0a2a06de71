"""The audit log page: readable, filtered, paginated, and for admins only."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.pages.changes import KIND_LABELS
from gateway import audit, store
from gateway.alerts.silences import create_silence
from gateway.models import Change, PriceUpdate, Provider, Team
from gateway.models.registry import RegistryRow
from tests.store.factories import model, provider, route

pytestmark = pytest.mark.django_db


def text(client: Client, query: str = "", **headers: str) -> str:
    response: Any = client.get(reverse("changes") + query, headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def test_an_empty_audit_log_is_shown(admin_client: Client) -> None:
    assert "is recorded here" in text(admin_client)


def test_a_change_has_its_author_and_both_values(admin_client: Client) -> None:
    with audit.acting_as("eva", "console"):
        row = Provider.objects.create(name="one", preset="custom", base_url="http://10.0.0.1")
        row.base_url = "http://10.0.0.2"
        store.set_credential(row, "sk-secret-of-the-provider")
    page = text(admin_client)
    assert "<del>http://10.0.0.1</del>" in page
    assert "<ins>http://10.0.0.2</ins>" in page
    assert "eva, in the console" in page
    assert "sk-secret" not in page


def test_every_recorded_kind_has_a_label(admin_client: Client) -> None:
    create_silence(hours=1, subject="demo")
    kinds = {row._meta.model_name for row in RegistryRow.__subclasses__()}
    kinds |= set(Change.objects.values_list("kind", flat=True))
    assert kinds - set(KIND_LABELS) == set()


def test_the_user_of_a_key_is_named(admin_client: Client) -> None:
    key, _secret = store.create_key("laptop")
    key.owner_id = User.objects.get(username="ada").pk
    key.save()
    page = " ".join(text(admin_client).split())
    assert "<ins>ada</ins>" in page


def test_changes_are_filtered_and_paginated(admin_client: Client) -> None:
    for number in range(60):
        Team.objects.create(name=f"team-{number:02}")
    Provider.objects.create(name="one", preset="custom", base_url="http://10.0.0.1")
    page = text(admin_client, "?kind=team")
    assert "team-59" in page
    assert "team-09" not in page
    assert "one</h2>" not in page
    last = Change.objects.get(name="team-10")
    assert f"before={last.pk}" in page
    next_page = text(admin_client, f"?kind=team&before={last.pk}", **{"HX-Request": "true"})
    assert "team-09" in next_page
    assert "<html" not in next_page
    assert "No changes match" in text(admin_client, "?name=nobody")
    assert "team-07" in text(admin_client, "?name=M-07&before=x")


def test_logged_text_is_never_markup(admin_client: Client) -> None:
    Team.objects.create(name="<script>alert(1)</script>")
    assert "<script>alert" not in text(admin_client)


def test_viewers_are_refused(client: Client) -> None:
    client.force_login(User.objects.create_user("vic"))
    assert client.get(reverse("changes")).status_code == 403


def test_columns_and_values_have_readable_labels(admin_client: Client) -> None:
    with audit.acting_as("eva", "console"):
        team = Team.objects.create(name="blue", budget_day_usd=5, limit_rpm=60)
        row = route("fast", model("m", provider("p")), retries=2, retry_before_fallback=True)
        row.retries_by_kind = {"rate_limit": 2}
        row.health_check_interval_s = 60.0
        row.save()
        key, _ = store.create_key("agents")
        key.team = team
        key.tags = ["paid", "eu"]
        key.limit_tpm = 2_000_000
        key.expires_at = dt.datetime(2031, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
        key.save()
    page = re.sub(r"<[^>]+>", " ", text(admin_client))
    page = re.sub(r"\s+", " ", page)
    for label in (
        "Daily (USD) 5",
        "Requests per minute 60",
        "Retry rounds 2",
        "Retry before the next step yes",
        "Retries by error rate_limit: 2",
        "Health check interval (s) 60 ",
        "Team blue",
        "Tags paid, eu",
        "Tokens per minute 2,000,000",
        "Expires at 3 Feb 2031, 04:05:06",
    ):
        assert label in page
    assert "model_id" not in page and "Model id" not in page


def test_an_entry_of_a_setting_is_a_field(admin_client: Client) -> None:
    """All end users were one JSON text, cut in the middle."""
    ada = {"budget": {"month_usd": "50"}, "limits": {"requests_per_minute": 60}}
    store.set_options({"end_users": {"ada": ada, "eva": {"alias": "Eva"}}})
    store.set_options({"end_users": {"ada": ada, "eva": {"blocked": True}}})
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text(admin_client)))
    assert "Value: ada limits: (Requests per minute: 60); budget: (Monthly (USD): 50)" in page
    assert "Value: eva alias: Eva changed to blocked: yes" in page
    assert page.count("Value: ada") == 1


def test_a_long_list_in_a_change_is_shown_as_a_count(admin_client: Client) -> None:
    with audit.acting_as("eva", "console"):
        row = PriceUpdate(name="newer", origin="x", list_date=dt.date(2026, 11, 21))
        row.changes = [{"name": "n" * 200}] * 3
        row.save()
    assert "3 entries" in text(admin_client)
