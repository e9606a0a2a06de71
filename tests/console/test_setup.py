"""The first-run setup: its token, its steps, resuming it, and its end."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console import accounts, setup_progress
from gateway import store
from gateway.management.start.bootstrap import setup_token
from gateway.models import ApiKey, Provider, Route, RowSource, Target
from gateway.store.options import load_options

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
ACCOUNT = {
    "username": "ada",
    "password": PASSWORD,
    "confirmation": PASSWORD,
    "log_bodies": "on",
    "row_days": "30",
    "body_days": "7",
}


@pytest.fixture
def token(settings: Any, tmp_path: Path) -> str:
    settings.DATA_DIR = tmp_path
    text = setup_token()
    assert text is not None
    return text


@pytest.fixture
def visitor(client: Client, token: str) -> Client:
    """A client that has submitted the setup token."""
    client.get(f"/?setup={token}", follow=True)
    return client


@pytest.fixture
def admin_client(visitor: Client) -> Client:
    """The client of the first admin, at step 2."""
    assert visitor.post(reverse("setup-account"), ACCOUNT).status_code == 302
    return visitor


def location(response: Any) -> str:
    return str(response.headers["Location"])


def test_the_printed_address_leads_to_the_first_step(client: Client, token: str) -> None:
    response = client.get(f"/?setup={token}", follow=True)
    assert response.status_code == 200
    assert response.request["PATH_INFO"] == reverse("setup-account")
    assert "setup=" not in response.request["QUERY_STRING"], "the token leaves the address"


def test_without_the_token_a_page_says_where_to_find_it(client: Client, token: str) -> None:
    response = client.get("/", follow=True)
    assert response.status_code == 403
    assert "manage.py up" in response.content.decode()
    for name in ("setup-account", "setup-provider", "setup-key", "setup-connect"):
        assert client.get(reverse(name), follow=True).status_code == 403
    assert client.post(reverse("setup-account"), ACCOUNT).status_code == 403
    assert not User.objects.exists()


def test_a_client_that_checks_the_server_is_not_sent_to_the_setup(
    client: Client, token: str
) -> None:
    response = client.head("/", follow=True)
    assert response.status_code == 200
    assert not response.redirect_chain


@pytest.mark.parametrize("invalid_value", ["x", "", "é", "0" * 4000])
def test_a_wrong_token_is_refused(client: Client, token: str, invalid_value: str) -> None:
    response = client.get("/console/setup", {"setup": invalid_value}, follow=True)
    assert response.status_code == 403
    assert client.post(reverse("setup-account"), ACCOUNT).status_code == 403


def test_the_hash_in_the_file_is_not_the_token(client: Client, token: str) -> None:
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert client.get("/console/setup", {"setup": digest}, follow=True).status_code == 403


def test_a_restart_replaces_the_setup_token(visitor: Client) -> None:
    setup_token()
    assert visitor.post(reverse("setup-account"), ACCOUNT).status_code == 403


def test_the_first_account_is_an_admin_who_is_signed_in(admin_client: Client) -> None:
    admin_user = User.objects.get()
    assert admin_user.is_superuser
    assert admin_user.is_staff
    assert admin_user.password.startswith("argon2$argon2id$")
    assert admin_client.get(reverse("setup-provider")).status_code == 200
    assert load_options().body_days == 7


def test_the_proposal_is_to_keep_bodies_for_a_week(visitor: Client) -> None:
    page = visitor.get(reverse("setup-account"))
    assert {f.name: f.value() for f, _ in page.context["log"]}["body_days"] == 7


def test_the_token_works_once(admin_client: Client, token: str) -> None:
    other = Client()
    response = other.get(f"/?setup={token}", follow=True)
    assert response.request["PATH_INFO"] == reverse("sign-in")
    assert other.post(reverse("setup-account"), {**ACCOUNT, "username": "eve"}).status_code == 302
    assert User.objects.count() == 1


def test_a_setup_token_creates_one_admin_under_concurrent_use(visitor: Client) -> None:
    accounts.make_first_admin("eve", PASSWORD)
    visitor.post(reverse("setup-account"), ACCOUNT)
    assert [user.username for user in User.objects.all()] == ["eve"]
    with pytest.raises(accounts.AdminExists):
        accounts.make_first_admin("mallory", PASSWORD)


@pytest.mark.parametrize(
    ("fields", "form", "field"),
    [
        ({"username": ""}, "person", "username"),
        ({"confirmation": "other"}, "person", "confirmation"),
        ({"password": "short", "confirmation": "short"}, "person", "password"),
        ({"body_days": "-3"}, "log", "body_days"),
    ],
)
def test_an_invalid_account_shows_the_error_at_its_field(
    visitor: Client, fields: dict[str, str], form: str, field: str
) -> None:
    response = visitor.post(reverse("setup-account"), {**ACCOUNT, **fields})
    assert response.status_code == 422
    if form == "log":
        assert next(f.errors for f, _ in response.context["log"] if f.name == field)
    else:
        assert field in response.context[form].errors
    assert not User.objects.exists()


def test_a_weak_password_and_a_wrong_confirmation_are_reported_together(visitor: Client) -> None:
    fields = {**ACCOUNT, "password": "password", "confirmation": "other"}
    errors = visitor.post(reverse("setup-account"), fields).context["person"].errors
    assert set(errors) == {"password", "confirmation"}


# Step 2

OPENAI = {"choice": "preset", "preset": "openai", "key": "sk-first-0123456789", "model": "gpt-4.1"}


def test_popular_providers_come_first_with_url_and_key_page(admin_client: Client) -> None:
    page = admin_client.get(reverse("setup-provider")).content.decode()
    order = re.findall(r'name="preset" value="([^"]+)"', page)
    assert order[:3] == ["openai", "anthropic", "gemini"]
    assert 'data-url="https://api.openai.com/v1"' in page
    assert 'data-key-page="https://platform.openai.com/api-keys"' in page


def test_the_connection_is_tested_before_the_provider_is_added(admin_client: Client) -> None:
    fields = {**OPENAI, "base_url": "http://127.0.0.1:9"}
    headers = {"HX-Request": "true"}
    page = admin_client.post(reverse("setup-provider-test"), fields, headers=headers)
    assert "Connection failed" in page.content.decode()
    # Without JavaScript, the whole page warns.
    page = admin_client.post(reverse("setup-provider-test"), fields)
    assert "Add anyway" in page.content.decode()
    page = admin_client.post(reverse("setup-provider-test"), {**fields, "key": ""}, headers=headers)
    assert page.status_code == 422
    assert "requires an API key" in page.content.decode()
    assert not Provider.objects.filter(preset="openai").exists()


def test_the_base_url_of_the_preset_is_not_stored(admin_client: Client) -> None:
    admin_client.post(
        reverse("setup-provider"), {**OPENAI, "base_url": "https://api.openai.com/v1"}
    )
    assert Provider.objects.get(name="openai").base_url == ""


def test_a_preset_with_a_key_becomes_a_provider_and_a_route(admin_client: Client) -> None:
    response = admin_client.post(reverse("setup-provider"), OPENAI)
    assert location(response) == reverse("setup-key")
    row = Provider.objects.get()
    assert (row.name, row.preset) == ("openai", "openai")
    assert store.credential_of(row) == "sk-first-0123456789"
    assert "sk-first" not in row.credential
    assert str(Target.objects.get()) == "gpt-4.1 -> openai/gpt-4.1"
    assert store.load_snapshot().route("gpt-4.1") is not None


def test_a_variable_is_stored_by_name(admin_client: Client, monkeypatch: Any) -> None:
    monkeypatch.setenv("MY_OPENAI", "sk-outside-0123456789")
    request = {**OPENAI, "key": "", "variable": "MY_OPENAI", "model": ""}
    assert admin_client.post(reverse("setup-provider"), request).status_code == 302
    row = Provider.objects.get()
    assert (row.credential, row.credential_env) == ("", "MY_OPENAI")
    assert not Route.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"key": ""}, "key"),
        ({"variable": "NOT_SET_ANYWHERE", "key": ""}, "variable"),
        ({"variable": "no name", "key": ""}, "variable"),
        ({"preset": "nobody"}, "preset"),
        ({"preset": "azure_openai"}, "base_url"),
        ({"base_url": "ftp://host"}, "base_url"),
    ],
)
def test_an_invalid_provider_shows_the_error_at_its_field(
    admin_client: Client, fields: dict[str, str], field: str
) -> None:
    response = admin_client.post(reverse("setup-provider"), {**OPENAI, **fields})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    assert "sk-first" not in response.content.decode(), "a key is never rendered back"
    assert 'value="gpt-4.1"' in response.content.decode(), "what else was typed stays"
    assert not Provider.objects.exists()


def test_an_invalid_base_url_is_reported_without_the_name_of_the_column(
    admin_client: Client,
) -> None:
    response = admin_client.post(reverse("setup-provider"), {**OPENAI, "base_url": "htp:/x"})
    [message] = response.context["form"].errors["base_url"]
    assert message.startswith("it must be http:// or https://")


def test_keys_found_in_the_environment_are_offered(admin_client: Client) -> None:
    Provider.objects.create(
        name="groq", preset="groq", credential_env="GROQ_API_KEY", source=RowSource.ENVIRONMENT
    )
    assert "$GROQ_API_KEY" in admin_client.get(reverse("setup-provider")).content.decode()
    assert location(
        admin_client.post(reverse("setup-provider"), {"choice": "detected"})
    ) == reverse("setup-key")


def test_a_duplicate_name_gets_a_number(admin_client: Client) -> None:
    Provider.objects.create(name="openai", preset="openai")
    admin_client.post(reverse("setup-provider"), OPENAI)
    assert store.credential_of(Provider.objects.get(name="openai-2")) == OPENAI["key"]


# Steps 3 and 4


@pytest.fixture
def keyed(admin_client: Client) -> Client:
    """The client at step 3, with the demo provider."""
    admin_client.post(reverse("setup-provider"), {"choice": "demo"})
    return admin_client


def test_the_key_is_shown_once_and_works(keyed: Client) -> None:
    page = keyed.post(reverse("setup-key"), {"name": "laptop"})
    plain = page.context["secret"]
    assert page.content.decode().count(plain) == 2
    assert store.digest(plain) in store.load_snapshot().keys
    assert ApiKey.objects.get(name="laptop")
    for name in ("setup-key", "setup-connect"):
        assert plain not in keyed.get(reverse(name)).content.decode()


def test_a_key_needs_a_name(keyed: Client) -> None:
    assert keyed.post(reverse("setup-key"), {"name": " "}).status_code == 422
    assert not ApiKey.objects.exists()


def test_no_step_can_be_skipped(admin_client: Client) -> None:
    for name in ("setup-key", "setup-connect"):
        assert location(admin_client.get(reverse(name))) == reverse("setup")
    assert admin_client.post(reverse("setup-key"), {"name": "x"}).status_code == 302
    assert admin_client.post(reverse("setup-finish")).status_code == 302
    assert setup_progress.step() == "provider"
    assert not ApiKey.objects.exists()


def test_setup_can_be_interrupted_and_resumed(keyed: Client) -> None:
    keyed.post(reverse("sign-out"))
    response = keyed.post(
        reverse("sign-in"), {"username": "ada", "password": PASSWORD}, follow=True
    )
    assert response.request["PATH_INFO"] == reverse("setup-key")


def test_a_finished_setup_is_never_shown_again(keyed: Client) -> None:
    keyed.post(reverse("setup-key"), {"name": "laptop"})
    assert location(keyed.post(reverse("setup-finish"))) == reverse("overview")
    for name in ("setup", "setup-provider", "setup-key", "setup-connect"):
        last = keyed.get(reverse(name), follow=True)
        assert last.request["PATH_INFO"] == reverse("overview")
    assert not setup_progress.is_setup_pending(User.objects.get())


def test_an_account_created_by_command_needs_no_first_run(client: Client) -> None:
    admin_user = User.objects.create_superuser("ada", password=PASSWORD)
    assert not setup_progress.is_setup_pending(admin_user)
    response = client.post(reverse("sign-in"), {"username": "ada", "password": PASSWORD})
    assert location(response) == reverse("overview")


def test_a_viewer_has_no_access_to_the_setup(admin_client: Client) -> None:
    accounts.create_account("vic", PASSWORD, role="viewer")
    viewer_client = Client()
    viewer_client.force_login(User.objects.get(username="vic"))
    assert viewer_client.get(reverse("setup-provider")).status_code == 403
    assert viewer_client.post(reverse("setup-provider"), OPENAI).status_code == 403
    assert not Provider.objects.exists()
