"""Values of rate limits and budgets: what a request needs, and what it has reserved."""

from __future__ import annotations

import msgspec

from gateway.canon.errors import Error
from gateway.routing.limits import Estimate, Rule, RuleCounter

RuleCounters = tuple[RuleCounter, ...]


class Reservation(msgspec.Struct, frozen=True, eq=False):
    """What a request has reserved, until it is settled; each is equal only to itself.

    Attributes:
        started_at: when the request began, unix seconds; it selects the budget windows.
        attempt: whether it belongs to one attempt and not to the whole request.
    """

    rule_counters: RuleCounters
    estimate: Estimate
    started_at: float
    attempt: bool = False


class ReservationRequest(msgspec.Struct, frozen=True):
    """What to reserve: under the request's own rules, and under those of an attempt."""

    request_counters: RuleCounters
    request_estimate: Estimate
    attempt_counters: RuleCounters
    attempt_estimate: Estimate


class LimitRefusal(msgspec.Struct, frozen=True):
    """The rule that rejects a request, the amount used, and when a retry may succeed."""

    rule: Rule
    used: int
    retry_after_s: float | None


class Admission(msgspec.Struct, frozen=True):
    """Whether the limits admit a call to a target.

    Attributes:
        refusal: why not; None if it is admitted.
        ends_request: whether the refusing limit is the request's own (its key, team or route),
            so that no other target helps.
        is_cached: whether Redis has a cached response to the request, so that no target is
            called; it is in `CacheLookup.blob`.
    """

    refusal: Error | None = None
    ends_request: bool = False
    is_cached: bool = False


ADMITTED = Admission()
CACHED = Admission(is_cached=True)
