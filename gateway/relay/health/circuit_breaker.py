"""Circuit breakers, load and latency of targets.

The breakers are shared by all processes of a data directory through one small file, mapped into
memory: a version that increases with each change, and the states as JSON. A read only compares
the version; a change of state (a failure, a success after one) locks the file for some
microseconds. A process that cannot use the file uses its own states; if the file is locked, it
also does, and writes its changes as soon as it can. Times are the machine's monotonic clock,
which its processes share; `relay.health.shared_circuit_breaker` is for several machines.
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

from gateway.routing import circuit_breaker
from gateway.routing.circuit_breaker import MAX_COOLDOWN_S, TRIAL_S, CircuitState
from gateway.routing.latency import LatencyStats, recent_tokens
from gateway.routing.snapshot import Snapshot

# --- load -------------------------------------------------------------------------------

_LOAD_STRATEGIES = frozenset({"least_busy", "least_used"})


class TargetLoad:
    """Requests in progress in this process, by `provider/model`.

    Attributes:
        counted_targets: the targets of routes whose strategy uses the load.
    """

    def __init__(self) -> None:
        self.in_flight: dict[str, int] = {}
        self.counted_targets: frozenset[str] = frozenset()

    def count_for(self, snapshot: Snapshot) -> None:
        """Set `counted_targets` for a snapshot."""
        routes = (
            route for route in snapshot.routes.values() if route.strategies & _LOAD_STRATEGIES
        )
        self.counted_targets = frozenset(t.model.label for route in routes for t in route.targets)

    def begin_call(self, label: str) -> None:
        """Count the start of a call."""
        self.in_flight[label] = self.in_flight.get(label, 0) + 1

    def end_call(self, label: str) -> None:
        """Count the end of a call."""
        remaining_calls = self.in_flight.get(label, 0) - 1
        if remaining_calls > 0:
            self.in_flight[label] = remaining_calls
        else:
            self.in_flight.pop(label, None)


# --- latency ----------------------------------------------------------------------------

# Weight of a new measurement in the moving average, which covers about the last ten.
SMOOTHING = 0.2
# Minimum latency recorded for a failure: a target that fails fast must not rank as fast.
MIN_FAILURE_MS = 10_000.0
MAX_LATENCY_ENTRIES = 10_000


class TargetLatency:
    """Moving averages of the latency of targets, measured from this process.

    Attributes:
        stats: by `provider/model`.
    """

    def __init__(self) -> None:
        self.stats: dict[str, LatencyStats] = {}

    def record(self, label: str, first_ms: float, tokens: int = 0) -> None:
        """Add a measurement, and the tokens that the call used."""
        now = time.monotonic()
        previous_stats = self.stats.get(label)
        if previous_stats is None:
            if len(self.stats) >= MAX_LATENCY_ENTRIES:
                # Clients may send arbitrary model names.
                del self.stats[next(iter(self.stats))]
            self.stats[label] = LatencyStats(first_ms, 1, now, tokens)
            return
        average = previous_stats.first_ms + SMOOTHING * (first_ms - previous_stats.first_ms)
        earlier_tokens = recent_tokens(previous_stats, now) if previous_stats.tokens else 0.0
        self.stats[label] = LatencyStats(
            average, previous_stats.count + 1, now, earlier_tokens + tokens
        )

    def record_failure(self, label: str, duration_ms: float) -> None:
        """Add a failed call, which counts as very slow."""
        self.record(label, max(duration_ms, MIN_FAILURE_MS))


# --- circuit breakers -------------------------------------------------------------------

log = logging.getLogger(__name__)

# Maximum number of states: clients can send any name of a provider's model. Beyond it, the oldest
# is dropped. The file has room for that many of the longest names.
MAX_STATES = 500
_BYTES = 1024 * 1024
_HEADER = 16
_VERSION, _LENGTH = 0, 1
# States whose cooldown ended this long ago are dropped.
_EXPIRY_S = 3600.0
# How often to try the lock; when closing, more often.
_LOCK_TRIES = 50
_CLOSE_LOCK_TRIES = 5_000
_STALE_VERSION = -1
# Maximum number of changes that wait for the lock.
_MAX_DEFERRED = 1000


class _SharedState(msgspec.Struct):
    """Content of the file: states by `provider/model`, and expiry times of claims by name."""

    states: dict[str, CircuitState] = {}
    claims: dict[str, float] = {}


class Breaker:
    """The states of all targets. All methods belong to the thread of the event loop.

    Attributes:
        states: by `provider/model`; healthy targets have none.
    """

    def __init__(
        self, path: Path | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.states: dict[str, CircuitState] = {}
        self._claims: dict[str, float] = {}
        # Local changes that are not in the file yet.
        self._deferred_changes: list[Callable[[], object]] = []
        self._clock = clock
        self._version = 0
        self._fd = -1
        self._map: mmap.mmap | None = None
        self._header: memoryview = memoryview(bytearray(_HEADER)).cast("q")
        if path is not None:
            self._open_file(path)

    def _open_file(self, path: Path) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            # Allocates the blocks: a write to the map on a full disk would kill the process.
            os.posix_fallocate(self._fd, 0, _BYTES)
            self._map = mmap.mmap(self._fd, _BYTES)
            self._header = memoryview(self._map)[:_HEADER].cast("q")
        except OSError as error:
            log.warning("circuit breakers cannot be shared; this process uses its own: %s", error)
            self.close()
            return
        self._apply_change(None)

    # --- the hot path ---------------------------------------------------------------------

    def refresh(self) -> None:
        """Read changes of other processes; cheap if there are none."""
        if self._header[_VERSION] != self._version:
            self._apply_change(None)

    def record_outcome(
        self,
        label: str,
        kind: str | None,
        retry_after_s: float | None,
        cooldown_s: float,
        failures: int | None = None,
    ) -> None:
        """Record how a call of a target ended: `kind` is an error kind, None for a success."""
        if kind is None and label not in self.states:
            return
        now = self._clock()

        def change() -> None:
            before = self.states.get(label)
            if kind is None:
                self.states.pop(label, None)
                return
            after = circuit_breaker.record_outcome(
                before, kind, retry_after_s, now, cooldown_s, cooldown_after=failures
            )
            if after != circuit_breaker.HEALTHY:
                self._make_room(label)
                self.states[label] = after

        self._apply_change(change)
        self.publish(label)

    async def allow_request(self, label: str) -> bool:
        """Whether a request may call a target; after a cooldown, only a trial request may."""
        return self.claim_trial(label)

    def claim_trial(self, label: str) -> bool:
        """Claim the trial of a half-open target among the processes of this machine.

        A target in cooldown is also allowed: the retry plan decides whether to call it.
        """
        self.refresh()
        now = self._clock()
        if not circuit_breaker.is_half_open(self.states.get(label), now):
            return True
        may_call = False

        def change() -> None:
            nonlocal may_call
            state = self.states.get(label)
            may_call = state is None or circuit_breaker.allows_call(state, now)
            if may_call and state is not None:
                self.states[label] = circuit_breaker.with_trial(state, now)

        self._apply_change(change)
        return may_call

    def release_trial(self, label: str) -> None:
        """End the trial because the target has begun to respond: further requests are allowed."""
        state = self.states.get(label)
        if state is not None and state.trial_until:
            self._apply_change(lambda: self._update_state(label, circuit_breaker.without_trial))

    def reset(self, label: str) -> bool:
        """End the cooldown of a target; return whether it had a state."""
        existed = label in self.states
        if existed:
            self._apply_change(lambda: self.states.pop(label, None))
            self.publish(label)
        return existed

    def claim(self, name: str, seconds: float) -> bool:
        """Whether this process gets the claim `name`; no other process can for `seconds`."""
        now = self._clock()
        is_free = False

        def change() -> None:
            nonlocal is_free
            is_free = not now < self._claims.get(name, 0.0) <= now + seconds
            if is_free:
                self._claims[name] = now + seconds

        self._apply_change(change)
        return is_free

    def publish(self, label: str) -> None:
        """Called after a change of state; subclasses publish it to other machines."""

    def _make_room(self, label: str) -> None:
        """Drop the oldest state if there are MAX_STATES, and none of this target."""
        if len(self.states) >= MAX_STATES and label not in self.states:
            oldest_label = next(iter(self.states))
            del self.states[oldest_label]
            self.publish(oldest_label)

    # --- the file -------------------------------------------------------------------------

    def _update_state(self, label: str, update: Callable[[CircuitState], CircuitState]) -> None:
        state = self.states.get(label)
        if state is not None:
            self.states[label] = update(state)

    def _apply_change(self, change: Callable[[], object] | None, tries: int = _LOCK_TRIES) -> None:
        """Read the shared state, apply a change to it, and write it back."""
        if self._map is None or not self._lock_file(tries):
            if change is not None:
                change()
                self._defer_change(change)
            return
        try:
            if self._header[_VERSION] != self._version:
                self._read_file()
            changes = (
                [*self._deferred_changes, change] if change is not None else self._deferred_changes
            )
            for pending in changes:
                pending()
            if changes:
                self._deferred_changes = []
                self._write_file()
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _defer_change(self, change: Callable[[], object]) -> None:
        """Queue the change, to be applied again to the file's state on the next access."""
        if self._map is not None and len(self._deferred_changes) < _MAX_DEFERRED:
            self._deferred_changes.append(change)
            self._version = _STALE_VERSION

    def _lock_file(self, tries: int) -> bool:
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

    def _read_file(self) -> None:
        assert self._map is not None
        self._version = self._header[_VERSION]
        length = self._header[_LENGTH]
        try:
            shared_state = msgspec.json.decode(
                self._map[_HEADER : _HEADER + length], type=_SharedState
            )
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
            shared_state = _SharedState()  # the writer was killed while writing
        # In place: other objects hold a reference to the dictionary.
        self.states.clear()
        self.states.update(shared_state.states)
        self._claims = shared_state.claims

    def _write_file(self) -> None:
        assert self._map is not None
        self._drop_expired()
        encoded_state = msgspec.json.encode(_SharedState(self.states, self._claims))
        if len(encoded_state) > _BYTES - _HEADER:
            return
        self._map[_HEADER : _HEADER + len(encoded_state)] = encoded_state
        self._header[_LENGTH] = len(encoded_state)
        self._version = self._header[_VERSION] = self._header[_VERSION] + 1

    def _drop_expired(self) -> None:
        """Drop expired states, and times from before a reboot of the machine."""
        now = self._clock()
        for label, state in list(self.states.items()):
            ended_at = max(state.open_until, state.trial_until)
            if ended_at and not now - _EXPIRY_S < ended_at < now + MAX_COOLDOWN_S + TRIAL_S:
                del self.states[label]
        if len(self._claims) > 100:
            self._claims = {
                name: expires_at
                for name, expires_at in self._claims.items()
                if expires_at > now - _EXPIRY_S
            }

    async def stop(self) -> None:
        """Release resources, and wait for tasks in progress."""
        self.close()

    def close(self) -> None:
        """Close the file; its content stays for the next process."""
        if self._deferred_changes:
            self._apply_change(None, _CLOSE_LOCK_TRIES)
        self._header = memoryview(bytearray(_HEADER)).cast("q")
        self._version = 0
        if self._map is not None:
            self._map = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
