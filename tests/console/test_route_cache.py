"""The response cache of a route on its page: configured, disabled, purged."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from console.pages.routes import labels
from console.pages.routes.cache_fields import parse_cache
from console.pages.routes.forms import draft_from_spec, spec_from
from console.pages.routes.policy_fields import parse_tags
from gateway import models, store
from gateway.relay.cache.backend import CacheRow
from gateway.routing.route_spec import RouteSpec, StepSpec, TargetSpec
from tests.store.factories import make_record, model, provider, route


@pytest.mark.parametrize(
    "cache",
    [
        {},
        {"ttl_s": 60, "scope": "key"},
        {"ttl_s": 60, "scope": "team", "namespace": "x", "semantic": "embed", "threshold": 0.9},
    ],
)
def test_a_draft_converts_back_to_the_same_cache_policy(cache: dict) -> None:
    draft = draft_from_spec(RouteSpec(name="r", cache=cache))
    assert spec_from(draft).cache == cache
    assert not draft.errors


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [("", {}), ("0", {}), ("1 000", {"ttl_s": 1000, "scope": "key"})],
)
def test_seconds_are_parsed_as_entered(seconds: str, expected: dict) -> None:
    assert parse_cache(seconds, "key", "{}") == expected


@pytest.mark.parametrize("seconds", ["soon", "-1", "1.5", "99999999999999", "²"])
def test_an_invalid_number_of_seconds_is_an_error_of_its_field(seconds: str) -> None:
    draft = draft_from_spec(RouteSpec(name="r"))
    draft.cache_ttl = seconds
    spec_from(draft)
    assert "seconds from 1 to" in draft.errors["cache_ttl"]


@pytest.mark.parametrize(
    "stored_text",
    ["", "[]", "{", '{"nonsense": 1}', '{"threshold": "x"}', "[" * 5000],
    ids=["empty", "list", "half", "nonsense", "type", "nested"],
)
def test_unexpected_fields_do_not_break_the_route(stored_text: str) -> None:
    draft = draft_from_spec(RouteSpec(name="r"))
    draft.cache_ttl, draft.cache_extra_json = "60", stored_text
    cache = spec_from(draft).cache
    assert cache in ({"ttl_s": 60, "scope": "key"}, {})
    assert bool(draft.errors) is (cache == {})


def test_nested_fields_of_a_target_do_not_break_the_route() -> None:
    step = StepSpec(targets=(TargetSpec(model="p/m"),))
    draft = draft_from_spec(RouteSpec(name="r", steps=(step,)))
    draft.steps[0].targets[0].extra_json = '{"a": ' + "[" * 5000
    assert spec_from(draft).steps == (step,)


def test_tags_contain_no_nul() -> None:
    assert parse_tags("a\0b, \0, c") == ("ab", "c")


def test_a_change_of_the_cache_has_a_label() -> None:
    before, after = RouteSpec(name="r"), RouteSpec(name="r", cache={"ttl_s": 60, "scope": "key"})
    assert labels.changes(before, after) == ["response cache: none → TTL (s): 60, scope: key"]


@pytest.fixture
def row(db: None) -> models.Route:
    return route("smart", model("m", provider("p")), cache={"ttl_s": 60})


def test_an_admin_changes_the_cache_policy_and_clears_the_cache(
    client: Client, row: models.Route
) -> None:
    client.force_login(get_user_model().objects.create_superuser("ada"))
    html = client.get("/console/routes/smart").content.decode()
    assert 'name="cache_ttl" inputmode="numeric" value="60"' in html
    assert 'href="/console/route-cache/smart"' in html
    now = time.time()
    store.write_cached_responses([CacheRow("a", row.pk, b"x" * 2048, now, now + 60)])
    page = client.get("/console/route-cache/smart").content.decode()
    assert "1 response is cached in the database, 2.0" in page
    assert client.post("/console/route-cache/smart").status_code == 302
    assert store.read_cached_response("a") is None
    row.refresh_from_db()
    assert row.cache_generation == 1


def test_a_viewer_may_not_change_or_clear_the_cache(client: Client, row: models.Route) -> None:
    client.force_login(get_user_model().objects.create_user("vic"))
    assert client.post("/console/route-cache/smart").status_code in {302, 403}
    row.refresh_from_db()
    assert row.cache_generation == 0


def test_the_log_shows_a_cached_response(client: Client, row: models.Route) -> None:
    client.force_login(get_user_model().objects.create_superuser("ada"))
    fields = {"cache": "semantic", "cache_age_s": 12.0, "cache_similarity": 0.98765}
    store.write([make_record("req_kept", saved_usd=Decimal("0.5"), **fields)])
    pk = models.RequestLog.objects.get().pk
    page = client.get(f"/console/requests/{pk}").content.decode()
    assert "semantic hit, 12.0 s old, similarity 0.988, " in page
    assert "saved" in page
