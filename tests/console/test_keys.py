"""The API key pages: create and rotate (secret shown once), limit, revoke."""

from __future__ import annotations

import html
import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.pages.keys import views
from console.pages.keys.spend import Gauge, gauges
from gateway import store
from gateway.models import ApiKey, RequestLog, RowSource, Team
from tests.store.factories import make_record, model, route

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("frozen_now")]

FORM = {"name": "ci", "scope": "all", "bodies": ""}


def text(response: Any) -> str:
    return response.content.decode()


def secret_in(response: Any) -> str:
    (secret,) = set(re.findall(r"sk-dgm-\w{54}", text(response)))
    return secret


def find_admitted_key(token: str) -> Any:
    return store.load_snapshot().keys.get(store.digest(token))


def test_a_created_key_is_shown_once_and_works(admin_client: Client) -> None:
    response = admin_client.post(reverse("key-add"), FORM)
    assert response.status_code == 200
    plain = secret_in(response)
    row = ApiKey.objects.get()
    assert find_admitted_key(plain).id == row.pk
    for page in (reverse("keys"), reverse("key-edit", args=[row.pk])):
        assert plain not in text(admin_client.get(page))
        assert row.prefix in text(admin_client.get(page))


def test_the_page_with_the_secret_is_not_stored_by_anyone(admin_client: Client) -> None:
    assert admin_client.post(reverse("key-add"), FORM)["Cache-Control"] == "no-store"


def test_all_fields_are_saved_and_can_be_changed(admin_client: Client) -> None:
    route("fast", model())
    fields = {
        **FORM,
        "scope": "some",
        "chosen": ["fast"],
        "patterns": "claude-*, openai/gpt-5,",
        "expires_at": "2099-01-02T03:04",
        "bodies": "no",
        "budget_day_usd": "1.5",
        "budget_month_usd": "20",
        "budget_total_usd": "100",
        "limit_rpm": "60",
        "limit_tpm": "100000",
        "limit_concurrency": "4",
    }
    admin_client.post(reverse("key-add"), fields)
    row = ApiKey.objects.get()
    assert row.routes == ["fast", "claude-*", "openai/gpt-5"]
    assert row.expires_at is not None
    assert row.expires_at.isoformat() == "2099-01-02T03:04:00+00:00"
    assert (row.log_bodies, row.limit_rpm, row.limit_tpm, row.limit_concurrency) == (
        False,
        60,
        100000,
        4,
    )
    assert (row.budget_day_usd, row.budget_month_usd) == (Decimal("1.5"), Decimal(20))
    edited = reverse("key-edit", args=[row.pk])
    page_text = text(admin_client.get(edited))
    assert 'value="claude-*, openai/gpt-5"' in page_text
    assert re.search(r'value="fast"[^>]*checked', page_text)
    changed = {**fields, "scope": "all", "bodies": "", "budget_day_usd": "", "limit_rpm": "61"}
    assert admin_client.post(edited, changed).status_code == 302
    row.refresh_from_db()
    assert (row.routes, row.log_bodies, row.budget_day_usd, row.limit_rpm) == ([], None, None, 61)


@pytest.mark.parametrize(("chosen", "days"), [("30", 30), ("90", 90), ("", None)])
def test_a_key_expires_in_days_or_never(
    admin_client: Client, chosen: str, days: int | None
) -> None:
    body = {"name": "short", "scope": "all", "expires_in": chosen, "expires_at": ""}
    assert admin_client.post(reverse("key-add"), body).status_code == 200
    expires_at = ApiKey.objects.get(name="short").expires_at
    if days is None:
        assert expires_at is None
    else:
        assert expires_at is not None
        assert abs((expires_at - timezone.now()).total_seconds() - days * 86_400) < 60


def test_a_date_must_be_entered(admin_client: Client) -> None:
    body = {"name": "dated", "scope": "all", "expires_in": "date", "expires_at": ""}
    page = admin_client.post(reverse("key-add"), body)
    assert page.status_code == 422
    assert "Enter a date." in page.content.decode()


def test_folded_fields_open_with_a_value_or_an_error(admin_client: Client) -> None:
    def is_open(page: Any) -> bool:
        return '<details class="advanced" open>' in page.content.decode()

    assert not is_open(admin_client.get(reverse("key-add")))
    row, _plain = store.create_key("limited", limit_rpm=5)
    assert is_open(admin_client.get(reverse("key-edit", args=[row.pk])))
    body = {"name": "x", "scope": "all", "limit_rpm": "-1"}
    assert is_open(admin_client.post(reverse("key-add"), body))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("scope", "some"),
        ("expires_at", "2001-01-01T00:00"),
        ("expires_at", "tomorrow"),
        ("budget_day_usd", "-1"),
        ("limit_rpm", "0"),
        ("limit_tpm", "many"),
        ("chosen", "no-such-route"),
        ("patterns", "x" * 201),
    ],
)
def test_an_error_is_shown_at_its_field_and_other_values_stay(
    admin_client: Client, field: str, value: str
) -> None:
    body = {**FORM, "name": "a kept name", field: value}
    response = admin_client.post(reverse("key-add"), body)
    assert response.status_code == 422
    assert field in response.context["form"].errors
    assert field == "name" or "a kept name" in text(response)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00"])
def test_the_last_time_of_the_calendar_is_shown_in_each_time_zone(
    admin_client: Client, moment: str, zone: str
) -> None:
    """Programs set it for a key that never expires."""
    admin_client.cookies["timezone"] = zone
    body = {"name": "agent", "expires_at": moment}
    added = admin_client.post("/api/keys", body, content_type="application/json")
    assert added.status_code == 201, added.content
    form = {**FORM, "name": "typed", "expires_at": moment[:16]}
    assert admin_client.post(reverse("key-add"), form).status_code == 200
    for row in ApiKey.objects.all():
        assert row.expires_at is not None
        assert row.expires_at.year == 9999
        assert admin_client.get(reverse("key-edit", args=[row.pk])).status_code == 200
    for page in ("keys", "changes"):
        assert admin_client.get(reverse(page)).status_code == 200


def test_an_expired_key_can_be_edited_without_a_new_time(admin_client: Client) -> None:
    row, _ = store.create_key(
        "old", expires_at=timezone.now().replace(second=0, microsecond=0) - timedelta(days=1)
    )
    assert row.expires_at is not None
    body = {**FORM, "name": "renamed", "expires_at": row.expires_at.strftime("%Y-%m-%dT%H:%M")}
    assert admin_client.post(reverse("key-edit", args=[row.pk]), body).status_code == 302
    assert ApiKey.objects.get().name == "renamed"


def test_rotating_keeps_identity_and_spending(admin_client: Client) -> None:
    row, old = store.create_key("ci", budget_month_usd=Decimal(10))
    store.write(
        [make_record(key_id=row.pk, cost_usd=Decimal("2.5"), started_at=timezone.now().timestamp())]
    )
    rotated = admin_client.post(reverse("key-rotate", args=[row.pk]), {"grace": "hour"})
    new = secret_in(rotated)
    assert new != old
    assert find_admitted_key(old).id == find_admitted_key(new).id == row.pk
    page = text(admin_client.get(reverse("key-edit", args=[row.pk])))
    assert "$2.50" in page
    assert "$7.50 left" in page
    assert old[:15] in page
    assert admin_client.post(reverse("key-end-grace", args=[row.pk])).status_code == 302
    assert find_admitted_key(old) is None
    assert find_admitted_key(new) is not None


def test_rotating_without_grace_ends_the_old_secret(admin_client: Client) -> None:
    row, old = store.create_key("ci")
    admin_client.post(reverse("key-rotate", args=[row.pk]), {"grace": "none"})
    assert find_admitted_key(old) is None


def test_an_unknown_grace_rotates_nothing(admin_client: Client) -> None:
    row, old = store.create_key("ci")
    assert (
        admin_client.post(reverse("key-rotate", args=[row.pk]), {"grace": "years"}).status_code
        == 422
    )
    assert find_admitted_key(old) is not None


def test_a_revocation_can_be_undone_for_ten_seconds(admin_client: Client) -> None:
    row, plain = store.create_key("ci")
    response = admin_client.post(reverse("key-revoke", args=[row.pk]))
    assert find_admitted_key(plain) is None
    assert reverse("key-restore", args=[row.pk]) in text(admin_client.get(response["Location"]))
    admin_client.post(reverse("key-restore", args=[row.pk]))
    assert find_admitted_key(plain) is not None


def form_actions(response: Any) -> list[str]:
    return [
        html.unescape(url)
        for url in re.findall(r'<form method="post" action="([^"]+)', text(response))
    ]


def test_revoking_undoing_and_deleting_keep_the_place_in_the_list(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PAGE_ROWS", 2)
    for number in range(5):
        store.create_key(f"ci {number}")
    place = {"q": "ci", "page": "2"}

    def act(action: str, response: Any) -> Any:
        url = next(url for url in form_actions(response) if f"/{action}" in url)
        reply = admin_client.post(url, follow=True)
        assert reply.context["text"] == "ci"
        assert reply.context["pages"].number == 2
        return reply

    reply = act("revoke", admin_client.get(reverse("keys"), place))
    act("restore", reply)
    ApiKey.objects.revoke()
    reply = admin_client.get(reverse("keys"), {**place, "show": "revoked"})
    link = html.unescape(re.findall(r'href="([^"]+/delete[^"]*)', text(reply))[0])
    assert reverse("keys") + "?q=ci&amp;page=2&amp;show=revoked" in text(admin_client.get(link))
    reply = admin_client.post(link, follow=True)
    assert reply.context["show_revoked"]
    assert (reply.context["text"], reply.context["pages"].number) == ("ci", 2)


def test_after_ten_seconds_a_revocation_cannot_be_undone(admin_client: Client) -> None:
    row, plain = store.create_key("ci")
    ApiKey.objects.update(revoked_at=timezone.now() - timedelta(seconds=16))
    page = text(admin_client.get(reverse("keys") + f"?revoked={row.pk}"))
    assert reverse("key-restore", args=[row.pk]) not in page
    response = admin_client.post(reverse("key-restore", args=[row.pk]), follow=True)
    assert "Too late" in text(response)
    assert find_admitted_key(plain) is None


def test_a_revoked_key_can_only_be_deleted(admin_client: Client) -> None:
    row, _ = store.create_key("ci")
    delete = reverse("key-delete", args=[row.pk])
    assert admin_client.post(delete).status_code == 409
    ApiKey.objects.revoke()
    for name in ("key-edit", "key-rotate"):
        response = admin_client.post(
            reverse(name, args=[row.pk]), {**FORM, "name": "new", "grace": "day"}
        )
        assert response.status_code == 409
    assert ApiKey.objects.get().name == "ci"
    assert "ci" in text(admin_client.get(reverse("keys") + "?show=revoked"))
    assert admin_client.get(delete).status_code == 200
    assert admin_client.post(delete).status_code == 302
    assert not ApiKey.objects.exists()


def test_a_key_of_a_file_is_read_only_until_it_is_copied(admin_client: Client) -> None:
    row, _ = store.create_key("ci", source=RowSource.FILE, source_ref="keys.yaml:3")
    edit = reverse("key-edit", args=[row.pk])
    assert "keys.yaml:3" in text(admin_client.get(edit))
    assert admin_client.post(edit, {**FORM, "name": "new"}).status_code == 409
    admin_client.post(reverse("key-copy", args=[row.pk]))
    assert admin_client.post(edit, {**FORM, "name": "new"}).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.source) == ("new", "database")


@pytest.mark.parametrize(
    ("source", "source_ref", "manager"),
    [
        (RowSource.FILE, "litellm.yaml:3", "Managed by the LiteLLM file (litellm.yaml:3), so"),
        (
            RowSource.CODE,
            "gateway.yaml:9",
            "Managed by the configuration file (gateway.yaml:9), so",
        ),
        (RowSource.ENVIRONMENT, "", "Managed by the environment, so"),
    ],
)
def test_the_page_says_what_manages_a_key(
    admin_client: Client, source: str, source_ref: str, manager: str
) -> None:
    row, _ = store.create_key("ci", source=source, source_ref=source_ref)
    assert manager in text(admin_client.get(reverse("key-edit", args=[row.pk])))


def test_the_list_shows_the_budget_that_ends_first(admin_client: Client) -> None:
    row, _ = store.create_key("ci", budget_day_usd=Decimal(4), budget_total_usd=Decimal(100))
    store.write(
        [make_record(key_id=row.pk, cost_usd=Decimal(3), started_at=timezone.now().timestamp())]
    )
    page = text(admin_client.get(reverse("keys")))
    assert "$3.00" in page
    assert "of $4.00" in page
    assert 'data-percent="75"' in page


def test_budget_windows_are_utc_days_and_months(admin_client: Client) -> None:
    row, _ = store.create_key("ci")
    now = datetime.fromisoformat("2026-03-15T12:00:00+00:00")
    for n, moment in enumerate(
        ("2026-03-15T00:00:00", "2026-03-14T23:59:59", "2026-02-28T23:59:59")
    ):
        timestamp = datetime.fromisoformat(moment + "+00:00").timestamp()
        store.write(
            [make_record(f"r{n}", key_id=row.pk, cost_usd=Decimal(1), started_at=timestamp)]
        )
    assert [gauge.spent for gauge in gauges([row], now)[row.pk]] == [1, 2, 3]


def test_a_viewer_sees_the_list_and_changes_nothing(viewer_client: Client) -> None:
    row, plain = store.create_key("ci")
    page = text(viewer_client.get(reverse("keys")))
    assert "ci" in page
    assert "Revoke" not in page
    assert viewer_client.get(reverse("key-add")).status_code == 403
    for name in ("key-edit", "key-rotate", "key-revoke", "key-restore", "key-delete", "key-copy"):
        assert viewer_client.post(reverse(name, args=[row.pk]), FORM).status_code == 403, name
    assert find_admitted_key(plain) is not None


def test_an_empty_key_list_explains_what_to_do(admin_client: Client) -> None:
    page = text(admin_client.get(reverse("keys")))
    assert reverse("key-add") in page
    assert "Bearer sk-dgm-" in page
    assert not RequestLog.objects.exists()


def test_spending_outlives_the_log_and_a_rotation(admin_client: Client) -> None:
    row, _ = store.create_key("ci")
    past = timezone.now() - timedelta(days=400)
    store.write(
        [
            make_record(
                "a",
                key_id=row.pk,
                key_prefix="old",
                cost_usd=Decimal(2),
                started_at=past.timestamp(),
            )
        ]
    )
    store.write(
        [
            make_record(
                "b",
                key_id=row.pk,
                key_prefix="new",
                cost_usd=Decimal(1),
                started_at=past.timestamp(),
            )
        ]
    )
    RequestLog.objects.prune(timezone.now())
    assert [gauge.spent for gauge in gauges([row], timezone.now())[row.pk]] == [0, 0, 3]


def test_a_remaining_budget_is_never_negative() -> None:
    gauge = Gauge("day", _("Today"), Decimal(7), Decimal(5))
    assert (gauge.remaining, gauge.share, gauge.level) == (0, 100, "bad")
    assert Gauge("day", _("Today"), Decimal(0), Decimal(0)).share == 100
    assert Gauge("day", _("Today"), Decimal(4), Decimal(5)).level == "warn"


def test_a_budget_bar_warns_from_the_configured_share() -> None:
    early = Gauge("day", _("Today"), Decimal(1), Decimal(5), warning_percent=20)
    gauge = Gauge("day", _("Today"), Decimal(4), Decimal(5), warning_percent=90)
    assert (early.level, gauge.level) == ("warn", "")


def test_the_list_names_the_team_and_the_user_of_a_key(admin_client: Client) -> None:
    row, _plain = store.create_key("agents")
    row.team, row.user = Team.objects.create(name="blue"), "mira"
    row.save()
    assert "· blue · mira" in text(admin_client.get(reverse("keys")))


def test_limits_of_end_users_are_saved_and_others_unchanged(client: Client) -> None:
    client.force_login(User.objects.create_superuser("eve"))
    key, _ = store.create_key("app")
    key.end_user_limits = {"concurrency": 2}
    key.save()
    url = reverse("key-edit", args=[key.pk])
    typed = {"name": "app", "scope": "all", "each_rpm": "5", "each_month_usd": "2.50"}
    assert client.post(url, typed).status_code == 302
    key.refresh_from_db()
    assert key.end_user_limits == {"concurrency": 2, "requests_per_minute": 5}
    assert key.end_user_budget == {"month_usd": "2.5"}
    value = next(iter(store.load_snapshot().keys.values()))
    assert value.end_user_budget.month_usd == Decimal("2.5")
    assert 'value="2.5"' in client.get(url).content.decode()
    client.post(url, {**typed, "each_rpm": "", "each_month_usd": ""})
    key.refresh_from_db()
    assert (key.end_user_limits, key.end_user_budget) == ({"concurrency": 2}, {})


def test_many_keys_are_paged_and_can_be_searched(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.pages.keys.views.PAGE_ROWS", 10)
    team = Team.objects.create(name="Search")
    ApiKey.objects.bulk_create(
        ApiKey(name=f"key {n:02}", prefix=f"sk-dgm-{n:08}", digest=bytes([n]) * 32)
        for n in range(12)
    )
    ApiKey.objects.filter(name="key 11").update(user="ada", team=team)
    page = text(admin_client.get(reverse("keys")))
    assert "key 09" in page
    assert "key 11" not in page
    assert "1–10 of 12" in page
    assert 'href="?q=key&amp;page=2"' in text(admin_client.get(reverse("keys"), {"q": "key"}))
    for number in ("2", "99"):
        page = text(admin_client.get(reverse("keys"), {"page": number}))
        assert "key 09" not in page and "key 11" in page and "11–12 of 12" in page
    assert "key 09" in text(admin_client.get(reverse("keys"), {"page": "9" * 5000}))
    for words in ("key 11", "sk-dgm-00000011", "ADA", "search key"):
        rows = admin_client.get(reverse("keys"), {"q": words}).context["rows"]
        assert [row["key"].name for row in rows] == ["key 11"], words
    response = admin_client.get(reverse("keys"), {"q": "nobody"}, headers={"HX-Request": "true"})
    assert "No keys match" in text(response)
    assert "<nav" not in text(response), "a search replaces the rows alone"
    assert admin_client.get(reverse("keys"), {"q": "a\0b"}).status_code == 200
