"""Numbers -> shapes: where the lines, bars and cells of a small chart stand.

Pure; the templates in `components/` draw what is returned as SVG, in the units of its
view box. None stands for a time in which nothing happened.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

Point = tuple[float, float]
Value = float | None


class Spark(msgspec.Struct, frozen=True):
    """A sparkline: the line's points, the closed area below it, and its last point."""

    width: int
    height: int
    line: str
    area: str
    end: Point | None


class Column(msgspec.Struct, frozen=True):
    """One bar: a whole, and the part of it that is bad, from below. `label` says both."""

    x: float
    width: float
    y: float
    height: float
    bad_y: float
    bad_height: float
    label: str = ""


class Tick(msgspec.Struct, frozen=True):
    """A line of the scale: where, and the value."""

    at: float
    value: float


class Columns(msgspec.Struct, frozen=True):
    """A bar chart: its bars, and the scale at their left."""

    width: int
    height: int
    bars: tuple[Column, ...]
    ticks: tuple[Tick, ...]
    top: float


class Part(msgspec.Struct, frozen=True):
    """A piece of a whole: its name, value, and share in percent."""

    name: str
    value: float
    percent: float


def spark(values: Sequence[Value], *, width: int = 120, height: int = 32) -> Spark:
    """A line from the first to the last value; None is a gap.

    The scale begins at zero, so that a wiggle on a high level looks like one.
    """
    top = max((v for v in values if v is not None), default=0.0)
    step = width / max(len(values) - 1, 1)
    points = [
        (_round(index * step), _scaled(value, top, height, inset=2.0))
        for index, value in enumerate(values)
        if value is not None
    ]
    if not points:
        return Spark(width, height, "", "", None)
    line = " ".join(f"{x:g},{y:g}" for x, y in points)
    first, last = points[0][0], points[-1][0]
    return Spark(width, height, line, f"{first:g},{height} {line} {last:g},{height}", points[-1])


def columns(
    values: Sequence[float],
    bad: Sequence[float] = (),
    *,
    labels: Sequence[str] = (),
    width: int = 720,
    height: int = 160,
    gap: float = 0.25,
) -> Columns:
    """Bars side by side, each with its bad part; `gap` is the share of a slot left free."""
    scale = ticks(max(values, default=0.0))
    top = scale[-1]
    slot = width / max(len(values), 1)
    bars = []
    for index, value in enumerate(values):
        y = _scaled(value, top, height)
        # What happened is seen: one error among thousands is still a line.
        fault = bad[index] if index < len(bad) else 0.0
        tall = max(height - _scaled(fault, top, height), 2.0) if fault else 0.0
        bars.append(
            Column(
                x=_round(index * slot + slot * gap / 2),
                width=_round(slot * (1 - gap)),
                y=min(y, height - 1.5) if value else float(height),
                height=max(_round(height - y), 1.5) if value else 0.0,
                bad_y=_round(height - tall),
                bad_height=_round(tall),
                label=labels[index] if index < len(labels) else "",
            )
        )
    lines = tuple(Tick(_scaled(value, top, height), value) for value in scale)
    return Columns(width, height, tuple(bars), lines, top)


def ticks(highest: float, *, about: int = 3) -> tuple[float, ...]:
    """Round values from zero to at least `most`: 0, 50, 100, 150."""
    if not highest > 0 or not math.isfinite(highest):
        return (0.0, 1.0)
    raw = highest / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= raw * 0.999)
    count = math.ceil(highest / step - 1e-9)
    return tuple(round(n * step, 12) for n in range(count + 1))


def parts(values_by_name: Sequence[tuple[str, float]]) -> tuple[Part, ...]:
    """Each with its share of the largest, for bars below each other."""
    largest = max((value for _, value in values_by_name), default=0.0)
    return tuple(Part(name, value, percent(value, largest)) for name, value in values_by_name)


def percent(value: float, total: float) -> float:
    """How much of the whole, from 0 to 100 with one decimal."""
    return round(min(max(value / total, 0.0), 1.0) * 100, 1) if total else 0.0


def level(requests: int, failed: int) -> str:
    """How an hour went: empty if nothing happened, then `ok`, `warn`, `bad`."""
    if not requests:
        return ""
    share = failed / requests
    if share < 0.01:
        return "ok"
    return "warn" if share < 0.1 else "bad"


def _scaled(value: float, top: float, height: float, *, inset: float = 0.0) -> float:
    drawable = height - 2 * inset
    return _round(height - inset - (value / top if top else 0.0) * drawable)


def _round(value: float) -> float:
    return round(value, 2)
