"""Prices of calls of tools that a provider runs, beside their tokens."""

from __future__ import annotations

from decimal import Decimal

from gateway.canon.response import Usage

_CENT = Decimal("0.01")
# Preset -> US dollars per web search, from the provider's own pages (2026-11).
WEB_SEARCH_USD: dict[str, Decimal] = {
    # platform.claude.com, web search tool: 10 dollars per 1,000 searches; failed ones are free.
    "anthropic": _CENT,
    # developers.openai.com/api/docs/pricing: 10 dollars per 1,000 calls of `web_search`. The older
    # `web_search_preview` costs 25 on models without reasoning, which the response does not show.
    "openai": _CENT,
    "openai_responses": _CENT,
}
# More searches than any call can make.
_MAX_SEARCHES = 10_000


def search_cost(preset: str, usage: Usage) -> Decimal:
    """What the searches in a usage cost, in US dollars; 0 without a price."""
    searches = usage.web_searches or 0
    if not 0 < searches <= _MAX_SEARCHES:
        return Decimal(0)
    return searches * WEB_SEARCH_USD.get(preset, Decimal(0))
