"""Usage over time by a dimension such as model or key, as table rows and chart series."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.charts import percent
from console.insight.spans import Span, caption, previous_start, step_start, step_starts
from console.templatetags.ui import count, tokens, usd
from gateway.accounting.spend import parts
from gateway.models import ApiKey, EndUserHour, Provider, UsageHour
from gateway.usage_querysets import Name, Totals, sum_totals

DIMENSIONS: dict[str, str | Promise] = {
    "model": gettext_lazy("Model"),
    "key": gettext_lazy("Key"),
    "provider": gettext_lazy("Provider"),
    "route": gettext_lazy("Route"),
    "team": gettext_lazy("Team"),
    "project": gettext_lazy("Project"),
    "user": gettext_lazy("User"),
    "end_user": gettext_lazy("End user"),
}
# Dimensions that derive from the current settings of the request's key.
_KEY_DIMENSIONS = frozenset({"team", "project", "user"})
_EMPTY_LABELS: dict[str, Promise] = {
    "model": gettext_lazy("no model was called"),
    "key": gettext_lazy("no key"),
    "provider": gettext_lazy("no provider was called"),
    "route": gettext_lazy("no route"),
    "team": gettext_lazy("no team"),
    "project": gettext_lazy("no project"),
    "user": gettext_lazy("no user"),
    "end_user": gettext_lazy("no end user"),
}
# Number of distinguishable colours; further series are combined.
MAX_SERIES = 7


class Cell(msgspec.Struct, frozen=True):
    """A formatted number of a table, with an optional note."""

    text: str
    note: str = ""


class UsageRow(msgspec.Struct, frozen=True):
    """One model, key, provider or route over the whole range.

    `colour` is its number in the charts, from 1; 0 is what they sum up as others.
    """

    name: str
    totals: Totals
    colour: int
    share: float
    preset: str = ""
    query: str = ""

    @property
    def cost(self) -> Cell:
        """Formatted cost."""
        return cell(self.totals, "cost")


class Series(msgspec.Struct, frozen=True):
    """Totals of a row in each step."""

    name: str
    colour: int
    totals: tuple[Totals, ...]


class Usage(msgspec.Struct, frozen=True):
    """Usage of a range, as the page displays it."""

    span: Span
    dimension: str
    starts: tuple[dt.datetime, ...]
    rows: tuple[UsageRow, ...]
    series: tuple[Series, ...]
    total: Totals
    previous: Totals

    @property
    def captions(self) -> list[str]:
        """Names of the steps."""
        return [caption(self.span.step, start) for start in self.starts]

    @property
    def by_step(self) -> list[Totals]:
        """Totals of each step."""
        if not self.series:
            return [Totals()] * len(self.starts)
        return [sum_totals(column) for column in zip(*(s.totals for s in self.series), strict=True)]


def usage(
    span: Span, dimension: str, now: dt.datetime | None = None, *, combine_small: bool = True
) -> Usage:
    """Usage of a range that ends now; `combine_small` combines small series into one."""
    starts = step_starts(span, now)
    cells: dict[Name, dict[dt.datetime, list[Totals]]] = {}
    step_of: dict[dt.datetime, dt.datetime] = {}
    # The daily roll-ups are of UTC days, usable only if that is the console's time zone.
    step = span.step if timezone.get_current_timezone_name() == "UTC" else "hour"
    for start, name, totals in _totals_by_step(step, dimension, starts[0]):
        if start not in step_of:
            step_of[start] = step_start(span.step, start)
        cells.setdefault(name, {}).setdefault(step_of[start], []).append(totals)
    sums = {
        name: {step: sum_totals(hour_totals) for step, hour_totals in steps.items()}
        for name, steps in cells.items()
    }
    totals_by_name = {name: sum_totals(steps.values()) for name, steps in sums.items()}
    ranked = _rank_names(totals_by_name)
    table = EndUserHour if dimension == "end_user" else UsageHour
    previous = table.objects.in_range(previous_start(span, starts[0]), starts[0]).totals()
    return Usage(
        span=span,
        dimension=dimension,
        starts=tuple(starts),
        rows=_usage_rows(dimension, ranked, totals_by_name),
        series=_series(dimension, ranked, sums, starts, combine_small=combine_small),
        total=sum_totals(totals_by_name.values()),
        previous=previous,
    )


def _totals_by_step(
    step: str, dimension: str, since: dt.datetime
) -> Iterable[tuple[dt.datetime, Name, Totals]]:
    table = EndUserHour if dimension == "end_user" else UsageHour
    column_dimension = "key" if dimension in _KEY_DIMENSIONS else dimension
    totals_by_step = (
        table.objects.between(since).by_hour_and(column_dimension)
        if step == "hour"
        else table.objects.in_range(since).by_step_and(step, column_dimension)
    )
    if dimension not in _KEY_DIMENSIONS:
        return totals_by_step
    value_by_key = {
        key.pk: _key_dimension_value(key, dimension)
        for key in ApiKey.objects.select_related("team__parent")
    }
    return (
        (start, (value_by_key.get(name[0], ""),), totals) for start, name, totals in totals_by_step
    )


def _key_dimension_value(key: ApiKey, dimension: str) -> str:
    if dimension == "user":
        return key.user
    project, team = parts(key.team)
    return team if dimension == "team" else project


def _rank_names(totals_by_name: dict[Name, Totals]) -> list[Name]:
    """Names by cost, then by tokens and requests."""
    return sorted(
        totals_by_name,
        key=lambda name: (
            totals_by_name[name].cost_units,
            totals_by_name[name].tokens,
            totals_by_name[name].requests,
        ),
        reverse=True,
    )


def _usage_rows(
    dimension: str, ranked: list[Name], totals_by_name: dict[Name, Totals]
) -> tuple[UsageRow, ...]:
    names = _names(dimension, ranked)
    presets = dict(Provider.objects.values_list("name", "preset"))
    max_cost = max((totals.cost_units for totals in totals_by_name.values()), default=0)
    max_tokens = max((totals.tokens for totals in totals_by_name.values()), default=0)
    rows = []
    for index, name in enumerate(ranked):
        totals = totals_by_name[name]
        share = (
            percent(totals.cost_units, max_cost) if max_cost else percent(totals.tokens, max_tokens)
        )
        # Only models and providers have a logo; the provider is the first of their columns.
        provider = str(name[0]) if dimension in ("model", "provider") else ""
        rows.append(
            UsageRow(
                name=names[name],
                totals=totals,
                colour=_colour(index, len(ranked)),
                share=share,
                preset=presets.get(provider, provider),
                query=_log_query(dimension, name),
            )
        )
    return tuple(rows)


def _colour(index: int, count: int) -> int:
    max_shown = MAX_SERIES if count <= MAX_SERIES else MAX_SERIES - 1
    return index + 1 if index < max_shown else 0


def _series(
    dimension: str,
    ranked: list[Name],
    sums: dict[Name, dict[dt.datetime, Totals]],
    step_starts: list[dt.datetime],
    *,
    combine_small: bool,
) -> tuple[Series, ...]:
    names, none = _names(dimension, ranked), Totals()
    series, small_rows = [], []
    for index, name in enumerate(ranked):
        row = tuple(sums[name].get(start, none) for start in step_starts)
        colour = _colour(index, len(ranked))
        if colour or not combine_small:
            series.append(Series(names[name], colour, row))
        else:
            small_rows.append(row)
    if small_rows:
        combined = tuple(sum_totals(column) for column in zip(*small_rows, strict=True))
        series.append(Series(_("%(n)d others") % {"n": len(small_rows)}, 0, combined))
    return tuple(series)


def _names(dimension: str, ranked: list[Name]) -> dict[Name, str]:
    none = str(_EMPTY_LABELS[dimension])
    if dimension != "key":
        return {name: "/".join(str(part) for part in name if part) or none for name in ranked}
    keys = ApiKey.objects.in_bulk([name[0] for name in ranked if name[0]])
    return {name: keys[name[0]].name if name[0] in keys else name[1] or none for name in ranked}


def _log_query(dimension: str, name: Name) -> str:
    """Query for the request log that finds these requests."""
    if dimension in _KEY_DIMENSIONS:
        return ""
    fields = {"model": ("provider", "model"), "key": (None, "key"), "end_user": ("user",)}.get(
        dimension, (dimension,)
    )
    pairs = zip(fields, name, strict=True)
    return " ".join(_term(field, str(value)) for field, value in pairs if field and value)


def _term(field: str, value: str) -> str:
    return f'{field}:"{value}"' if " " in value else f"{field}:{value}"


def cell(totals: Totals, measure: str) -> Cell:
    """Cost or tokens as text; a dash means that there was no request."""
    if not totals.requests and not totals.tokens:
        return Cell("—")
    if measure != "cost":
        return Cell(tokens(totals.tokens))
    if not (totals.unpriced_requests and totals.priced_requests):
        return Cell(usd(totals.cost))
    return Cell(usd(totals.cost), _("and %(n)s unknown") % {"n": count(totals.unpriced_requests)})


def chart(usage: Usage, measure: str) -> dict[str, Any]:
    """Data of the chart: values and formatted labels of each series."""
    return {
        "captions": usage.captions,
        "series": [
            {
                "name": series.name,
                "colour": series.colour,
                "values": [float(value(totals, measure) or 0) for totals in series.totals],
                "labels": [_cell_text(totals, measure) for totals in series.totals],
            }
            for series in usage.series
        ],
        "totals": [_cell_text(totals, measure) for totals in usage.by_step],
        "unit": "usd" if measure == "cost" else "tokens",
    }


def _cell_text(totals: Totals, measure: str) -> str:
    text_cell = cell(totals, measure)
    return f"{text_cell.text} {text_cell.note}".strip()


def value(totals: Totals, measure: str) -> Decimal | int | None:
    """Number for the chart; None if unknown."""
    return totals.cost if measure == "cost" else totals.tokens
