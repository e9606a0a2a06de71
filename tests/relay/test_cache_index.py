"""Index of cached keys: no needless queries, and no stored entry missed for long."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.relay.cache import backend as cache_backend
from gateway.relay.cache.backend import CacheRow, DatabaseBackend
from gateway.relay.cache.index import CacheIndex
from gateway.relay.cache.key import fingerprint_of
from tests.waits import PATIENCE_S


def key(number: int) -> str:
    return f"f{number:012x}{number:050x}"


class Table:
    """Answers by key, with when they were made; reads are counted."""

    def __init__(self) -> None:
        self.made: dict[str, float] = {}
        self.reads: list[str] = []

    def news(self, since: float, most: int) -> list[str]:
        return [name for name, at in self.made.items() if at > since][:most]

    def read(self, name: str) -> bytes | None:
        self.reads.append(name)
        return b"blob" if name in self.made else None

    def write(self, rows: list[CacheRow]) -> None:
        self.made |= {row.key: time.time() for row in rows}


def test_until_all_is_heard_nothing_is_said_to_be_lacking() -> None:
    heard = CacheIndex(Table().news)
    assert not heard.is_missing(key(1))
    heard.refresh()
    assert heard.is_missing(key(1))


def test_what_others_kept_since_is_heard() -> None:
    table = Table()
    heard = CacheIndex(table.news)
    table.made[key(1)] = time.time() - 1000
    heard.refresh()
    table.made[key(2)] = time.time() - 1
    assert heard.is_missing(key(2))
    heard.refresh()
    assert not heard.is_missing(key(1))
    assert not heard.is_missing(key(2))
    assert heard.is_missing(key(3))


@pytest.mark.parametrize("later", [False, True])
def test_of_more_than_can_be_remembered_nothing_is_said(later: bool) -> None:
    table = Table()
    heard = CacheIndex(table.news, max_keys=5)
    if later:
        heard.refresh()
    table.made = {key(n): time.time() for n in range(9)}
    heard.refresh()
    heard.refresh()
    assert not any(heard.is_missing(key(n)) for n in range(20))


async def test_new_questions_do_not_reach_the_database(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cache_backend, "INDEX_REFRESH_S", 0.02)
    table = Table()
    table.made[key(0)] = time.time() - 60
    shelf = DatabaseBackend(table.read, table.write, None, table.news, tmp_path / "kept")
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await shelf.get(key(1)) is None and table.reads.count(key(1)) == len(table.reads):
                before = len(table.reads)
                await asyncio.sleep(0.03)
                await shelf.get(key(1))
                if len(table.reads) == before:
                    break
        table.reads.clear()
        assert await shelf.get(key(2)) is None
        assert table.reads == []
        assert await shelf.get(key(0)) == b"blob"
        shelf.put(CacheRow(key(3), 1, b"blob", time.time(), time.time() + 60))
        async with asyncio.timeout(PATIENCE_S):
            while await shelf.get(key(3)) is None:
                await asyncio.sleep(0.01)
        table.made[key(4)] = time.time()  # another process has kept it
        async with asyncio.timeout(PATIENCE_S):
            while await shelf.get(key(4)) is None:
                await asyncio.sleep(0.01)
    finally:
        await shelf.close()


async def test_processes_of_a_machine_tell_each_other_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cache_backend, "INDEX_REFRESH_S", 3600.0)
    table = Table()
    one, two = (
        DatabaseBackend(table.read, table.write, None, table.news, tmp_path / "kept")
        for _ in range(2)
    )
    try:
        for shelf in (one, two):
            assert await shelf.get(key(9)) is None
        for number in range(5):
            one.put(CacheRow(key(number), 1, b"blob", time.time(), time.time() + 60))
            async with asyncio.timeout(PATIENCE_S):
                while await two.get(key(number)) is None:
                    await asyncio.sleep(0.01)
            found = await asyncio.gather(*(two.get(key(number)) for _ in range(4)))
            assert found == [b"blob"] * 4
        table.reads.clear()
        assert await two.get(key(77)) is None
        assert table.reads == []
    finally:
        await one.close()
        await two.close()


async def test_a_question_whose_mark_nobody_heard_of_is_new(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cache_backend, "INDEX_REFRESH_S", 3600.0)
    table = Table()
    table.made[key(1)] = time.time() - 60
    one, two = (
        DatabaseBackend(table.read, table.write, None, table.news, tmp_path / "kept")
        for _ in range(2)
    )
    try:
        assert one.may_contain(fingerprint_of(key(2)))  # nothing has been heard yet
        async with asyncio.timeout(30):
            while one.may_contain(fingerprint_of(key(2))):
                await one.get(key(9))
        assert one.may_contain(fingerprint_of(key(1)))
        two.put(CacheRow(key(2), 1, b"blob", time.time(), time.time() + 60))
        async with asyncio.timeout(30):
            while not one.may_contain(fingerprint_of(key(2))):
                await asyncio.sleep(0.01)
            assert await one.get(key(2)) == b"blob"
        assert one.may_contain(fingerprint_of(key(2)))
        assert not one.may_contain(fingerprint_of(key(3)))
    finally:
        await one.close()
        await two.close()
