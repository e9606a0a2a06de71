"""Formats of prices and sizes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from console.templatetags.registry import price, size


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("3", "$3.00"),
        ("0.125", "$0.125"),
        ("0", "$0.00"),
        ("1.10000000", "$1.10"),
        ("0.00000003", "$0.00000003"),
        ("1500", "$1,500.00"),
        ("1E+2", "$100.00"),
    ],
)
def test_a_price_is_exact(value: str, text: str) -> None:
    assert price(Decimal(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (800, "800"),
        (128_000, "128k"),
        (131_072, "131k"),
        (1_048_576, "1.05M"),
        (2_000_000, "2M"),
        (400_000, "400k"),
    ],
)
def test_sizes_use_common_units(value: int, text: str) -> None:
    assert size(value) == text


def test_an_unknown_value_is_a_dash() -> None:
    assert price(None) == size(None) == "—"
