"""The speed of this machine, for limits of time that hold on any machine."""

from __future__ import annotations

import time

# What the work below takes on the machine on which the limits were set.
_REFERENCE_MS = 1.5
_ATTEMPTS = 3


def slowdown() -> float:
    """How many times slower this machine is, at this moment, than that one; at least 1."""
    best_ms = min(_work_ms() for _ in range(_ATTEMPTS))
    return max(1.0, best_ms / _REFERENCE_MS)


def _work_ms() -> float:
    started = time.perf_counter()
    sum([len(str(number)) for number in range(20_000)])
    return (time.perf_counter() - started) * 1000
