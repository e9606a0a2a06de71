"""Prices of calls of tools that a provider runs, beside their tokens."""

from __future__ import annotations

from decimal import Decimal

# Preset -> US dollars per web search, from the provider's own pages (2026-11).
WEB_SEARCH_USD: dict[str, Decimal] = {
    # platform.claude.com, web search tool: 10 dollars per 1,000 searches; failed ones are free.
    "anthropic": Decimal("0.01"),
}
