"""The same breakers for several machines: each tells Redis of targets that rest.

Every machine decides by what it knows; what opens on one is seen by the others within
POLL_S. The one trial after a rest is claimed on Redis, so that it is one for all of them.
While Redis can not be reached each machine goes by its own.
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
from redis.exceptions import RedisError

from gateway.relay.breaker import Breaker
from gateway.relay.redis_wire import waits_s
from gateway.routing.health import MAX_COOLDOWN_S, TRIAL_S, State, half_open

log = logging.getLogger(__name__)

KEY = "{dragoman}:breaker"
TRIAL = "{dragoman}:trial:"
POLL_S = 0.5
TIMEOUT_S = 0.5
_FAILED = (RedisError, OSError, TimeoutError)


class SharedBreaker(Breaker):
    """Breakers that machines share. Begin with `begin`, in the running loop."""

    def __init__(self, path: Path | None, url: str) -> None:
        super().__init__(path)
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, max_connections=8
        )
        self._most_s = waits_s(self._redis)
        self._name = uuid.uuid4().hex
        # What was taken in from elsewhere: label -> when it ends there.
        self._theirs: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._poller: asyncio.Task[None] | None = None
        self._away = False

    def begin(self) -> None:
        """Take in from now on what other machines say."""
        self._poller = asyncio.get_running_loop().create_task(self._poll())

    async def enter(self, label: str) -> bool:
        """As of this machine's processes, and then of all machines."""
        tried = half_open(self.states.get(label), time.monotonic())
        if not self.claim_trial(label):
            return False
        if not tried or self._away:
            return True
        try:
            async with asyncio.timeout(self._most_s):
                key, most_s = TRIAL + label, int(TRIAL_S)
                free = bool(await self._redis.set(key, self._name, nx=True, ex=most_s))
        except _FAILED:
            return True
        if not free:  # what was claimed here is for the next who asks
            self.alive(label)
        return free

    def told(self, label: str) -> None:
        """Tell the others, in a task of its own."""
        self._theirs.pop(label, None)
        task = asyncio.get_running_loop().create_task(self._push(label, self.states.get(label)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _push(self, label: str, state: State | None) -> None:
        try:
            async with asyncio.timeout(self._most_s):
                async with self._redis.pipeline(transaction=False) as pipe:
                    pipe.delete(TRIAL + label)
                    if state is None or not state.until:
                        pipe.hdel(KEY, label)
                    else:
                        pipe.hset(KEY, label, _encoded(state))
                        pipe.expire(KEY, int(2 * MAX_COOLDOWN_S))
                    await pipe.execute()
        except _FAILED:
            self._lost()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                async with asyncio.timeout(self._most_s):
                    held: Any = await self._redis.hgetall(KEY)
            except _FAILED:
                self._lost()
                continue
            if self._away:
                self._away = False
                log.warning("Redis is back: breakers are shared by all machines again")
            self._take(held)

    def _take(self, held: dict[bytes, bytes]) -> None:
        """Make the states here what the others say, where they know more."""
        found = {label.decode("utf-8", "replace"): _decoded(raw) for label, raw in held.items()}
        for label, state in found.items():
            if state is None:
                continue
            mine = self.states.get(label)
            if mine is None or mine.until < state.until - 0.1:
                self._theirs[label] = state.until
                self._changed(partial(self.states.__setitem__, label, state))
        for label in [label for label in self._theirs if label not in found]:
            del self._theirs[label]
            self._changed(partial(self.states.pop, label, None))

    def _lost(self) -> None:
        if not self._away:
            self._away = True
            log.warning("Redis is away: this machine has its own breakers")

    async def stop(self) -> None:
        """End the connections."""
        tasks = [*self._tasks, *([self._poller] if self._poller is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._redis.aclose()
        self.close()


def _encoded(state: State) -> bytes:
    ends = state.until - time.monotonic() + time.time()
    return msgspec.json.encode([state.failures, ends, state.kind])


def _decoded(raw: bytes) -> State | None:
    """The state, if it still rests or may be tried; its time by this machine's clock."""
    try:
        failures, ends, kind = msgspec.json.decode(raw, type=tuple[int, float, str])
    except msgspec.MsgspecError:
        return None
    left = min(ends - time.time(), MAX_COOLDOWN_S)
    return State(failures, time.monotonic() + left, kind) if left > 0 else None
