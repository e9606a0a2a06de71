"""Writes of one loop iteration are sent together at its end."""

from __future__ import annotations

import asyncio

from gateway.relay.upstream.write_coalescing import WriteCoalescer, coalescer_for


class RecordingSender:
    """A sender that records when it is flushed, and may have others flushed."""

    def __init__(self, texts: list[str], name: str, then: RecordingSender | None = None) -> None:
        self._said, self._name, self._then = texts, name, then

    def flush(self) -> None:
        self._said.append(self._name)
        if self._then is not None:
            coalescer_for(asyncio.get_running_loop()).add(self._then)


async def test_writes_of_one_loop_turn_are_flushed_in_order():
    texts: list[str] = []
    outbox = coalescer_for(asyncio.get_running_loop())
    asyncio.get_running_loop().call_soon(texts.append, "the turn")
    for name in "abc":
        outbox.add(RecordingSender(texts, name))
    assert texts == []
    await asyncio.sleep(0)
    assert texts == ["the turn", "a", "b", "c"]


async def test_writes_during_a_turn_are_sent_in_the_next():
    texts: list[str] = []
    coalescer_for(asyncio.get_running_loop()).add(
        RecordingSender(texts, "a", RecordingSender(texts, "b"))
    )
    await asyncio.sleep(0)
    assert texts == ["a"]
    await asyncio.sleep(0)
    assert texts == ["a", "b"]


def test_each_event_loop_has_its_own_write_buffer():
    async def own() -> WriteCoalescer:
        loop = asyncio.get_running_loop()
        assert coalescer_for(loop) is coalescer_for(loop)
        return coalescer_for(loop)

    first, second = asyncio.run(own()), asyncio.run(own())
    assert first is not second
