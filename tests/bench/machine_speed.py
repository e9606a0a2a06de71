"""The speed of this machine, for limits of time that hold on any machine."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import connection

# What the work below takes on the machine on which the limits were set.
_REFERENCE_MS = 1.5
_ATTEMPTS = 3


def best_ms(run: Callable[[], object], max_ms: float, *, max_attempts: int) -> float:
    """The time of the best attempt in ms, as on the machine on which the limit was set.

    Attempts end with the first that takes at most `max_ms`.
    """
    best = float("inf")
    for _ in range(max_attempts):
        best = min(best, elapsed_ms(run) / slowdown())
        if best <= max_ms:
            break
    return best


def elapsed_ms(run: Callable[[], object]) -> float:
    """What a function takes in ms.

    On SQLite it is processor time: the work is done in this thread, and what other processes take
    does not count.
    """
    clock = time.thread_time if connection.vendor == "sqlite" else time.perf_counter
    started = clock()
    run()
    return (clock() - started) * 1000


def slowdown() -> float:
    """How many times slower this machine is, at this moment, than that one; at least 1."""
    best_ms = min(_work_ms() for _ in range(_ATTEMPTS))
    return max(1.0, best_ms / _REFERENCE_MS)


def _work_ms() -> float:
    started = time.thread_time()
    sum([len(str(number)) for number in range(20_000)])
    return (time.thread_time() - started) * 1000
