"""What a process sends to Redis besides its requests: settlements, and the spending it knows.

The script rejects callers whose epoch is not Redis's. A Redis that has lost its data has no
epoch, and one that was restarted from a snapshot loses it: the first process to call sends the
spending it knows and what its requests in flight have reserved, and sets a new epoch; every other
process sends its own before it continues under that epoch.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.relay.limits.redis_client import CacheWrite, RedisClient, RedisUnavailable
from gateway.relay.limits.redis_lease import ProcessLease, Row, clamp_int
from gateway.relay.limits.shared_counters import SharedCounters

# The script's result for a process that must first send its spending.
_REDIS_RESET = -1
# How often to retry if another process sets a new epoch first.
_MAX_TRIES = 4
# Maximum pending rows while Redis is unavailable; the oldest beyond it are dropped.
MAX_UNSETTLED_ROWS = 20_000
_MAX_CONFIRMED_IDS = 1000
# How long a settlement may wait for its batch, and how much clocks may differ.
_AGE_MARGIN_S = 2.0


class Settlements:
    """Settlements that Redis has not confirmed, in batches with an id.

    A batch whose reply was lost is sent again under its id, and Redis applies it once. It has its
    age then: the log may already have recorded its spending, and another process may have read
    that and sent it to Redis.

    Attributes:
        waiting_rows: rows for the next batch.
    """

    def __init__(self) -> None:
        self.waiting_rows: list[Row] = []
        self._sent_batches: list[Row] = []
        self._unconfirmed_batches: list[Row] = []
        self._confirmed_ids: list[str] = []
        self._count = 0

    def next_batches(self) -> tuple[list[Row], list[str]]:
        """The batches to send now, and confirmed ids that Redis may delete."""
        batches, self._unconfirmed_batches = self._unconfirmed_batches, []
        set_ages(batches)
        if self.waiting_rows:
            self._count += 1
            created_at = time.monotonic()
            batches.append(
                {"id": str(self._count), "rows": self.waiting_rows, "created": created_at}
            )
            self.waiting_rows = []
        self._sent_batches += batches
        ids, self._confirmed_ids = (
            self._confirmed_ids[:_MAX_CONFIRMED_IDS],
            self._confirmed_ids[_MAX_CONFIRMED_IDS:],
        )
        return batches, ids

    def confirm(self, batches: list[Row]) -> None:
        """Mark batches as applied by Redis."""
        self._forget_sent(batches)
        self._confirmed_ids += [batch["id"] for batch in batches]

    def fail(self, batches: list[Row], ids: list[str]) -> None:
        """Requeue batches after a failure, without the oldest beyond MAX_UNSETTLED_ROWS."""
        self._forget_sent(batches)
        self._confirmed_ids += ids
        self._unconfirmed_batches = [*batches, *self._unconfirmed_batches]
        while sum(len(batch["rows"]) for batch in self._unconfirmed_batches) > MAX_UNSETTLED_ROWS:
            self._unconfirmed_batches.pop(0)
        del self.waiting_rows[:-MAX_UNSETTLED_ROWS]

    def _forget_sent(self, batches: list[Row]) -> None:
        ids = {batch["id"] for batch in batches}
        self._sent_batches = [batch for batch in self._sent_batches if batch["id"] not in ids]

    def unsettled_units(self, name: str, window: int, besides: list[Row]) -> int:
        """Units spent in a budget's window that Redis has not confirmed, besides some batches."""
        batches = [*self._sent_batches, *self._unconfirmed_batches]
        batches = [batch for batch in batches if batch not in besides]
        batches.append({"rows": self.waiting_rows})
        return sum(
            row["used"]
            for batch in batches
            for row in batch["rows"]
            if row["what"] == "usd" and row["name"] == name and row["window"] == window
        )


def set_ages(batches: list[Row]) -> None:
    """Set the age of batches that were sent before."""
    now = time.monotonic()
    for batch in batches:
        batch["age_s"] = now - batch["created"] + _AGE_MARGIN_S


class SpendSync:
    """The spending that one process knows of; the amounts are in its local counters.

    Attributes:
        windows: the current window of each budget with known spending, by rule name.
        on_redis_reset: called when Redis has lost its data.
    """

    def __init__(
        self,
        counters: SharedCounters,
        client: RedisClient,
        settlements: Settlements,
        lease: ProcessLease,
    ) -> None:
        self.windows: dict[str, int] = {}
        self.on_redis_reset: Callable[[], None] = lambda: None
        self._counters, self._client = counters, client
        self._settlements, self._lease = settlements, lease

    async def run_script(self, payload: Row, cache_key: str, cache_writes: list[CacheWrite]) -> Any:
        """The script's result; a Redis that has lost its data first gets what it needs again.

        Raises RedisUnavailable.
        """
        lease, settled_batches = self._lease, payload["batches"]
        for _ in range(_MAX_TRIES):
            number, in_flight = lease.number, lease.batches()
            batches = [*in_flight, *settled_batches]
            if not lease.is_seeded:
                before, after = self._spend_rows([]), self._spend_rows(settled_batches)
                batches = [_spend_batch(before), *batches, _spend_batch(after)]
            payload |= {
                "lease": number,
                "epoch": lease.epoch,
                "seed": not lease.is_seeded,
                "batches": batches,
            }
            reply = await self._client.run_script(
                msgspec.json.encode(payload), cache_key, cache_writes
            )
            if reply[0] != _REDIS_RESET:
                lease.confirm(number, in_flight)
                return reply
            set_ages(settled_batches)
            if number == lease.number:  # else another script has begun the next lease
                lease.renew(reply[1].decode() or uuid.uuid4().hex)
                self.on_redis_reset()
        raise RedisUnavailable("Redis lost its data repeatedly")

    def _spend_rows(self, settled_batches: list[Row]) -> list[Row]:
        """The known spending that Redis has confirmed or that these batches settle."""
        rows = []
        for name, window in self.windows.items():
            offset = self._counters.counter_offset(name)
            spent_units = 0 if offset is None else self._counters.spent_units(offset, window)
            spent_units -= self._settlements.unsettled_units(name, window, settled_batches)
            if spent_units > 0:
                rows.append(
                    {"name": name, "what": "sync", "window": window, "used": clamp_int(spent_units)}
                )
        return rows


def _spend_batch(rows: list[Row]) -> Row:
    return {"id": uuid.uuid4().hex, "rows": rows}
