"""The watch ends a request for one reason, the first, and only while it is open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.relay.watch import Watches


async def test_a_client_that_leaves_ends_the_request() -> None:
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    watch = Watches().open()
    watch.listen(receive)
    asyncio.get_running_loop().call_later(0.01, left.set)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    assert watch.absorb() == "client_gone"
    watch.close()


async def test_silence_past_the_allowance_ends_the_request() -> None:
    watch = Watches().open()
    watch.expect(0.02, "first_byte")
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    assert watch.absorb() == "first_byte"
    watch.close()


async def test_touching_keeps_it_alive_until_the_total_limit() -> None:
    watch = Watches().open()
    watch.limit(1.2)
    watch.expect(0.5, "idle")
    steps = 0
    with pytest.raises(asyncio.CancelledError):
        for _ in range(1000):
            await asyncio.sleep(0.01)
            watch.touch()
            steps += 1
    assert watch.absorb() == "total"
    assert steps >= 8
    watch.close()


async def test_a_wait_for_the_client_is_not_the_upstreams_silence() -> None:
    watch = Watches().open()
    watch.expect(0.02, "idle")
    watch.hold()
    await asyncio.sleep(0.1)
    assert watch.reason is None
    watch.resume()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    assert watch.absorb() == "idle", "what was left of it runs on"
    watch.close()


async def test_after_clear_another_attempt_has_its_own_time() -> None:
    watch = Watches().open()
    watch.expect(0.01, "first_byte")
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    watch.absorb()
    watch.clear()
    watch.expect(5, "first_byte")
    await asyncio.sleep(0.05)
    assert watch.reason is None
    watch.close()


async def test_a_closed_watch_ends_nothing() -> None:
    watch = Watches().open()
    watch.close()
    watch.stop("drain")
    await asyncio.sleep(0)
    assert watch.reason is None
