"""The circuit breakers of targets, which all processes of a data directory share.

One small file, mapped into memory: a number that grows with each change, and the states as
JSON. Reading costs a look at that number; what changes a state (a failure, an answer after
one) takes the file's lock for some microseconds. A process that can not get at the file
goes on by itself; one that finds it locked does as well, and makes its changes there as soon
as it can. Times are the machine's monotonic clock, which its processes have in common;
`relay.shared_breaker` is for several machines.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.routing import health
from gateway.routing.health import MAX_COOLDOWN_S, TRIAL_S, State

log = logging.getLogger(__name__)

_BYTES = 256 * 1024
_HEADER = 16
_CHANGES, _LENGTH = 0, 1
# What nobody has asked for since is forgotten.
_OLD_S = 3600.0
# So often the lock is asked for, and by a process that ends.
_TRIES = 50
_LAST_TRIES = 5_000
_UNSEEN = -1
# Of changes that could not be made yet, so many are kept.
_MOST_OWED = 1000


class _Board(msgspec.Struct):
    """What the file holds: states by `provider/model`, and who may do what until when."""

    states: dict[str, State] = {}
    claims: dict[str, float] = {}


class Breaker:
    """The states of all targets. All methods belong to the thread of the event loop.

    Attributes:
        states: by `provider/model`; targets of which nothing bad is known have none.
    """

    def __init__(
        self, path: Path | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.states: dict[str, State] = {}
        self._claims: dict[str, float] = {}
        # Changes made here that the file has not got.
        self._owed: list[Callable[[], object]] = []
        self._clock = clock
        self._seen = 0
        self._fd = -1
        self._map: mmap.mmap | None = None
        self._words: memoryview = memoryview(bytearray(_HEADER)).cast("q")
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.fstat(self._fd).st_size < _BYTES:
                os.ftruncate(self._fd, _BYTES)
            self._map = mmap.mmap(self._fd, _BYTES)
            self._words = memoryview(self._map)[:_HEADER].cast("q")
        except OSError:
            log.exception("breakers can not be shared; this process has its own")
            self.close()
            return
        self._changed(None)

    # --- what the hot path asks -----------------------------------------------------------

    def look(self) -> None:
        """Take in what other processes have changed; cheap where there is nothing."""
        if self._words[_CHANGES] != self._seen:
            self._changed(None)

    def note(
        self,
        label: str,
        kind: str | None,
        retry_after_s: float | None,
        cooldown_s: float,
        failures: int | None = None,
    ) -> None:
        """Take in how a call of a target ended: `kind` is an error's, None for an answer."""
        if kind is None and label not in self.states:
            return
        now = self._clock()

        def change() -> None:
            before = self.states.get(label)
            if kind is None:
                self.states.pop(label, None)
                return
            after = health.note(before, kind, retry_after_s, now, cooldown_s, failures=failures)
            if after != health.HEALTHY:
                self.states[label] = after

        self._changed(change)
        self.told(label)

    async def enter(self, label: str) -> bool:
        """Whether a request may call a target; after a rest, one request alone may."""
        return self.claim_trial(label)

    def claim_trial(self, label: str) -> bool:
        """The same among the processes of this machine.

        One that still rests is not held back: whoever retries it has reasons.
        """
        self.look()
        now = self._clock()
        if not health.half_open(self.states.get(label), now):
            return True
        free = False

        def change() -> None:
            nonlocal free
            state = self.states.get(label)
            free = state is None or health.usable(state, now)
            if free and state is not None:
                self.states[label] = health.claimed(state, now)

        self._changed(change)
        return free

    def alive(self, label: str) -> None:
        """The target that is tried has begun to answer: the next may try it as well."""
        state = self.states.get(label)
        if state is not None and state.trial:
            self._changed(lambda: self._replace(label, health.released))

    def forget(self, label: str) -> bool:
        """Call a target again at once; whether it had a state."""
        known = label in self.states
        if known:
            self._changed(lambda: self.states.pop(label, None))
            self.told(label)
        return known

    def claim(self, name: str, seconds: float) -> bool:
        """Whether this process may do what `name` says; no other may for so long."""
        now = self._clock()
        free = False

        def change() -> None:
            nonlocal free
            free = not now < self._claims.get(name, 0.0) <= now + seconds
            if free:
                self._claims[name] = now + seconds

        self._changed(change)
        return free

    def told(self, label: str) -> None:
        """A state has changed here. For those who tell other machines."""

    # --- the file -------------------------------------------------------------------------

    def _replace(self, label: str, made: Callable[[State], State]) -> None:
        state = self.states.get(label)
        if state is not None:
            self.states[label] = made(state)

    def _changed(self, change: Callable[[], object] | None, tries: int = _TRIES) -> None:
        """Read what is shared, make a change to it, and write it back."""
        if self._map is None or not self._lock(tries):
            if change is not None:
                change()
                self._owe(change)
            return
        try:
            if self._words[_CHANGES] != self._seen:
                self._read()
            changes = [*self._owed, change] if change is not None else self._owed
            for made in changes:
                made()
            if changes:
                self._owed = []
                self._write()
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _owe(self, change: Callable[[], object]) -> None:
        """The next look makes the change again, in what the file then says."""
        if self._map is not None and len(self._owed) < _MOST_OWED:
            self._owed.append(change)
            self._seen = _UNSEEN

    def _lock(self, tries: int) -> bool:
        for _ in range(tries):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.sched_yield()
            except OSError:
                return False
            else:
                return True
        return False

    def _read(self) -> None:
        assert self._map is not None
        self._seen = self._words[_CHANGES]
        length = self._words[_LENGTH]
        try:
            board = msgspec.json.decode(self._map[_HEADER : _HEADER + length], type=_Board)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
            board = _Board()  # whoever wrote it was killed in the middle
        # In place: others hold on to the dictionary.
        self.states.clear()
        self.states.update(board.states)
        self._claims = board.claims

    def _write(self) -> None:
        assert self._map is not None
        self._sweep()
        data = msgspec.json.encode(_Board(self.states, self._claims))
        if len(data) > _BYTES - _HEADER:
            return
        self._map[_HEADER : _HEADER + len(data)] = data
        self._words[_LENGTH] = len(data)
        self._seen = self._words[_CHANGES] = self._words[_CHANGES] + 1

    def _sweep(self) -> None:
        """Forget what is long over, and times of before the machine was started again."""
        now = self._clock()
        for label, state in list(self.states.items()):
            last = max(state.until, state.trial)
            if last and not now - _OLD_S < last < now + MAX_COOLDOWN_S + TRIAL_S:
                del self.states[label]
        if len(self._claims) > 100:
            self._claims = {name: at for name, at in self._claims.items() if at > now - _OLD_S}

    async def stop(self) -> None:
        """Free what it holds, and wait for what is under way."""
        self.close()

    def close(self) -> None:
        """Leave the file; what it says stays for the next process."""
        if self._owed:
            self._changed(None, _LAST_TRIES)
        self._words = memoryview(bytearray(_HEADER)).cast("q")
        self._seen = 0
        if self._map is not None:
            self._map = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
