"""Buffers uploaded files on disk until they are sent to an upstream.

An upload may be tried at several targets, so it must be stored completely; a few of them would
fill the memory. A spool's file has no name and disappears with the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from gateway.canon.errors import Error, GatewayError
from gateway.framing.multipart import ByteRange

# Size of one read or write, in a thread; smaller uploads stay in memory.
STEP_BYTES = 512 * 1024
# Other users of the machine must not list the directory.
_MODE = 0o700
_T = TypeVar("_T")


class UploadSpools:
    """The spools of a process. `reserved_bytes` is the total size that open spools may reach."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self.reserved_bytes = 0
        self._bytes_by_key: Counter[int | None] = Counter()

    def open(self, size: int, owner: int | None = None) -> Spool:
        """A spool for up to `size` bytes of the key `owner`; the caller closes it.

        Raises GatewayError when full, or when the key has three quarters of the space: others must
        not wait for a client that sends slowly.
        """
        if self.reserved_bytes + size > self._max_bytes:
            raise _overloaded_error("too many uploads are in progress; try again in a few seconds")
        if owner is not None and self._bytes_by_key[owner] + size > self._max_bytes * 3 // 4:
            message = "too many uploads of this API key are in progress; try again in a few seconds"
            raise GatewayError(Error(kind="rate_limit", message=message, retry_after_s=5))
        self.reserved_bytes += size
        self._bytes_by_key[owner] += size
        return Spool(self, size, owner)

    def release(self, size: int, owner: int | None) -> None:
        """Free the space of a spool."""
        self.reserved_bytes -= size
        self._bytes_by_key[owner] -= size
        if not self._bytes_by_key[owner]:
            del self._bytes_by_key[owner]

    def file(self) -> IO[bytes]:
        """A new file without a name."""
        self._directory.mkdir(mode=_MODE, parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self._directory, buffering=0)


class Spool:
    """The bytes of one upload, in order."""

    def __init__(self, spools: UploadSpools, max_size: int, owner: int | None) -> None:
        self._spools = spools
        self._max_size, self._owner = max_size, owner
        self._file: IO[bytes] | None = None
        self._on_disk = 0
        self._buffer = bytearray()
        self._thread_work: asyncio.Future[Any] | None = None

    @property
    def size(self) -> int:
        """The number of bytes written."""
        return self._on_disk + len(self._buffer)

    async def write(self, data: bytes) -> None:
        """Append data. Raises GatewayError if the disk is full."""
        self._buffer += data
        if len(self._buffer) < STEP_BYTES:
            return
        buffered, self._buffer = self._buffer, bytearray()
        try:
            await self._run_in_thread(lambda: self._append_to_file(buffered))
        except OSError:
            raise _overloaded_error(
                "there is no disk space for the upload; try again later"
            ) from None
        self._on_disk += len(buffered)

    def _append_to_file(self, data: bytearray) -> None:
        if self._file is None:
            self._file = self._spools.file()
        remaining_data = memoryview(data)
        while remaining_data:
            remaining_data = remaining_data[self._file.write(remaining_data) :]

    async def read(self, byte_range: ByteRange) -> AsyncIterator[bytes]:
        """The bytes of a range, in chunks."""
        offset, end = byte_range.start, byte_range.start + byte_range.length
        while offset < end:
            chunk = await self._read_chunk(offset, min(end - offset, STEP_BYTES))
            offset += len(chunk)
            yield chunk

    async def read_all(self, byte_range: ByteRange) -> bytes:
        """All bytes of a range, in memory."""
        return b"".join([chunk async for chunk in self.read(byte_range)])

    async def _read_chunk(self, offset: int, size: int) -> bytes:
        file = self._file
        if offset >= self._on_disk or file is None:
            begin = offset - self._on_disk
            return bytes(self._buffer[begin : begin + size])
        size = min(size, self._on_disk - offset)

        def read() -> bytes:
            file.seek(offset)
            return file.read(size)

        return await self._run_in_thread(read)

    async def _run_in_thread(self, job: Callable[[], _T]) -> _T:
        """Run `job` in a thread; if the caller is cancelled, `close` waits for the thread."""
        future = asyncio.get_running_loop().run_in_executor(None, job)
        self._thread_work = future
        return await asyncio.shield(future)

    def close(self) -> None:
        """Free the space, as soon as no thread uses the file."""
        if self._thread_work is None or self._thread_work.done():
            self._release_storage()
        else:
            self._thread_work.add_done_callback(self._release_storage)

    def _release_storage(self, future: asyncio.Future[Any] | None = None) -> None:
        if future is not None and not future.cancelled():
            future.exception()  # marks it as retrieved
        self._spools.release(self._max_size, self._owner)
        self._max_size = 0
        self._buffer = bytearray()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


class SpooledBody:
    """A body of several parts, some of them in a spool; can be iterated more than once.

    `on_progress` is called for each chunk read from the spool.
    """

    def __init__(
        self, parts: list[bytes | ByteRange], spool: Spool, on_progress: Callable[[], None]
    ) -> None:
        self._parts = parts
        self._spool = spool
        self._on_progress = on_progress
        self.size = sum(len(p) if isinstance(p, bytes) else p.length for p in parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate from the start."""
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            async for data in self._spool.read(part):
                self._on_progress()
                yield data


def _overloaded_error(message: str) -> GatewayError:
    return GatewayError(Error(kind="overloaded", message=message, retry_after_s=5))
