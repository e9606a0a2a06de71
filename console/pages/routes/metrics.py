"""Metrics of routes and targets from the log and from this process."""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from django.core.cache import cache
from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from gateway.models import RequestLog
from gateway.routing.circuit_breaker import FAULTS, CircuitState, allows_call

# Period of the counts and rates, and the maximum number of requests they cover.
WINDOW = dt.timedelta(hours=24)
ROWS = 2000
_CACHE_TTL_S = 30


class TargetMetrics(NamedTuple):
    """Metrics of a target: attempts, share of its own failures, median first token."""

    tries: int = 0
    failed: float | None = None
    first_ms: float | None = None


class TargetStatus(NamedTuple):
    """Current status of a target: CSS class and text of its pill."""

    kind: str
    text: str


def traffic() -> dict[str, int]:
    """Requests of the last day by route."""
    counts: dict[str, int] = (
        cache.get_or_set("routes-traffic", _traffic_by_route, _CACHE_TTL_S) or {}
    )
    return counts


def _traffic_by_route() -> dict[str, int]:
    rows = RequestLog.objects.without_health_checks().matching(since=timezone.now() - WINDOW)
    counts_by_route = rows.order_by().values_list("route").annotate(count=Count("pk"))
    return dict(counts_by_route)


def target_metrics() -> dict[str, TargetMetrics]:
    """Return metrics by target (`provider/model`), from the newest requests of the last day."""
    metrics: dict[str, TargetMetrics] = (
        cache.get_or_set("routes-figures", _compute_metrics, _CACHE_TTL_S) or {}
    )
    return metrics


def _compute_metrics() -> dict[str, TargetMetrics]:
    rows = RequestLog.objects.matching(since=timezone.now() - WINDOW).newest(ROWS)
    tries: dict[str, int] = defaultdict(int)
    failures: dict[str, int] = defaultdict(int)
    waits_by_target: dict[str, list[float]] = defaultdict(list)
    for attempts in rows.values_list("attempts", flat=True):
        for attempt in attempts:
            if attempt.get("skipped"):
                continue
            label = attempt.get("target", "")
            tries[label] += 1
            error_kind = attempt.get("error_kind")
            if error_kind in FAULTS:
                failures[label] += 1
            elif not error_kind and (first := attempt.get("first_byte_ms")) is not None:
                waits_by_target[label].append(first - attempt.get("started_ms", 0.0))
    return {
        label: TargetMetrics(count, failures[label] / count, _median(waits_by_target[label]))
        for label, count in tries.items()
    }


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def target_status(
    health: Mapping[str, CircuitState], label: str, metrics: TargetMetrics | None
) -> TargetStatus:
    """Status of a target, such as cooldown or healthy; `health` is that of this process."""
    state = health.get(label)
    now = time.monotonic()
    if state is not None and not allows_call(state, now):
        return TargetStatus("warn", _("Cooldown %d s") % max(1, round(state.open_until - now)))
    if state is not None and state.consecutive_failures:
        failures = state.consecutive_failures
        return TargetStatus("warn", ngettext("%d failure", "%d failures", failures) % failures)
    if metrics is not None and metrics.failed is not None and metrics.failed >= 0.5:
        return TargetStatus("bad", _("Failing"))
    return (
        TargetStatus("ok", _("Healthy"))
        if metrics is not None
        else TargetStatus("", _("No requests yet"))
    )
