"""Usage and cost: charts, a table below each, and the data as CSV."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from console.access import viewer
from console.insight import series
from console.insight.time_ranges import TIME_RANGES, TimeRange, time_range_of
from console.insight.variants import compare_variants
from gateway.csv_cells import csv_line
from gateway.models import UsageHour
from gateway.routing.limits import UNITS
from gateway.usage_querysets import Totals

PAGE = "usage"
_TITLES = {
    "model": gettext_lazy("By model"),
    "key": gettext_lazy("By key"),
    "provider": gettext_lazy("By provider"),
    "route": gettext_lazy("By route"),
    "team": gettext_lazy("By team"),
    "project": gettext_lazy("By project"),
    "user": gettext_lazy("By user"),
    "end_user": gettext_lazy("By end user"),
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
    usage_data = series.usage(*_span_and_dimension(request))
    context = {
        "page": PAGE,
        "usage": usage_data,
        "spans": TIME_RANGES.values(),
        "dimensions": series.DIMENSIONS.items(),
        "dimension_title": series.DIMENSIONS[usage_data.dimension],
        "lines_title": _TITLES[usage_data.dimension],
        "charts": _usage_charts(usage_data),
        "variants": compare_variants(usage_data.starts[0]),
        "has_usage": bool(usage_data.rows) or UsageHour.objects.exists(),
    }
    return render(request, "console/usage/page.html", context)


@require_safe
@viewer
def usage_csv(request: HttpRequest) -> HttpResponse:
    """Every step and series of the range as CSV; an unknown cost is an empty cell."""
    span, dimension = _span_and_dimension(request)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    name = f"usage-{dimension}-{span.name}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    header = ["start", dimension, *_COLUMNS, "cost_usd", "requests_without_price"]
    response.write(csv_line(header))
    for name, start, totals in series.every_step(span, dimension):
        if totals.requests or totals.tokens:
            response.write(csv_line([start.isoformat(), *_table_cells(name, totals)]))
    return response


def _table_cells(name: str, totals: Totals) -> list[Any]:
    # Fixed-point notation: spreadsheets disagree about 1E-7.
    cost = "" if totals.cost is None else f"{totals.cost:.{len(str(UNITS)) - 1}f}"
    return [
        name,
        *(getattr(totals, column) for column in _COLUMNS),
        cost,
        totals.unpriced_requests,
    ]


def _span_and_dimension(request: HttpRequest) -> tuple[TimeRange, str]:
    dimension = request.GET.get("by", "")
    dimension = dimension if dimension in series.DIMENSIONS else "model"
    return time_range_of(request.GET.get("span", "")), dimension


def _usage_charts(usage_data: series.Usage) -> list[dict[str, Any]]:
    """The two charts: title, data and table of each."""
    per = {"hour": _("hour"), "day": _("day"), "month": _("month")}[usage_data.span.step]
    titles = {
        "cost": _("Cost per %(step)s") % {"step": per},
        "tokens": _("Tokens per %(step)s") % {"step": per},
    }
    return [
        {
            "id": f"{measure}-chart",
            "title": title,
            "measure": measure,
            "data": series.chart(usage_data, measure),
            "rows": _step_rows(usage_data, measure),
        }
        for measure, title in titles.items()
    ]


def _step_rows(usage_data: series.Usage, measure: str) -> list[dict[str, Any]]:
    """The steps with usage, newest first."""
    columns = zip(*(line.totals for line in usage_data.series), strict=True)
    rows = [
        {"caption": caption, "cells": [series.cell(t, measure) for t in (*column, total)]}
        for caption, column, total in zip(
            usage_data.captions, columns, usage_data.by_step, strict=False
        )
        if total.requests or total.tokens
    ]
    return rows[::-1]
