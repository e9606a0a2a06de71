"""Template tags for small charts; each renders a component."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template

from console import charts

register = template.Library()


@register.inclusion_tag("console/components/_spark.html")
def spark(values: Sequence[charts.Value], label: str, tone: str = "") -> dict[str, Any]:
    """A sparkline; `label` is its text alternative."""
    return {"spark": charts.sparkline(values), "label": label, "tone": tone}


@register.inclusion_tag("console/components/_status_bars.html")
def status_bars(cells: Sequence[dict[str, str]], label: str) -> dict[str, Any]:
    """A row of small cells, one per hour, each with a `level` and a `label`."""
    return {"cells": cells, "label": label, "width": len(cells) * 6 - 1}


@register.filter
def times(value: float, factor: float) -> float:
    """Product, for coordinates in a view box."""
    return round(float(value) * float(factor), 2)


@register.filter
def in_percent(value: float, total: float) -> str:
    """Percentage for CSS and SVG, not localized: `12.5%`."""
    return f"{round(100 * float(value) / float(total), 2) if total else 0:g}%"
