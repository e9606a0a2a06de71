"""Compares variants of a route, and shadow requests with their originals.

Computed from rows of the request log, so it only reaches back as far as log retention.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import Avg, Count, Q, QuerySet, Sum

from gateway.models import RequestLog

_MAX_ROWS = 100


class VariantRow(NamedTuple):
    """One variant, or one route as shadow or original; times in milliseconds."""

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
        """US dollars per request; None if unknown."""
        return None if self.cost is None else self.cost / self.requests


def compare_variants(since: dt.datetime) -> list[VariantRow]:
    """Variants by route, then shadows with their originals, since a time."""
    recent = RequestLog.objects.without_health_checks().filter(started_at__gte=since)
    lines: list[VariantRow] = []
    # Most installations have neither: checking an index avoids a scan of the log.
    if RequestLog.objects.not_empty("variant").exists():
        variant_requests = recent.not_empty("variant")
        rows = _aggregate_rows(variant_requests.filter(shadow_of=""), "route", "variant")
        lines += [_variant_row(row, row["variant"], "variant") for row in rows]
    if not RequestLog.objects.not_empty("shadow_of").exists():
        return lines
    shadow_requests = recent.not_empty("shadow_of")
    originals = recent.filter(request_id__in=shadow_requests.values("shadow_of"))
    for rows, kind in (
        (_aggregate_rows(originals, "route"), "original"),
        (_aggregate_rows(shadow_requests, "route"), "shadow"),
    ):
        lines += [_variant_row(row, "", kind) for row in rows]
    return lines


def _aggregate_rows(rows: QuerySet[RequestLog], *names: str) -> list[dict[str, Any]]:
    rows_by_name = (
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
    return list(rows_by_name[:_MAX_ROWS])


def _variant_row(row: dict[str, Any], name: str, kind: str) -> VariantRow:
    return VariantRow(
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
