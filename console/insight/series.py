"""Usage over time, split by what asked or answered: lines of a table, bars of a chart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.charts import percent
from console.insight.spans import Span, before, caption, start_of, starts
from console.templatetags.ui import count, tokens, usd
from gateway.models import ApiKey, Provider, UsageHour
from gateway.store.spend import parts
from gateway.usage_querysets import Name, Totals, added

DIMENSIONS: dict[str, str | Promise] = {
    "model": gettext_lazy("Model"),
    "key": gettext_lazy("Key"),
    "provider": gettext_lazy("Provider"),
    "route": gettext_lazy("Route"),
    "team": gettext_lazy("Team"),
    "project": gettext_lazy("Project"),
    "user": gettext_lazy("User"),
}
# Those that a request has by its key, as the key is now.
_OF_KEYS = frozenset({"team", "project", "user"})
_NONE: dict[str, Promise] = {
    "model": gettext_lazy("no model was called"),
    "key": gettext_lazy("no key"),
    "provider": gettext_lazy("no provider was called"),
    "route": gettext_lazy("no route"),
    "team": gettext_lazy("no team"),
    "project": gettext_lazy("no project"),
    "user": gettext_lazy("no user"),
}
# Colours that can be told apart; the rest is summed up.
MOST_SERIES = 7


class Cell(msgspec.Struct, frozen=True):
    """A number of a table: as it is written, and what is to be said beside it."""

    text: str
    beside: str = ""


class Line(msgspec.Struct, frozen=True):
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
        """The cost as the table has it."""
        return cell(self.totals, "cost")


class Series(msgspec.Struct, frozen=True):
    """A line's sums in each step."""

    name: str
    colour: int
    totals: tuple[Totals, ...]


class Usage(msgspec.Struct, frozen=True):
    """All that the page shows of a range."""

    span: Span
    dimension: str
    starts: tuple[dt.datetime, ...]
    lines: tuple[Line, ...]
    series: tuple[Series, ...]
    whole: Totals
    earlier: Totals

    @property
    def captions(self) -> list[str]:
        """The names of the steps."""
        return [caption(self.span.step, start) for start in self.starts]

    @property
    def by_step(self) -> list[Totals]:
        """Everything in each step."""
        if not self.series:
            return [Totals()] * len(self.starts)
        return [added(column) for column in zip(*(s.totals for s in self.series), strict=True)]


def usage(
    span: Span, dimension: str, now: dt.datetime | None = None, *, summed: bool = True
) -> Usage:
    """Usage of a range that ends now; `summed` makes one series of the many small ones."""
    begins = starts(span, now)
    cells: dict[Name, dict[dt.datetime, list[Totals]]] = {}
    step_of: dict[dt.datetime, dt.datetime] = {}
    for hour, name, totals in _by_hour(dimension, begins[0]):
        if hour not in step_of:
            step_of[hour] = start_of(span.step, hour)
        cells.setdefault(name, {}).setdefault(step_of[hour], []).append(totals)
    sums = {
        name: {step: added(found) for step, found in steps.items()} for name, steps in cells.items()
    }
    wholes = {name: added(steps.values()) for name, steps in sums.items()}
    ranked = _ranked(wholes)
    earlier = UsageHour.objects.between(before(span, begins[0]), begins[0]).totals()
    return Usage(
        span=span,
        dimension=dimension,
        starts=tuple(begins),
        lines=_lines(dimension, ranked, wholes),
        series=_series(dimension, ranked, sums, begins, summed=summed),
        whole=added(wholes.values()),
        earlier=earlier,
    )


def _by_hour(dimension: str, since: dt.datetime) -> Iterable[tuple[dt.datetime, Name, Totals]]:
    rows = UsageHour.objects.between(since)
    if dimension not in _OF_KEYS:
        return rows.by_hour_and(dimension)
    of = {key.pk: _of_key(key, dimension) for key in ApiKey.objects.select_related("team__parent")}
    by_key = rows.by_hour_and("key")
    return ((hour, (of.get(name[0], ""),), totals) for hour, name, totals in by_key)


def _of_key(key: ApiKey, dimension: str) -> str:
    if dimension == "user":
        return key.user
    project, team = parts(key.team)
    return team if dimension == "team" else project


def _ranked(wholes: dict[Name, Totals]) -> list[Name]:
    """By what they cost, and what costs nothing or unknown by tokens; one order everywhere."""
    return sorted(
        wholes,
        key=lambda name: (wholes[name].cost_units, wholes[name].tokens, wholes[name].requests),
        reverse=True,
    )


def _lines(dimension: str, ranked: list[Name], wholes: dict[Name, Totals]) -> tuple[Line, ...]:
    names = _names(dimension, ranked)
    presets = dict(Provider.objects.values_list("name", "preset"))
    most = max((totals.cost_units for totals in wholes.values()), default=0)
    tokens = max((totals.tokens for totals in wholes.values()), default=0)
    found = []
    for index, name in enumerate(ranked):
        totals = wholes[name]
        share = percent(totals.cost_units, most) if most else percent(totals.tokens, tokens)
        # Only models and providers have a logo; the provider is the first of their columns.
        provider = str(name[0]) if dimension in ("model", "provider") else ""
        found.append(
            Line(
                name=names[name],
                totals=totals,
                colour=_colour(index, len(ranked)),
                share=share,
                preset=presets.get(provider, provider),
                query=_query(dimension, name),
            )
        )
    return tuple(found)


def _colour(index: int, count: int) -> int:
    shown = MOST_SERIES if count <= MOST_SERIES else MOST_SERIES - 1
    return index + 1 if index < shown else 0


def _series(
    dimension: str,
    ranked: list[Name],
    sums: dict[Name, dict[dt.datetime, Totals]],
    begins: list[dt.datetime],
    *,
    summed: bool,
) -> tuple[Series, ...]:
    names, none = _names(dimension, ranked), Totals()
    found, rest = [], []
    for index, name in enumerate(ranked):
        row = tuple(sums[name].get(start, none) for start in begins)
        colour = _colour(index, len(ranked))
        if colour or not summed:
            found.append(Series(names[name], colour, row))
        else:
            rest.append(row)
    if rest:
        others = tuple(added(column) for column in zip(*rest, strict=True))
        found.append(Series(_("%(n)d others") % {"n": len(rest)}, 0, others))
    return tuple(found)


def _names(dimension: str, ranked: list[Name]) -> dict[Name, str]:
    none = str(_NONE[dimension])
    if dimension != "key":
        return {name: "/".join(str(part) for part in name if part) or none for name in ranked}
    keys = ApiKey.objects.in_bulk([name[0] for name in ranked if name[0]])
    return {name: keys[name[0]].name if name[0] in keys else name[1] or none for name in ranked}


def _query(dimension: str, name: Name) -> str:
    """The search of the request log that finds these requests."""
    if dimension in _OF_KEYS:
        return ""
    words = {"model": ("provider", "model"), "key": (None, "key")}.get(dimension, (dimension,))
    pairs = zip(words, name, strict=True)
    return " ".join(_term(word, str(value)) for word, value in pairs if word and value)


def _term(word: str, value: str) -> str:
    return f'{word}:"{value}"' if " " in value else f"{word}:{value}"


def cell(totals: Totals, measure: str) -> Cell:
    """Cost or tokens; an unknown cost is said, a dash means that nothing was asked for."""
    if not totals.requests and not totals.tokens:
        return Cell("—")
    if measure != "cost":
        return Cell(tokens(totals.tokens))
    if not (totals.unpriced and totals.priced):
        return Cell(usd(totals.cost))
    return Cell(usd(totals.cost), _("and %(n)s unknown") % {"n": count(totals.unpriced)})


def chart(found: Usage, measure: str) -> dict[str, Any]:
    """What the script draws: a row of values for each series, and how each is written."""
    return {
        "captions": found.captions,
        "series": [
            {
                "name": series.name,
                "colour": series.colour,
                "values": [float(value(totals, measure) or 0) for totals in series.totals],
                "words": [_words(totals, measure) for totals in series.totals],
            }
            for series in found.series
        ],
        "totals": [_words(totals, measure) for totals in found.by_step],
        "unit": "usd" if measure == "cost" else "tokens",
    }


def _words(totals: Totals, measure: str) -> str:
    found = cell(totals, measure)
    return f"{found.text} {found.beside}".strip()


def value(totals: Totals, measure: str) -> Decimal | int | None:
    """The number that a chart shows; None if it is not known."""
    return totals.cost if measure == "cost" else totals.tokens
