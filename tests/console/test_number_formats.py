"""Formats of amounts, differences, times and prices on all pages."""

from __future__ import annotations

from decimal import Decimal

import pytest

from console.templatetags.registry import rate
from console.templatetags.ui import more_usd, seconds, usd


@pytest.mark.parametrize(
    ("amount", "text"),
    [("1234.5", "$1,234.50"), ("-10.1", "-$10.10"), ("-0.07", "-$0.070"), ("0", "$0")],
)
def test_the_sign_precedes_the_dollar(amount: str, text: str) -> None:
    assert usd(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(Decimal("0.38"), "+$0.38"), (Decimal("-0.38"), "-$0.38"), (Decimal(0), "$0")],
)
def test_a_cost_difference_has_its_sign(amount: Decimal, text: str) -> None:
    assert more_usd(amount) == text
    assert more_usd(None) == usd(None)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "—"), (0.5, "0.50 s"), (42, "42.0 s"), (420, "7\xa0minutes")]
)
def test_a_long_time_is_shown_in_its_largest_unit(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cache_read", "Cached input"),
        ("reasoning", "Reasoning output"),
        ("input, prompts above 200000", "Input, prompts above 200000"),
        ("strange", "strange"),
    ],
)
def test_a_price_has_the_same_name_as_on_the_model_page(name: str, text: str) -> None:
    assert rate(name) == text
