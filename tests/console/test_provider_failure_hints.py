"""What a failed connection test, and a failed fetch of models, say to check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.console.test_providers import HTMX, provider_form, text
from tests.store.factories import provider

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("preset", "path", "hint"),
    [
        ("custom", "/v1/chat/completions", "Remove /chat/completions from the base URL"),
        ("custom-anthropic", "/v1", "Remove /v1 from the base URL"),
        ("custom-anthropic", "/v1/messages", "Remove /v1/messages from the base URL"),
        ("ollama", "/api", "Remove /api from the base URL"),
        ("custom", "", "Check the base URL. It usually ends in /v1."),
        ("custom", "/v2", "Check the base URL."),
    ],
)
def test_a_failed_test_and_fetch_say_what_is_wrong_with_the_base_url(
    admin_client: Client, upstream: Callable[..., Any], preset: str, path: str, hint: str
) -> None:
    url, _requests = upstream(404, {"error": {"message": "no such page"}})
    form = provider_form(base_url=url + path)
    page = text(admin_client.post(reverse("provider-test-new", args=[preset]), form, headers=HTMX))
    assert "Connection failed" in page
    assert hint in page
    row = provider("own", preset, base_url=url + path)
    page = text(admin_client.get(reverse("provider-fetch", args=[row.pk])))
    assert "Could not fetch models" in page
    assert hint in page


@pytest.mark.parametrize("body", ["<html>a website</html>", {"id": "no list"}])
def test_a_test_of_another_address_says_to_check_the_base_url(
    admin_client: Client, upstream: Callable[..., Any], body: Any
) -> None:
    """Such as a website, which also responds 200."""
    url, _requests = upstream(200, body)
    page = text(
        admin_client.post(
            reverse("provider-test-new", args=["custom"]), provider_form(base_url=url), headers=HTMX
        )
    )
    assert "Connection failed" in page
    assert "HTTP 200" in page
    assert "Check the base URL" in page


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "Check the key"), (403, "Check the key"), (404, "Check the base URL"), (500, "")],
)
def test_a_failed_test_and_fetch_say_what_to_check(
    admin_client: Client, upstream: Callable[..., Any], status: int, hint: str
) -> None:
    url, _requests = upstream(status, {"error": {"message": "no"}})
    row = provider("own", "custom", base_url=url + "/v1")
    pages = (
        admin_client.post(reverse("provider-test-saved", args=[row.pk]), headers=HTMX),
        admin_client.get(reverse("provider-fetch", args=[row.pk])),
    )
    for page in map(text, pages):
        found = [text for text in ("Check the key", "Check the base URL") if text in page]
        assert found == ([hint] if hint else [])


@pytest.mark.parametrize(("status", "all_fail"), [(404, False), (401, True)])
def test_an_unknown_model_is_not_a_fault_of_the_provider(
    admin_client: Client, upstream: Callable[..., Any], status: int, all_fail: bool
) -> None:
    """The page said that all requests to the provider would fail."""
    url, _requests = upstream(status, {"error": {"message": "no such model"}})
    row = provider("own", "custom", base_url=url + "/v1")
    html = text(
        admin_client.post(
            reverse("provider-test-saved", args=[row.pk]), {"test_model": "nope"}, headers=HTMX
        )
    )
    assert ("requests to this provider will fail too" in html) == all_fail
    assert ("Leave the model empty" in html) != all_fail
