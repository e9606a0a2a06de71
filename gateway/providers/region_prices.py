"""Prices of requests that a provider processes in one region only."""

from __future__ import annotations

from decimal import Decimal

from gateway.canon.response import Usage
from gateway.providers.batch_prices import multiply_price
from gateway.providers.profile import Price

# Preset -> region in `usage.inference_geo` -> factor of all prices of tokens
# (platform.claude.com/docs/en/manage-claude/data-residency). Other platforms of Claude have no
# such field: there, the endpoint determines the region.
_FACTORS: dict[str, dict[str, Decimal]] = {"anthropic": {"us": Decimal("1.1")}}
# The field of a usage object.
REGION = "inference_geo"


def region_price(price: Price, preset: str, usage: Usage) -> Price:
    """Return the price in the region that the response reports; it can be a workspace's default."""
    region = usage.native.get(REGION)
    factor = _FACTORS.get(preset, {}).get(region) if isinstance(region, str) else None
    if factor is None:
        return price
    return multiply_price(price, factor, f"{price.source}; region {region}")
