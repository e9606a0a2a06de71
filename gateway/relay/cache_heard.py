"""Which answers the database has, as far as a process has heard: it spares looks in vain.

Most questions are new, and a look into the database costs more than all else that is done
for a request. So a process hears which answers were kept since, by itself or by others, and
looks only for those. Processes of one machine tell each other, by a word in memory that they
share, that there is something to hear; of other machines' answers it hears twice a second,
while it is asked.
"""

from __future__ import annotations

import logging
import mmap
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from gateway.relay.cache_key import mark_in

log = logging.getLogger(__name__)

# Answers are written some time after they are made, and clocks differ.
BEHIND_S = 5.0
# More than that are not remembered: then every look is one into the database.
MOST = 200_000
# (unix seconds, how many at most) -> the keys of answers made since.
News = Callable[[float, int], list[str]]


class Notice:
    """When any process of the machine has last kept an answer, in a file that all map.

    Attributes:
        words: one of them, the nanosecond of it; another value is news.
    """

    def __init__(self, path: Path | None) -> None:
        self.words = memoryview(bytearray(8)).cast("q")
        if path is None:
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(held, 8)
                self.words = memoryview(mmap.mmap(held, 8)).cast("q")
            finally:
                os.close(held)
        except OSError:
            log.exception("kept answers can not be told of; other processes hear of them later")

    def tell(self) -> None:
        """Say that there is something to hear, once it is in the database."""
        self.words[0] = time.time_ns()


class Heard:
    """The keys of answers that the database has. `hear` may run in a thread of its own."""

    def __init__(self, news: News, path: Path | None = None, most: int = MOST) -> None:
        self.notice = Notice(path)
        self._ask = news
        self._most = most
        self._told = -1
        self._keys: set[int] = set()
        self._marks: set[str] = set()
        self._since = 0.0
        self._complete = False

    def told(self) -> bool:
        """Whether a process of this machine has kept an answer since; says so once."""
        at = self.notice.words[0]
        if at == self._told:
            return False
        self._told = at
        return True

    def hear(self) -> None:
        """Take in what was kept since the last time. Raises what the database raises."""
        began = time.time() - BEHIND_S
        found = self._ask(self._since, self._most + 1)
        self.add(found)
        if len(self._keys) > self._most:
            # Many may be over by now: begin anew, and give up where they are not.
            self._complete = False
            self._keys, self._marks = set(), set()
            self._since = 0.0 if self._since else began
            return
        self._complete = self._complete or not self._since
        self._since = began

    def add(self, keys: Iterable[str]) -> None:
        """Remember these."""
        for key in keys:
            self._keys.add(int(key[-15:], 16))
            self._marks.add(mark_in(key))

    def may_have(self, mark: str) -> bool:
        """Whether the database may have an answer to a question of this mark.

        Also if a process of this machine has kept one that was not heard of yet.
        """
        return mark in self._marks or not self._complete or self.notice.words[0] != self._told

    def lacks(self, key: str) -> bool:
        """Whether the database has no such answer, as far as is known."""
        return self._complete and int(key[-15:], 16) not in self._keys
