"""Where kept answers outlive their process: the database, by functions that the store gives.

Reads run in threads of their own, so that the database's connections stay few; writes wait
in a bounded queue for one writer thread. A shelf that fails is as good as empty.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

from gateway.relay.cache_heard import Heard, News

log = logging.getLogger(__name__)

READERS = 2
MOST_WAITING = 512
BATCH = 64
FLUSH_S = 0.2
CLOSE_S = 5.0
# How long after it was heard what others have kept it is heard again, if it is asked.
AGAIN_S = 0.5


class Row(NamedTuple):
    """One answer on its way to a shelf; times are unix seconds."""

    key: str
    route_id: int
    blob: bytes
    made_at: float
    ends_at: float


Read = Callable[[str], bytes | None]
Write = Callable[[list[Row]], None]


class Shelf(Protocol):
    """Keeps blobs by key for all processes."""

    async def get(self, key: str) -> bytes | None:
        """The blob of a key, if its time is not over."""

    def may_have(self, mark: str) -> bool:
        """Whether it is worth a look for a question of this mark."""

    def put(self, row: Row) -> None:
        """Keep a blob, soon."""

    async def close(self) -> None:
        """Write what waits."""


class DatabaseShelf:
    """The shelf that is a table. Its threads begin with the first answer."""

    def __init__(
        self,
        read: Read,
        write: Write,
        close: Callable[[], None] | None,
        news: News | None = None,
        notice: Path | None = None,
    ) -> None:
        self._read, self._write, self._end = read, write, close
        self._heard = Heard(news, notice) if news is not None else None
        self._hearing: asyncio.Future[None] | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._writer: threading.Thread | None = None
        self._waiting: queue.Queue[Row | None] = queue.Queue(MOST_WAITING)
        self._failing = False

    async def get(self, key: str) -> bytes | None:
        """The blob of a key, if its time is not over."""
        if self._readers is None:
            self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="cache-reader")
        try:
            loop = asyncio.get_running_loop()
            if (heard := self._heard) is not None:
                await self._listen(self._readers, heard)
                if heard.lacks(key):
                    return None
            return await loop.run_in_executor(self._readers, self._read, key)
        except Exception as error:
            self._failed(error)
            return None

    def may_have(self, mark: str) -> bool:
        """Whether it is worth a look for a question of this mark, as far as has been heard."""
        heard = self._heard
        if heard is None or self._readers is None or self._hearing is not None:
            return True
        if self._rest is None:
            self._hear_beside(self._readers, heard)
        return heard.may_have(mark)

    async def _listen(self, readers: ThreadPoolExecutor, heard: Heard) -> None:
        """Hear what this machine's processes have kept; and others', without waiting for it."""
        if heard.told():
            loop = asyncio.get_running_loop()
            self._hearing = loop.run_in_executor(readers, self._hear, heard)
        elif self._hearing is None and self._rest is None:
            self._hear_beside(readers, heard)
        if (hearing := self._hearing) is not None:
            await asyncio.wait([hearing])
            if self._hearing is hearing:
                self._hearing = None

    def _hear_beside(self, readers: ThreadPoolExecutor, heard: Heard) -> None:
        """Hear without a wait for it, and not again for some time."""
        self._rest = asyncio.get_running_loop().call_later(AGAIN_S, self._rested)
        readers.submit(self._hear, heard)

    def _rested(self) -> None:
        self._rest = None

    def _hear(self, heard: Heard) -> None:
        """In a reader's thread."""
        try:
            heard.hear()
        except Exception as error:
            self._failed(error)

    def put(self, row: Row) -> None:
        """Keep a blob, soon; not if too many wait."""
        if self._heard is not None:
            self._heard.add((row.key,))
        if self._writer is None:
            self._writer = threading.Thread(target=self._work, name="cache-writer", daemon=True)
            self._writer.start()
        try:
            self._waiting.put_nowait(row)
        except queue.Full:
            log.warning("an answer was not kept: too many wait for the database")

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            words = {"reason": type(error).__name__}
            log.warning("the database keeps no answers now", extra=words)
        self._failing = True

    def _work(self) -> None:
        going = True
        while going:
            batch = [self._waiting.get()]
            while len(batch) < BATCH:
                try:
                    batch.append(self._waiting.get(timeout=FLUSH_S))
                except queue.Empty:
                    break
            going = None not in batch
            # The newest of a key, and in one order: two writers could deadlock.
            rows = {row.key: row for row in batch if row is not None}
            try:
                if rows:
                    self._write([rows[key] for key in sorted(rows)])
                    self._failing = False
                    if self._heard is not None:
                        self._heard.notice.tell()
            except Exception as error:
                self._failed(error)
        if self._end is not None:
            self._end()

    async def close(self) -> None:
        """Write what waits, and end the threads."""
        if self._rest is not None:
            self._rest.cancel()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join(CLOSE_S)
        if self._readers is not None:
            if self._end is not None:
                # Each reader has a connection of its own.
                ends = [self._readers.submit(self._end) for _ in range(READERS)]
                for end in ends:
                    end.result(CLOSE_S)
            self._readers.shutdown()
