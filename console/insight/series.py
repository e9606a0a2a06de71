"""Usage over time by a dimension such as model or key, as table rows and chart series."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from typing import Any

import msgspec
from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.charts import percent
from console.insight.time_ranges import TimeRange, caption, previous_start, step_start, step_starts
from console.templatetags.ui import count, tokens, usd
from gateway.accounting.spend import project_and_team_names
from gateway.models import ApiKey, EndUserHour, Provider, UsageHour
from gateway.usage_querysets import DIMENSIONS as COLUMNS
from gateway.usage_querysets import Name, Totals, UsageRange, sum_totals

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
# Number of distinguishable colors; further series are combined.
MAX_SERIES = 7
# Number of rows of the table; the CSV file has all of them.
MAX_ROWS = 100


class Cell(msgspec.Struct, frozen=True):
    """A formatted number of a table, with an optional note."""

    text: str
    note: str = ""


class UsageRow(msgspec.Struct, frozen=True):
    """One model, key, provider or route over the whole range.

    `color` is its number in the charts, from 1; 0 is what they sum up as others. The last row
    may be the sum of others.
    """

    name: str
    totals: Totals
    color: int
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
    color: int
    totals: tuple[Totals, ...]


class Usage(msgspec.Struct, frozen=True):
    """Usage of a range, as the page displays it."""

    span: TimeRange
    dimension: str
    starts: tuple[dt.datetime, ...]
    rows: tuple[UsageRow, ...]
    series: tuple[Series, ...]
    total: Totals
    previous_totals: Totals

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


def usage(span: TimeRange, dimension: str, now: dt.datetime | None = None) -> Usage:
    """Usage of a range that ends now; small rows are combined, in the table and in the charts."""
    starts = step_starts(span, now)
    table = _table_of(dimension)
    value_by_key = _value_by_key(dimension)
    totals_by_name = _totals_by_name(table.objects.in_range(starts[0]), dimension, value_by_key)
    ranked = _rank_names(totals_by_name)
    return Usage(
        span=span,
        dimension=dimension,
        starts=tuple(starts),
        rows=_usage_rows(dimension, ranked, totals_by_name),
        series=_chart_series(span, dimension, ranked, value_by_key, starts),
        total=sum_totals(totals_by_name.values()),
        previous_totals=table.objects.in_range(previous_start(span, starts[0]), starts[0]).totals(),
    )


def every_step(
    span: TimeRange, dimension: str, now: dt.datetime | None = None
) -> Iterator[tuple[str, dt.datetime, Totals]]:
    """Name, start and totals of each step with usage; rows by cost, none of them combined."""
    since, value_by_key = step_starts(span, now)[0], _value_by_key(dimension)
    cells: dict[Name, dict[dt.datetime, list[Totals]]] = {}
    for start, name, totals in _by_step_and_name(span.step, dimension, since):
        steps = cells.setdefault(_name_of(name, value_by_key), {})
        steps.setdefault(step_start(span.step, start), []).append(totals)
    totals_by_name = {
        name: sum_totals(chain.from_iterable(steps.values())) for name, steps in cells.items()
    }
    ranked = _rank_names(totals_by_name)
    names = _display_names(dimension, ranked)
    for name in ranked:
        for start in sorted(cells[name]):
            yield names[name], start, sum_totals(cells[name][start])


def _by_step_and_name(
    step: str, dimension: str, since: dt.datetime
) -> Iterator[tuple[dt.datetime, Name, Totals]]:
    table = _table_of(dimension)
    if step == "hour":
        return table.objects.between(since).by_hour_and(_column_dimension(dimension))
    return table.objects.in_range(since).by_step_and(step, _column_dimension(dimension))


def _table_of(dimension: str) -> type[EndUserHour | UsageHour]:
    """The roll-ups by this dimension."""
    return EndUserHour if dimension == "end_user" else UsageHour


def _column_dimension(dimension: str) -> str:
    """The dimension that the roll-ups have columns for."""
    return "key" if dimension in _KEY_DIMENSIONS else dimension


def _totals_by_name(
    rows: UsageRange[Any], dimension: str, value_by_key: dict[int, str] | None
) -> dict[Name, Totals]:
    totals_by_name: dict[Name, list[Totals]] = {}
    for name, totals in rows.totals_by(_column_dimension(dimension)).items():
        totals_by_name.setdefault(_name_of(name, value_by_key), []).append(totals)
    return {name: sum_totals(totals) for name, totals in totals_by_name.items()}


def _name_of(name: Name, value_by_key: dict[int, str] | None) -> Name:
    return name if value_by_key is None else (value_by_key.get(name[0], ""),)


def _value_by_key(dimension: str) -> dict[int, str] | None:
    """The team, project or user of each key by row id; None for other dimensions."""
    if dimension not in _KEY_DIMENSIONS:
        return None
    keys = ApiKey.objects.select_related("team__parent")
    return {key.pk: _key_dimension_value(key, dimension) for key in keys}


def _key_dimension_value(key: ApiKey, dimension: str) -> str:
    if dimension == "user":
        return key.user
    project, team = project_and_team_names(key.team)
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
    shown_names = ranked[: _count_shown(ranked, MAX_ROWS)]
    names = _display_names(dimension, shown_names)
    presets = dict(Provider.objects.values_list("name", "preset"))
    max_cost = max((totals.cost_units for totals in totals_by_name.values()), default=0)
    max_tokens = max((totals.tokens for totals in totals_by_name.values()), default=0)
    rows = []
    for index, name in enumerate(shown_names):
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
                color=index + 1 if index < _count_shown(ranked, MAX_SERIES) else 0,
                share=share,
                preset=presets.get(provider, provider),
                query=_log_query(dimension, name),
            )
        )
    if other_names := ranked[len(shown_names) :]:
        totals = sum_totals(totals_by_name[name] for name in other_names)
        rows.append(UsageRow(_others_label(len(other_names)), totals, 0, 0))
    return tuple(rows)


def _count_shown(ranked: list[Name], max_shown: int) -> int:
    """How many rows or series are shown; one is for the others, if they are more."""
    return len(ranked) if len(ranked) <= max_shown else max_shown - 1


def _others_label(count_: int) -> str:
    return _("%(n)d others") % {"n": count_}


def _chart_series(
    span: TimeRange,
    dimension: str,
    ranked: list[Name],
    value_by_key: dict[int, str] | None,
    starts: list[dt.datetime],
) -> tuple[Series, ...]:
    """The charts' series: the first rows, and the others as one."""
    shown_names = ranked[: _count_shown(ranked, MAX_SERIES)]
    if not shown_names:
        return ()
    conditions = [_name_filter(dimension, name, value_by_key) for name in shown_names]
    cells: dict[int, dict[dt.datetime, list[Totals]]] = {}
    for start, number, totals in _by_step_and_condition(span, dimension, starts[0], conditions):
        steps = cells.setdefault(number, {})
        steps.setdefault(step_start(span.step, start), []).append(totals)
    names = _display_names(dimension, shown_names)
    labels = {number: names[name] for number, name in enumerate(shown_names, 1)}
    if len(ranked) > len(shown_names):
        labels[0] = _others_label(len(ranked) - len(shown_names))
    return tuple(
        Series(
            label,
            number,
            tuple(sum_totals(cells.get(number, {}).get(start, ())) for start in starts),
        )
        for number, label in labels.items()
    )


def _by_step_and_condition(
    span: TimeRange, dimension: str, since: dt.datetime, conditions: list[Q]
) -> Iterator[tuple[dt.datetime, int, Totals]]:
    table = _table_of(dimension)
    if span.step == "hour":
        return table.objects.between(since).by_step_and_condition(span.step, conditions)
    return table.objects.in_range(since).by_step_and_condition(span.step, conditions)


def _name_filter(dimension: str, name: Name, value_by_key: dict[int, str] | None) -> Q:
    """Filter for the roll-up rows of a name."""
    if value_by_key is None:
        return Q(**dict(zip(COLUMNS[dimension], name, strict=True)))
    (value,) = name
    if value:
        return Q(key_id__in=[pk for pk, of_key in value_by_key.items() if of_key == value])
    # Also requests without a key, and with one that was deleted.
    return ~Q(key_id__in=[pk for pk, of_key in value_by_key.items() if of_key])


def _display_names(dimension: str, ranked: list[Name]) -> dict[Name, str]:
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
    return " ".join(_query_term(field, str(value)) for field, value in pairs if field and value)


def _query_term(field: str, value: str) -> str:
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
                "color": series.color,
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
