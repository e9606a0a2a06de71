"""Time ranges of charts and their steps.

Days and months are those of UTC, as for budgets and bills: the stored roll-ups have their sums.
Hours are shown in the user's time zone.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Step = Literal["hour", "day", "month"]


class TimeRange(msgspec.Struct, frozen=True):
    """A range that ends now, with `count` steps including the current one."""

    name: str
    title: str | Promise
    step: Step
    count: int


TIME_RANGES: dict[str, TimeRange] = {
    span.name: span
    for span in (
        TimeRange("24h", _("24 hours"), "hour", 24),
        TimeRange("7d", _("7 days"), "day", 7),
        TimeRange("30d", _("30 days"), "day", 30),
        TimeRange("90d", _("90 days"), "day", 90),
        TimeRange("12m", _("12 months"), "month", 12),
    )
}
DEFAULT = "30d"
_HOUR = dt.timedelta(hours=1)


def time_range_of(name: str) -> TimeRange:
    """Range by name, or the default."""
    return TIME_RANGES.get(name, TIME_RANGES[DEFAULT])


def step_starts(span: TimeRange, now: dt.datetime | None = None) -> list[dt.datetime]:
    """Start of each step, oldest first."""
    last_start = step_start(span.step, now or timezone.now())
    starts = [last_start]
    for _number in range(span.count - 1):
        # The moment before a step's start is in the previous step.
        starts.append(step_start(span.step, starts[-1] - dt.timedelta(seconds=1)))
    return starts[::-1]


def previous_start(span: TimeRange, first: dt.datetime) -> dt.datetime:
    """Start of the preceding range of the same length."""
    return step_starts(span, first - dt.timedelta(seconds=1))[0]


def step_start(step: Step, moment: dt.datetime) -> dt.datetime:
    """Return the start of the hour, day or month that contains a moment, in UTC.

    Days and months are those of UTC, as for budgets and bills: the roll-ups have their sums.
    """
    start = moment.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    if step == "hour":
        return start
    return start.replace(hour=0, day=1 if step == "month" else start.day)


def caption(step: Step, start: dt.datetime) -> str:
    """Caption of a step in a chart or table: `14:00` (local time), `3 Nov`, `Nov 2026`."""
    if step == "hour":
        return date_format(timezone.localtime(start), "H:i")
    return date_format(start, "j M" if step == "day" else "M Y")


def hour_starts(count: int, now: dt.datetime | None = None) -> list[dt.datetime]:
    """Start of each of the last hours, the current one last."""
    last_start = step_start("hour", now or timezone.now())
    return [last_start - _HOUR * n for n in range(count - 1, -1, -1)]
