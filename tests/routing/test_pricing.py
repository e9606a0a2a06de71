"""The cost of a call: exact, or unknown, never a guess."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canon.response import Usage
from gateway.providers.profile import Price
from gateway.routing.pricing import charge_of, cost, tier_price

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
def test_tokens_cost_their_list_price(usage: Usage, usd: str) -> None:
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
def test_an_unknown_price_or_count_makes_the_cost_unknown(usage: Usage, price: Price) -> None:
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


# -- long prompts, tiers, sound, markups ------------------------------------------------

LONG = Price(input=Decimal(6), output=Decimal("22.5"), cache_read=Decimal("0.6"), source="list")


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage(input=200_000, output=0), "0.6"),
        (Usage(input=200_001, output=0), "1.200006"),
        (Usage(input=1, cache_read=200_000, output=1000), "0.142506"),
    ],
    ids=["just short", "one token more: all of them", "cached ones count, and the output too"],
)
def test_a_long_prompt_is_billed_as_one_from_the_first_token(usage: Usage, usd: str) -> None:
    price = msgspec.structs.replace(FULL, above=((200_000, LONG),))
    assert cost(usage, price) == Decimal(usd)


def test_of_several_steps_the_highest_that_is_passed_counts() -> None:
    steps = tuple((n, Price(input=Decimal(n), output=Decimal(0))) for n in (10, 20, 30))
    price = msgspec.structs.replace(FULL, above=steps)
    costs = [cost(Usage(input=n, output=0), price) for n in (10, 11, 25, 31)]
    per_token = [usd * 1_000_000 / n for usd, n in zip(costs, (10, 11, 25, 31), strict=True) if usd]
    assert per_token == [3, 10, 20, 30]


def test_reasoning_with_a_price_is_billed_separately() -> None:
    price = msgspec.structs.replace(FULL, reasoning=Decimal(20))
    assert cost(Usage(input=0, output=1_000_000, reasoning=400_000), price) == Decimal(17)
    assert cost(Usage(input=0, output=1_000_000), price) == Decimal(15)


@pytest.mark.parametrize(
    "native",
    [
        {
            "prompt_tokens_details": {"audio_tokens": 400_000},
            "completion_tokens_details": {"audio_tokens": 100_000},
        },
        {
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 600_000},
                {"modality": "AUDIO", "tokenCount": 400_000},
            ],
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 100_000}],
        },
    ],
    ids=["as OpenAI tells it", "as Gemini tells it"],
)
def test_audio_has_its_own_price_and_text_the_text_price(native: dict[str, object]) -> None:
    price = msgspec.structs.replace(FULL, input_audio=Decimal(10), output_audio=Decimal(40))
    usage = Usage(input=1_000_000, output=200_000, native=native)
    assert cost(usage, price) == Decimal("1.8") + 4 + Decimal("1.5") + 4


def test_audio_without_a_price_is_billed_as_text() -> None:
    price = msgspec.structs.replace(FULL, output_audio=Decimal(40))
    native = {"prompt_tokens_details": {"audio_tokens": 500_000}}
    assert cost(Usage(input=1_000_000, output=0, native=native), price) == 3


def test_a_service_tier_has_its_own_price() -> None:
    flex = Price(input=Decimal(1), output=Decimal(2), source="custom; tier flex")
    price = msgspec.structs.replace(FULL, tiers={"flex": flex})
    assert tier_price(price, "flex") is flex
    assert all(tier_price(price, name) is price for name in (None, "", "default", "standard"))


def test_a_tier_without_a_price_is_billed_as_standard_and_marked() -> None:
    """If it were unknown, such requests would count for no budget."""
    price = tier_price(FULL, "priority")
    assert (price.input, price.output) == (FULL.input, FULL.output)
    assert "standard price, no price known for the tier priority" in price.source


def test_an_unknown_price_is_unknown_in_every_tier() -> None:
    assert cost(Usage(input=1, output=1), tier_price(Price(), "flex")) is None


def test_the_first_markup_that_is_set_applies() -> None:
    usd = Decimal("0.0000012345")
    assert charge_of(usd, None, Decimal("1.2"), Decimal(9)) == Decimal("0.00000148140")
    assert charge_of(usd, Decimal(0), Decimal(9)) == 0
    assert charge_of(usd, None, None) == usd
    assert charge_of(None, Decimal(2)) is None
