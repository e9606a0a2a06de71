"""The settings page: editable values, their origin, and when they take effect."""

from __future__ import annotations

import datetime as dt
import io
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.utils.html import escape

from console.pages.settings.views import ROWS
from gateway import models, store
from gateway.models import (
    RequestBody,
    RequestLog,
    RequestText,
    RowSource,
    Setting,
    UnindexedRequest,
)
from gateway.routing.limits import Budget, Limits
from gateway.store.configuration import apply
from gateway.store.options import load_options, set_options
from tests.store.factories import logged_exchange

pytestmark = pytest.mark.django_db

FORM_VALUES = {"log_bodies": "on", "row_days": "30", "body_days": "7", "masks": r"acme-\w+"}


def origins() -> dict[str, str]:
    return {name: value.origin for name, value in load_options().values.items()}


def test_unset_settings_have_their_default() -> None:
    assert set(origins().values()) == {"default"}
    assert load_options().log_bodies is True
    assert load_options().body_days == load_options().row_days == 30


def test_saved_settings_are_in_the_snapshot(admin_client: Client) -> None:
    version = store.current_version()
    body = {**FORM_VALUES, "log_bodies": ""}
    assert admin_client.post(reverse("settings"), body).status_code == 302
    snapshot = store.load_snapshot()
    assert store.current_version() > version, "other processes see that there is a change"
    assert snapshot.log_bodies is False
    assert [mask.pattern for mask in snapshot.masks] == [rb"acme-\w+"]
    assert origins()["log_bodies"] == "database"
    assert load_options().body_days == 7


def test_unchanged_settings_stay_defaults(admin_client: Client) -> None:
    admin_client.post(reverse("settings"), FORM_VALUES)
    assert origins() == {
        "log_bodies": "default",
        "row_days": "default",
        "body_days": "database",
        "masks": "database",
        "markup": "default",
        "limits": "default",
        "budget": "default",
        "end_user_limits": "default",
        "end_user_budget": "default",
        "end_users": "default",
        "end_user_headers": "default",
        "tag_headers": "default",
        "alert_thresholds": "default",
    }


def test_the_environment_overrides_the_setting_and_is_named(
    admin_client: Client, monkeypatch: Any, settings: Any
) -> None:
    set_options({"row_days": 5, "log_bodies": False})
    monkeypatch.setenv("DRAGOMAN_LOG_RETENTION_DAYS", "90")
    settings.LOG_RETENTION_DAYS = 90
    assert load_options().row_days == 90
    assert origins()["row_days"] == "environment"
    page = admin_client.get(reverse("settings")).content.decode()
    assert "set by the variable <code>DRAGOMAN_LOG_RETENTION_DAYS</code>" in page
    admin_client.post(reverse("settings"), {**FORM_VALUES, "row_days": "1"})
    assert Setting.objects.get(name="row_days").value == 5, "a forged field changes nothing"
    assert load_options().row_days == 90


def test_a_setting_variable_may_name_a_file(monkeypatch: Any) -> None:
    monkeypatch.setenv("DRAGOMAN_LOG_BODIES_FILE", "/run/secrets/x")
    assert origins()["log_bodies"] == "file"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("row_days", "-1", "greater than or equal to 0"),
        ("row_days", "many", "whole number"),
        ("body_days", "99999999", "less than or equal"),
        ("masks", "fine-one\n(unclosed", "Line 2: not a regular expression"),
        ("masks", "a", "at least 3 characters"),
        ("masks", r"(\w+\s?)+@acme", "give a maximum"),
        ("masks", r"(?=x)secret", "look-around"),
        ("masks", "x\n" * 60, "at least 3 characters"),
    ],
)
def test_an_invalid_value_shows_the_error_at_its_field(
    admin_client: Client, field: str, value: str, reason: str
) -> None:
    response = admin_client.post(reverse("settings"), {**FORM_VALUES, field: value})
    assert response.status_code == 422
    assert reason in str(response.context["form"].errors[field])
    assert response.context["form"][field].value() == value
    assert not Setting.objects.exists()


def test_a_damaged_stored_value_is_omitted_and_named() -> None:
    Setting.objects.create(name="masks", value=["(("])
    Setting.objects.create(name="row_days", value="soon")
    snapshot = store.load_snapshot()
    assert snapshot.masks == ()
    assert {warning.row for warning in snapshot.warnings} == {
        "setting `masks`",
        "setting `row_days`",
    }
    assert load_options().row_days == 30


def log(name: str, age_days: float, **values: Any) -> None:
    started = timezone.now() - dt.timedelta(days=age_days)
    store.write(
        [
            logged_exchange(
                f"words of {name}", id=name, **{"started_at": started.timestamp(), **values}
            )
        ]
    )


def test_prune_logs_applies_the_retention_settings(capsys: Any) -> None:
    set_options({"row_days": 20, "body_days": 7})
    log("new", 1)
    log("older", 10, error="the upstream said plum", error_kind="upstream_error")
    log("oldest", 30)
    store.index_pending()
    call_command("prune_logs")
    assert set(RequestLog.objects.values_list("request_id", flat=True)) == {"new", "older"}
    assert list(RequestBody.objects.values_list("log__request_id", flat=True)) == ["new"]
    assert RequestLog.objects.get(request_id="older").bodies_omitted == "expired"
    assert "bodies deleted: 1" in capsys.readouterr().out


def test_deleting_a_body_removes_its_words_from_the_search_index() -> None:
    set_options({"body_days": 7})
    log("older", 10, error="the upstream said plum", error_kind="upstream_error")
    store.index_pending()
    assert RequestLog.objects.containing("words").count() == 1
    call_command("prune_logs", verbosity=0)
    store.index_pending()
    assert RequestLog.objects.containing("words").count() == 0
    assert RequestLog.objects.containing("plum").count() == 1
    assert (RequestText.objects.count(), UnindexedRequest.objects.count()) == (1, 0)


def test_bodies_are_never_stored_longer_than_their_rows() -> None:
    set_options({"row_days": 3, "body_days": 9})
    assert load_options().body_days == 3


def test_every_documented_variable_is_on_the_page(admin_client: Client) -> None:
    table = (Path(__file__).resolve().parents[2] / "docs/settings.md").read_text()
    assert {row.variable for row in ROWS} == set(re.findall(r"^\| `([A-Z_]+)`", table, re.M))


def test_no_secret_is_on_the_page(admin_client: Client, settings: Any) -> None:
    settings.MASTER_KEY = "master-key-0123456789-abcdef"
    page = admin_client.get(reverse("settings")).content.decode()
    for secret in (
        settings.MASTER_KEY,
        settings.SECRET_KEY,
        settings.ADMIN_KEY,
        settings.ENCRYPTION_KEYS[0],
    ):
        assert secret not in page


def row_of(client: Client, variable: str) -> str:
    """Return the row of a variable on the page."""
    page = client.get(reverse("settings")).content.decode()
    match = re.search(rf"<code>{variable}</code>.*?<td[^>]*>(.*?)</td>", page, re.S)
    assert match
    return re.sub(r"<[^>]*>", "", match[1]).strip()


def test_an_unset_setting_shows_not_set_or_its_default(admin_client: Client, settings: Any) -> None:
    settings.REDIS_URL = settings.MASTER_KEY = ""
    settings.LOG_LEVEL, settings.DATABASE_URL = "INFO", "sqlite:////data/dragoman.sqlite3"
    assert (
        row_of(admin_client, "REDIS_URL")
        == row_of(admin_client, "DRAGOMAN_MASTER_KEY")
        == "not set"
    )
    assert row_of(admin_client, "DRAGOMAN_LOG_LEVEL") == "INFO"
    assert row_of(admin_client, "DATABASE_URL") == "sqlite:////data/dragoman.sqlite3"
    # It was made at the first start.
    assert row_of(admin_client, "DRAGOMAN_SECRET_KEY") == "hidden"


def test_values_that_may_contain_a_secret_are_hidden(
    admin_client: Client, settings: Any, monkeypatch: Any
) -> None:
    settings.REDIS_URL = "redis://:pass@cache:6379/0"
    settings.DATABASE_URL = "postgres://me:pass@db/x"
    settings.MASTER_KEY = "master-key-0123456789-abcdef"
    monkeypatch.setenv("DATABASE_URL", settings.DATABASE_URL)
    monkeypatch.setenv("DRAGOMAN_LOG_LEVEL", "DEBUG")
    settings.LOG_LEVEL = "DEBUG"
    for variable in ("REDIS_URL", "DATABASE_URL", "DRAGOMAN_MASTER_KEY"):
        assert row_of(admin_client, variable) == "hidden"
    assert row_of(admin_client, "DRAGOMAN_LOG_LEVEL") == "DEBUG"
    assert ":pass@" not in admin_client.get(reverse("settings")).content.decode()


def test_limits_of_end_users_are_edited(admin_client: Client) -> None:
    url = reverse("settings-end-users")
    assert admin_client.get(url).status_code == 200
    assert admin_client.post(url, {"requests_per_minute": "0"}).status_code == 422
    body = {"requests_per_minute": "30", "month_usd": "5.50", "soft_percent": "80"}
    assert admin_client.post(url, body).status_code == 302
    options = load_options()
    assert options.end_user_limits == Limits(requests_per_minute=30)
    assert options.end_user_budget == Budget(month_usd=Decimal("5.50"), soft_percent=80)
    page = admin_client.get(url).content.decode()
    assert 'value="30"' in page
    assert 'value="5.5' in page
    assert admin_client.post(url, {}).status_code == 302
    assert origins()["end_user_limits"] == origins()["end_user_budget"] == "default"


ADD, EDIT = reverse_lazy("settings-end-user-add"), reverse_lazy("settings-end-user")


def test_a_single_end_user_is_added_changed_and_removed(admin_client: Client) -> None:
    listing = reverse("settings-end-users")
    assert "Add end user" in admin_client.get(listing).content.decode()
    assert (
        admin_client.get(f"{ADD}?name=ada%40x.test").context["form"]["name"].value() == "ada@x.test"
    )
    name = "ada & <b>co</b>/1"
    body = {"name": name, "alias": "Ada", "month_usd": "50", "requests_per_minute": "60"}
    assert admin_client.post(ADD, body).status_code == 302
    end_user = load_options().end_users[name]
    assert (end_user.alias, end_user.blocked) == ("Ada", False)
    assert end_user.budget == Budget(month_usd=Decimal(50))
    assert end_user.limits == Limits(requests_per_minute=60)
    assert admin_client.post(ADD, body).status_code == 422, "it is in the list already"
    page = admin_client.get(listing).content.decode()
    assert "ada &amp; &lt;b&gt;co&lt;/b&gt;/1" in page
    (link,) = re.findall(r'href="([^"]+/end-users/edit[^"]+)"', page)
    form = admin_client.get(link)
    assert 'value="60"' in form.content.decode()
    assert admin_client.post(link, {"blocked": "on"}).status_code == 302
    end_user = load_options().end_users[name]
    assert end_user.blocked and end_user.limits == Limits() and end_user.budget == Budget()
    assert "Blocked" in admin_client.get(listing).content.decode()
    delete_url = link.replace("/edit?", "/delete?")
    assert f"Remove {escape(name)}" in admin_client.get(delete_url).content.decode()
    assert admin_client.post(delete_url).status_code == 302
    assert load_options().end_users == {}
    assert admin_client.get(link).status_code == 404


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "name"),
        ({"name": "ada"}, "__all__"),
        ({"name": "a" * 129, "alias": "x"}, "name"),
        ({"name": "ada", "requests_per_minute": "0"}, "requests_per_minute"),
        ({"name": "ada", "month_usd": "-1"}, "month_usd"),
    ],
)
def test_a_wrong_single_end_user_is_not_stored(
    admin_client: Client, values: dict[str, str], field: str
) -> None:
    reply = admin_client.post(ADD, values)
    assert (reply.status_code, list(reply.context["form"].errors)) == (422, [field])
    assert load_options().end_users == {}


def test_many_end_users_are_found_and_paged(admin_client: Client) -> None:
    entries = {f"user-{number:03}": {"alias": f"Person {number}"} for number in range(120)}
    store.set_options({"end_users": entries})
    url = reverse("settings-end-users")

    def names(query: str) -> list[str]:
        return [line.name for line in admin_client.get(f"{url}?{query}").context["lines"]]

    assert names("") == [f"user-{number:03}" for number in range(50)]
    assert names("page=3")[0] == "user-100"
    assert names("page=99999")[0] == "user-100"
    assert names("q=PERSON+119") == ["user-119"]
    assert names("q=nobody") == []


def test_single_end_users_of_a_file_are_shown_and_unchanged(admin_client: Client) -> None:
    source = {"source": RowSource.FILE, "source_ref": "gateway.yaml:3"}
    Setting.objects.create(name="end_users", value={"ada": {"blocked": True}}, **source)
    url = reverse("settings-end-users")
    page = admin_client.get(url).content.decode()
    assert "gateway.yaml:3" in page and "Add end user" not in page
    assert admin_client.post(f"{EDIT}?name=ada", {"alias": "x"}).status_code == 422
    assert admin_client.post(ADD, {"name": "bob", "blocked": "on"}).status_code == 422
    admin_client.post(f"{reverse('settings-end-user-delete')}?name=ada")
    assert load_options().end_users["ada"].blocked


def test_limits_of_end_users_from_a_file_are_shown_and_unchanged(admin_client: Client) -> None:
    source = {"source": RowSource.FILE, "source_ref": "gateway.yaml:3"}
    value = {"requests_per_minute": 7}
    Setting.objects.create(name="end_user_limits", value=value, **source)
    admin_client.post(reverse("settings-end-users"), {"requests_per_minute": "9", "day_usd": "2"})
    assert load_options().end_user_limits.requests_per_minute == 7
    assert load_options().end_user_budget.day_usd == 2


def test_the_configuration_is_downloaded_and_can_be_applied(admin_client: Client) -> None:
    """The file equals the output of `export`; applying it to this database changes nothing."""
    row = models.Provider(name="mine", preset="openai", base_url="https://mine.example/v1")
    store.set_credential(row, "sk-not-to-be-seen")
    row.save()
    set_options({"row_days": 12})
    assert reverse("settings-export") in admin_client.get(reverse("settings")).content.decode()
    response = admin_client.get(reverse("settings-export"))
    assert response["Content-Disposition"] == 'attachment; filename="dragoman.yaml"'
    text = response.content.decode()
    assert "https://mine.example/v1" in text
    assert "sk-not-to-be-seen" not in text
    printed = io.StringIO()
    call_command("export", stdout=printed)
    assert text == printed.getvalue()
    outcome = apply(yaml.safe_load(text), "dragoman.yaml", str, take=True, dry_run=True)
    assert [line for line in outcome.lines if line.field != "source"] == []
