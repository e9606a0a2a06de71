"""Circuit breakers shared by several machines: each publishes its open circuits to Redis.

Every machine decides by its own state; a circuit that opens on one is seen by the others within
POLL_S. The trial request after a cooldown is claimed on Redis, so that only one machine sends
it. While Redis is unavailable each machine uses its own state.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis

from gateway.relay.event_loop.service import cancel_tasks, start_restarting
from gateway.relay.health.circuit_breaker import MAX_STATES, Breaker
from gateway.relay.limits.redis_client import (
    create_client,
    disconnect_from_replica,
    socket_timeout_s,
)
from gateway.routing.circuit_breaker import MAX_COOLDOWN_S, TRIAL_S, CircuitState, is_half_open

log = logging.getLogger(__name__)

KEY = "{dragoman}:breaker"
TRIAL_PREFIX = "{dragoman}:trial:"
POLL_S = 0.5
TIMEOUT_S = 0.5
# The client library raises various types: with uvloop a closed connection is a RuntimeError.
_REDIS_ERRORS = (Exception,)


class RedisBreaker(Breaker):
    """Breakers shared by machines. Call `start` in the running loop."""

    def __init__(self, path: Path | None, url: str) -> None:
        super().__init__(path)
        self._redis: Redis = create_client(url, TIMEOUT_S, 8)
        self._timeout_s = socket_timeout_s(self._redis)
        self._machine_id = uuid.uuid4().hex
        # Labels known to be in Redis -> when that became known (monotonic seconds).
        self._published_at: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._poller: asyncio.Task[None] | None = None
        self._unavailable = False

    def start(self) -> None:
        """Start polling the states of other machines."""
        self._poller = start_restarting("breakers", self._poll_states)

    async def allow_request(self, label: str) -> bool:
        """Claim the trial among the processes of this machine, then among all machines."""
        is_trial = is_half_open(self.states.get(label), time.monotonic())
        if not self.claim_trial(label):
            return False
        if not is_trial or self._unavailable:
            return True
        try:
            async with asyncio.timeout(self._timeout_s):
                key, expires_s = TRIAL_PREFIX + label, int(TRIAL_S)
                is_claimed = bool(
                    await self._redis.set(key, self._machine_id, nx=True, ex=expires_s)
                )
        except _REDIS_ERRORS as error:
            await disconnect_from_replica(self._redis, error)
            return True
        if not is_claimed:  # release the local claim
            self.release_trial(label)
        return is_claimed

    def publish(self, label: str) -> None:
        """Publish the state to Redis, in a task of its own."""
        self._published_at.pop(label, None)
        task = asyncio.get_running_loop().create_task(
            self._push_states(label, self.states.get(label))
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _push_states(self, label: str, state: CircuitState | None) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                async with self._redis.pipeline(transaction=False) as pipe:
                    pipe.delete(TRIAL_PREFIX + label)
                    if state is None or not state.open_until:
                        pipe.hdel(KEY, label)
                    else:
                        pipe.hset(KEY, label, _encode_state(state))
                        pipe.expire(KEY, int(2 * MAX_COOLDOWN_S))
                    await pipe.execute()
            if state is not None and state.open_until:
                self._published_at[label] = time.monotonic()
        except _REDIS_ERRORS as error:
            await disconnect_from_replica(self._redis, error)
            self._note_unavailable()

    async def _poll_states(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            requested_at = time.monotonic()
            try:
                async with asyncio.timeout(self._timeout_s):
                    encoded_states: Any = await self._redis.hgetall(KEY)
            except _REDIS_ERRORS:
                self._note_unavailable()
                continue
            if self._unavailable:
                self._unavailable = False
                log.warning("Redis is available again: circuit breakers are shared by all machines")
            self._merge_states(encoded_states, requested_at)

    def _merge_states(self, encoded_states: dict[bytes, bytes], requested_at: float) -> None:
        """Merge the states from Redis that are newer than the local ones.

        A published state that is no longer in Redis was reset by another machine; `requested_at`
        is when Redis was read.
        """
        redis_states = {
            label.decode("utf-8", "replace"): _decode_state(raw)
            for label, raw in encoded_states.items()
        }
        for label, state in redis_states.items():
            if state is None:
                continue
            local_state = self.states.get(label)
            if local_state is None and len(self.states) >= MAX_STATES:
                continue
            if local_state is None or local_state.open_until < state.open_until - 0.1:
                self._published_at[label] = requested_at
                self._apply_change(partial(self.states.__setitem__, label, state))
        removed_labels = [
            name
            for name, published_at in self._published_at.items()
            if name not in redis_states and published_at <= requested_at
        ]
        for label in removed_labels:
            del self._published_at[label]
            self._apply_change(partial(self.states.pop, label, None))

    def _note_unavailable(self) -> None:
        # Redis may have lost its data: a missing state then does not mean a reset.
        self._published_at.clear()
        if not self._unavailable:
            self._unavailable = True
            log.warning("Redis is unavailable: this machine uses its own circuit breakers")

    async def stop(self) -> None:
        """Cancel tasks and close the connections."""
        await cancel_tasks([*self._tasks, *([self._poller] if self._poller is not None else [])])
        await self._redis.aclose()
        self.close()


def _encode_state(state: CircuitState) -> bytes:
    ends_at = state.open_until - time.monotonic() + time.time()
    return msgspec.json.encode([state.consecutive_failures, ends_at, state.kind])


def _decode_state(raw: bytes) -> CircuitState | None:
    """The state, if its cooldown has not ended, with its time on this machine's clock."""
    try:
        failures, ends_at, kind = msgspec.json.decode(raw, type=tuple[int, float, str])
    except msgspec.MsgspecError:
        return None
    remaining_s = min(ends_at - time.time(), MAX_COOLDOWN_S)
    return CircuitState(failures, time.monotonic() + remaining_s, kind) if remaining_s > 0 else None
