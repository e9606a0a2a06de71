"""The guardrail pages: create, attach, try on a text, delete."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import reverse

from console.pages.requests.labels import guardrail_line
from gateway import store
from gateway.guardrails.guardrail import Guardrail as GuardrailValue
from gateway.guardrails.guardrail import PatternSettings
from gateway.models import ApiKey, Guardrail
from gateway.relay.run.guardrails import try_guardrail
from gateway.routing.snapshot import Snapshot

pytestmark = pytest.mark.django_db
BASE = {
    "name": "pii",
    "action": "mask",
    "check_requests": "on",
    "on_error": "block",
    "position": "0",
    "enabled": "on",
}
PATTERNS = {**BASE, "pii": ["email"], "patterns": "ticket: TCK-[0-9]{6}"}
SERVICE = {**BASE, "name": "svc", "timeout_s": "3", "url": "https://guard.test", "parameters": "{}"}


def add(client: Client, kind: str, **typed: Any) -> Any:
    return client.post(reverse("guardrail-add", args=[kind]), typed)


def test_a_guardrail_is_created_and_shown(admin_client: Client) -> None:
    assert add(admin_client, "patterns", **PATTERNS).status_code == 302
    value = store.load_snapshot().guardrails["pii"]
    assert (value.action, value.fault) == ("mask", "")
    page = admin_client.get(reverse("guardrails")).content.decode()
    assert "pii" in page
    assert "Mask" in page
    form = admin_client.get(
        reverse("guardrail", args=[Guardrail.objects.get().pk])
    ).content.decode()
    assert "ticket: TCK-[0-9]{6}" in form


@pytest.mark.parametrize(
    ("kind", "typed", "error"),
    [
        ("patterns", {"pii": [], "patterns": ""}, "choose a type of personal data"),
        ("patterns", {"patterns": "no colon"}, "a colon and a regular expression in each line"),
        ("patterns", {"patterns": "x: ("}, "<code>x</code>: not a regular expression"),
        ("patterns", {"check_requests": ""}, "check requests, responses or both"),
        ("litellm", {"url": ""}, "This field is required."),
        ("litellm", {"url": "ftp://x"}, "must be a URL with http:// or https://"),
        ("litellm", {"parameters": "[1]"}, "enter a JSON object"),
        ("litellm", {"parameters": '{"a": ' + "[" * 5000}, "enter a JSON object"),
        ("litellm", {"timeout_s": "0"}, "greater than or equal to 0.05"),
    ],
)
def test_bad_input_is_named(
    admin_client: Client, kind: str, typed: dict[str, Any], error: str
) -> None:
    response = add(admin_client, kind, **(PATTERNS if kind == "patterns" else SERVICE) | typed)
    assert response.status_code == 422
    assert error in response.content.decode()
    assert not Guardrail.objects.exists()


def test_a_stored_credential_is_preserved_but_not_shown_or_sent_elsewhere(
    admin_client: Client,
) -> None:
    add(admin_client, "litellm", **SERVICE, credential="guard-secret")
    row = Guardrail.objects.get()
    url = reverse("guardrail", args=[row.pk])
    assert "guard-secret" not in admin_client.get(url).content.decode()
    assert admin_client.post(url, {**SERVICE, "position": "4"}).status_code == 302
    row.refresh_from_db()
    assert (row.position, row.credential) == (4, "guard-secret")
    moved = admin_client.post(url, {**SERVICE, "url": "https://elsewhere.test"})
    assert moved.status_code == 422
    assert "Enter it again: the URL has changed." in moved.content.decode()


def test_an_attached_guardrail_is_not_deleted(admin_client: Client) -> None:
    add(admin_client, "patterns", **PATTERNS)
    row = Guardrail.objects.get()
    plain = store.create_key("app")
    key = ApiKey.objects.get()
    url = reverse("key-edit", args=[key.pk])
    typed = {"name": "app", "scope": "all", "guardrails": ["pii"]}
    assert admin_client.post(url, typed).status_code == 302
    assert store.load_snapshot().keys[store.digest(plain[1])].guardrails == ("pii",)
    response = admin_client.post(reverse("guardrail-delete", args=[row.pk]), follow=True)
    assert "pii is still attached to: app" in response.content.decode()
    admin_client.post(url, {**typed, "guardrails": []})
    admin_client.post(reverse("guardrail-delete", args=[row.pk]))
    assert not Guardrail.objects.exists()


def test_a_trial_shows_the_findings_and_the_masked_text() -> None:
    settings = PatternSettings(pii=("email",))
    guardrail = GuardrailValue(name="pii", settings=settings, action="mask")
    trial = async_to_sync(try_guardrail)(None, Snapshot(version=1), guardrail, "ada@example.com!")  # type: ignore[arg-type]
    assert (trial.result.outcome, trial.result.findings, trial.text) == (
        "masked",
        {"email": 1},
        "[EMAIL]!",
    )
    assert "request · Email addresses × 1 · " in guardrail_line(trial.result)["text"]
