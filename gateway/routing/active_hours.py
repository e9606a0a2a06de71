"""When a step is open: `mon-fri 08:00-18:00 Europe/Berlin`; pure, the time is an argument.

Days (names or ranges, by commas) and hours may each be left out, the zone too (UTC then).
Hours may pass midnight: `22:00-06:00` on a Friday ends on Saturday morning.
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
_SHAPE = "write it as `mon-fri 08:00-18:00 Europe/Berlin`"


class Hours(msgspec.Struct, frozen=True):
    """Days (0 is Monday) and the minutes of a day between which it is open."""

    days: frozenset[int]
    opens: int
    closes: int
    zone: str

    def open(self, at: float) -> bool:
        """Whether it is open at a time (unix seconds)."""
        here = datetime.fromtimestamp(at, _zone(self.zone))
        minute = here.hour * 60 + here.minute
        if self.opens < self.closes:
            return here.weekday() in self.days and self.opens <= minute < self.closes
        if minute >= self.opens:
            return here.weekday() in self.days
        # After midnight it is still the day on which it was opened.
        before = (here - timedelta(days=1)).weekday()
        return minute < self.closes and before in self.days


@lru_cache(maxsize=256)
def hours(text: str) -> Hours:
    """The hours that a text says. Raises ValueError, in words for a person."""
    days, times, zone = frozenset(range(7)), (0, _DAY), "UTC"
    words = text.split()
    if words and _WEEK.fullmatch(words[0].lower()):
        days = _days(words.pop(0).lower())
    if words and (found := _HOURS.fullmatch(words[0])):
        times = _times(*(int(part) for part in found.groups()))
        words.pop(0)
    if words:
        zone = words.pop(0)
        _zone(zone)
    if words or not text.strip():
        raise ValueError(f"the hours `{text[:80]}` can not be read: {_SHAPE}")
    return Hours(days, *times, zone)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"the days `{text[:40]}` can not be read: {_SHAPE}")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found |= {(begin + n) % 7 for n in range((end - begin) % 7 + 1)}
    return frozenset(found)


def _times(hour: int, minute: int, last_hour: int, last_minute: int) -> tuple[int, int]:
    opens, closes = hour * 60 + minute, last_hour * 60 + last_minute
    if max(opens, closes) > _DAY or opens == closes:
        raise ValueError("the hours must be two times of a day, and not the same")
    return opens, closes


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"there is no time zone `{name[:60]}`: {_SHAPE}") from None
