"""Forms of a row that somebody else changed after they were opened."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console import accounts
from console.models import Evaluation
from gateway import audit, store
from gateway.models import Account, AlertChannel, ApiKey, Guardrail, Model, Prompt, Provider, Team
from gateway.store.documents import KINDS
from tests.store.factories import model, provider, route

pytestmark = pytest.mark.django_db


def make_key() -> tuple[ApiKey, str]:
    row = ApiKey.objects.create(name="ci", prefix="sk-dgm-1", digest=b"1" * 32)
    return row, reverse("key-edit", args=[row.pk])


def make_team() -> tuple[Team, str]:
    row = Team.objects.create(name="Search")
    return row, reverse("team-edit", args=[row.pk])


def make_provider() -> tuple[Provider, str]:
    row = provider("ollama", "ollama")
    return row, reverse("provider-edit", args=[row.pk])


def make_provider_limits() -> tuple[Provider, str]:
    row = provider()
    return row, reverse("limits", args=["provider", row.pk])


def make_model() -> tuple[Model, str]:
    row = model()
    return row, reverse("model-edit", args=[row.pk])


def make_guardrail() -> tuple[Guardrail, str]:
    row = Guardrail.objects.create(name="g", kind="patterns", settings={"pii": ["email"]})
    return row, reverse("guardrail", args=[row.pk])


def make_channel() -> tuple[AlertChannel, str]:
    row = AlertChannel(name="ops", kind=AlertChannel.Kind.WEBHOOK)
    row.destination = "https://example.com/hook"
    row.save()
    return row, reverse("alert-channel", args=[row.pk])


def values(page: Any, form: str = "form") -> dict[str, Any]:
    """Return what a browser would send for a form of a page."""
    by_name = {field.html_name: field.value() for field in page.context[form]}
    return {
        name: value for name, value in by_name.items() if value is not None and value is not False
    }


def post_after_a_change(client: Client, url: str, change: Any) -> Any:
    """Return the refusal of a form that was opened before `change`; the second time, it is saved."""
    page = client.get(url)
    stale = values(page)
    assert f'value="{stale["row_version"]}"' in page.content.decode()
    with audit.acting_as("grace", "console"):
        change()
    refused = client.post(url, stale)
    assert refused.status_code == 422
    assert client.post(url, values(refused)).status_code == 302, "the second time, knowingly"
    return refused


@pytest.mark.parametrize(
    "make",
    [
        make_key,
        make_team,
        make_provider,
        make_provider_limits,
        make_model,
        make_guardrail,
        make_channel,
    ],
)
def test_a_change_of_somebody_else_is_not_overwritten_unknowingly(
    admin_client: Client, make: Any
) -> None:
    row, url = make()
    refused = post_after_a_change(admin_client, url, row.save)
    assert "changed this after you opened the page" in refused.content.decode()


def test_the_error_names_who_changed_it(admin_client: Client) -> None:
    row, url = make_team()
    stale = values(admin_client.get(url))
    assert admin_client.post(url, {**stale, "name": "Ads"}).status_code == 302
    refused = admin_client.post(url, {**stale, "name": "Shop"})
    assert "ada changed this after you opened the page" in refused.content.decode()
    row.refresh_from_db()
    assert row.name == "Ads"


def test_an_unchanged_row_is_saved_at_once(admin_client: Client) -> None:
    row, url = make_team()
    fields = values(admin_client.get(url))
    assert admin_client.post(url, {**fields, "name": "Ads"}).status_code == 302
    row.refresh_from_db()
    assert row.name == "Ads"


def all_limits() -> tuple[str, Any]:
    return reverse("all-limits"), lambda: store.set_options({"limits": {"requests_per_day": 7}})


def log_settings() -> tuple[str, Any]:
    return reverse("settings"), lambda: store.set_options({"row_days": 7})


def end_user_defaults() -> tuple[str, Any]:
    limits = {"requests_per_day": 7}
    return (
        reverse("settings-end-users"),
        lambda: store.set_options({"end_user_limits": limits}),
    )


def alert_thresholds() -> tuple[str, Any]:
    thresholds = {"budget_percent": 70}
    return (
        reverse("alert-thresholds"),
        lambda: store.set_options({"alert_thresholds": thresholds}),
    )


def single_end_user() -> tuple[str, Any]:
    store.set_options({"end_users": {"mia": {"alias": "Mia"}, "tom": {"alias": "Tom"}}})
    changed = {"mia": {"alias": "Mia", "blocked": True}}
    return reverse("settings-end-user") + "?name=mia", lambda: store.set_options(
        {"end_users": changed}
    )


@pytest.mark.parametrize(
    "make", [all_limits, log_settings, alert_thresholds, end_user_defaults, single_end_user]
)
def test_settings_of_somebody_else_are_not_overwritten_unknowingly(
    admin_client: Client, make: Any
) -> None:
    url, change = make()
    refused = post_after_a_change(admin_client, url, change)
    assert "grace changed this after you opened the page" in refused.content.decode()


def test_a_prompt_of_somebody_else_is_not_overwritten_unknowingly(admin_client: Client) -> None:
    """Also after a preview, which draws the form anew."""
    document = {"name": "greeting", "messages": [{"role": "user", "content": "Hi"}]}
    row = KINDS["prompts"].write(document, None)
    url = reverse("prompt-save", args=[row.pk])
    stale = {**values(admin_client.get(reverse("prompt", args=[row.pk]))), "rows": "1"}
    stale["content-0"] = "Good day"
    stale["row_version"] = values(admin_client.post(url, {**stale, "action": "preview"}))[
        "row_version"
    ]
    with audit.acting_as("grace", "console"):
        KINDS["prompts"].write({**document, "description": "Says hello"}, row)
    stale["row_version"] = values(admin_client.post(url, {**stale, "action": "preview"}))[
        "row_version"
    ]
    refused = admin_client.post(url, stale)
    assert refused.status_code == 422
    assert "grace changed this after you opened the page" in refused.content.decode()
    assert KINDS["prompts"].read(Prompt.objects.get())["description"] == "Says hello"
    assert admin_client.post(url, {**values(refused), "rows": "1"}).status_code == 302


@pytest.mark.parametrize(("form", "url_name"), [("role", "user-edit"), ("limits", "user-limits")])
def test_a_user_of_another_admin_is_not_overwritten_unknowingly(
    admin_client: Client, form: str, url_name: str
) -> None:
    person = accounts.create_account("lin", None, role="member")
    page_url, url = (reverse(name, args=[person.pk]) for name in ("user-edit", url_name))
    accounts.set_limits(person, max_keys=2)
    opened = admin_client.get(page_url)
    stale = values(opened, form)
    assert opened.content.decode().count('name="row_version"') == 2
    with audit.acting_as("grace", "console"):
        accounts.set_role(person, role="editor", bodies=True)
        accounts.set_limits(person, max_keys=5)
    refused = admin_client.post(url, stale)
    assert refused.status_code == 422
    assert "grace changed this after you opened the page" in refused.content.decode()
    assert accounts.stored_role(person) == "editor"
    assert Account.objects.get(pk=person.pk).max_keys == 5
    assert admin_client.post(url, values(refused, form)).status_code == 302


def test_the_limits_of_a_user_are_no_conflict_with_the_role(admin_client: Client) -> None:
    person = accounts.create_account("lin", None, role="viewer")
    url = reverse("user-edit", args=[person.pk])
    stale = values(admin_client.get(url), "role")
    accounts.set_limits(person, max_keys=5)
    assert admin_client.post(url, {**stale, "role": "editor"}).status_code == 302


def test_another_end_user_is_no_conflict(admin_client: Client) -> None:
    url, _change = single_end_user()
    stale = values(admin_client.get(url))
    store.set_options({"end_users": {"mia": {"alias": "Mia"}, "tom": {"alias": "Tommy"}}})
    assert admin_client.post(url, stale).status_code == 302


def test_an_evaluation_of_somebody_else_is_not_overwritten_unknowingly(
    admin_client: Client,
) -> None:
    route("a", model())
    fields = {"name": "Old", "models": ["a"], "prompt": "Hi", "repeat": 1, "concurrency": 1}
    fields |= {"pass_rate": 1, "threshold": 1, "assert-TOTAL_FORMS": 0, "assert-INITIAL_FORMS": 0}
    created = admin_client.post(reverse("evaluation-new"), fields)
    assert created.status_code == 302, created.context["form"].errors
    row = Evaluation.objects.get()
    url = reverse("evaluation-edit", args=[row.pk])
    stale = fields | {"row_version": values(admin_client.get(url))["row_version"]}
    assert admin_client.post(url, {**stale, "name": "Ads"}).status_code == 302
    refused = admin_client.post(url, {**stale, "name": "Shop"})
    assert refused.status_code == 422
    assert "changed this after you opened the page" in refused.content.decode()
    row.refresh_from_db()
    assert row.name == "Ads"
    again = {**stale, "name": "Shop", "row_version": values(refused)["row_version"]}
    assert admin_client.post(url, again).status_code == 302


def test_a_case_that_has_moved_is_not_overwritten_or_deleted(admin_client: Client) -> None:
    """The pages address cases by position: a deleted case moves the later ones."""
    cases = [{"vars": {"input": word}} for word in ("one", "two", "three")]
    owner = User.objects.get()
    row = Evaluation.objects.create(owner=owner, document={"models": ["a"], "cases": cases})
    url = reverse("evaluation-case", args=[row.pk, 1])
    formset = {"assert-TOTAL_FORMS": 0, "assert-INITIAL_FORMS": 0}
    stale = {**formset, "vars": '{"input": "TWO"}'}
    stale["row_version"] = values(admin_client.get(url))["row_version"]
    delete = reverse("evaluation-case-delete", args=[row.pk, 1])
    confirmation = admin_client.get(delete).content.decode()
    version = re.search(r'name="row_version" value="(\w+)"', confirmation)
    assert version
    admin_client.post(reverse("evaluation-case-delete", args=[row.pk, 0]))
    refused = admin_client.post(url, stale)
    assert refused.status_code == 422
    assert "changed this after you opened the page" in refused.content.decode()
    refused = admin_client.post(delete, {"row_version": version[1]}, follow=True)
    assert "This case has changed. Delete it again if it is still the right one." in (
        refused.content.decode()
    )
    row.refresh_from_db()
    assert [case["vars"]["input"] for case in row.document["cases"]] == ["two", "three"]


@pytest.mark.parametrize("make", [alert_thresholds, end_user_defaults, all_limits])
def test_a_form_has_its_version_once(admin_client: Client, make: Any) -> None:
    """And without a label: it is a hidden field."""
    page = admin_client.get(make()[0]).content.decode()
    assert page.count('name="row_version"') == 1
    assert 'for="id_row_version"' not in page
