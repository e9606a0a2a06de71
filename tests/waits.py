"""Waiting for threads, processes and pages.

The timeout is not a claim about speed: it only ends a test that would wait forever, and is long
enough for a busy machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

WAIT_TIMEOUT_S = 60.0
_POLL_S = 0.02


def wait_until(condition: Callable[[], object], *, within_s: float = WAIT_TIMEOUT_S) -> None:
    """Wait until `condition` returns true. Raises AssertionError after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"the condition is false after {within_s:g} s"
        time.sleep(_POLL_S)


async def wait_until_async(
    condition: Callable[[], object], *, within_s: float = WAIT_TIMEOUT_S
) -> None:
    """Wait like `wait_until`, without blocking the event loop."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"the condition is false after {within_s:g} s"
        await asyncio.sleep(_POLL_S / 2)


async def is_ever_within(
    measure_s: Callable[[], Awaitable[float]], max_s: float, attempts: int = 6
) -> bool:
    """Return whether one of several attempts is fast enough; a busy machine may slow some down."""
    for _ in range(attempts):
        if await measure_s() < max_s:
            return True
    return False
