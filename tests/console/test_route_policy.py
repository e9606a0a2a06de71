"""The route editor's fields for retries, hedging, shadow, health checks, tags and variants."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from gateway import models, store
from gateway.routing.route_spec import RouteSpec, StepSpec, TargetSpec
from gateway.store.routes import save_route
from tests.console.test_routes import _known_models, press, smart, stored_spec
from tests.store.factories import make_record

pytestmark = pytest.mark.django_db
__all__ = ["_known_models", "smart"]


def spare() -> None:
    steps = (StepSpec(targets=(TargetSpec(model="openai/gpt-4.1"),)),)
    save_route(RouteSpec(name="spare", steps=steps), route=None, number=0, author="ada")


def test_saving_the_unchanged_form_changes_nothing(admin_client: Client) -> None:
    before = stored_spec()
    press(admin_client, "save", **{"t1-weight": "61"})
    assert stored_spec().steps[0].targets[0].weight == 61
    assert {
        n: getattr(stored_spec(), n)
        for n in ("retries_by_kind", "backoff_s", "cooldown_after", "health_check_interval_s")
    } == {
        n: getattr(before, n)
        for n in ("retries_by_kind", "backoff_s", "cooldown_after", "health_check_interval_s")
    }


def test_a_route_policy_is_saved_and_the_next_request_uses_it(admin_client: Client) -> None:
    spare()
    typed = {
        "retries_by_kind-rate_limit": "2",
        "retries_by_kind-timeout": "0",
        "cooldown_after_by_kind-rate_limit": "5",
        "backoff_s": "0,5",
        "max_wait_s": "10",
        "cooldown_after": "4",
        "hedge_after_s": "1.5",
        "shadow": "spare",
        "shadow_share": "12,5",
        "health_check_interval_s": "60",
        "retry_before_fallback": "1",
        "require_capabilities": "1",
        "tag_match": "all",
        "prompt_cache": "1h",
        "web_search": "0",
        "fallbacks_by_kind-context_length": ["spare"],
        "t1-tags": "paid, eu",
        "t1-variant": "canary",
        "s1-strategy": "split",
        "s2-tags": "night",
        "s2-active_hours": "mon-fri 18:00-08:00 Europe/Berlin",
    }
    assert press(admin_client, "save", **typed).status_code == 302
    spec = stored_spec()
    assert (spec.retries_by_kind, spec.cooldown_after_by_kind) == (
        {"rate_limit": 2, "timeout": 0},
        {"rate_limit": 5},
    )
    assert (spec.backoff_s, spec.max_wait_s, spec.cooldown_after) == (0.5, 10, 4)
    assert (spec.hedge_after_s, spec.shadow, spec.shadow_share) == (1.5, "spare", 0.125)
    assert (spec.health_check_interval_s, spec.require_capabilities, spec.tag_match) == (
        60,
        True,
        "all",
    )
    assert spec.retry_before_fallback
    assert (spec.prompt_cache, spec.web_search) == ("1h", False)
    assert spec.fallbacks_by_kind == {"context_length": ("spare",)}
    target, step = spec.steps[0].targets[0], spec.steps[1]
    assert (target.tags, target.variant) == (("paid", "eu"), "canary")
    assert (step.tags, step.active_hours) == (("night",), "mon-fri 18:00-08:00 Europe/Berlin")
    live = store.load_snapshot().routes["smart"]
    assert (live.retries_by_kind, live.shadow, live.fallbacks_by_kind) == (
        {"rate_limit": 2, "timeout": 0},
        "spare",
        {"context_length": ("spare",)},
    )
    page = admin_client.get("/console/routes/smart").content.decode()
    assert "variant canary" in page and 'value="paid, eu"' in page and 'value="12.5"' in page


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"health_check_interval_s": "1"}, "Enter a number from 10 to 86,400."),
        ({"cache_ttl": "9999999"}, "of seconds from 1 to 2,592,000 (30 days), or leave it empty."),
        ({"hedge_after_s": "soon"}, "a number from 0.01 to"),
        ({"retries_by_kind-timeout": "-1"}, "a number from 0 to 100"),
        ({"cooldown_after": "0"}, "a number from 1 to 100"),
        ({"shadow_share": "150"}, "a number from 0 to 100"),
        ({"shadow_share": "5"}, "choose a shadow route"),
        ({"prompt_cache": "2h"}, "choose one of the options"),
        ({"s1-active_hours": "always"}, "use a form such as"),
        ({"s1-active_hours": "mon 08:00-18:00 Moon/Base"}, "There is no time zone"),
    ],
)
def test_an_unreadable_value_shows_its_error(
    admin_client: Client, typed: dict[str, Any], expected: str
) -> None:
    page = press(admin_client, "save", **typed)
    assert page.status_code == 422
    assert expected in page.content.decode()
    assert stored_spec().health_check_interval_s is None


def test_an_empty_number_is_the_default(admin_client: Client) -> None:
    press(admin_client, "save", backoff_s="3", cooldown_after="7", hedge_after_s="2")
    press(admin_client, "save", backoff_s="", cooldown_after="", hedge_after_s="")
    spec, default = stored_spec(), RouteSpec(name="")
    for name in ("backoff_s", "cooldown_after", "hedge_after_s"):
        assert getattr(spec, name) == getattr(default, name)


def test_policy_changes_are_described_in_text(admin_client: Client) -> None:
    typed = {"retries_by_kind-rate_limit": "2", "hedge_after_s": "2", "t1-variant": "canary"}
    page = press(admin_client, "review", **typed).content.decode()
    for text in ("rate limit (429): 2", "hedge after", "variant of gpt-4.1: canary"):
        assert text in page


def test_references_follow_a_renamed_route(admin_client: Client) -> None:
    spare()
    press(
        admin_client,
        "save",
        **{"shadow": "spare", "shadow_share": "5", "fallbacks_by_kind-timeout": ["spare"]},
    )
    press(admin_client, "save", "/console/routes/spare", name="other")
    assert (stored_spec().shadow, stored_spec().fallbacks_by_kind) == (
        "other",
        {"timeout": ("other",)},
    )


def test_the_dry_run_uses_tags_and_sessions(admin_client: Client) -> None:
    tagged = {"t1-tags": "paid", "t2-tags": "default"}
    headers = {"dry-sample": "text", "dry-ignore-cooldowns": "1"}
    page = press(
        admin_client, "dry-run", **tagged, **headers, **{"dry-tags": "paid"}
    ).content.decode()
    assert "its tags do not match those of the request" in page
    chosen = set()
    for _ in range(4):
        typed = {"s1-strategy": "sticky", "dry-session": "conversation-7"}
        html = press(admin_client, "dry-run", **typed, **headers).content.decode()
        trace = html[html.index('class="trace"') :]
        chosen.add(trace[trace.index('class="pick"') :].split("<b>")[1].split("</b>")[0])
    assert len(chosen) == 1


def test_the_dry_run_pretends_a_context_that_is_too_long(admin_client: Client) -> None:
    typed = {
        "s2-fallback_on": ["context_length"],
        "dry-target": "openai/gpt-4.1",
        "dry-failure": "context_length",
        "dry-ignore-cooldowns": "1",
        "s1-strategy": "ordered",
    }
    page = press(admin_client, "dry-run", **typed).content.decode()
    trace = page[page.index('class="trace"') :]
    assert "context_length" in trace and "gpt-4.1-mini" in trace


def test_a_key_has_tags(admin_client: Client) -> None:
    key, _ = store.create_key("agents")
    admin_client.post(
        reverse("key-edit", args=[key.pk]),
        {"name": "agents", "scope": "all", "tags": "paid, eu , paid", "bodies": ""},
    )
    key.refresh_from_db()
    assert key.tags == ["paid", "eu"]
    (value,) = store.load_snapshot().keys.values()
    assert value.tags == ("paid", "eu")


def test_usage_compares_variants_and_shadows(admin_client: Client) -> None:
    now = time.time()
    fields: dict[str, Any] = {"started_at": now - 60, "route": "smart", "output_tokens": 10}
    store.write(
        [
            make_record("a", **fields, variant="now", cost_usd=Decimal("0.10")),
            make_record("b", **fields, variant="next", cost_usd=Decimal("0.04"), outcome="error"),
            make_record("c", **fields | {"route": "spare"}, shadow_of="a", key_prefix="shadow"),
        ]
    )
    page = admin_client.get(reverse("usage")).content.decode()
    table = page[page.index('id="variants-title"') :]
    assert table.index("next") < table.index("now"), "variants stand side by side"
    for text in ("shadow", "original", "$0.10", "$0.04"):
        assert text in table
    detail = admin_client.get(
        reverse("request", args=[models.RequestLog.objects.get(request_id="c").pk])
    )
    assert "Shadow of" in detail.content.decode()
