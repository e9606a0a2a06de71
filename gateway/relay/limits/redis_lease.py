"""The lease of one process in Redis, and the reservations of its requests in flight.

    lease n        reservations are counted while it is renewed
      -> Redis has lost its data, or did not respond: lease n is over, and Redis may or may not
         have what was reserved under it
    lease n + 1    all requests in flight are reserved again, by the next script

The script counts only the newest lease of a process, so that nothing counts twice: neither
what lease n still has in Redis, nor a release that refers to it.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from gateway.relay.exchange.reservation import Reservation
from gateway.relay.limits.shared_counters import SharedCounters
from gateway.routing import limits
from gateway.routing.limits import Estimate, RuleCounter

# A row of the script, as `redis_limiter.lua` describes it.
Row = dict[str, Any]


def clamp_int(number: int) -> int:
    """The number, limited to what Redis can store as an integer."""
    return min(number, 2**62)


def reservation_row(counter: RuleCounter, estimate: Estimate, started: float) -> Row:
    """The row that reserves for one rule; `started` selects the budget's window."""
    rule = counter.rule
    row: Row = {"name": rule.name, "what": rule.metric, "limit": rule.limit}
    row["amount"] = clamp_int(limits.estimated_use(rule, estimate))
    if rule.metric == "usd":
        row["window"], window_end = limits.calendar_window(started, rule.span)
        row["ttl"] = 0 if window_end is None else max(60, int(window_end - started) + 86400)
    else:
        row["span"] = counter.span_s
        # Longer than any request, as the same hash contains the reservations.
        row["ttl"] = max(2 * counter.span_s, 7200)
    return row


class LiveReservation(msgspec.Struct):
    """Where the reservation of a request in flight is counted.

    Attributes:
        lease: the number of the lease under which Redis has it; 0 if Redis does not have it.
        is_local: whether this process's own counters have it.
    """

    lease: int
    is_local: bool


class ProcessLease:
    """The lease of one process, and the reservations of its requests in flight.

    Attributes:
        process_id: this process, for Redis.
        number: the number of the current lease.
        epoch: identifies the data of Redis under which the lease began.
        is_seeded: whether Redis has confirmed the known spending in this epoch.
    """

    def __init__(self, counters: SharedCounters) -> None:
        self.process_id = uuid.uuid4().hex[:12]
        self.number = 1
        self.epoch = ""
        self.is_seeded = True
        self._counters = counters
        self._live: dict[Reservation, LiveReservation] = {}
        # Those that are not under the current lease: the next batch reserves them.
        self._missing_reservations: dict[Reservation, None] = {}
        self._unconfirmed_batches: list[Row] = []

    def add(self, reservation: Reservation, *, lease: int = 0) -> None:
        """Add a reservation under a lease; with 0, this process's own counters have it."""
        if any(counter.metric != "requests" for counter in reservation.rule_counters):
            self._live[reservation] = LiveReservation(lease, is_local=lease == 0)
            if lease != self.number:
                self._missing_reservations[reservation] = None

    def remove(self, reservation: Reservation) -> LiveReservation | None:
        """Remove a reservation that ends; None if it has nothing to release."""
        self._missing_reservations.pop(reservation, None)
        return self._live.pop(reservation, None)

    def renew(self, epoch: str | None = None) -> None:
        """Begin the next lease; `epoch` is that of a Redis that has lost its data."""
        self.number += 1
        if epoch is not None:
            self.epoch, self.is_seeded = epoch, False
        self._missing_reservations = dict.fromkeys(self._live)
        self._unconfirmed_batches = []

    def batches(self) -> list[Row]:
        """The batches that reserve for requests in flight under the current lease.

        Every script includes them until Redis has confirmed one, so that none of its checks is
        made without them; their ids prevent that they are applied twice.
        """
        if self._missing_reservations:
            rows = []
            for reservation in self._missing_reservations:
                self._live[reservation].lease = self.number
                for counter in reservation.rule_counters:
                    if counter.metric != "requests":
                        row = reservation_row(counter, reservation.estimate, reservation.started_at)
                        rows.append({**row, "in_flight": True, "used": 0, "lease": self.number})
            self._missing_reservations = {}
            self._unconfirmed_batches.append({"id": uuid.uuid4().hex, "rows": rows})
        return list(self._unconfirmed_batches)

    def confirm(self, lease: int, batches: list[Row]) -> None:
        """Mark what a script has sent under a lease as applied by Redis."""
        if lease == self.number:
            self.is_seeded = True
            confirmed_ids = {batch["id"] for batch in batches}
            self._unconfirmed_batches = [
                b for b in self._unconfirmed_batches if b["id"] not in confirmed_ids
            ]

    def count_locally(self) -> None:
        """Add the reservations that Redis has to this process's own counters, its fallback."""
        slot = self._counters.local_slot
        for reservation, live_reservation in self._live.items():
            if not live_reservation.is_local:
                live_reservation.is_local = True
                for counter in reservation.rule_counters:
                    if counter.metric != "requests":
                        amount = limits.estimated_use(counter.rule, reservation.estimate)
                        slot[counter.offset + limits.RESERVED] += amount
