"""Waiting for what a thread, a process or a page does in its own time.

The bound is no claim about speed: it is what a busy machine may take, and ends a test that
would wait for ever. A wait that ends well costs only what it lasts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

PATIENCE_S = 30.0
_LOOK_S = 0.02


def until(true: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Wait until `true` says so. Raises AssertionError if it never does."""
    ends = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends, f"it did not happen within {within_s:g} s"
        time.sleep(_LOOK_S)


async def until_in_loop(true: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """The same while the event loop goes on."""
    ends = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends, f"it did not happen within {within_s:g} s"
        await asyncio.sleep(_LOOK_S / 2)


async def soon(took_s: Callable[[], Awaitable[float]], most_s: float, tries: int = 6) -> bool:
    """Whether something is ever as quick as this: a busy machine is not slow every time."""
    for _ in range(tries):
        if await took_s() < most_s:
            return True
    return False
