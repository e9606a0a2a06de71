"""Prices of requests in a batch: the `batch` tier, or the provider's published discount.

An operator's price for the tier `batch` comes first. A discount applies to all kinds of tokens;
without a published one, the standard price applies, and `source` says so.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from gateway.providers.profile import NO_TIER_PRICE, RATES, Price

TIER = "batch"
_HALF = Decimal("0.5")
# Preset -> fraction of the standard price, from the provider's own pages (2026-11).
SHARE_BY_PRESET: dict[str, Decimal] = {
    # platform.openai.com/docs/pricing: half for all of input, cached input and output.
    "openai": _HALF,
    "openai_responses": _HALF,
    # learn.microsoft.com, "global batch": half of global standard.
    "azure_openai": _HALF,
    "azure-openai-v1": _HALF,
    # platform.claude.com, batch processing: half, on top of the prompt cache discount.
    "anthropic": _HALF,
    # ai.google.dev, batch: half.
    "gemini-openai": _HALF,
    # console.groq.com, batch processing: half.
    "groq": _HALF,
}
# Rates of these presets without a discount: their pages do not mention one for cache reads.
_CACHE_AS_IT_IS = frozenset({"gemini-openai", "groq"})


def batch_price(price: Price, preset: str) -> Price:
    """Return the price of a model's requests in a batch."""
    if price.input is None:
        return price
    if (listed_price := price.tiers.get(TIER)) is not None:
        return listed_price
    share = SHARE_BY_PRESET.get(preset)
    if share is None:
        source = f"{price.source}; {NO_TIER_PRICE} for the tier {TIER}"
        return msgspec.structs.replace(price, source=source, tiers={})
    unchanged_fields = frozenset({"cache_read"}) if preset in _CACHE_AS_IT_IS else frozenset()
    return multiply_price(
        price, share, f"{price.source}; tier {TIER}", unchanged_fields=unchanged_fields
    )


def multiply_price(
    price: Price, factor: Decimal, source: str, *, unchanged_fields: frozenset[str] = frozenset()
) -> Price:
    """Multiply a price's rates by a factor, except `unchanged_fields`; also for long prompts."""
    rates = {
        rate: value if rate in unchanged_fields else value * factor
        for rate in RATES
        if (value := getattr(price, rate)) is not None
    }
    above = tuple(
        (
            tokens,
            multiply_price(long_prompt_price, factor, source, unchanged_fields=unchanged_fields),
        )
        for tokens, long_prompt_price in price.above
    )
    return Price(**rates, above=above, source=source)
