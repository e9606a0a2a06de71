"""What requests of a batch cost: a tier of its own, or the share of the price that is published.

An operator's price for the tier `batch` comes first. A share is for all kinds of tokens; a
provider that says nothing of one is billed at the standard price, and `source` says so.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from gateway.providers.profile import RATES, Price

TIER = "batch"
_HALF = Decimal("0.5")
# Preset -> the share of the standard price, as the provider's own pages have it (2026-11).
SHARES: dict[str, Decimal] = {
    # platform.openai.com/docs/pricing: half for all of input, cached input and output.
    "openai": _HALF,
    "openai_responses": _HALF,
    # learn.microsoft.com, "global batch": half of global standard.
    "azure_openai": _HALF,
    "azure-openai-v1": _HALF,
    # platform.claude.com, batch processing: half, on top of what the prompt cache saves.
    "anthropic": _HALF,
    # ai.google.dev, batch: half.
    "gemini-openai": _HALF,
    # console.groq.com, batch processing: half.
    "groq": _HALF,
}
# Nothing there says that it comes off what is read from a prompt cache, too.
_CACHE_AS_IT_IS = frozenset({"gemini-openai", "groq"})


def batch_price(price: Price, preset: str) -> Price:
    """The price of a model's requests in a batch."""
    if price.input is None:
        return price
    if (listed_price := price.tiers.get(TIER)) is not None:
        return listed_price
    share = SHARES.get(preset)
    if share is None:
        source = f"{price.source}; standard price, none known for the tier {TIER}"
        return msgspec.structs.replace(price, source=source, tiers={})
    unchanged = frozenset({"cache_read"}) if preset in _CACHE_AS_IT_IS else frozenset()
    return times(price, share, f"{price.source}; tier {TIER}", unchanged=unchanged)


def times(
    price: Price, factor: Decimal, source: str, *, unchanged: frozenset[str] = frozenset()
) -> Price:
    """All of a price's rates but those `kept` times a factor, for long prompts too."""
    rates = {
        rate: value if rate in unchanged else value * factor
        for rate in RATES
        if (value := getattr(price, rate)) is not None
    }
    above = tuple(
        (tokens, times(long_prompt_price, factor, source, unchanged=unchanged))
        for tokens, long_prompt_price in price.above
    )
    return Price(**rates, above=above, source=source)
