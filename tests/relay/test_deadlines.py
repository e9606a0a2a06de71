"""A request ends for one deadline only, the first, while it is running."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from gateway.relay.exchange.call import LISTEN_AFTER_S, TICK_S, Deadlines, DeadlineTicker


async def test_a_disconnected_client_ends_the_request() -> None:
    disconnected = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await disconnected.wait()
        return {"type": "http.disconnect"}

    deadlines = Deadlines(DeadlineTicker())
    deadlines.listen_for_disconnect(receive)
    asyncio.get_running_loop().call_later(0.01, disconnected.set)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    assert deadlines.take_reason() == "client_gone"
    deadlines.close()


async def test_an_idle_upstream_ends_the_request() -> None:
    deadlines = Deadlines(DeadlineTicker())
    deadlines.set_timeout(0.02, "first_byte")
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    assert deadlines.take_reason() == "first_byte"
    deadlines.close()


async def test_resetting_extends_the_deadline_up_to_the_total_limit() -> None:
    deadlines = Deadlines(DeadlineTicker())
    deadlines.set_timeout(0.5, "idle", total_s=1.2)
    steps = 0
    with pytest.raises(asyncio.CancelledError):
        for _ in range(1000):
            await asyncio.sleep(0.01)
            deadlines.reset()
            steps += 1
    assert deadlines.take_reason() == "total"
    assert steps >= 8
    deadlines.close()


async def test_waiting_for_the_client_does_not_count_as_upstream_idle_time() -> None:
    deadlines = Deadlines(DeadlineTicker())
    deadlines.set_timeout(0.02, "idle")
    deadlines.pause()
    await asyncio.sleep(0.1)
    assert deadlines.reason is None
    deadlines.resume()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    assert deadlines.take_reason() == "idle", "what was left of it runs on"
    deadlines.close()


async def test_after_clear_another_attempt_has_its_own_time() -> None:
    deadlines = Deadlines(DeadlineTicker())
    deadlines.set_timeout(0.01, "first_byte")
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    deadlines.take_reason()
    deadlines.clear()
    deadlines.set_timeout(5, "first_byte")
    await asyncio.sleep(0.05)
    assert deadlines.reason is None
    deadlines.close()


async def test_closed_deadlines_cancel_nothing() -> None:
    deadlines = Deadlines(DeadlineTicker())
    deadlines.close()
    deadlines.stop("drain")
    await asyncio.sleep(0)
    assert deadlines.reason is None


class ClientMessages:
    """The messages of a client that stays connected."""

    async def receive(self) -> dict[str, str]:
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize("waits", [True, False], ids=["listening", "about-to-listen"])
async def test_a_finished_request_leaves_no_garbage(waits: bool) -> None:
    """What a request refers to is freed with it, not by the next garbage collection."""
    messages = ClientMessages()
    client = weakref.ref(messages)

    async def serve(messages: ClientMessages) -> None:
        deadlines = Deadlines(DeadlineTicker())
        deadlines.listen_for_disconnect(messages.receive)
        deadlines.check(asyncio.get_running_loop().time() + LISTEN_AFTER_S)
        if waits:
            await asyncio.sleep(0.01)
        deadlines.close()
        await asyncio.sleep(0.01)

    gc.disable()
    try:
        task = asyncio.create_task(serve(messages))
        del messages
        await task
        del task
        await asyncio.sleep(2 * TICK_S)
        assert client() is None
    finally:
        gc.enable()
