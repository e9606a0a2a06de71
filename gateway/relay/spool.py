"""Where the files of a form wait on their way to an upstream: on disk, but for the last of them.

An upload may be tried at several targets, so it has to be there as a whole; in memory a few of
them would take all there is. A spool's file has no name and is gone with the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from gateway.canon.errors import Error, GatewayError
from gateway.framing.multipart import Stretch

# As much is written and read at a time, in a thread; what is less stays in memory.
STEP_BYTES = 512 * 1024
# Nobody else on the machine may list what is there.
_MODE = 0o700
_T = TypeVar("_T")


class Spools:
    """The spools of a process. `taken` is what they may fill at present, in bytes."""

    def __init__(self, directory: Path, most: int) -> None:
        self._directory = directory
        self._most = most
        self.taken = 0

    def open(self, size: int) -> Spool:
        """A spool for up to `size` bytes; close it in any case. Raises GatewayError when full."""
        if self.taken + size > self._most:
            raise _full("too many uploads are on their way; try again in a few seconds")
        self.taken += size
        return Spool(self, size)

    def file(self) -> IO[bytes]:
        """A new file without a name."""
        self._directory.mkdir(mode=_MODE, parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self._directory, buffering=0)


class Spool:
    """The bytes of one upload, one after the other."""

    def __init__(self, spools: Spools, allowed: int) -> None:
        self._spools = spools
        self._allowed = allowed
        self._file: IO[bytes] | None = None
        self._on_disk = 0
        self._held = bytearray()
        self._working: asyncio.Future[Any] | None = None

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self._on_disk + len(self._held)

    async def write(self, data: bytes) -> None:
        """Put more at the end. Raises GatewayError where the disk takes no more."""
        self._held += data
        if len(self._held) < STEP_BYTES:
            return
        held, self._held = self._held, bytearray()
        try:
            await self._work(lambda: self._append(held))
        except OSError:
            raise _full("there is no room for the upload here; try again later") from None
        self._on_disk += len(held)

    def _append(self, data: bytearray) -> None:
        if self._file is None:
            self._file = self._spools.file()
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    async def read(self, stretch: Stretch) -> AsyncIterator[bytes]:
        """The bytes of a stretch, a few at a time."""
        at, end = stretch.start, stretch.start + stretch.size
        while at < end:
            piece = await self._piece(at, min(end - at, STEP_BYTES))
            at += len(piece)
            yield piece

    async def whole(self, stretch: Stretch) -> bytes:
        """All bytes of a stretch, in memory."""
        return b"".join([piece async for piece in self.read(stretch)])

    async def _piece(self, at: int, size: int) -> bytes:
        file = self._file
        if at >= self._on_disk or file is None:
            begin = at - self._on_disk
            return bytes(self._held[begin : begin + size])
        size = min(size, self._on_disk - at)

        def read() -> bytes:
            file.seek(at)
            return file.read(size)

        return await self._work(read)

    async def _work(self, job: Callable[[], _T]) -> _T:
        """Do it in a thread, which is not left alone with the file if nobody waits any more."""
        working = asyncio.get_running_loop().run_in_executor(None, job)
        self._working = working
        return await asyncio.shield(working)

    def close(self) -> None:
        """Free the room, as soon as no thread is at it."""
        if self._working is None or self._working.done():
            self._free()
        else:
            self._working.add_done_callback(self._free)

    def _free(self, worked: asyncio.Future[Any] | None = None) -> None:
        if worked is not None and not worked.cancelled():
            worked.exception()  # nobody waits for it
        self._spools.taken -= self._allowed
        self._allowed = 0
        self._held = bytearray()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


class Pieces:
    """A body in pieces, some of them in a spool: to be sent, and sent again.

    `moved` is called whenever more has been taken.
    """

    def __init__(
        self, pieces: list[bytes | Stretch], spool: Spool, moved: Callable[[], None]
    ) -> None:
        self._pieces = pieces
        self._spool = spool
        self._moved = moved
        self.size = sum(len(p) if isinstance(p, bytes) else p.size for p in pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """From the start."""
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            async for data in self._spool.read(piece):
                self._moved()
                yield data


def _full(message: str) -> GatewayError:
    return GatewayError(Error(kind="overloaded", message=message, retry_after_s=5))
