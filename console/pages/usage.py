"""Usage and cost: charts, the table below each, and the same as CSV."""

from __future__ import annotations

import csv
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from console.access import viewer
from console.insight import series
from console.insight.spans import SPANS, span_of
from console.insight.variants import compared
from gateway.models import UsageHour
from gateway.usage_querysets import UNITS, Totals

PAGE = "usage"
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_TITLES = {
    "model": gettext_lazy("By model"),
    "key": gettext_lazy("By key"),
    "provider": gettext_lazy("By provider"),
    "route": gettext_lazy("By route"),
    "team": gettext_lazy("By team"),
    "project": gettext_lazy("By project"),
    "user": gettext_lazy("By user"),
}
_COLUMNS = (
    "requests",
    "errors",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)


@require_safe
@viewer
def usage(request: HttpRequest) -> HttpResponse:
    """The page for a range and a dimension."""
    found = _usage(request)
    context = {
        "page": PAGE,
        "usage": found,
        "spans": SPANS.values(),
        "dimensions": series.DIMENSIONS.items(),
        "dimension_title": series.DIMENSIONS[found.dimension],
        "lines_title": _TITLES[found.dimension],
        "charts": _charts(found),
        "variants": compared(found.starts[0]),
        "ever": bool(found.lines) or UsageHour.objects.exists(),
    }
    return render(request, "console/usage.html", context)


@require_safe
@viewer
def usage_csv(request: HttpRequest) -> HttpResponse:
    """Every step and line of the range; an unknown cost is an empty cell."""
    found = _usage(request, everything=True)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    name = f"usage-{found.dimension}-{found.span.name}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    writer = csv.writer(response)
    writer.writerow(["start", found.dimension, *_COLUMNS, "cost_usd", "requests_without_price"])
    for line in found.series:
        for start, totals in zip(found.starts, line.totals, strict=True):
            if totals.requests or totals.tokens:
                writer.writerow([timezone.localtime(start).isoformat(), *_cells(line.name, totals)])
    return response


def _cells(name: str, totals: Totals) -> list[Any]:
    safe = f"'{name}" if name.startswith(_FORMULA) else name
    # Fixed point: a spreadsheet reads 1E-7 as it likes.
    cost = "" if totals.cost is None else f"{totals.cost:.{len(str(UNITS)) - 1}f}"
    return [safe, *(getattr(totals, column) for column in _COLUMNS), cost, totals.unpriced]


def _usage(request: HttpRequest, *, everything: bool = False) -> series.Usage:
    dimension = request.GET.get("by", "")
    return series.usage(
        span_of(request.GET.get("span", "")),
        dimension if dimension in series.DIMENSIONS else "model",
        summed=not everything,
    )


def _charts(found: series.Usage) -> list[dict[str, Any]]:
    """The two charts: their title, what the script draws, and the table below."""
    per = {"hour": _("hour"), "day": _("day"), "month": _("month")}[found.span.step]
    titles = {
        "cost": _("Cost per %(step)s") % {"step": per},
        "tokens": _("Tokens per %(step)s") % {"step": per},
    }
    return [
        {
            "id": f"{measure}-chart",
            "title": title,
            "measure": measure,
            "data": series.chart(found, measure),
            "rows": _rows(found, measure),
        }
        for measure, title in titles.items()
    ]


def _rows(found: series.Usage, measure: str) -> list[dict[str, Any]]:
    """The steps in which something was used, newest first."""
    columns = zip(*(line.totals for line in found.series), strict=True)
    rows = [
        {"caption": caption, "cells": [series.cell(t, measure) for t in (*column, together)]}
        for caption, column, together in zip(found.captions, columns, found.by_step, strict=False)
        if together.requests or together.tokens
    ]
    return rows[::-1]
