"""Geometry of small charts: positions of lines, bars and cells.

Pure functions; the templates in `components/` render the result as SVG, in the units of its
view box. None means that there is no value for that time.
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
    """One bar with a total, and the failed part of it at the bottom. `label` describes both."""

    x: float
    width: float
    y: float
    height: float
    bad_y: float
    bad_height: float
    label: str = ""


class Tick(msgspec.Struct, frozen=True):
    """A line of the scale: its position and value."""

    position: float
    value: float


class Columns(msgspec.Struct, frozen=True):
    """A bar chart: its bars, and the scale on their left."""

    width: int
    height: int
    bars: tuple[Column, ...]
    ticks: tuple[Tick, ...]
    top: float


def sparkline(values: Sequence[Value], *, width: int = 120, height: int = 32) -> Spark:
    """Compute a line from the first to the last value; None is left out.

    The scale begins at zero, so that small changes of a high value look small.
    """
    top = max((v for v in values if v is not None), default=0.0)
    step = width / max(len(values) - 1, 1)
    points = [
        (_round_coordinate(index * step), _scale_y(value, top, height, inset=2.0))
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
    failed_values: Sequence[float] = (),
    *,
    labels: Sequence[str] = (),
    width: int = 720,
    height: int = 160,
    gap: float = 0.25,
) -> Columns:
    """Compute bars with their failed parts; `gap` is the share of a slot left free."""
    scale = scale_ticks(max(values, default=0.0))
    top = scale[-1]
    slot = width / max(len(values), 1)
    bars = []
    for index, value in enumerate(values):
        y = _scale_y(value, top, height)
        # A single error among thousands is still visible.
        failed = failed_values[index] if index < len(failed_values) else 0.0
        failed_height = max(height - _scale_y(failed, top, height), 2.0) if failed else 0.0
        bars.append(
            Column(
                x=_round_coordinate(index * slot + slot * gap / 2),
                width=_round_coordinate(slot * (1 - gap)),
                y=min(y, height - 1.5) if value else float(height),
                height=max(_round_coordinate(height - y), 1.5) if value else 0.0,
                bad_y=_round_coordinate(height - failed_height),
                bad_height=_round_coordinate(failed_height),
                label=labels[index] if index < len(labels) else "",
            )
        )
    lines = tuple(Tick(_scale_y(value, top, height), value) for value in scale)
    return Columns(width, height, tuple(bars), lines, top)


def scale_ticks(max_value: float, *, target_count: int = 3) -> tuple[float, ...]:
    """Return round values from zero to at least `max_value`: 0, 50, 100, 150."""
    if not max_value > 0 or not math.isfinite(max_value):
        return (0.0, 1.0)
    raw_step = max_value / target_count
    power = 10.0 ** math.floor(math.log10(raw_step))
    step = next(
        power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw_step * 0.999
    )
    count = math.ceil(max_value / step - 1e-9)
    return tuple(round(n * step, 12) for n in range(count + 1))


def percent(value: float, total: float) -> float:
    """Return the percentage of a total, from 0 to 100 with one decimal."""
    return round(min(max(value / total, 0.0), 1.0) * 100, 1) if total else 0.0


def hour_level(requests: int, failed: int) -> str:
    """Return the level of an hour: `ok`, `warn` or `bad`; empty without requests."""
    if not requests:
        return ""
    share = failed / requests
    if share < 0.01:
        return "ok"
    return "warn" if share < 0.1 else "bad"


def _scale_y(value: float, top: float, height: float, *, inset: float = 0.0) -> float:
    drawing_height = height - 2 * inset
    return _round_coordinate(height - inset - (value / top if top else 0.0) * drawing_height)


def _round_coordinate(value: float) -> float:
    return round(value, 2)
