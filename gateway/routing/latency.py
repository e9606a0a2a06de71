"""Recent latency of each target: a moving average per target.

Pure: the caller stores the statistics (by `provider/model`) and passes its measurements.
They are per process, because they measure the network path from this host.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

# Weight of a new measurement in the moving average, which covers about the last ten.
SMOOTHING = 0.2
# Time constant in which token counts decay to about a third.
TOKEN_DECAY_S = 60.0
# Minimum latency recorded for a failure: a target that fails fast must not rank as fast.
MIN_FAILURE_MS = 10_000.0


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


def with_measurement(
    stats: LatencyStats | None, first_ms: float, now: float, tokens: int = 0
) -> LatencyStats:
    """The statistics with one more measurement, and the tokens that were used."""
    if stats is None:
        return LatencyStats(first_ms, 1, now, tokens)
    average = stats.first_ms + SMOOTHING * (first_ms - stats.first_ms)
    earlier = recent_tokens(stats, now) if stats.tokens else 0.0
    return LatencyStats(average, stats.count + 1, now, earlier + tokens)


def recent_tokens(stats: LatencyStats, now: float) -> float:
    """Tokens of about the last minute; older ones decay exponentially."""
    if not stats.tokens:
        return 0.0
    return stats.tokens * math.exp(min(0.0, stats.measured_at - now) / TOKEN_DECAY_S)


def with_failure(stats: LatencyStats | None, duration_ms: float, now: float) -> LatencyStats:
    """The statistics after a failed call, which counts as very slow."""
    return with_measurement(stats, max(duration_ms, MIN_FAILURE_MS), now)
