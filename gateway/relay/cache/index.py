"""Index of cache keys known to exist in the database, so that a miss costs no query.

Most prompts are new, and a database query is the most expensive part of handling a request.
A process therefore reads which keys were added since its last refresh, and queries only for keys
it knows. Processes of one machine signal changes through an integer in shared memory; changes of
other machines are read twice a second, while there are requests.
"""

from __future__ import annotations

import logging
import mmap
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from gateway.relay.cache.key import fingerprint_of

log = logging.getLogger(__name__)

# Responses are written some time after their creation, and clocks differ.
CLOCK_SKEW_S = 5.0
# With more keys the index is incomplete, and every lookup queries the database.
MAX_INDEXED_KEYS = 200_000
# (unix seconds, maximum count) -> the keys of responses cached since.
ChangesSince = Callable[[float, int], list[str]]


class InvalidationFlag:
    """When a process of this machine last cached a response, in a file mapped by all processes.

    Attributes:
        changed_at: one element, unix time in nanoseconds; it changes with each cached response.
    """

    def __init__(self, path: Path | None) -> None:
        self.changed_at = memoryview(bytearray(8)).cast("q")
        if path is None:
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, 8)
                self.changed_at = memoryview(mmap.mmap(fd, 8)).cast("q")
            finally:
                os.close(fd)
        except OSError as error:
            log.warning(
                "the cache index has no shared memory; other processes see changes with a delay: "
                "%s",
                error,
            )

    def set(self) -> None:
        """Signal a change. Call it after the change is in the database."""
        self.changed_at[0] = time.time_ns()


class CacheIndex:
    """The keys in the database. `refresh` may run in a thread of its own."""

    def __init__(
        self,
        changes_since: ChangesSince,
        path: Path | None = None,
        max_keys: int = MAX_INDEXED_KEYS,
    ) -> None:
        self.flag = InvalidationFlag(path)
        self._changes_since = changes_since
        self._max_keys = max_keys
        self._last_change = -1
        self._keys: set[int] = set()
        self._fingerprints: set[str] = set()
        self._since = 0.0
        self._complete = False

    def take_changed(self) -> bool:
        """Whether a process of this machine has stored a response since the last call."""
        changed_at = self.flag.changed_at[0]
        if changed_at == self._last_change:
            return False
        self._last_change = changed_at
        return True

    def refresh(self) -> None:
        """Read the keys added since the last refresh. Raises what the database raises."""
        refreshed_at = time.time() - CLOCK_SKEW_S
        keys = self._changes_since(self._since, self._max_keys + 1)
        self.add(keys)
        if len(self._keys) > self._max_keys:
            # Many may have expired: read all keys again, and leave the index incomplete if there
            # are still too many.
            self._complete = False
            self._keys, self._fingerprints = set(), set()
            self._since = 0.0 if self._since else refreshed_at
            return
        self._complete = self._complete or not self._since
        self._since = refreshed_at

    def add(self, keys: Iterable[str]) -> None:
        """Add keys."""
        for key in keys:
            self._keys.add(int(key[-15:], 16))
            self._fingerprints.add(fingerprint_of(key))

    def may_contain(self, fingerprint: str) -> bool:
        """Whether the database may have a response with this fingerprint.

        True also if a process of this machine has stored one since the last refresh.
        """
        return (
            fingerprint in self._fingerprints
            or not self._complete
            or self.flag.changed_at[0] != self._last_change
        )

    def is_missing(self, key: str) -> bool:
        """Whether the database is known not to have this key."""
        return self._complete and int(key[-15:], 16) not in self._keys
