"""Prices of service tiers and of long prompts as lines of text, and back.

flex 0.5                       half the standard price
priority input=4 output=20     prices; others as the standard
200000 input=6 output=22.5     prompts longer than so many tokens
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

Rates = dict[str, str]


def tiers_text(tiers: Any) -> str:
    """Lines of the prices of service tiers."""
    tier_prices = tiers if isinstance(tiers, Mapping) else {}
    return "\n".join(f"{name} {_rates_text(value)}" for name, value in tier_prices.items())


def long_prompt_text(long_prompt_prices: Any) -> str:
    """Lines of the prices of long prompts."""
    lines = []
    for threshold in long_prompt_prices if isinstance(long_prompt_prices, list) else []:
        rates = {name: value for name, value in threshold.items() if name != "tokens"}
        lines.append(f"{threshold.get('tokens', '')} {_rates_text(rates)}")
    return "\n".join(lines)


def _rates_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={price}" for name, price in value.items() if price is not None)
    return str(value)


def parse_tiers(text: str) -> dict[str, str | Rates]:
    """Parse lines of service tiers. Raises ValueError, which names the line."""
    tiers: dict[str, str | Rates] = {}
    for name, terms in _split_lines(text):
        tiers[name] = (
            terms[0] if len(terms) == 1 and "=" not in terms[0] else _parse_rates(name, terms)
        )
    return tiers


def parse_long_prompt_prices(text: str) -> list[dict[str, Any]] | None:
    """Parse lines of long-prompt prices; None if there are none. Raises ValueError."""
    thresholds: list[dict[str, Any]] = []
    for tokens, terms in _split_lines(text):
        if not (tokens.isascii() and tokens.isdecimal()):
            raise ValueError(
                _("%(name)s: start the line with a number of tokens.") % {"name": tokens[:40]}
            )
        thresholds.append({"tokens": int(tokens), **_parse_rates(tokens, terms)})
    return thresholds or None


def _split_lines(text: str) -> list[tuple[str, list[str]]]:
    lines = []
    for line in text.splitlines():
        name, *terms = line.split() or [""]
        if name and not terms:
            raise ValueError(_("%(name)s: add a price.") % {"name": name[:40]})
        if name:
            lines.append((name, terms))
    return lines


def _parse_rates(name: str, terms: list[str]) -> Rates:
    rates = {}
    for term in terms:
        rate, separator, price = term.partition("=")
        if not separator:
            message = _("%(name)s: write prices as input=1.5.")
            raise ValueError(message % {"name": name[:40]})
        rates[rate] = price
    return rates
