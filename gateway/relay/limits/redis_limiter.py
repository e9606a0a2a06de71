"""Limits shared by several machines: the counters are in Redis.

One script does everything in one round trip: it settles the calls that ended since the last
one, checks every rule of a request, and reserves. Cached responses are read and written in
the same pipeline. Calls that end while no request arrives are settled in a batch soon after.
Each call renews the lease of its process; reservations of a process whose lease of LEASE_S
has expired no longer count. While Redis is unavailable each machine counts on its own, as
it does without Redis, beginning with its requests in flight.

Spending is counted both here and in Redis. A Redis that has lost its data has lost its epoch
too: the script then rejects every call until each process has sent the spending it knows of
(from the database and its own) and the reservations of its requests in flight.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from gateway.relay.event_loop.service import cancel_tasks, start_restarting
from gateway.relay.exchange.call import Call
from gateway.relay.exchange.reservation import (
    ADMITTED,
    CACHED,
    Admission,
    LimitRefusal,
    Reservation,
    ReservationRequest,
    RuleCounters,
)
from gateway.relay.limits.limiter import Limiter, RecordedSpend, budget_refusal
from gateway.relay.limits.redis_client import CacheWrite, RedisClient, RedisUnavailable
from gateway.relay.limits.redis_lease import ProcessLease, Row, clamp_int, reservation_row
from gateway.relay.limits.redis_settlements import Settlements, SpendSync
from gateway.relay.limits.shared_counters import SharedCounters
from gateway.routing import limits
from gateway.routing.limits import Estimate
from gateway.routing.snapshot import Route, Target

Result = TypeVar("Result")

log = logging.getLogger(__name__)

LEASE_S = 6.0
HEARTBEAT_S = 2.0
FLUSH_S = 0.05
RECONNECT_S = 1.0
# Larger responses are written in a round trip of their own, so that no request waits for them.
MAX_PIPELINED_BYTES = 64 * 1024


class _RedisReservation(msgspec.Struct, frozen=True):
    """The script's result: what is reserved now, and the refusals, if any."""

    reservations: list[Reservation]
    counts: list[int]
    request_refusal: LimitRefusal | None
    attempt_refusal: LimitRefusal | None
    cached_blob: bytes | None = None


class RedisLimiter(Limiter):
    """Limits whose counters are in Redis. Call `start` in the running loop."""

    def __init__(
        self, counters: SharedCounters, url: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(counters, clock=clock)
        self.client = RedisClient(url)
        self.lease = ProcessLease(counters)
        self._unavailable_until = 0.0
        self._unavailable = False
        self.settlements = Settlements()
        self.spend_sync = SpendSync(counters, self.client, self.settlements, self.lease)
        self._pending_cache_writes: list[CacheWrite] = []
        self._flush_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._heartbeat_task: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        """Whether the last call of Redis succeeded."""
        return not self._unavailable

    def start(self) -> None:
        """Start to renew the lease at intervals."""
        self._heartbeat_task = start_restarting("limits", self._send_heartbeats)

    async def _send_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self.flush()

    async def flush(self) -> None:
        """Send what waits for Redis, and renew the lease; never raises RedisUnavailable."""
        await self._run_script([], 0)

    async def close(self) -> None:
        """Settle finished calls, and close the connections; no script renews the lease later."""
        await cancel_tasks(filter(None, [self._heartbeat_task]))
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        await self._run_script([], 0, closing=True)
        await self.client.close()

    # --- reserve ------------------------------------------------------------------------

    async def admit(self, call: Call, route: Route, target: Target | None) -> Admission:
        """Reserve in one round trip, which also looks up the cached response."""
        request = self.reservation_request(call, route, target)
        if request is None:
            call.limits_reserved = True
            if call.cache_lookup is not None and (key := call.cache_lookup.key):
                call.cache_lookup.key = ""
                if self._take_cached(call, await self.get_cached(key)):
                    return CACHED
            return ADMITTED
        if _loop_time() < self._unavailable_until:
            return await super().admit(call, route, target)
        task = self._create_task(self._reserve_all(call, request))
        try:
            result = await asyncio.shield(task)
        except asyncio.CancelledError:
            # The client disconnected: release what the task reserves.
            task.add_done_callback(self._release_abandoned)
            raise
        if result is None:  # Redis is unavailable
            return await super().admit(call, route, target)
        if not call.limits_reserved:
            self.set_limit_headers(call, request.request_counters, result.counts)
            if result.request_refusal is not None:
                return Admission(self.count_refusal(result.request_refusal), ends_request=True)
            call.limits_reserved = True
        call.reservations += result.reservations
        if self._take_cached(call, result.cached_blob):
            return CACHED
        if result.attempt_refusal is not None:
            return Admission(self.count_refusal(result.attempt_refusal))
        return ADMITTED

    def _take_cached(self, call: Call, blob: bytes | None) -> bool:
        """Whether there is a cached response; if so, releases the attempt's reservation."""
        if blob is None or call.cache_lookup is None:
            return False
        call.cache_lookup.blob = blob
        self.release_attempt(call)
        return True

    async def get_cached(self, key: str) -> bytes | None:
        """A cached response, in a round trip of its own; also None while Redis is unavailable."""
        if _loop_time() < self._unavailable_until:
            return None
        try:
            return await self.client.get(key)
        except RedisUnavailable as error:
            self._note_unavailable(error)
            return None

    def put_cached(self, key: str, blob: bytes, seconds: float) -> None:
        """Write a cached response with the next round trip, or in its own if it is large."""
        if _loop_time() < self._unavailable_until:
            return
        ttl_ms = max(1, int(seconds * 1000))
        if len(blob) <= MAX_PIPELINED_BYTES:
            self._pending_cache_writes.append((key, blob, ttl_ms))
            self._flush_soon()
            return
        self._create_task(self._put_cached(key, blob, ttl_ms))

    async def _put_cached(self, key: str, blob: bytes, ttl_ms: int) -> None:
        try:
            await self.client.put(key, blob, ttl_ms)
        except RedisUnavailable as error:
            self._note_unavailable(error)

    def _reserve(
        self, call: Call, rule_counters: RuleCounters, estimate: Estimate, *, attempt: bool = False
    ) -> LimitRefusal | None:
        """Reserve here while Redis is unavailable, and in Redis when it is back."""
        refusal = super()._reserve(call, rule_counters, estimate, attempt=attempt)
        if refusal is None:
            self.lease.add(call.reservations[-1])
        return refusal

    def _release_abandoned(self, task: asyncio.Task[_RedisReservation | None]) -> None:
        if not task.cancelled() and task.exception() is None and (result := task.result()):
            for reservation in result.reservations:
                self.release(reservation, 0, 0)

    async def _reserve_all(
        self, call: Call, request: ReservationRequest
    ) -> _RedisReservation | None:
        rule_counters = (*request.request_counters, *request.attempt_counters)
        estimates = [request.request_estimate] * len(request.request_counters) + [
            request.attempt_estimate
        ] * len(request.attempt_counters)
        start_time = call.exchange.started_at
        rows = [
            reservation_row(c, e, start_time) for c, e in zip(rule_counters, estimates, strict=True)
        ]
        key = ""
        if call.cache_lookup is not None:
            key, call.cache_lookup.key = call.cache_lookup.key, ""
        reply = await self._run_script(rows, len(request.request_counters), cache_key=key)
        if reply is None:
            return None
        blob = reply.pop() if key else None
        number, retry_after_ms, lease, *counts = reply
        request_counts = counts[: 2 * len(request.request_counters)]
        refusal = None
        if number:
            rule, used_units = rule_counters[number - 1].rule, counts[-2]
            refusal = LimitRefusal(rule, used_units, max(retry_after_ms / 1000, 0.0))
            if rule.metric == "usd" and used_units >= rule.limit:
                refusal = budget_refusal(rule, used_units, self.now())
        if 0 < number <= len(request.request_counters):
            return _RedisReservation([], request_counts, refusal, None)
        # The limit of one provider does not prevent an attempt at the next.
        reservations = []
        if request.request_counters:
            reservations.append(
                Reservation(request.request_counters, request.request_estimate, start_time)
            )
        if refusal is None and request.attempt_counters:
            reservations.append(
                Reservation(
                    request.attempt_counters, request.attempt_estimate, start_time, attempt=True
                )
            )
        for reservation in reservations:
            self.lease.add(reservation, lease=lease)
        self._log_soft_limits(request.request_counters, request_counts, start_time)
        return _RedisReservation(reservations, request_counts, None, refusal, blob)

    def _log_soft_limits(
        self, rule_counters: RuleCounters, counts: list[int], started: float
    ) -> None:
        for number, counter in enumerate(rule_counters):
            if counter.rule.soft is not None:
                window = self.windows(started)[counter.rule.span]
                self.log_soft_limit(counter.rule, counts[2 * number], window)

    # --- settle -------------------------------------------------------------------------

    def release(self, reservation: Reservation, tokens: int, units: int) -> None:
        """Settle one reservation, with the next round trip."""
        live_reservation = self.lease.remove(reservation)
        if live_reservation is None:
            return
        if live_reservation.is_local:
            super().release(reservation, tokens, units)
        used_amounts = {"tokens": tokens if live_reservation.lease else 0, "usd": units}
        for counter in reservation.rule_counters:
            if counter.metric == "requests":
                continue
            row = reservation_row(counter, reservation.estimate, reservation.started_at)
            row["used"] = clamp_int(max(0, used_amounts.get(counter.metric, 0)))
            row["lease"] = live_reservation.lease
            if live_reservation.lease or row["used"]:
                self.settlements.waiting_rows.append(row)
            if counter.metric == "usd" and units > 0:
                if not live_reservation.is_local:
                    limits.add_spend(self.counters.local_slot, counter.offset, row["window"], units)
                self.spend_sync.windows[counter.rule.name] = row["window"]
        self._flush_soon()

    def _flush_soon(self, delay_s: float = FLUSH_S) -> None:
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(delay_s, self._flush_now)

    def _flush_now(self) -> None:
        self._flush_timer = None
        if self.settlements.waiting_rows or self._pending_cache_writes:
            self._create_task(self.flush())

    def _create_task(self, coroutine: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def sync_spend(self, recorded_spend: RecordedSpend) -> None:
        """Add recorded spend to Redis, and to the local counters, its fallback."""
        super().sync_spend(recorded_spend)
        self.spend_sync.windows.update((name, window) for name, window, _ in recorded_spend)
        self.settlements.waiting_rows += [
            {"name": name, "what": "sync", "window": window, "used": clamp_int(units)}
            for name, window, units in recorded_spend
        ]
        self._flush_soon(0)

    # --- the one round trip -------------------------------------------------------------

    async def _run_script(
        self,
        reserve_rows: list[Row],
        request_rows: int,
        *,
        closing: bool = False,
        cache_key: str = "",
    ) -> Any:
        """The script's result; None if Redis cannot be reached.

        With `cache_key`, the cached response or None is its last element.
        """
        batches, confirmed_ids = self.settlements.next_batches()
        cache_writes, self._pending_cache_writes = self._pending_cache_writes, []
        payload: dict[str, Any] = {
            "process_id": self.lease.process_id,
            "lease_s": 0 if closing else LEASE_S,
            "now": self.injected_now(),
            "confirmed": confirmed_ids,
            "batches": batches,
            "reserve": reserve_rows,
            "request_rows": request_rows,
        }
        try:
            reply = await self.spend_sync.run_script(payload, cache_key, cache_writes)
        except RedisUnavailable as error:
            self.settlements.fail(batches, confirmed_ids)
            self._note_unavailable(error)
            return None
        self.settlements.confirm(batches)
        if self._unavailable:
            self._unavailable = False
            log.warning("Redis is available again: limits are shared by all machines")
        return reply

    def _note_unavailable(self, error: Exception) -> None:
        # The script may or may not have run: begin a new lease, under which only
        # the reservations that are known here count.
        self.lease.renew()
        self.lease.count_locally()
        self._unavailable_until = _loop_time() + RECONNECT_S
        if not self._unavailable:
            self._unavailable = True
            log.warning(
                "Redis is unavailable: this machine counts limits on its own",
                extra={"error": str(error)},
            )


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
