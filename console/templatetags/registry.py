"""Formats prices and sizes of models: exact, without trailing zeros."""

from __future__ import annotations

from decimal import Decimal

from django import template
from django.utils.formats import number_format

from console.model_properties import PRICES

register = template.Library()

UNKNOWN_TEXT = "—"
_RATES = {model_property.name: model_property.label for model_property in PRICES} | {
    model_property.name.removeprefix("output_"): model_property.label
    for model_property in PRICES
    if model_property.name == "output_reasoning"
}
_NUMBER_SUFFIXES = ((1_000_000, "M"), (1_000, "k"))


@register.filter
def price(value: Decimal | None) -> str:
    """US dollars, to the last digit and with cents at least: `$0.125`, `$3.00`."""
    if value is None:
        return UNKNOWN_TEXT
    exponent = value.normalize().as_tuple().exponent
    digits = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"${number_format(value, digits, force_grouping=True)}"


@register.filter
def rate(name: str) -> str:
    """Label of a price: `Cached input, prompts above 200000`."""
    first, comma, condition = name.partition(",")
    return f"{_RATES.get(first, first)}{comma}{condition}"


@register.filter
def size(value: int | None) -> str:
    """Shortened count: `800`, `128k`, `1.05M`."""
    if value is None:
        return UNKNOWN_TEXT
    for unit, letter in _NUMBER_SUFFIXES:
        if value >= unit:
            share = round(Decimal(value) / unit, 2 if letter == "M" else 0)
            return f"{number_format(share.normalize(), use_l10n=True)}{letter}"
    return number_format(value)
