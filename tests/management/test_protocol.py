"""An answer's head travels with its body."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.management.start.protocol import Corked

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Wire:
    """A transport that keeps each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> str:
        return "paused"


def corked() -> tuple[Corked, Wire]:
    wire: Any = Wire()
    return Corked(wire, asyncio.get_running_loop()), wire


async def test_head_and_body_are_one_write() -> None:
    cork, wire = corked()
    cork.write(HEAD)
    cork.write(b"ok")
    assert wire.writes == [HEAD + b"ok"]
    await asyncio.sleep(0)
    assert wire.writes == [HEAD + b"ok"]


async def test_a_head_alone_goes_with_the_next_turn() -> None:
    cork, wire = corked()
    cork.write(HEAD)
    assert wire.writes == []
    await asyncio.sleep(0)
    assert wire.writes == [HEAD]
    cork.write(b"data: 1\n\n")
    assert wire.writes == [HEAD, b"data: 1\n\n"]


async def test_closing_sends_what_is_held() -> None:
    cork, wire = corked()
    cork.write(HEAD)
    cork.close()
    assert wire.writes == [HEAD]
    assert wire.closed


async def test_nothing_is_sent_to_who_has_gone() -> None:
    cork, wire = corked()
    cork.write(HEAD)
    wire.closed = True
    await asyncio.sleep(0)
    assert wire.writes == []


async def test_all_else_is_the_transports() -> None:
    cork, _ = corked()
    assert cork.pause_reading() == "paused"
