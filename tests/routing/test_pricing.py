"""What a call cost: exact, or unknown, never a guess."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canon.response import Usage
from gateway.providers.profile import Price
from gateway.routing.pricing import cost

FULL = Price(
    input=Decimal(3),
    output=Decimal(15),
    cache_read=Decimal("0.3"),
    cache_write=Decimal("3.75"),
    cache_write_1h=Decimal(6),
)


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage(input=1_000_000, output=0), "3"),
        (Usage(input=0, output=1_000_000), "15"),
        (Usage(input=1000, output=100), "0.0045"),
        (Usage(input=0, output=0, cache_read=1_000_000), "0.3"),
        (Usage(input=0, output=0, cache_write=1_000_000), "3.75"),
        (Usage(input=0, output=0, cache_write=1_000_000, cache_write_1h=400_000), "4.65"),
        (Usage(input=0, output=1_000_000, reasoning=900_000), "15"),
        (Usage(input=0, output=0), "0"),
        (Usage(input=-5, output=1_000_000), "15"),
    ],
    ids=[
        "input",
        "output",
        "both",
        "cache read",
        "cache write",
        "an hour's write",
        "reasoning is output",
        "nothing used",
        "a provider's negative count",
    ],
)
def test_tokens_cost_what_the_list_says(usage: Usage, usd: str) -> None:
    assert cost(usage, FULL) == Decimal(usd)


@pytest.mark.parametrize(
    ("usage", "price"),
    [
        (Usage(input=1, output=1), Price()),
        (Usage(input=1, output=1), Price(input=Decimal(1))),
        (Usage(input=None, output=1), FULL),
        (Usage(input=1, output=None), FULL),
        (Usage(input=1, output=1, cache_read=1), Price(input=Decimal(1), output=Decimal(1))),
        (Usage(input=1, output=1, cache_write=1), Price(input=Decimal(1), output=Decimal(1))),
    ],
    ids=["no price", "half a price", "no input", "no output", "cache read", "cache write"],
)
def test_what_is_not_known_makes_the_cost_unknown(usage: Usage, price: Price) -> None:
    assert cost(usage, price) is None


def test_a_price_that_is_not_needed_need_not_be_known() -> None:
    price = Price(input=Decimal(1), output=Decimal(1))
    assert cost(Usage(input=1_000_000, output=0, cache_read=0), price) == 1


def test_a_free_model_costs_nothing() -> None:
    assert cost(Usage(input=9, output=9), Price(input=Decimal(0), output=Decimal(0))) == 0


counts = st.integers(0, 10**9)


@given(a=counts, b=counts, c=counts)
def test_more_tokens_never_cost_less(a: int, b: int, c: int) -> None:
    less = cost(Usage(input=a, output=b, cache_read=c), FULL)
    more = cost(Usage(input=a + 1, output=b, cache_read=c), FULL)
    assert less is not None
    assert more is not None
    assert more > less
