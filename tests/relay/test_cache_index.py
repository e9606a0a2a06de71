"""The index of cached keys avoids useless queries, and misses no entry for long."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.relay.cache import backend as cache_backend
from gateway.relay.cache.backend import CacheRow, DatabaseBackend
from gateway.relay.cache.index import CacheIndex
from gateway.relay.cache.key import fingerprint_of
from tests.waits import WAIT_TIMEOUT_S


def key(number: int) -> str:
    return f"f{number:012x}{number:050x}"


class FakeTable:
    """A table of storage times in Unix seconds; reads are recorded."""

    def __init__(self) -> None:
        self.stored_at: dict[str, float] = {}
        self.reads: list[str] = []

    def news(self, since: float, maximum: int) -> list[str]:
        return [name for name, stored_at in self.stored_at.items() if stored_at > since][:maximum]

    def read(self, name: str) -> bytes | None:
        self.reads.append(name)
        return b"blob" if name in self.stored_at else None

    def write(self, rows: list[CacheRow]) -> None:
        self.stored_at |= {row.key: time.time() for row in rows}


def test_no_key_is_missing_before_the_first_refresh() -> None:
    index = CacheIndex(FakeTable().news)
    assert not index.is_missing(key(1))
    index.refresh()
    assert index.is_missing(key(1))


def test_a_refresh_finds_keys_stored_by_others() -> None:
    table = FakeTable()
    index = CacheIndex(table.news)
    table.stored_at[key(1)] = time.time() - 1000
    index.refresh()
    table.stored_at[key(2)] = time.time() - 1
    assert index.is_missing(key(2))
    index.refresh()
    assert not index.is_missing(key(1))
    assert not index.is_missing(key(2))
    assert index.is_missing(key(3))


@pytest.mark.parametrize("later", [False, True])
def test_above_the_key_limit_no_key_is_missing(later: bool) -> None:
    table = FakeTable()
    index = CacheIndex(table.news, max_keys=5)
    if later:
        index.refresh()
    table.stored_at = {key(n): time.time() for n in range(9)}
    index.refresh()
    index.refresh()
    assert not any(index.is_missing(key(n)) for n in range(20))


async def test_unknown_cache_keys_cause_no_database_query(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cache_backend, "INDEX_REFRESH_S", 0.02)
    table = FakeTable()
    table.stored_at[key(0)] = time.time() - 60
    database_backend = DatabaseBackend(table.read, table.write, None, table.news, tmp_path / "kept")
    try:
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while await database_backend.get(key(1)) is None and table.reads.count(key(1)) == len(
                table.reads
            ):
                before = len(table.reads)
                await asyncio.sleep(0.03)
                await database_backend.get(key(1))
                if len(table.reads) == before:
                    break
        table.reads.clear()
        assert await database_backend.get(key(2)) is None
        assert table.reads == []
        assert await database_backend.get(key(0)) == b"blob"
        database_backend.put(CacheRow(key(3), 1, b"blob", time.time(), time.time() + 60))
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while await database_backend.get(key(3)) is None:
                await asyncio.sleep(0.01)
        table.stored_at[key(4)] = time.time()  # another process has kept it
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while await database_backend.get(key(4)) is None:
                await asyncio.sleep(0.01)
    finally:
        await database_backend.close()


async def test_processes_of_a_machine_share_new_keys_immediately(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cache_backend, "INDEX_REFRESH_S", 3600.0)
    table = FakeTable()
    first, second = (
        DatabaseBackend(table.read, table.write, None, table.news, tmp_path / "kept")
        for _ in range(2)
    )
    try:
        for database_backend in (first, second):
            assert await database_backend.get(key(9)) is None
        for number in range(5):
            first.put(CacheRow(key(number), 1, b"blob", time.time(), time.time() + 60))
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                while await second.get(key(number)) is None:
                    await asyncio.sleep(0.01)
            results = await asyncio.gather(*(second.get(key(number)) for _ in range(4)))
            assert results == [b"blob"] * 4
        table.reads.clear()
        assert await second.get(key(77)) is None
        assert table.reads == []
    finally:
        await first.close()
        await second.close()


async def test_a_request_with_an_unknown_key_is_a_miss(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cache_backend, "INDEX_REFRESH_S", 3600.0)
    table = FakeTable()
    table.stored_at[key(1)] = time.time() - 60
    first, second = (
        DatabaseBackend(table.read, table.write, None, table.news, tmp_path / "kept")
        for _ in range(2)
    )
    try:
        assert first.may_contain(fingerprint_of(key(2)))  # nothing has been heard yet
        async with asyncio.timeout(30):
            while first.may_contain(fingerprint_of(key(2))):
                await first.get(key(9))
        assert first.may_contain(fingerprint_of(key(1)))
        second.put(CacheRow(key(2), 1, b"blob", time.time(), time.time() + 60))
        async with asyncio.timeout(30):
            while not first.may_contain(fingerprint_of(key(2))):
                await asyncio.sleep(0.01)
            assert await first.get(key(2)) == b"blob"
        assert first.may_contain(fingerprint_of(key(2)))
        assert not first.may_contain(fingerprint_of(key(3)))
    finally:
        await first.close()
        await second.close()


def test_an_index_without_shared_memory_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    index = CacheIndex(FakeTable().news, tmp_path / "file" / "changed")
    index.refresh()
    assert index.is_missing(key(1))
    assert "other processes see changes with a delay: " in caplog.text
    assert "Traceback" not in caplog.text
