"""Waiting for threads, processes and pages.

The timeout is not a claim about speed: it only ends a test that would wait forever, and is long
enough for a busy machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

PATIENCE_S = 30.0
_LOOK_S = 0.02


def until(true: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Wait until `condition` returns true. Raises AssertionError after `within_s` seconds."""
    ends = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends, f"it did not happen within {within_s:g} s"
        time.sleep(_LOOK_S)


async def until_in_loop(true: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Wait like `until`, without blocking the event loop."""
    ends = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends, f"it did not happen within {within_s:g} s"
        await asyncio.sleep(_LOOK_S / 2)


async def soon(took_s: Callable[[], Awaitable[float]], most_s: float, tries: int = 6) -> bool:
    """Return whether one of several attempts is fast enough; a busy machine may slow some down."""
    for _ in range(tries):
        if await took_s() < most_s:
            return True
    return False
