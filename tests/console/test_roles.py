"""Permissions of the console: every URL declares its access, and each role gets no more."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse

from console import accounts
from gateway.models import Team
from gateway.roles import PERMISSIONS
from tests.browser.pages import NO_PAGES, PAGES
from tests.store.factories import model, provider, route

pytestmark = pytest.mark.django_db

# These authenticate themselves: tests/api/test_roles.py.
_APIS = {"api", "litellm"}
_VALUES = {"UUIDConverter": uuid.UUID(int=1), "IntConverter": 987654}


def patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield entry
        elif entry.namespace not in _APIS:
            yield from patterns(entry)


def views() -> list[URLPattern]:
    return list(patterns(get_resolver()))


def path_of(entry: URLPattern) -> str:
    converters = entry.pattern.converters
    values = {
        name: _VALUES.get(type(converter).__name__, "x") for name, converter in converters.items()
    }
    assert entry.name is not None, entry
    return reverse(entry.name, kwargs=values)


def test_every_view_declares_its_access() -> None:
    """A new URL without a decorator of console.access fails here."""
    entries = views()
    assert len(entries) > 100
    missing = [entry.name for entry in entries if not hasattr(entry.callback, "access")]
    assert not missing
    public = {entry.name for entry in entries if entry.callback.access == "public"}
    sso = {"account_login", "openid_connect_login", "openid_connect_callback"}
    sso |= {"mfa_authenticate", "mfa_login_webauthn"}
    undecorated = {
        "home",
        "docs",
        "docs-operation",
        "sign-in",
        "sign-out",
        "setup",
        "setup-account",
    }
    assert public == undecorated | sso | {"shared-run", "shared-image"}


# Each page is opened by one role that may, and requested by all that may not.
_OPENED_BY = {
    "signed in": "member",
    "personal": "member",
    "playground": "member",
    "view": "viewer",
    "edit": "editor",
    "administer": "admin",
}


@pytest.mark.parametrize("role", [None, *PERMISSIONS])
def test_each_url_checks_the_role(role: Any) -> None:
    """Resources do not exist: a permitted user gets a page, 404, 405 or 422, and never 403."""
    User.objects.create_superuser("ada", password=None)
    client = Client(raise_request_exception=False)
    if role is not None:
        client.force_login(
            accounts.create_account("person", "correct horse", role=role, bodies=True)
        )
    problems = []
    for entry in views():
        access = entry.callback.access
        if access == "public":
            continue
        allowed = role is not None and (access == "signed in" or access in PERMISSIONS[role])
        if allowed and _OPENED_BY[access] != role and entry.name != "route":
            continue
        path = path_of(entry)
        for method in ("get", "post"):
            if (entry.name, method) == ("route", "post"):  # everyone sees it, editors submit it
                allowed = role is not None and "edit" in PERMISSIONS[role]
            response = getattr(client, method)(path)
            status = response.status_code
            if status == 405:
                continue
            if role is None and status == 302:
                # After the sign-in back to the page, or from an action to the overview.
                back = urlencode({"next": path if method == "get" else reverse("overview")})
                assert response["Location"] == f"{reverse('sign-in')}?{back}", path
            # The playground's JSON views answer 401 instead of a redirect.
            expected = {302, 401} if role is None else {403}
            if (allowed and status in {401, 403, 500}) or (not allowed and status not in expected):
                problems.append((role, method, path, access, status))
    assert not problems


def test_every_change_requires_the_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(User.objects.create_superuser("ada", password=None))
    statuses = {entry.name: client.post(path_of(entry)).status_code for entry in views()}
    assert {name for name, status in statuses.items() if status not in {403, 405}} == set()


def test_every_page_is_opened_by_the_browser_tests() -> None:
    """A new page without a row in tests/browser/pages.py fails here."""
    User.objects.create_superuser("ada", password=None)
    client = Client()
    client.force_login(User.objects.get(username="ada"))
    paths = [page_spec.path.partition("?")[0] for page_spec in PAGES]
    paths = [path.replace("{evaluation_run}", str(uuid.UUID(int=1))) for path in paths]
    opened = {resolve(re.sub(r"\{.*?\}", "1", path)).url_name for path in paths}
    names = {
        entry.name
        for entry in views()
        if entry.callback.access != "public" and client.get(path_of(entry)).status_code != 405
    }
    missing = sorted(names - opened - set(NO_PAGES))
    # The steps of two-factor authentication: tests/browser/test_sign_in.py.
    assert [name for name in missing if not name.startswith(("mfa_", "account_"))] == []


@pytest.mark.parametrize("role", ["member", "viewer", "editor"])
def test_no_link_of_a_page_is_refused(role: Any) -> None:
    """From the start page on; editors were offered providers, viewers the response cache."""
    test_model = model("m", provider("p"))
    route("r", test_model, cache={"ttl_s": 60})
    Team.objects.create(name="Search")
    client = Client()
    client.force_login(accounts.create_account("person", "correct horse", role=role))
    pages, opened, refused = [(reverse("overview"), "")], Counter[str](), []
    while pages:
        url, source = pages.pop()
        match = resolve(url.partition("?")[0])
        opened[match.view_name] += 1
        if match.view_name == "sign-out" or opened[match.view_name] > 2:
            continue
        response = client.get(url, follow=True)
        if response.status_code == 403:
            refused.append((url, source))
        if response.streaming or "html" not in response["Content-Type"]:
            continue
        links = re.findall(r'<a [^>]*href="(/console/[^"#]*)"', response.content.decode())
        pages += [(unescape(link), url) for link in dict.fromkeys(links)]
    assert opened["personal-keys" if role == "member" else "models"]
    assert refused == []
