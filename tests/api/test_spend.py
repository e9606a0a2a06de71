"""Spend in the API, and the price and markup fields of its documents."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from gateway import store
from tests.store.factories import STARTED, make_record, model, provider

DAYS = {"since": "2026-09-01", "until": "2026-09-30"}


def add_request(id: str, **values: Any) -> None:
    fields = {
        "provider": "openai",
        "model": "gpt-5",
        "cost_usd": Decimal("0.1"),
        "started_at": STARTED,
    }
    store.write([make_record(id, **(fields | values))])


def test_spend_is_grouped_as_requested(api: Client) -> None:
    add_request("r1", charged_usd=Decimal("0.12"))
    add_request("r2", route="slow", cost_usd=Decimal("0.2"))
    body = api.get("/api/spend", {**DAYS, "by": "route"}).json()
    assert [
        (i["route"], Decimal(i["cost_usd"]), Decimal(i["charged_usd"])) for i in body["items"]
    ] == [
        ("fast", Decimal("0.1"), Decimal("0.12")),
        ("slow", Decimal("0.2"), Decimal("0.2")),
    ]


def test_spend_is_given_as_csv(api: Client) -> None:
    add_request("r1", tags=["ci"])
    response = api.get("/api/spend", {**DAYS, "by": "tag,model", "format": "csv"})
    (row,) = csv.DictReader(io.StringIO(response.content.decode()))
    assert (row["tag"], row["model"]) == ("ci", "openai/gpt-5")


@pytest.mark.parametrize("query", [{"by": "nonsense"}, {"by": ""}, {"since": "soon"}])
def test_an_invalid_query_is_refused(api: Client, query: dict[str, str]) -> None:
    assert api.get("/api/spend", query).status_code == 422


def test_markups_and_prices_are_part_of_the_documents(api: Client) -> None:
    row = model("gpt-5", provider("openai"))
    prices = {"reasoning": "9", "tiers": {"flex": "0.5"}, "above": [{"tokens": 1000, "input": "2"}]}
    for path, change in (
        ("providers/openai", {"markup": "1.1"}),
        (f"models/{row}", {"prices": prices}),
    ):
        assert api.patch(f"/api/{path}", change, content_type="application/json").status_code == 200
    assert (
        api.post(
            "/api/teams", {"name": "t", "markup": "1.5"}, content_type="application/json"
        ).json()["markup"]
        == "1.5"
    )
    assert api.get("/api/providers/openai").json()["markup"] == "1.1"
    reported_prices = api.get(f"/api/models/{row}").json()["prices"]
    assert (reported_prices["reasoning"], reported_prices["tiers"], reported_prices["above"]) == (
        "9",
        {"flex": "0.5"},
        prices["above"],
    )
    assert store.load_snapshot().models["openai/gpt-5"].price.tiers["flex"].source.endswith("flex")


def test_a_price_that_is_none_is_refused_by_its_name(api: Client) -> None:
    row = model("gpt-5", provider("openai"))
    change = {"prices": {"tiers": {"flex": "cheap"}}}
    response = api.patch(f"/api/models/{row}", change, content_type="application/json")
    assert response.status_code == 422
    assert "prices.tiers.flex" in response.content.decode()
