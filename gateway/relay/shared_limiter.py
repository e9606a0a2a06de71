"""The same limits for several machines: the counters are Redis's.

One script does it all in one round trip: it settles what is over since the last one, looks
at every rule of a request, and reserves. A kept answer is looked for, and answers are kept,
in the same pipeline. What is over while nobody asks goes along with a batch of its own soon
after. A process says with each call that it lives; what one had
reserved that has not said so for LEASE_S counts no more. While Redis can not be reached
each machine counts by itself, as it does without Redis.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from redis.exceptions import RedisError

from gateway.canon.errors import Error
from gateway.relay.board import Board
from gateway.relay.cache_value import Answered
from gateway.relay.call import Call
from gateway.relay.holds import Asked, Bounds, Hold, Refused
from gateway.relay.limiter import Limiter, Spent, refusal
from gateway.relay.redis_wire import Kept, Wire
from gateway.routing import limits
from gateway.routing.limits import Bound, Rule, Want
from gateway.routing.snapshot import Route, Target

log = logging.getLogger(__name__)

LEASE_S = 6.0
BEAT_S = 2.0
FLUSH_S = 0.05
AGAIN_S = 1.0
# A larger answer is kept in a round trip of its own: no request is to wait for it.
ALONG_BYTES = 64 * 1024
# What waits to be settled while Redis is away; more is let go.
MOST_WAITING = 20_000

Row = dict[str, Any]


class _Taken(msgspec.Struct, frozen=True):
    """What the script answered: what is held now, and who refused, if anybody."""

    holds: list[Hold]
    counts: list[int]
    own: Refused | None
    attempt: Refused | None
    blob: bytes | None = None


class SharedLimiter(Limiter):
    """Limits whose counters are on Redis. Begin with `begin`, in the running loop."""

    def __init__(self, board: Board, url: str, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(board, clock=clock)
        self.wire = Wire(url)
        self._run = uuid.uuid4().hex[:12]
        self._life = 0
        self._away_until = 0.0
        self._away = False
        self._waiting: list[Row] = []
        self._keeping: list[Kept] = []
        self._flush: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ticker: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """In whose name this process reserves."""
        return f"{self._run}.{self._life}"

    def begin(self) -> None:
        """Say from now on that the process lives."""
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            await self._ask([], 0)

    async def close(self) -> None:
        """Settle what is over, and end the connections."""
        if self._ticker is not None:
            self._ticker.cancel()
        if self._flush is not None:
            self._flush.cancel()
        await self._ask([], 0, gone=True)
        await self.wire.close()

    # --- in -----------------------------------------------------------------------------

    async def admit_shared(self, call: Call, route: Route, target: Target | None) -> Error | None:
        """As `admit`, in one round trip. Raises GatewayError.

        An answer that is looked for comes along with it. Raises Answered if there is one.
        """
        asked = self.asks(call, route, target)
        if asked is None:
            call.admitted = True
            if call.passage is not None and (key := call.passage.key):
                call.passage.key = ""
                self._answered(call, await self.kept(key))
            return None
        if self._loop_time() < self._away_until:
            return self.admit(call, route, target)
        task = asyncio.get_running_loop().create_task(self._take_shared(call, asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            taken = await asyncio.shield(task)
        except asyncio.CancelledError:
            # The client left meanwhile; what is reserved for it is let go.
            task.add_done_callback(self._let_go)
            raise
        if taken is None:  # Redis can not be reached
            return self.admit(call, route, target)
        if not call.admitted:
            self.tell(call, asked.own, taken.counts, taken.own)
            call.admitted = True
        call.holds += taken.holds
        self._answered(call, taken.blob)
        return refusal(taken.attempt) if taken.attempt is not None else None

    def _answered(self, call: Call, blob: bytes | None) -> None:
        """Raise Answered if there is an answer: what is reserved at a provider is let go."""
        if blob is None or call.passage is None:
            return
        call.passage.blob = blob
        self.leave(call)
        raise Answered

    async def kept(self, key: str) -> bytes | None:
        """A kept answer, in a round trip of its own; None too while Redis is away."""
        if self._loop_time() < self._away_until:
            return None
        try:
            return await self.wire.get(key)
        except (RedisError, OSError, TimeoutError) as error:
            self._lost([], error)
            return None

    def keep(self, key: str, blob: bytes, seconds: float) -> None:
        """Keep an answer, with the next round trip."""
        if self._loop_time() < self._away_until:
            return
        ttl_ms = max(1, int(seconds * 1000))
        if len(blob) <= ALONG_BYTES:
            self._keeping.append((key, blob, ttl_ms))
            self._flush_soon()
            return
        task = asyncio.get_running_loop().create_task(self._keep(key, blob, ttl_ms))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, key: str, blob: bytes, ttl_ms: int) -> None:
        try:
            await self.wire.keep(key, blob, ttl_ms)
        except (RedisError, OSError, TimeoutError) as error:
            self._lost([], error)

    def _let_go(self, task: asyncio.Task[_Taken | None]) -> None:
        if not task.cancelled() and task.exception() is None and (taken := task.result()):
            for hold in taken.holds:
                self.release(hold, 0, 0)

    async def _take_shared(self, call: Call, asked: Asked) -> _Taken | None:
        bounds = (*asked.own, *asked.attempt)
        wants = [asked.own_want] * len(asked.own) + [asked.attempt_want] * len(asked.attempt)
        started, where = call.started_at, self.name
        rows = [_row(b, w, started) for b, w in zip(bounds, wants, strict=True)]
        key = ""
        if call.passage is not None:
            key, call.passage.key = call.passage.key, ""
        answer = await self._ask(rows, len(asked.own), key=key)
        if answer is None:
            return None
        blob = answer.pop() if key else None
        number, frees_ms, *counts = answer
        own = counts[: 2 * len(asked.own)]
        refused = None
        if number:
            refused = self._why(bounds[number - 1].rule, counts[-2], frees_ms / 1000)
        if 0 < number <= len(asked.own):
            return _Taken([], own, refused, None)
        # A provider that is full keeps nobody from asking the next.
        holds = []
        if asked.own:
            holds.append(Hold(asked.own, asked.own_want, started, where=where))
        if refused is None and asked.attempt:
            hold = Hold(asked.attempt, asked.attempt_want, started, attempt=True, where=where)
            holds.append(hold)
        self._warn_of(asked.own, own, started)
        return _Taken(holds, own, None, refused, blob)

    def _why(self, rule: Rule, used: int, frees_s: float) -> Refused:
        if rule.what == "usd" and used >= rule.most:
            return self.spent(rule, used, self.now())
        return Refused(rule, used, max(frees_s, 0.0))

    def _warn_of(self, bounds: Bounds, counts: list[int], started: float) -> None:
        for number, bound in enumerate(bounds):
            if bound.rule.soft is not None:
                window = self.windows(started)[bound.rule.span]
                self.warn(bound.rule, counts[2 * number], window)

    # --- out ----------------------------------------------------------------------------

    def release(self, hold: Hold, tokens: int, units: int) -> None:
        """Settle one hold, with the next round trip."""
        if not hold.where:
            super().release(hold, tokens, units)
            return
        used = {"tokens": tokens, "usd": units}
        for bound in hold.bounds:
            if bound.what == "requests":
                continue
            row = _row(bound, hold.want, hold.at)
            row["used"] = _whole(max(0, used.get(bound.what, 0)))
            row["who"] = hold.where
            self._waiting.append(row)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(FLUSH_S, self._flush_now)

    def _flush_now(self) -> None:
        self._flush = None
        if self._waiting or self._keeping:
            task = asyncio.get_running_loop().create_task(self._ask([], 0))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def learn(self, found: Spent) -> None:
        """As on the counters here, which are used while Redis is away, and on Redis."""
        super().learn(found)
        self._waiting += [
            {"name": name, "what": "learn", "window": window, "used": _whole(units)}
            for name, window, units in found
        ]
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(0, self._flush_now)

    # --- the one round trip -------------------------------------------------------------

    async def _ask(self, take: list[Row], own: int, *, gone: bool = False, key: str = "") -> Any:
        """The script's answer; None if Redis can not be reached.

        With the key of a kept answer, that or None stands at its end.
        """
        over, self._waiting = self._waiting, []
        kept, self._keeping = self._keeping, []
        payload = msgspec.json.encode(
            {
                "who": self.name,
                "lease": 0 if gone else LEASE_S,
                "now": self.fixed_now(),
                "over": over,
                "take": take,
                "own": own,
            }
        )
        try:
            answer = await self.wire.run(payload, key, kept)
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(over, error)
            return None
        if self._away:
            self._away = False
            log.warning("Redis is back: limits are counted for all machines again")
        return answer

    def _lost(self, over: list[Row], error: Exception) -> None:
        # Nobody knows whether it was done: what was reserved in this name ends with its lease.
        self._life += 1
        self._away_until = self._loop_time() + AGAIN_S
        self._waiting = [*over, *self._waiting][-MOST_WAITING:]
        if not self._away:
            self._away = True
            words = f"{type(error).__name__}"
            log.warning("Redis is away: limits are counted here alone", extra={"error": words})

    @staticmethod
    def _loop_time() -> float:
        return asyncio.get_running_loop().time()


def _row(bound: Bound, want: Want, started: float) -> Row:
    rule = bound.rule
    row: Row = {"name": rule.name, "what": rule.what, "most": rule.most}
    row["want"] = _whole(limits.wanted(rule, want))
    if rule.what == "usd":
        row["window"], ends = limits.calendar(started, rule.span)
        row["ttl"] = 0 if ends is None else max(60, int(ends - started) + 86400)
    else:
        row["span"] = bound.span_s
        # Longer than any request lasts: what is reserved stands in the same hash.
        row["ttl"] = max(2 * bound.span_s, 7200)
    return row


def _whole(number: int) -> int:
    """What a word of Redis can hold."""
    return min(number, 2**62)
