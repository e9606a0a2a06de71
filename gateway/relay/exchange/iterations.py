"""Iterations of a Claude request that its usage does not include, although they are billed.

`usage.iterations` lists every sampling of a request. The counts beside it are those of the
`message` entries: a `compaction` summarizes the conversation with the same model, and an
`advisor_message` is another model's advice, at that model's price
(platform.claude.com, "Compaction" and "Advisor tool").
"""

from __future__ import annotations

from decimal import Decimal

from gateway.canon.response import Usage
from gateway.dialects.anthropic_messages.response import parse_usage
from gateway.providers.prices import price_for
from gateway.providers.profile import Price
from gateway.relay.exchange.usage import clamp_usage
from gateway.routing.pricing import cost
from gateway.routing.snapshot import Model

# The field of a usage object.
ITERATIONS = "iterations"
_SEPARATE = frozenset({"compaction", "advisor_message"})
_MAX_ITERATIONS = 1000


def separate_iterations(usage: Usage) -> list[tuple[str, Usage]]:
    """The model and usage of each iteration that the counts do not include.

    The model is empty if it is that of the response."""
    rows = usage.native.get(ITERATIONS)
    iterations: list[tuple[str, Usage]] = []
    for row in rows[:_MAX_ITERATIONS] if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("type") in _SEPARATE:
            row_usage, model = parse_usage(row), row.get("model")
            if row_usage is not None:
                name = model if isinstance(model, str) else ""
                iterations.append((name, clamp_usage(row_usage)))
    return iterations


def iterations_cost(usage: Usage, model: Model, price: Price) -> Decimal:
    """The cost of these iterations; at `price` if their model has no price."""
    total = Decimal(0)
    for name, iteration_usage in separate_iterations(usage):
        list_price = price_for(model.provider.preset, name) if name else price
        usd = cost(iteration_usage, price if list_price.input is None else list_price)
        total += usd or 0
    return total
