"""The upload spool: correct bytes, on disk except for the last ones, and nothing left over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from gateway.canon.errors import GatewayError
from gateway.framing.multipart import ByteRange
from gateway.relay.exchange.spool import STEP_BYTES, SpooledBody, UploadSpools

SIZE = 3 * STEP_BYTES + 1000


def numbered(size: int) -> bytes:
    return b"".join(n.to_bytes(8, "big") for n in range(size // 8 + 1))[:size]


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[UploadSpools]:
    upload_spools = UploadSpools(tmp_path / "uploads", 10 * SIZE)
    yield upload_spools
    assert upload_spools.reserved_bytes == 0
    assert list((tmp_path / "uploads").glob("*")) == [], "a spool's file has no name"


@pytest.mark.parametrize("step", [1000, STEP_BYTES, SIZE])
async def test_a_spool_is_read_repeatedly(spools: UploadSpools, step: int) -> None:
    spool, data = spools.open(SIZE), numbered(SIZE)
    for offset in range(0, SIZE, step):
        await spool.write(data[offset : offset + step])
    for start, size in ((0, SIZE), (STEP_BYTES - 5, 10), (SIZE - 1001, 1001), (7, 0)):
        assert await spool.read_all(ByteRange(start, size)) == data[start : start + size]
    spool.close()


async def test_a_small_body_is_not_written_to_disk(spools: UploadSpools, tmp_path: Path) -> None:
    spool = spools.open(100)
    await spool.write(b"abc")
    assert await spool.read_all(ByteRange(1, 2)) == b"bc"
    spool.close()
    spool.close()
    assert not (tmp_path / "uploads").exists()
    (tmp_path / "uploads").mkdir()


async def test_the_spool_size_is_bounded(spools: UploadSpools) -> None:
    first = spools.open(10 * SIZE)
    with pytest.raises(GatewayError, match="too many uploads"):
        spools.open(1)
    first.close()
    spools.open(1).close()


async def test_slow_uploads_of_one_key_leave_space_for_other_keys(spools: UploadSpools) -> None:
    uploads = [spools.open(SIZE, owner=1) for _ in range(7)]
    with pytest.raises(GatewayError, match="this API key"):
        spools.open(SIZE, owner=1)
    uploads.append(spools.open(SIZE, owner=2))
    for upload in uploads:
        upload.close()
    spools.open(7 * SIZE, owner=1).close()


async def test_a_full_disk_is_an_overloaded_error(spools: UploadSpools) -> None:
    def full() -> IO[bytes]:
        return Path("/dev/full").open("wb", buffering=0)

    spools.file = full  # type: ignore[method-assign]
    spool = spools.open(SIZE)
    with pytest.raises(GatewayError) as error:
        await spool.write(bytes(SIZE))
    assert (error.value.error.kind, error.value.error.retry_after_s) == ("overloaded", 5)
    spool.close()


async def test_the_file_is_not_closed_under_a_thread_that_writes(spools: UploadSpools) -> None:
    started, may_continue = threading.Event(), threading.Event()
    opened: list[IO[bytes]] = []
    file = spools.file

    def slow() -> IO[bytes]:
        started.set()
        may_continue.wait(10)
        opened.append(file())
        return opened[0]

    spools.file = slow  # type: ignore[method-assign]
    spool = spools.open(SIZE)
    writing = asyncio.ensure_future(spool.write(bytes(SIZE)))
    await asyncio.to_thread(started.wait, 10)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    spool.close()
    assert spools.reserved_bytes == SIZE
    may_continue.set()
    async with asyncio.timeout(10):
        while spools.reserved_bytes:
            await asyncio.sleep(0.01)
    assert opened[0].closed


async def test_a_spooled_body_is_read_from_its_start_each_time(spools: UploadSpools) -> None:
    spool, data, moved = spools.open(SIZE), numbered(SIZE), []
    await spool.write(data)
    body = SpooledBody([b"<", ByteRange(0, SIZE), b">"], spool, lambda: moved.append(1))
    for _ in range(2):
        assert b"".join([piece async for piece in body]) == b"<" + data + b">"
    assert body.size == SIZE + 2
    assert len(moved) >= 8
    spool.close()
