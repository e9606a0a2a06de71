"""What a call cost, from its tokens and a price; pure."""

from __future__ import annotations

from decimal import Decimal

from gateway.canon.response import Usage
from gateway.providers.profile import Price

_MILLION = Decimal(1_000_000)


def cost(usage: Usage, price: Price) -> Decimal | None:
    """What the call cost, in US dollars; None if any price or count it needs is unknown.

    The counts of input and output are needed. Cached input is billed at
    `price.cache_read`, never also at `price.input`, and cache writes likewise; a
    provider that does not count them has them in its input, at the input price. Tokens
    without a price make the whole unknown: an estimate from another price would look
    like a bill. Reasoning is part of output. A negative count is a provider's mistake
    and counts as 0. What the provider itself charged (`usage.provider_cost`) is the
    caller's to prefer.
    """
    if usage.input is None or usage.output is None:
        return None
    written = max(usage.cache_write or 0, 0)
    long_lived = min(max(usage.cache_write_1h or 0, 0), written)
    lines = (
        (usage.input, price.input),
        (usage.cache_read or 0, price.cache_read),
        (written - long_lived, price.cache_write),
        (long_lived, price.cache_write_1h),
        (usage.output, price.output),
    )
    if price.input is None or price.output is None:
        return None
    total = Decimal(0)
    for tokens, per_million in lines:
        if tokens <= 0:
            continue
        if per_million is None:
            return None
        total += tokens * per_million
    return total / _MILLION
