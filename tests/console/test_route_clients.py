"""The clients of a route, grouped by the requested model name."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.pages.routes import clients
from gateway import store
from gateway.models import ApiKey
from gateway.routing.circuit_breaker import HEALTH_CHECK_KEY
from gateway.routing.route_spec import RouteSpec
from gateway.store.routes import save_route
from tests.store.factories import make_record

pytestmark = pytest.mark.django_db
DAY_S = 86400


def logged(count: int, name: str, agent: str, **values: Any) -> None:
    fields = {"route": "smart", "requested_model": name, "user_agent": agent} | values
    fields.setdefault("started_at", time.time())
    ids = (f"req_{name}_{agent}_{values.get('key_prefix', '')}_{n}" for n in range(count))
    store.write([make_record(request_id.replace(" ", "_"), **fields) for request_id in ids])


@pytest.fixture
def key(db: None) -> ApiKey:
    document = RouteSpec(name="smart", aliases=("gpt-4o", "claude-*", "idle", "gone-*"))
    save_route(document, route=None, number=0, author="ada")
    key, _secret = store.create_key(name="Mira")
    return key


def uses() -> dict[str, clients.NameUse]:
    rows, _counted = clients.name_uses("smart", ("gpt-4o", "claude-*", "idle", "gone-*"))
    return {use.name: use for use in rows}


def test_each_name_has_its_clients_and_keys(key: ApiKey) -> None:
    logged(3, "claude-opus-4", "claude-cli/2.0 (external, cli)", key_id=key.pk)
    logged(2, "gpt-4o", "OpenAI/Python 2.1", key_prefix="sk-dgm-old")
    logged(1, "gpt-4o", "curl/8.5", key_id=key.pk)
    logged(1, "gpt-3", "", key_id=key.pk)
    route_uses = uses()
    # Most requests first; a pattern whose names were requested has no row of its own.
    assert list(route_uses) == ["claude-opus-4", "gpt-4o", "gpt-3", "gone-*", "idle", "smart"]
    opus, gpt = route_uses["claude-opus-4"], route_uses["gpt-4o"]
    assert (opus.kind, opus.pattern) == (clients.PATTERN, "claude-*")
    assert opus.top_clients == [("claude-cli", 3)]
    assert gpt.top_clients == [("OpenAI", 2), ("curl", 1)]
    assert gpt.top_keys == [("sk-dgm-old", 2), ("Mira", 1)]
    assert route_uses["gpt-3"].kind == clients.UNUSED
    assert route_uses["idle"].requests == 0
    assert route_uses["idle"].last is None


def test_health_checks_other_routes_and_old_requests_do_not_count(key: ApiKey) -> None:
    logged(1, "smart", "check", key_prefix=HEALTH_CHECK_KEY)
    logged(1, "smart", "curl", route="other")
    logged(1, "smart", "curl", started_at=time.time() - 31 * DAY_S)
    assert uses()["smart"].requests == 0


def test_the_page_names_clients_and_keys(key: ApiKey, client: Client) -> None:
    logged(1, "claude-opus-4", "<b>agent</b>/1", key_id=key.pk)
    client.force_login(User.objects.create_superuser("ada"))
    page = client.get(reverse("route-clients", args=["smart"])).content.decode()
    row = re.search(r"<tr>\s*<th scope=\"row\">.*?claude-opus-4.*?</tr>", page, re.DOTALL)
    assert row is not None
    assert "&lt;b&gt;agent&lt;" in row[0]
    assert "Mira" in row[0]
    assert "<code>claude-*</code>" in row[0]
    assert f"{reverse('requests')}?q=route%3Asmart" in page
    assert reverse("route-clients", args=["smart"]) in client.get("/console/routes/smart").text
    assert client.get(reverse("route-clients", args=["nothing"])).status_code == 404
