"""How fast each target has answered of late: a moving average per target.

Pure: the caller keeps the readings (by `provider/model`) and passes what it measured.
They are of one process, as `health` is: what counts is the line from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

# The part of a new measurement in the average: the last ten or so make it up.
PART = 0.2
# In so many seconds the tokens that are remembered fade to a third.
FADE_S = 60.0
# What a failure counts at least: a target that refuses at once is not a fast one.
FAILED_MS = 10_000.0


class Reading(msgspec.Struct, frozen=True):
    """The time to the first token of a target, averaged.

    Attributes:
        first_ms: milliseconds from the call to the first token (or whole answer).
        count: how many measurements are in it.
        at: when the last one was made, in the caller's clock.
        tokens: those of the last minute or so at `at`, where they are counted.
    """

    first_ms: float
    count: int = 1
    at: float = 0.0
    tokens: float = 0.0


Readings = Mapping[str, Reading]
NONE: dict[str, Reading] = {}


def measured(reading: Reading | None, first_ms: float, now: float, tokens: int = 0) -> Reading:
    """The reading with one more measurement in it, and the tokens that were used."""
    if reading is None:
        return Reading(first_ms, 1, now, tokens)
    average = reading.first_ms + PART * (first_ms - reading.first_ms)
    return Reading(average, reading.count + 1, now, tokens_of_late(reading, now) + tokens)


def tokens_of_late(reading: Reading, now: float) -> float:
    """The tokens of the last minute or so, those of long ago counting less."""
    if not reading.tokens:
        return 0.0
    return reading.tokens * math.exp(min(0.0, reading.at - now) / FADE_S)


def failed(reading: Reading | None, took_ms: float, now: float) -> Reading:
    """The reading after a call in vain, which counts as a very slow one."""
    return measured(reading, max(took_ms, FAILED_MS), now)
