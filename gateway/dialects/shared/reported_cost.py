"""The cost of a call as the provider itself reports it in a usage object."""

from __future__ import annotations

from typing import Any

# Names of the cost in a usage object.
COST_FIELDS = frozenset({"cost", "cost_in_usd_ticks"})
# docs.x.ai, usage: "1 USD is 10,000,000,000 ticks".
_TICKS_PER_USD = 10**10


def parse_reported_cost(usage: dict[str, Any]) -> float | None:
    """US dollars in a usage object; None if it reports none.

    OpenRouter: `cost`; with the user's own key at the provider (`is_byok`) that is only
    OpenRouter's fee, and `cost_details.upstream_inference_cost` is the provider's charge
    (openrouter.ai/docs/use-cases/usage-accounting). Perplexity: `cost.total_cost`. xAI:
    `cost_in_usd_ticks`, which includes the server's tools.
    """
    ticks = usage.get("cost_in_usd_ticks")
    if type(ticks) is int and ticks >= 0:
        return ticks / _TICKS_PER_USD
    cost: Any = usage.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost") if cost.get("currency") in {None, "USD"} else None
    if not _is_amount(cost):
        return None
    details = usage.get("cost_details")
    if usage.get("is_byok") is True and isinstance(details, dict):
        upstream_cost = details.get("upstream_inference_cost")
        if _is_amount(upstream_cost):
            cost += upstream_cost
    return float(cost)


def _is_amount(value: Any) -> bool:
    # Larger integers cannot be converted to a float.
    return (type(value) is int and 0 <= value < 2**53) or (type(value) is float and value >= 0)
