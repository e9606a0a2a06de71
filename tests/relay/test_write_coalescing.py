"""Writes of one loop iteration are sent together at its end."""

from __future__ import annotations

import asyncio

from gateway.relay.upstream.http1 import WriteCoalescer, coalescer_for


class Sender:
    """Says when it was flushed; may have others flushed then."""

    def __init__(self, said: list[str], name: str, then: Sender | None = None) -> None:
        self._said, self._name, self._then = said, name, then

    def flush(self) -> None:
        self._said.append(self._name)
        if self._then is not None:
            coalescer_for(asyncio.get_running_loop()).add(self._then)


async def test_all_of_a_turn_go_at_its_end_in_order():
    said: list[str] = []
    outbox = coalescer_for(asyncio.get_running_loop())
    asyncio.get_running_loop().call_soon(said.append, "the turn")
    for name in "abc":
        outbox.add(Sender(said, name))
    assert said == []
    await asyncio.sleep(0)
    assert said == ["the turn", "a", "b", "c"]


async def test_what_comes_meanwhile_goes_with_the_next_turn():
    said: list[str] = []
    coalescer_for(asyncio.get_running_loop()).add(Sender(said, "a", Sender(said, "b")))
    await asyncio.sleep(0)
    assert said == ["a"]
    await asyncio.sleep(0)
    assert said == ["a", "b"]


def test_each_loop_has_its_own():
    async def own() -> WriteCoalescer:
        loop = asyncio.get_running_loop()
        assert coalescer_for(loop) is coalescer_for(loop)
        return coalescer_for(loop)

    first, second = asyncio.run(own()), asyncio.run(own())
    assert first is not second
