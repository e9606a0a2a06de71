"""What a request asks of its limits, and what it holds of them."""

from __future__ import annotations

import msgspec

from gateway.routing.limits import Bound, Rule, Want

Bounds = tuple[Bound, ...]


class Hold(msgspec.Struct, frozen=True):
    """What a request has reserved, until it is settled.

    Attributes:
        at: when the request began, unix seconds: the budgets it is paid from are those of then.
        attempt: whether it is one attempt's, at a provider, and not the whole request's.
        where: in whose name it is reserved on Redis; empty for the counters here.
    """

    bounds: Bounds
    want: Want
    at: float
    attempt: bool = False
    where: str = ""


class Asked(msgspec.Struct, frozen=True):
    """What a request asks of its rules: those of its own, and those of an attempt."""

    own: Bounds
    own_want: Want
    attempt: Bounds
    attempt_want: Want


class Refused(msgspec.Struct, frozen=True):
    """The rule that lets a request not in: what it had counted, and when to ask again."""

    rule: Rule
    used: int
    frees_s: float | None
