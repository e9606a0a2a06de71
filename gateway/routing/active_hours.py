"""Active hours of a step: `mon-fri 08:00-18:00 Europe/Berlin`; pure, the time is an argument.

Days (names or ranges, separated by commas), hours and time zone are each optional; the
default zone is UTC. Hours may pass midnight: `22:00-06:00` on a Friday ends on Saturday
morning.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 24 * 60
_HOURS = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)-([01]?\d|2[0-4]):([0-5]\d)")
_WEEK = re.compile(r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[-,]?)+")
_HINT = "use a form such as `mon-fri 08:00-18:00 Europe/Berlin`"


class ActiveHours(msgspec.Struct, frozen=True):
    """Days (0 is Monday) and the minutes of the day from `opens` to `closes`."""

    days: frozenset[int]
    opens: int
    closes: int
    zone: str

    def is_open(self, timestamp: float) -> bool:
        """Whether `timestamp` (unix seconds) is within the active hours."""
        local_time = datetime.fromtimestamp(timestamp, _time_zone(self.zone))
        minute = local_time.hour * 60 + local_time.minute
        if self.opens < self.closes:
            return local_time.weekday() in self.days and self.opens <= minute < self.closes
        if minute >= self.opens:
            return local_time.weekday() in self.days
        # After midnight, the day on which the period began counts.
        yesterday = (local_time - timedelta(days=1)).weekday()
        return minute < self.closes and yesterday in self.days


@lru_cache(maxsize=256)
def parse_active_hours(text: str) -> ActiveHours:
    """Parse active hours. Raises ValueError with a message for the operator."""
    days, opening_minutes, zone = frozenset(range(7)), (0, _DAY), "UTC"
    parts = text.split()
    if parts and _WEEK.fullmatch(parts[0].lower()):
        days = _parse_days(parts.pop(0).lower())
    if parts and (match := _HOURS.fullmatch(parts[0])):
        opening_minutes = _parse_times(*(int(part) for part in match.groups()))
        parts.pop(0)
    if parts:
        zone = parts.pop(0)
        _time_zone(zone)
    if parts or not text.strip():
        raise ValueError(f"the hours `{text[:80]}` are not valid: {_HINT}")
    return ActiveHours(days, *opening_minutes, zone)


def _parse_days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"the days `{text[:40]}` are not valid: {_HINT}")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days |= {(begin + n) % 7 for n in range((end - begin) % 7 + 1)}
    return frozenset(days)


def _parse_times(hour: int, minute: int, last_hour: int, last_minute: int) -> tuple[int, int]:
    opens, closes = hour * 60 + minute, last_hour * 60 + last_minute
    if max(opens, closes) > _DAY or opens == closes:
        raise ValueError("the hours must be two different times of day")
    return opens, closes


@lru_cache(maxsize=64)
def _time_zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"there is no time zone `{name[:60]}`: {_HINT}") from None
