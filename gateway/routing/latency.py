"""Recent latency of each target, as strategies read it; the relay measures it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

# Time constant in which token counts decay to about a third.
TOKEN_DECAY_S = 60.0


class LatencyStats(msgspec.Struct, frozen=True):
    """Average time to the first token of a target.

    Attributes:
        first_ms: milliseconds from the call to the first token (or complete response).
        count: number of measurements.
        measured_at: time of the last measurement, in the caller's clock.
        tokens: tokens of about the last minute before `measured_at`; 0 if not counted.
    """

    first_ms: float
    count: int = 1
    measured_at: float = 0.0
    tokens: float = 0.0


LatencyByTarget = Mapping[str, LatencyStats]
NO_LATENCY: dict[str, LatencyStats] = {}


def recent_tokens(stats: LatencyStats, now: float) -> float:
    """Tokens of about the last minute; older ones decay exponentially."""
    if not stats.tokens:
        return 0.0
    return stats.tokens * math.exp(min(0.0, stats.measured_at - now) / TOKEN_DECAY_S)
