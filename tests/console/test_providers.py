"""The provider pages: write-only keys, connection tests, model lists, deletion."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.pages.providers import credential_hints
from console.pages.providers.credential_hints import url_placeholders
from gateway import store
from gateway.demo import MODELS
from gateway.dialects import DIALECTS
from gateway.models import Model, Provider, RowSource
from gateway.providers.auth import AUTH_SCHEMES, DERIVED_HEADER_SCHEMES
from gateway.providers.catalog import PRESETS
from tests.fakes import (
    ScriptedResponse,
    StrictAnthropic,
    StrictGemini,
    StrictOpenAI,
    bedrock_rules,
    cohere_rules,
)
from tests.fakes.bedrock import BEARER, KEY_ID, SESSION, StrictBedrock
from tests.fakes.bedrock import SECRET as AWS_SECRET
from tests.fakes.cohere import StrictCohere
from tests.fakes.ollama import StrictOllama
from tests.store.factories import make_record, model, provider, route

pytestmark = pytest.mark.django_db

SECRET = "sk-canary-0123456789abcdef"
HTMX = {"HX-Request": "true"}


def text(response: Any) -> str:
    return response.content.decode()


def provider_form(**values: str) -> dict[str, str]:
    return {"name": "own", "base_url": "http://127.0.0.1:9/v1", "mode": "none", **values}


def test_every_preset_is_offered_with_its_logo(admin_client: Client) -> None:
    page = text(admin_client.get(reverse("provider-presets")))
    sprite = Path(str(finders.find("vendor/logos/logos.svg"))).read_text()
    for preset in PRESETS.values():
        assert reverse("provider-add", args=[preset.name]) in page
        assert f"#{preset.logo or preset.name}" in page
        assert f'id="{preset.logo or preset.name}"' in sprite


def test_popular_presets_are_offered_first(admin_client: Client) -> None:
    page = text(admin_client.get(reverse("provider-presets")))
    names = re.findall(r'href="/console/providers/add/([^"/]+)', page)
    assert names[:3] == ["openai", "anthropic", "gemini"]
    titles = [PRESETS[name].title.lower() for name in names[6:20]]
    assert titles == sorted(titles)


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.wide(every=8)
def test_every_preset_has_a_form_with_its_base_url(admin_client: Client, name: str) -> None:
    page = text(admin_client.get(reverse("provider-add", args=[name])))
    assert f'value="{PRESETS[name].base_url}"' in page or not PRESETS[name].base_url


@pytest.mark.parametrize(
    ("name", "placeholders"),
    [
        ("bedrock", ["us-east-1: your region", "ID:SECRET", "AWS credential chain"]),
        ("vertex", ["PROJECT: your project", "us-central1: your region", "Service account"]),
        ("vertex-anthropic", ["P: your project", "Google application default credentials"]),
        ("azure_openai", ["RES: the name of your resource"]),
        ("cloudflare", ["ACCOUNT: your account"]),
    ],
)
def test_required_cloud_settings_are_shown(
    admin_client: Client, name: str, placeholders: list[str]
) -> None:
    page = unescape(text(admin_client.get(reverse("provider-add", args=[name]))))
    assert [word for word in placeholders if word not in page] == []


@pytest.mark.parametrize(
    "name", [p.name for p in PRESETS.values() if url_placeholders(p.url_example)]
)
def test_an_example_is_no_base_url(admin_client: Client, name: str) -> None:
    form = provider_form(base_url=PRESETS[name].url_example, mode="stored", key=SECRET)
    response = admin_client.post(reverse("provider-add", args=[name]), form)
    assert response.status_code == 422
    assert "Replace" in text(response)


def test_a_refused_form_keeps_the_model_of_the_test(admin_client: Client) -> None:
    form = provider_form(name="not a name", mode="none", test_model="gpt-5-mini")
    response = admin_client.post(reverse("provider-add", args=["openai"]), form)
    assert response.status_code == 422
    assert 'name="test_model" value="gpt-5-mini"' in text(response)


def test_every_blank_of_an_example_is_explained() -> None:
    """Users fill in the uppercase placeholders of a preset's URL."""
    for preset in PRESETS.values():
        placeholders = re.findall(r"(?<=[/.])[A-Z]{1,}(?=[/.]|$)", preset.url_example)
        assert url_placeholders(preset.url_example) == list(dict.fromkeys(placeholders)), (
            preset.name
        )


def test_every_kind_of_credential_has_a_label() -> None:
    assert set(credential_hints.AUTH_LABELS) == set(AUTH_SCHEMES)
    assert set(credential_hints.KEY_HINTS) == DERIVED_HEADER_SCHEMES


STRICT: dict[str, tuple[Any, str, str]] = {
    "openai": (StrictOpenAI, "/v1", "gpt-4o"),
    "openai_responses": (StrictOpenAI, "/v1", "gpt-4o"),
    "anthropic": (StrictAnthropic, "", "claude-haiku-4-5"),
    "gemini": (StrictGemini, "", "gemini-3.1-pro"),
    "ollama": (StrictOllama, "", "llama3.2"),
    "cohere": (StrictCohere, "", cohere_rules.PLAIN),
    "bedrock": (StrictBedrock, "", bedrock_rules.NOVA),
}


def test_a_connection_is_tested_in_every_dialect() -> None:
    assert {PRESETS[name].dialect for name in STRICT} == set(DIALECTS) - {
        "openai_embeddings",
        "openai_completions",
    }


@pytest.mark.parametrize("preset", STRICT)
def test_a_connection_test_calls_a_model_in_the_providers_dialect(
    admin_client: Client, preset: str
) -> None:
    fake, path, name = STRICT[preset]
    with fake() as server:
        server.script.default = ScriptedResponse(text="Hello.")
        key = getattr(server, "key", BEARER)
        form = provider_form(base_url=server.url + path, mode="stored", key=key, test_model=name)
        page = text(
            admin_client.post(reverse("provider-test-new", args=[preset]), form, headers=HTMX)
        )
        assert "Connected" in page, page
        assert "Hello." in page
        if preset == "ollama":  # it takes any key
            return
        form["key"] = "wrong-key-0123456789"
        page = text(
            admin_client.post(reverse("provider-test-new", args=[preset]), form, headers=HTMX)
        )
    assert "Connection failed" in page
    assert "wrong-key" not in page


def test_a_signed_test_shows_no_part_of_the_secret(admin_client: Client) -> None:
    secret = f"{KEY_ID}:{AWS_SECRET}:{SESSION}"
    with StrictBedrock() as server:
        server.script.default = ScriptedResponse(text="Hello.")
        values = {"base_url": server.url, "mode": "stored", "test_model": bedrock_rules.NOVA}
        page = text(
            admin_client.post(
                reverse("provider-test-new", args=["bedrock"]),
                provider_form(**values, key=secret),
                headers=HTMX,
            )
        )
    assert KEY_ID not in page
    assert AWS_SECRET not in page


def test_a_stored_key_is_encrypted_and_never_displayed(admin_client: Client) -> None:
    add = reverse("provider-add", args=["openai"])
    assert (
        admin_client.post(add, {"name": "openai", "mode": "stored", "key": SECRET}).status_code
        == 302
    )
    row = Provider.objects.get()
    assert store.credential_of(row) == SECRET
    assert SECRET not in row.credential
    for page in ("providers", "provider-edit"):
        page_text = text(
            admin_client.get(reverse(page, args=[row.pk] if page != "providers" else []))
        )
        assert "cdef" in page_text
        assert SECRET[:12] not in page_text
        assert row.credential not in page_text
    refused_response = admin_client.post(
        reverse("provider-edit", args=[row.pk]), {"name": "", "mode": "stored", "key": SECRET}
    )
    assert refused_response.status_code == 422
    assert SECRET not in text(refused_response)


def test_an_empty_key_field_keeps_the_stored_key(admin_client: Client) -> None:
    row = provider("openai")
    store.set_credential(row, SECRET)
    edit = reverse("provider-edit", args=[row.pk])
    assert admin_client.post(edit, {"name": "renamed", "mode": "stored"}).status_code == 302
    row.refresh_from_db()
    assert (row.name, store.credential_of(row)) == ("renamed", SECRET)


@pytest.mark.parametrize("route_path", ["provider-edit", "provider-test"])
def test_a_stored_key_is_not_sent_to_another_server(
    admin_client: Client, upstream: Callable[..., Any], route_path: str
) -> None:
    row = provider("openai")
    store.set_credential(row, SECRET)
    url, requests = upstream(200, {"data": []})
    response = admin_client.post(
        reverse(route_path, args=[row.pk]), {"name": "openai", "base_url": url, "mode": "stored"}
    )
    assert response.status_code == 422
    assert "Enter the key again" in text(response)
    assert not requests
    row.refresh_from_db()
    assert row.base_url == ""


def test_reading_from_the_environment_stores_only_the_name(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, dump: Callable[[], str]
) -> None:
    monkeypatch.setenv("CANARY_KEY", SECRET)
    add = reverse("provider-add", args=["openai"])
    admin_client.post(
        add, {"name": "openai", "mode": "environment", "credential_env": "CANARY_KEY"}
    )
    row = Provider.objects.get()
    assert (row.credential, row.credential_env) == ("", "CANARY_KEY")
    assert store.credential_of(row) == SECRET
    assert SECRET not in dump()
    assert SECRET not in text(admin_client.get(reverse("provider-edit", args=[row.pk])))


@pytest.fixture
def dump() -> Callable[[], str]:
    from django.db import connection

    def read() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM gateway_provider")
            return str(cursor.fetchall())

    return read


def test_choosing_the_environment_forgets_the_stored_key(admin_client: Client) -> None:
    row = provider("openai")
    store.set_credential(row, SECRET)
    edit = reverse("provider-edit", args=[row.pk])
    admin_client.post(edit, {"name": "openai", "mode": "environment", "credential_env": "X_KEY"})
    row.refresh_from_db()
    assert (row.credential, row.credential_env) == ("", "X_KEY")


def test_the_variable_check_shows_whether_it_is_set(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_KEY", SECRET)
    url = reverse("provider-variable")
    ready = text(admin_client.get(url, {"credential_env": "CANARY_KEY"}))
    assert "CANARY_KEY is set" in ready
    assert SECRET not in ready
    assert "is not set" in text(admin_client.get(url, {"credential_env": "NO_SUCH_KEY"}))
    assert "is not set" in text(admin_client.get(url, {"credential_env": "DRAGOMAN_SECRET_KEY"}))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "With Capitals"}, "name"),
        ({"name": "taken"}, "name"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": ""}, "base_url"),
        ({"base_url": "http://u:p@host"}, "base_url"),
        ({"mode": "stored", "key": ""}, "key"),
        ({"mode": "stored", "key": "caf\u00e9"}, "key"),
        ({"mode": "environment", "credential_env": ""}, "credential_env"),
        ({"mode": "environment", "credential_env": "NOT A NAME"}, "credential_env"),
        ({"mode": ""}, "mode"),
        ({"headers": "no separator"}, "headers"),
        ({"headers": "Host: x"}, "headers"),
        ({"query": "novalue"}, "query"),
        ({"connect_s": "0"}, "connect_s"),
        ({"dialect": "smoke signals"}, "dialect"),
    ],
)
def test_an_error_is_shown_at_its_field(
    admin_client: Client, values: dict[str, str], field: str
) -> None:
    provider("taken")
    response = admin_client.post(reverse("provider-add", args=["custom"]), provider_form(**values))
    assert response.status_code == 422
    assert field in response.context["form"].errors
    assert Provider.objects.count() == 1


def test_all_settings_are_saved(admin_client: Client) -> None:
    more = {
        "dialect": "anthropic_messages",
        "auth": "api-key",
        "headers": "X-Team: blue\nX-Other: a: b",
        "query": "api-version=2024-10-21",
        "idle_s": "30",
        "passthrough": "no",
        "drop_params": "on",
    }
    assert (
        admin_client.post(
            reverse("provider-add", args=["custom"]), provider_form(**more)
        ).status_code
        == 302
    )
    row = Provider.objects.get()
    assert (row.dialect, row.auth, row.passthrough, row.drop_params) == (
        "anthropic_messages",
        "api-key",
        False,
        True,
    )
    assert row.headers == {"X-Team": "blue", "X-Other": "a: b"}
    assert (row.query, row.timeouts) == ({"api-version": "2024-10-21"}, {"idle_s": 30.0})
    assert store.load_snapshot().providers["own"].timeouts.idle_s == 30.0


def test_a_secret_header_is_hidden_and_preserved(admin_client: Client) -> None:
    row = provider("openai", headers={"X-Api-Key": SECRET, "X-Team": "blue"})
    edit = reverse("provider-edit", args=[row.pk])
    response = admin_client.get(edit)
    assert SECRET not in text(response)
    assert "X-Api-Key: ***" in text(response)
    second = {"name": "openai", "mode": "none", "headers": "X-Api-Key: ***\nX-Team: red"}
    admin_client.post(edit, second)
    row.refresh_from_db()
    assert row.headers == {"X-Api-Key": SECRET, "X-Team": "red"}


def test_a_test_of_an_unsaved_form_lists_models(
    admin_client: Client, upstream: Callable[..., Any]
) -> None:
    url, requests = upstream(200, {"data": [{"id": "a"}, {"id": "b"}]})
    test = reverse("provider-test-new", args=["custom"])
    response = admin_client.post(
        test, provider_form(base_url=url, mode="stored", key=SECRET), headers=HTMX
    )
    assert response.status_code == 200
    assert "2 models available" in text(response)
    assert requests[0][2]["authorization"] == f"Bearer {SECRET}"
    assert not Provider.objects.exists()
    assert "<html" not in text(response)


def test_without_javascript_the_test_result_is_on_the_form(
    admin_client: Client, upstream: Callable[..., Any]
) -> None:
    url, _seen = upstream(200, {"data": []})
    page = text(
        admin_client.post(
            reverse("provider-test-new", args=["custom"]), provider_form(base_url=url)
        )
    )
    assert "Connected" in page
    assert f'value="{url}"' in page


def test_a_failed_test_shows_the_upstreams_message_without_the_key(
    admin_client: Client, upstream: Callable[..., Any]
) -> None:
    url, _seen = upstream(401, {"error": {"message": f"Bad key {SECRET} <b>sorry</b>"}})
    form = provider_form(base_url=url, mode="stored", key=SECRET)
    page = text(
        admin_client.post(reverse("provider-test-new", args=["custom"]), form, headers=HTMX)
    )
    assert "Bad key" in page
    assert "HTTP 401" in page
    assert "<b>" not in page
    assert SECRET not in page


def test_a_connection_test_with_a_model_calls_it(admin_client: Client) -> None:
    row = provider("demo", "demo")
    form = {"name": "demo", "mode": "none", "test_model": "demo-fast"}
    page = text(admin_client.post(reverse("provider-test", args=[row.pk]), form, headers=HTMX))
    assert "demo-fast replied" in page
    form["test_model"] = "demo-401"
    page = text(admin_client.post(reverse("provider-test", args=[row.pk]), form, headers=HTMX))
    assert "Connection failed" in page


def test_a_provider_without_a_list_is_tested_by_one_of_its_models(
    admin_client: Client, upstream: Callable[..., Any]
) -> None:
    url, requests = upstream(404, {"error": {"message": "no such page"}})
    row = provider("own", "custom", base_url=url)
    model("only-one", row)
    form = provider_form(base_url=url)
    text(admin_client.post(reverse("provider-test", args=[row.pk]), form, headers=HTMX))
    assert [(verb, path) for verb, path, _h in requests] == [
        ("GET", "/models"),
        ("POST", "/chat/completions"),
    ]


def test_a_test_of_a_wrong_form_sends_nothing(admin_client: Client) -> None:
    response = admin_client.post(
        reverse("provider-test-new", args=["custom"]), provider_form(name=""), headers=HTMX
    )
    assert response.status_code == 422
    assert "Nothing was sent" in text(response)
    assert "Name:" in text(response)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"base_url": "http://u:p@example.com"}, "Base URL: It must not contain a user name"),
        ({"headers": "host: example.com"}, "Headers: `host` may not be set"),
    ],
)
def test_a_problem_names_its_field_once(
    admin_client: Client, values: dict[str, str], problem: str
) -> None:
    form = provider_form(**values)
    response = admin_client.post(reverse("provider-test-new", args=["custom"]), form, headers=HTMX)
    assert problem in text(response)


def test_selected_rows_of_a_fetched_price_list_are_imported(
    admin_client: Client, upstream: Callable[..., Any]
) -> None:
    items = [
        {"id": "new-one", "context_length": 4096, "pricing": {"prompt": "0.000001"}},
        {"id": "new-two"},
        {"id": "dearer", "pricing": {"prompt": "0.000005", "completion": "0.00001"}},
        {"id": "same"},
    ]
    url, _seen = upstream(200, {"data": items})
    row = provider("own", "custom", base_url=url)
    model("dearer", row, price_input=Decimal(4), price_output=Decimal(10))
    model("same", row)
    gone = model("gone", row)
    model("any-*", row)
    fetch = reverse("provider-fetch", args=[row.pk])
    response = admin_client.get(fetch)
    diff = response.context["diff"]
    assert [m.name for m in diff.new] == ["new-one", "new-two"]
    assert [m.name for m in diff.missing] == ["gone"]
    assert [change.row.name for change in diff.changed] == ["dearer"]
    assert diff.unchanged == 1
    token = re.search(r'name="token" value="([^"]+)"', text(response))
    assert token is not None
    ticked = {
        "token": token[1],
        "add": ["new-one", "not-listed"],
        "price": ["dearer"],
        "drop": [str(gone.pk)],
    }
    assert admin_client.post(fetch, ticked).status_code == 302
    names = set(row.models.values_list("name", flat=True))
    assert names == {"new-one", "dearer", "same", "any-*"}
    added = Model.objects.get(name="new-one")
    assert (added.learned, added.price_input) == ({"context_window": 4096}, Decimal(1))
    assert Model.objects.get(name="dearer").price_input == Decimal(5)
    assert "own/new-one" in store.load_snapshot().models


def test_a_tampered_price_list_changes_nothing(admin_client: Client) -> None:
    row = provider("demo", "demo")
    fetch = reverse("provider-fetch", args=[row.pk])
    admin_client.post(fetch, {"token": "x:y:z", "add": ["evil"]})
    assert not Model.objects.exists()


def test_the_price_list_of_another_provider_is_refused(admin_client: Client) -> None:
    first, second = provider("demo", "demo"), provider("demo-2", "demo")
    token = admin_client.get(reverse("provider-fetch", args=[first.pk])).context["token"]
    admin_client.post(
        reverse("provider-fetch", args=[second.pk]), {"token": token, "add": ["demo"]}
    )
    assert not Model.objects.exists()


def test_a_new_demo_provider_gets_all_its_models(admin_client: Client) -> None:
    row = provider("demo", "demo")
    fetch = reverse("provider-fetch", args=[row.pk])
    response = admin_client.get(fetch)
    admin_client.post(fetch, {"token": response.context["token"], "add": list(MODELS)})
    assert set(row.models.values_list("name", flat=True)) == set(MODELS)
    assert admin_client.get(fetch).context["diff"].unchanged == len(MODELS)


def test_a_failed_list_shows_its_reason(admin_client: Client, upstream: Callable[..., Any]) -> None:
    url, _seen = upstream(500, {"error": {"message": "we are down"}})
    row = provider("own", "custom", base_url=url)
    page = text(admin_client.get(reverse("provider-fetch", args=[row.pk])))
    assert "we are down" in page


@pytest.mark.parametrize("source", [RowSource.FILE, RowSource.ENVIRONMENT])
def test_rows_of_file_and_environment_are_read_only_until_copied(
    admin_client: Client, source: str
) -> None:
    row = provider("openai", source=source, source_ref="x.yaml:3")
    stored_model = model("m", row, source=source)
    edit = reverse("provider-edit", args=[row.pk])
    assert "x.yaml:3" in text(admin_client.get(edit))
    assert admin_client.post(edit, {"name": "other", "mode": "none"}).status_code == 409
    assert admin_client.post(reverse("provider-delete", args=[row.pk])).status_code == 409
    admin_client.post(reverse("provider-copy", args=[row.pk]))
    assert admin_client.post(edit, {"name": "other", "mode": "none"}).status_code == 302
    row.refresh_from_db()
    stored_model.refresh_from_db()
    assert (row.name, row.source, stored_model.source) == ("other", "database", "database")


def test_a_saved_provider_of_a_file_can_be_tested(admin_client: Client) -> None:
    row = provider("demo", "demo", source=RowSource.FILE)
    page = text(admin_client.post(reverse("provider-test-saved", args=[row.pk]), headers=HTMX))
    assert f"{len(MODELS)} models available" in page


def test_a_provider_can_be_switched_off_and_on(admin_client: Client) -> None:
    row = provider("openai")
    for on, is_served in (("no", False), ("yes", True)):
        admin_client.post(reverse("provider-enable", args=[row.pk]), {"on": on})
        assert ("openai" in store.load_snapshot().providers) is is_served


def test_deleting_first_lists_dependent_rows(admin_client: Client) -> None:
    row = provider("openai")
    dependent_model, other = model("m", row), model("x", provider("other"))
    route("only-mine", dependent_model)
    route("shared", dependent_model, other)
    route("foreign", other)
    delete = reverse("provider-delete", args=[row.pk])
    response = admin_client.get(delete)
    assert [r.name for r in response.context["emptied_routes"]] == ["only-mine"]
    assert [r.name for r in response.context["reduced_routes"]] == ["shared"]
    assert "foreign" not in text(response)
    assert Provider.objects.count() == 2
    admin_client.post(delete)
    assert Provider.objects.get().name == "other"


def test_the_state_names_the_problem(admin_client: Client) -> None:
    provider("bad", "no-such-preset")
    provider("keyless", "openai", credential_env="NO_SUCH_KEY")
    page = text(admin_client.get(reverse("providers")))
    assert "no-such-preset" in page
    assert "NO_SUCH_KEY not set" in page


def test_a_viewer_sees_no_credentials_and_changes_nothing(
    viewer_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_KEY", SECRET)
    row = provider("openai")
    store.set_credential(row, SECRET)
    provider("two", credential_env="CANARY_KEY")
    page = text(viewer_client.get(reverse("providers")))
    assert "openai" in page
    assert "cdef" not in page
    assert "CANARY_KEY" not in page
    for name in ("edit", "test", "test-saved", "fetch", "enable", "copy", "delete"):
        response = viewer_client.post(reverse(f"provider-{name}", args=[row.pk]), {})
        assert response.status_code == 403, name
    for name, args in (("presets", []), ("variable", []), ("add", ["openai"])):
        assert viewer_client.get(reverse(f"provider-{name}", args=args)).status_code == 403


def test_an_empty_provider_list_explains_what_to_do(admin_client: Client) -> None:
    assert reverse("provider-presets") in text(admin_client.get(reverse("providers")))


def test_the_page_of_a_provider_shows_its_budget_and_leads_to_its_limits(
    admin_client: Client,
) -> None:
    row = provider("openai", budget_month_usd=10, limit_rpm=500)
    now = timezone.now().timestamp()
    store.write([make_record("r1", started_at=now, provider="openai", cost_usd=Decimal("2.5"))])
    page = text(admin_client.get(reverse("provider-edit", args=[row.pk])))
    assert "$7.50 left" in page
    assert "500 requests/min" in page
    assert reverse("limits", args=["provider", row.pk]) in page
