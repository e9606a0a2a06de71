"""Custom prices override the price lists."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway import store
from gateway.canon.response import Usage
from gateway.providers.prices import price_for
from gateway.routing.pricing import cost, tier_price
from gateway.store.model_prices import price_value
from tests.store.factories import model, provider

pytestmark = pytest.mark.django_db

LISTED = price_for("anthropic", "claude-sonnet-4-5")


def row(**values: Any) -> Any:
    name = values.pop("name", "claude-sonnet-4-5")
    return model(name, provider("claude", "anthropic"), **values)


def test_without_an_own_price_the_list_price_applies() -> None:
    assert price_value(LISTED, row()) is LISTED


def test_a_tier_factor_applies_to_every_price_and_to_long_prompts() -> None:
    price = price_value(LISTED, row(price_tiers={"batch": "0.5"}))
    batch = tier_price(price, "batch")
    assert (batch.input, batch.output, batch.cache_read) == (
        Decimal("1.5"),
        Decimal("7.5"),
        Decimal("0.15"),
    )
    assert cost(Usage(input=300_000, output=0), batch) == Decimal("0.9")
    assert batch.source.endswith("tier batch")


def test_a_tier_overrides_some_standard_prices() -> None:
    price = price_value(LISTED, row(price_tiers={"priority": {"output": "30"}}))
    tier = tier_price(price, "priority")
    assert (tier.input, tier.output) == (3, 30)


def test_own_prices_of_long_prompts_take_the_place_of_the_lists() -> None:
    requests = [{"tokens": 100_000, "input": "9"}]
    price = price_value(LISTED, row(price_above=requests))
    ((tokens, long),) = price.above
    assert (tokens, long.input, long.output) == (100_000, 9, 15)


def test_an_own_input_price_is_that_of_long_prompts_too() -> None:
    """Otherwise a price list's step would bypass the custom price."""
    price = price_value(LISTED, row(price_input=Decimal(1)))
    assert cost(Usage(input=300_000, output=0), price) == Decimal("0.3")


def test_own_prices_are_in_the_snapshot() -> None:
    row(price_reasoning=Decimal(20), price_tiers={"flex": "0.5"})
    price = store.load_snapshot().models["claude/claude-sonnet-4-5"].price
    assert price.reasoning == 20
    assert price.tiers["flex"].input == Decimal("1.5")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"price_tiers": {"flex": "-1"}}, "prices.tiers.flex: it must be a number"),
        ({"price_tiers": {"flex": "NaN"}}, "prices.tiers.flex: it must be a number"),
        ({"price_tiers": {"flex": True}}, "prices.tiers.flex: it must be a number"),
        ({"price_tiers": {"flex": {"inptu": "1"}}}, "prices.tiers.flex.inptu: there is no such"),
        ({"price_above": [{"input": "1"}]}, r"prices.above\[0\].tokens"),
        ({"price_above": {}}, "prices.above: it must be a list"),
        ({"price_input": Decimal(-1)}, "must not be negative"),
    ],
)
def test_an_invalid_price_is_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        price_value(LISTED, row(**values))


def test_a_broken_row_is_left_out_with_a_warning() -> None:
    row(price_tiers={"flex": "cheap"})
    snapshot = store.load_snapshot()
    assert "claude/claude-sonnet-4-5" not in snapshot.models
    assert any("prices.tiers.flex" in warning.reason for warning in snapshot.warnings)
