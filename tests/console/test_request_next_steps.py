"""The page of a failed request says what helps."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from gateway import store
from gateway.models import RequestLog
from tests.store import factories

pytestmark = pytest.mark.django_db


def logged(**values: Any) -> RequestLog:
    store.write([factories.make_record("req_1", **values)])
    return RequestLog.objects.get()


def detail(client: Client, row: RequestLog) -> str:
    return client.get(reverse("request", args=[row.pk])).content.decode()


def test_a_rejected_credential_leads_to_its_provider(
    admin_client: Client, viewer_client: Client
) -> None:
    """The message is the provider's, which reads as if the client's key were wrong."""
    row = factories.provider("groq")
    error = {"status": 502, "error_kind": "upstream_auth", "error": "Incorrect API key provided"}
    failed = logged(provider="groq", **error)
    sentence = "groq rejected the gateway&#x27;s credential."
    url = reverse("provider-edit", args=[row.pk])
    html = detail(admin_client, failed)
    assert sentence in html and f'href="{url}"' in html
    html = detail(viewer_client, failed)
    assert sentence in html and f'href="{url}"' not in html


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("off", "The route off is disabled."),
        ("groq/llama", "The provider groq is disabled."),
        ("openai/old", "The model openai/old is disabled."),
        ("openai/new", None),
        ("nobody", None),
    ],
)
def test_a_name_that_is_disabled_is_told_from_an_unknown_one(
    admin_client: Client, name: str, sentence: str | None
) -> None:
    factories.provider("groq", enabled=False)
    openai = factories.provider()
    factories.model("old", openai, enabled=False)
    factories.route("off", factories.model("new", openai), enabled=False)
    failed = logged(status=404, error_kind="not_found", requested_model=name, route="")
    html = detail(admin_client, failed)
    assert ("is disabled." in html) == (sentence is not None)
    assert sentence is None or sentence in html
