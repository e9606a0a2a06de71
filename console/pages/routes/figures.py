"""What the log and the running process know of routes and targets, for the editor."""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from typing import NamedTuple

from django.core.cache import cache
from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext as _

from gateway.models import RequestLog
from gateway.relay import runtime
from gateway.routing.health import usable

# How far back the counts and rates look, and over how many requests at most.
WINDOW = dt.timedelta(hours=24)
ROWS = 2000
_KEPT_S = 30


class Figures(NamedTuple):
    """Of one target: tries, the part that failed, and the usual time to the first token."""

    tries: int = 0
    failed: float | None = None
    first_ms: float | None = None


class Condition(NamedTuple):
    """How a target is just now: the pill's class and its words."""

    kind: str
    words: str


def traffic() -> dict[str, int]:
    """Requests of the last day by route."""
    found: dict[str, int] = cache.get_or_set("routes-traffic", _traffic, _KEPT_S) or {}
    return found


def _traffic() -> dict[str, int]:
    rows = RequestLog.objects.asked().matching(since=timezone.now() - WINDOW)
    counted = rows.order_by().values_list("route").annotate(count=Count("pk"))
    return dict(counted)


def figures() -> dict[str, Figures]:
    """Of each target (`provider/model`), from the newest requests of the last day."""
    found: dict[str, Figures] = cache.get_or_set("routes-figures", _figures, _KEPT_S) or {}
    return found


def _figures() -> dict[str, Figures]:
    rows = RequestLog.objects.matching(since=timezone.now() - WINDOW).newest(ROWS)
    tries: dict[str, int] = defaultdict(int)
    failed: dict[str, int] = defaultdict(int)
    waits: dict[str, list[float]] = defaultdict(list)
    for attempts in rows.values_list("attempts", flat=True):
        for attempt in attempts:
            if attempt.get("skipped"):
                continue
            label = attempt.get("target", "")
            tries[label] += 1
            if attempt.get("error_kind"):
                failed[label] += 1
            elif (first := attempt.get("first_byte_ms")) is not None:
                waits[label].append(first - attempt.get("started_ms", 0.0))
    return {
        label: Figures(count, failed[label] / count, _median(waits[label]))
        for label, count in tries.items()
    }


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def condition(label: str, known: Figures | None) -> Condition:
    """How the target is in this process: resting, or healthy if anything is known of it."""
    live = runtime.current()
    state = live.health.get(label) if live is not None else None
    now = time.monotonic()
    if state is not None and not usable(state, now):
        return Condition("warn", _("Resting %d s") % max(1, round(state.until - now)))
    if state is not None and state.failures:
        return Condition("warn", _("%d failures") % state.failures)
    if known is not None and known.failed is not None and known.failed >= 0.5:
        return Condition("bad", _("Failing"))
    return Condition("ok", _("Healthy")) if known is not None else Condition("", _("No calls yet"))
