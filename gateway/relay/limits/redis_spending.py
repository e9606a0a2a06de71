"""What Redis has to be told when it has lost its memory: what was spent of budgets.

The script answers nobody whose epoch is not Redis's own. A Redis without its memory has no
epoch: whoever asks first says what it knows to be spent, and sets one; every other process
says what it knows before it goes on under that epoch.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.relay.limits.redis_client import CacheWrite, RedisClient, RedisUnavailable
from gateway.relay.limits.shared_counters import SharedCounters
from gateway.routing import limits

Row = dict[str, Any]

# The script's answer to a process that has to say first what was spent.
_REDIS_RESET = -1
# How often another process may have been faster to say it.
_TRIES = 4
# Rows that wait while Redis is away; the oldest beyond it are dropped.
MAX_UNSETTLED_ROWS = 20_000
_MAX_CONFIRMED_IDS = 1000


class Settlements:
    """Settlements that Redis has not confirmed, in batches with an id.

    A batch whose answer was lost is sent again under its id, and Redis applies it once.

    Attributes:
        waiting: rows for the next batch.
    """

    def __init__(self) -> None:
        self.waiting: list[Row] = []
        self._sent: list[Row] = []
        self._unconfirmed: list[Row] = []
        self._confirmed_ids: list[str] = []
        self._count = 0

    def next_batches(self) -> tuple[list[Row], list[str]]:
        """The batches to send now, and confirmed ids that Redis may forget."""
        batches, self._unconfirmed = self._unconfirmed, []
        if self.waiting:
            self._count += 1
            batches.append({"id": str(self._count), "rows": self.waiting})
            self.waiting = []
        self._sent += batches
        ids, self._confirmed_ids = (
            self._confirmed_ids[:_MAX_CONFIRMED_IDS],
            self._confirmed_ids[_MAX_CONFIRMED_IDS:],
        )
        return batches, ids

    def confirm(self, batches: list[Row]) -> None:
        """Redis has applied these batches."""
        self._forget_sent(batches)
        self._confirmed_ids += [batch["id"] for batch in batches]

    def fail(self, batches: list[Row], ids: list[str]) -> None:
        """Redis did not answer: send these again, but for the oldest beyond MAX_UNSETTLED_ROWS."""
        self._forget_sent(batches)
        self._confirmed_ids += ids
        self._unconfirmed = [*batches, *self._unconfirmed]
        while sum(len(batch["rows"]) for batch in self._unconfirmed) > MAX_UNSETTLED_ROWS:
            self._unconfirmed.pop(0)
        del self.waiting[:-MAX_UNSETTLED_ROWS]

    def _forget_sent(self, batches: list[Row]) -> None:
        ids = {batch["id"] for batch in batches}
        self._sent = [batch for batch in self._sent if batch["id"] not in ids]

    def unsettled_units(self, name: str, window: int) -> int:
        """How much of a budget's window is spent and not confirmed."""
        batches = [*self._sent, *self._unconfirmed, {"rows": self.waiting}]
        return sum(
            row["used"]
            for batch in batches
            for row in batch["rows"]
            if row["what"] == "usd" and row["name"] == name and row["window"] == window
        )


class SpendSync:
    """What one process knows to be spent; the amounts are those of its board.

    Attributes:
        windows: budgets of which something is known, by name, and their window.
        on_redis_reset: called when Redis had lost its memory.
    """

    def __init__(
        self, counters: SharedCounters, client: RedisClient, settlements: Settlements
    ) -> None:
        self.windows: dict[str, int] = {}
        self.on_redis_reset: Callable[[], None] = lambda: None
        self._counters, self._client, self._settlements = counters, client, settlements
        self._epoch = ""

    async def run_script(self, payload: Row, cache_key: str, cache_writes: list[CacheWrite]) -> Any:
        """The script's answer, after Redis was told what is spent if it asked for it.

        Raises RedisUnavailable.
        """
        payload |= {"epoch": self._epoch, "seed": False}
        for _ in range(_TRIES):
            answer = await self._client.run_script(
                msgspec.json.encode(payload), cache_key, cache_writes
            )
            if answer[0] != _REDIS_RESET:
                self._epoch = payload["epoch"]
                return answer
            if not payload["seed"]:
                spend_batch = {"id": uuid.uuid4().hex, "rows": self._spend_rows()}
                payload |= {"batches": [spend_batch, *payload["batches"]], "seed": True}
                self.on_redis_reset()
            payload["epoch"] = answer[1].decode() or uuid.uuid4().hex
        raise RedisUnavailable("it forgets again and again")

    def _spend_rows(self) -> list[Row]:
        slots = (self._counters.local_slot, *self._counters.peer_slots)
        rows = []
        for name, window in self.windows.items():
            offset = self._counters.counter_offset(name)
            used = (
                sum(limits.spent(process_slot, offset, window) for process_slot in slots)
                if offset is not None
                else 0
            )
            # What is not settled on Redis yet comes by itself, in its batch.
            used -= self._settlements.unsettled_units(name, window)
            if used > 0:
                rows.append(
                    {"name": name, "what": "sync", "window": window, "used": clamp_int(used)}
                )
        return rows


def clamp_int(number: int) -> int:
    """What a word of Redis can hold."""
    return min(number, 2**62)
