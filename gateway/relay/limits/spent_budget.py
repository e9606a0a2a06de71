"""Finds budgets that are used up while a call is running."""

from __future__ import annotations

from gateway.canon.errors import Error
from gateway.relay.exchange.call import Call
from gateway.relay.limits.limiter import Limiter, budget_refusal
from gateway.routing import limits


def find_spent_budget(limiter: Limiter, call: Call, units: int) -> Error | None:
    """The error for a budget of a running call that is used up; None if none is.

    `units` is what the call itself has cost so far. Reservations do not count.
    """
    counters = limiter.counters
    counters.map_new_slots()
    slots = (counters.local_slot, *counters.peer_slots)
    for reservation in call.reservations:
        windows = limiter.windows(reservation.started_at)
        for counter in reservation.rule_counters:
            if counter.rule.metric != "usd":
                continue
            window = windows[counter.rule.span]
            spent_units = sum(limits.window_spend(slot, counter.offset, window) for slot in slots)
            if spent_units + units >= counter.rule.limit:
                refusal = budget_refusal(counter.rule, spent_units + units, limiter.now())
                return limiter.count_refusal(refusal)
    return None
