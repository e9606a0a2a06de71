"""Variants of a route side by side, and shadows beside what they repeat: from the log's rows.

Unlike the sums by hour these end with the log's retention.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import Avg, Count, Q, QuerySet, Sum

from gateway.models import RequestLog

_MOST = 100


class Line(NamedTuple):
    """One variant, or one route as a shadow or beside its shadow; times in milliseconds."""

    route: str
    name: str
    kind: str
    requests: int
    errors: int
    first_ms: float | None
    duration_ms: float | None
    output_tokens: int | None
    cost: Decimal | None

    @property
    def error_rate(self) -> float:
        """The share of requests that failed."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def cost_each(self) -> Decimal | None:
        """US dollars for one request, as far as known."""
        return None if self.cost is None else self.cost / self.requests


def compared(since: dt.datetime) -> list[Line]:
    """What is compared in a range: variants by route, then shadows with their originals."""
    recent = RequestLog.objects.asked().filter(started_at__gte=since)
    lines = [
        _line(row, row["variant"], "variant")
        for row in _sums(recent.exclude(variant="").filter(shadow_of=""), "route", "variant")
    ]
    repeated = recent.exclude(shadow_of="")
    originals = recent.filter(request_id__in=repeated.values("shadow_of"))
    for rows, kind in (
        (_sums(originals, "route"), "original"),
        (_sums(repeated, "route"), "shadow"),
    ):
        lines += [_line(row, "", kind) for row in rows]
    return lines


def _sums(rows: QuerySet[RequestLog], *names: str) -> list[dict[str, Any]]:
    found = (
        rows.order_by(*names)
        .values(*names)
        .annotate(
            requests=Count("pk"),
            errors=Count("pk", filter=~Q(outcome__in=("ok", "client_closed"))),
            first=Avg("first_token_ms"),
            whole=Avg("duration_ms", filter=Q(outcome="ok")),
            written=Sum("output_tokens"),
            cost=Sum("cost_usd"),
        )
    )
    return list(found[:_MOST])


def _line(row: dict[str, Any], name: str, kind: str) -> Line:
    return Line(
        route=row["route"],
        name=name,
        kind=kind,
        requests=row["requests"],
        errors=row["errors"],
        first_ms=row["first"],
        duration_ms=row["whole"],
        output_tokens=row["written"],
        cost=row["cost"],
    )
