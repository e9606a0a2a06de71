"""Cost comparison with other models: computation, page and API."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from gateway import store
from gateway.accounting.what_if import estimate, find_candidate, what_if
from gateway.providers.profile import Price
from gateway.routing.circuit_breaker import HEALTH_CHECK_KEY
from gateway.usage_querysets import Totals
from tests.store.factories import make_record, model, provider, route

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("frozen_now")]

USD = Decimal
PRICE = Price(input=USD(2), output=USD(10), cache_read=USD("0.2"), cache_write=USD("2.5"))


def add_request(id: str = "r1", **values: Any) -> None:
    fields: dict[str, Any] = {
        "started_at": timezone.now().timestamp(),
        "route": "coding",
        "provider": "claude",
        "model": "sonnet",
        "input_tokens": 1_000_000,
        "cache_read_tokens": 3_000_000,
        "cache_write_tokens": 500_000,
        "output_tokens": 200_000,
        "cost_usd": USD(9),
        "charged_usd": USD(12),
    }
    store.write([make_record(id, **(fields | values))])


def span() -> tuple[dt.datetime, dt.datetime]:
    until = timezone.now().replace(minute=0, second=0, microsecond=0) + dt.timedelta(hours=1)
    return until - dt.timedelta(days=30), until


def test_cached_tokens_have_the_cache_price() -> None:
    totals = Totals(
        requests=10,
        input_tokens=1_000_000,
        cache_read_tokens=3_000_000,
        cache_write_tokens=500_000,
        output_tokens=200_000,
    )
    assert estimate(totals, PRICE) == USD("5.85")  # 2 + 0.6 + 1.25 + 2
    # Without prices for the cache, its tokens are input.
    plain = Price(input=USD(2), output=USD(10))
    assert estimate(totals, plain) == USD(11)  # 4.5 * 2 + 2
    read = Price(input=USD(2), output=USD(10), cache_read=USD(1))
    assert estimate(totals, read) == USD(8)  # 1.5 * 2 + 3 + 2
    assert estimate(totals, Price(input=USD(2))) is None


def test_the_long_prompt_price_applies_only_to_long_average_prompts() -> None:
    price = Price(
        input=USD(1), output=USD(1), above=((200_000, Price(input=USD(3), output=USD(1))),)
    )
    short = Totals(requests=100, input_tokens=1_000_000)
    long = Totals(requests=4, input_tokens=1_000_000)
    assert estimate(short, price) == USD(1)
    assert estimate(long, price) == USD(3)


def test_cost_lines_by_route_and_model_add_up() -> None:
    model("mini", provider("openai"), price_input=USD(1), price_output=USD(4))
    add_request("r1")
    add_request("r2", route="chat", cost_usd=USD(1), input_tokens=0)
    add_request("r3", key_prefix=HEALTH_CHECK_KEY)
    mini = find_candidate("openai/mini", store.load_snapshot())
    assert mini is not None
    projection = what_if(*span(), [mini])
    assert [(line.route, line.label) for line in projection.lines] == [
        ("coding", "claude/sonnet"),
        ("chat", "claude/sonnet"),
    ]
    assert [line.estimates for line in projection.lines] == [(USD("5.3"),), (USD("4.3"),)]
    assert projection.totals.cost == USD(10)
    assert projection.estimates == (USD("9.6"),)
    assert projection.differences == (USD("-0.4"),)


def test_responses_from_the_cache_are_omitted() -> None:
    model("mini", provider("openai"), price_input=USD(1), price_output=USD(4))
    route("coding", cache={"ttl_s": 60})
    add_request("r1")
    add_request("r2", cache="hit", cost_usd=USD(0), charged_usd=USD(0), saved_usd=USD(9))
    mini = find_candidate("openai/mini", store.load_snapshot())
    assert mini is not None
    projection = what_if(*span(), [mini])
    assert projection.totals.requests == 1
    assert projection.estimates == (USD("5.3"),)


def test_an_unknown_price_is_shown_without_a_comparison() -> None:
    model(
        "odd",
        provider("own", preset="custom", base_url="http://127.0.0.1:9/v1", dialect="openai_chat"),
    )
    add_request("r1")
    add_request("r2", cost_usd=None, charged_usd=None)
    candidate = find_candidate("own/odd", store.load_snapshot())
    assert candidate is not None
    projection = what_if(*span(), [candidate])
    assert (projection.estimates, projection.differences) == ((None,), (None,))
    assert projection.totals.unpriced_requests == 1


def test_a_model_of_a_price_list_need_not_be_registered() -> None:
    snapshot = store.load_snapshot()
    list_candidate = find_candidate("openai/gpt-5", snapshot)
    assert list_candidate is not None
    assert list_candidate.has_prices
    assert find_candidate("openai/no-such-model-of-theirs", snapshot) is None
    assert find_candidate("nobody/gpt-5", snapshot) is None
    assert find_candidate("gpt-5", snapshot) is None


def test_the_page_shows_both_costs(viewer_client: Client) -> None:
    model("mini", provider("openai"), price_input=USD(1), price_output=USD(4))
    add_request("r1")
    text = viewer_client.get("/console/cost/compare").content.decode()
    assert "By route and model" not in text
    text = viewer_client.get("/console/cost/compare?model=openai/mini&model=").content.decode()
    for part in (
        "$9.00",
        "$5.30",
        "-$3.70",
        "(-41 %)",
        "cached input billed as input",
        "Assumptions",
    ):
        assert part in text, part
    response = viewer_client.get("/console/cost/compare?model=nobody/x")
    assert response.status_code == 422
    assert "nobody/x is neither a model nor in a price list." in response.content.decode()


def test_the_api_has_the_same_figures(viewer_client: Client) -> None:
    model("mini", provider("openai"), price_input=USD(1), price_output=USD(4))
    add_request("r1")
    body = viewer_client.get("/api/usage/what-if?models=openai/mini").json()
    assert USD(body["cost"]) == USD(9)
    (compared,) = body["models"]
    assert (compared["name"], USD(compared["difference"])) == ("openai/mini", USD("-3.7"))
    (item,) = body["items"]
    assert (item["route"], item["model"], item["cache_read_tokens"]) == (
        "coding",
        "claude/sonnet",
        3_000_000,
    )
    assert USD(item["estimates"]["openai/mini"]) == USD("5.3")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "models"),
        ("models=,", "models"),
        ("models=a/b", "models"),
        ("models=a/1,a/2,a/3,a/4,a/5,a/6", "models"),
        ("models=openai/gpt-5&since=2020-01-01T00:00:00Z", "since"),
    ],
)
def test_an_invalid_query_is_refused_with_its_field(
    viewer_client: Client, query: str, field: str
) -> None:
    response = viewer_client.get(f"/api/usage/what-if?{query}")
    assert response.status_code == 422
    assert response.json()["field"] == field
