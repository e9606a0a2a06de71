"""The command palette finds pages, resources and actions that the role permits."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from gateway import store

pytestmark = pytest.mark.django_db


def signed_in_client(name: str, *, admin: bool = False) -> Client:
    users = get_user_model().objects
    client = Client()
    client.force_login(users.create_superuser(name) if admin else users.create_user(name))
    return client


def palette_html(client: Client, query: str) -> str:
    response = client.get(reverse("palette"), {"q": query}, headers={"HX-Request": "true"})
    assert response.status_code == 200
    return response.content.decode()


def test_the_palette_finds_pages_and_keys_by_partial_names() -> None:
    admin_client = signed_in_client("ada", admin=True)
    key, _plain = store.create_key("search agent")
    assert reverse("key-edit", args=[key.pk]) in palette_html(admin_client, "agent sea")
    assert reverse("settings") in palette_html(admin_client, "sett")
    assert reverse("key-add") in palette_html(admin_client, "create an api")
    assert "Search requests for" in palette_html(admin_client, "no such thing")


def test_the_palette_shows_viewers_no_admin_page() -> None:
    viewer_client = signed_in_client("vic")
    text = palette_html(viewer_client, "")
    assert reverse("requests") in text
    assert reverse("users") not in text
    assert reverse("provider-presets") not in text
