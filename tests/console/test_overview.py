"""The overview: figures of the day, next steps, and the page of an empty gateway."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.insight.steps import steps
from console.insight.today import today
from gateway import store
from gateway.demo import MODELS
from gateway.models import RequestLog
from gateway.relay.exchange.log_record import Attempt, LogRecord
from tests.store.factories import make_record, model, provider, route

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("frozen_now")]

# Late enough that yesterday's evening and this morning are in one picture.
NOW = dt.datetime(2026, 11, 21, 10, 20, tzinfo=dt.UTC)


def add_request(
    id: str = "req_1", *, started_at: dt.datetime | None = None, **values: Any
) -> LogRecord:
    fields: dict[str, Any] = {
        "started_at": (started_at or timezone.now()).timestamp(),
        "provider": "openai",
        "model": "gpt-5",
        "key_prefix": "sk-dgm-mira",
        "input_tokens": 1000,
        "output_tokens": 20,
        "cost_usd": Decimal("0.25"),
        "first_token_ms": 400.0,
        "attempts": [
            Attempt(
                target="openai/gpt-5",
                provider="openai",
                model="gpt-5",
                dialect="openai_chat",
                status=200,
            )
        ],
    }
    return make_record(id, **(fields | values))


def overview_page(client: Client, **headers: str) -> str:
    response = client.get(reverse("overview"), headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def figures_by_title(now: dt.datetime = NOW) -> dict[str, Any]:
    return {str(figure.title): figure for figure in today(now).figures}


def test_an_empty_gateway_shows_how_to_make_the_first_call(admin_client: Client) -> None:
    text = overview_page(admin_client)
    assert "No requests yet." in text
    assert f'href="{reverse("connect")}"' in text
    assert "curl http://testserver/v1/chat/completions" in text
    # Without routes, the command names a model that exists.
    assert "demo/demo" in text and "demo" in MODELS
    assert "demo/demo" in admin_client.get(reverse("usage")).content.decode()


def test_the_first_request_replaces_the_empty_page(admin_client: Client) -> None:
    store.write([add_request()])
    text = overview_page(admin_client)
    assert "No requests yet." not in text
    assert f'href="{reverse("request", args=[RequestLog.objects.get().pk])}"' in text


def test_today_begins_at_midnight_of_the_reader() -> None:
    # Midnight in New York is at five in UTC.
    store.write(
        [
            add_request("a", started_at=NOW.replace(hour=4)),
            add_request("b", started_at=NOW.replace(hour=6)),
        ]
    )
    assert figures_by_title()["Requests"].text == "2"
    with timezone.override("America/New_York"):
        assert figures_by_title()["Requests"].text == "1"


def test_yesterday_is_compared_up_to_the_end_of_the_hour() -> None:
    """The hourly sums have no smaller unit, so the text says when the hour ends."""
    yesterday = NOW - dt.timedelta(days=1)
    store.write(
        [
            add_request("same hour", started_at=yesterday + dt.timedelta(minutes=30)),
            add_request("later", started_at=yesterday + dt.timedelta(hours=3)),
        ]
    )
    assert figures_by_title()["Requests"].note == "vs 1 yesterday until 11:00"
    assert figures_by_title()["Cost"].note == "vs $0.25 yesterday until 11:00"
    last_hour = NOW.replace(hour=23)
    assert figures_by_title(last_hour)["Requests"].note == "vs 2 yesterday until 24:00"


def test_figures_have_the_numbers_of_the_day() -> None:
    store.write(
        [
            add_request("a", started_at=NOW),
            add_request("b", started_at=NOW, outcome="error", cost_usd=None),
        ]
    )
    overview_figures = figures_by_title()
    assert (overview_figures["Errors"].text, overview_figures["Errors"].note) == (
        "1",
        "50 % of requests",
    )
    assert overview_figures["Tokens"].text == "2,040"
    assert overview_figures["First token"].text.endswith("s")
    assert (overview_figures["Cost"].text, overview_figures["Cost"].note) == (
        "$0.25",
        "1 request with unknown price",
    )


def test_an_unknown_price_is_not_zero() -> None:
    store.write([add_request(started_at=NOW, cost_usd=None)])
    assert figures_by_title()["Cost"].text == "unknown"


def test_a_day_without_requests_has_no_latency() -> None:
    store.write([add_request(started_at=NOW - dt.timedelta(hours=20))])
    overview_figures = figures_by_title()
    assert (overview_figures["Requests"].text, overview_figures["First token"].text) == ("0", "—")


def test_line_charts_omit_the_current_hour_and_bar_charts_include_it() -> None:
    store.write([add_request(started_at=NOW)])
    assert sum(figures_by_title()["Requests"].values) == 0
    assert [bar.height > 0 for bar in today(NOW).traffic.bars] == [False] * 23 + [True]


def test_routes_are_ranked_and_the_rest_is_summed() -> None:
    store.write(
        [
            add_request(f"req_{n}_{i}", started_at=NOW, route=f"r{n}")
            for n in range(9)
            for i in range(n + 1)
        ]
    )
    routes = today(NOW).routes
    assert (routes[0].name, routes[0].percent) == ("r8", 100)
    assert routes[-1].name == "3 others"
    assert sum(share.totals.requests for share in routes) == 45


def test_checks_of_targets_are_not_among_the_requests(admin_client: Client) -> None:
    failed_fields = {
        "outcome": "error",
        "status": 429,
        "error_kind": "rate_limit",
        "cost_usd": None,
    }
    checks = [add_request(f"check_{n}", key_prefix="check", first_token_ms=9.0) for n in range(9)]
    check_request = add_request("check_x", key_prefix="check", route="watched", **failed_fields)
    store.write([add_request("req_1", error="", route="fast"), *checks, check_request])
    overview_figures = figures_by_title(timezone.now())
    assert (overview_figures["Requests"].text, overview_figures["Errors"].text) == ("1", "0")
    # What they cost was spent.
    assert overview_figures["Cost"].text == "$2.50"
    # 400 ms, as its bucket has it; the checks took 9.
    assert overview_figures["First token"].text == "0.38 s"
    assert [share.name for share in today().routes] == ["fast"]
    text = overview_page(admin_client)
    assert len(re.findall(r'href="/console/requests/\d+"', text)) == 1
    assert "No failed requests." in text


def test_health_checks_do_not_count_as_the_first_request(admin_client: Client) -> None:
    store.write([add_request("check_1", key_prefix="check")])
    assert "No requests yet." in overview_page(admin_client)
    assert not steps()[-1].done


def test_errors_lead_to_their_requests(admin_client: Client) -> None:
    store.write([add_request(outcome="error", status=502, error_kind="timeout")])
    text = overview_page(admin_client).partition('id="errors-title"')[2]
    assert f'href="{reverse("request", args=[RequestLog.objects.get().pk])}"' in text
    assert "timeout" in text


def test_the_polled_fragment_has_no_navigation(admin_client: Client) -> None:
    store.write([add_request()])
    text = overview_page(admin_client, **{"HX-Request": "true"})
    assert "<html" not in text
    assert 'id="today-title"' in text


def setup_steps_done() -> dict[str, bool]:
    return {step.page: step.done for step in steps()}


def test_the_setup_checklist_follows_the_registry() -> None:
    assert not any(setup_steps_done().values())
    real = provider("openai")
    assert setup_steps_done()["providers"]
    route("fast", model(provided_by=real))
    store.create_key("a key")
    store.write([add_request()])
    assert all(setup_steps_done().values())


def test_demo_and_playground_requests_complete_no_setup_step() -> None:
    demo = provider("demo", preset="demo")
    route("demo", model("demo", provided_by=demo))
    store.write([add_request(key_prefix="playground")])
    assert not any(setup_steps_done().values())


def test_next_steps_are_shown_to_admins_only(admin_client: Client, viewer_client: Client) -> None:
    assert "Next steps" in overview_page(admin_client)
    assert "Next steps" not in overview_page(viewer_client)


def test_hostile_names_are_shown_harmlessly(admin_client: Client) -> None:
    store.write([add_request(route="<img src=x>", model="<b>m", key_prefix="<i>k")])
    text = overview_page(admin_client)
    assert "<img src=x>" not in text and "<b>m" not in text and "<i>k" not in text


def test_problems_of_the_registry_are_shown(admin_client: Client) -> None:
    provider(credential_env="NOT_SET_ANYWHERE")
    assert "1 configuration entry has a problem." in overview_page(admin_client)


def test_links_to_requests_of_the_same_second_have_different_names(viewer_client: Client) -> None:
    """A screen reader lists the links of a page without their rows."""
    store.write([add_request("a"), add_request("b", model="gpt-6", status=502, outcome="error")])
    names = re.findall(r'<th scope="row"><a [^>]*>(.*?)</a>', overview_page(viewer_client), re.S)
    assert len({re.sub(r"<.*?>|\s+", " ", name) for name in names}) == 2
