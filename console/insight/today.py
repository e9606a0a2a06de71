"""The day so far, for the overview: figures, the same of yesterday, and a day of hours."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console import charts
from console.insight.spans import hours, start_of
from console.templatetags.ui import count, ms, percent, tokens, usd
from gateway.models import PaceHour, UsageHour
from gateway.usage_querysets import Totals, added, quantile

HOURS = 24
MOST_ROUTES = 7


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A number of the day: how it is written, what to compare it with, and its hours."""

    title: str | Promise
    text: str
    note: str = ""
    tone: str = ""
    values: tuple[charts.Value, ...] = ()
    says: str = ""


class RouteShare(msgspec.Struct, frozen=True):
    """A route's part of the day."""

    name: str
    totals: Totals
    percent: float


class Today(msgspec.Struct, frozen=True):
    """What the overview shows of usage."""

    figures: tuple[Figure, ...]
    traffic: charts.Columns
    scale: tuple[str, ...]
    axis: tuple[str, ...]
    rows: tuple[tuple[dt.datetime, Totals], ...]
    routes: tuple[RouteShare, ...]
    whole: Totals

    @property
    def busy(self) -> bool:
        """Whether the last 24 hours had any request."""
        return any(totals.requests for _begin, totals in self.rows)


def today(now: dt.datetime | None = None) -> Today:
    """The figures now."""
    now = now or timezone.now()
    # The lines show whole hours, the running one would always look like a fall.
    *whole_hours, _running = every = hours(HOURS + 1, now)
    begins, midnight = every[1:], start_of("day", now)
    by_hour, none = UsageHour.objects.between(min(every[0], midnight)).by_hour(), Totals()
    row = [(begin, by_hour.get(begin, none)) for begin in begins]
    past = [(begin, by_hour.get(begin, none)) for begin in whole_hours]
    whole = added(totals for hour, totals in by_hour.items() if hour >= midnight)
    day = dt.timedelta(days=1)
    # As far as yesterday had come by the end of this hour, which is the same hour's.
    last = UsageHour.objects.between(midnight - day, begins[-1] - day + dt.timedelta(hours=1))
    chart = charts.columns(
        [totals.requests for _begin, totals in row],
        [totals.errors for _begin, totals in row],
        labels=[_hour_words(begin, totals) for begin, totals in row],
    )
    return Today(
        figures=_figures(whole, last.totals(), past, midnight),
        traffic=chart,
        scale=tuple(
            count(int(tick.value)) if tick.value % 1 == 0 else "" for tick in chart.ticks[::-1]
        ),
        axis=tuple(f"{timezone.localtime(begin):%H:%M}" for begin in begins[::6]),
        rows=tuple(row),
        routes=_routes(midnight),
        whole=whole,
    )


def _figures(
    whole: Totals,
    last: Totals,
    row: list[tuple[dt.datetime, Totals]],
    midnight: dt.datetime,
) -> tuple[Figure, ...]:
    pace = PaceHour.objects.between(row[0][0]).measured("first").by_hour()
    first = PaceHour.objects.between(midnight).measured("first").histogram()
    return (
        Figure(
            title=gettext_lazy("Requests"),
            text=count(whole.requests),
            note=_("%(n)s yesterday by now") % {"n": count(last.requests)},
            values=tuple(totals.requests for _begin, totals in row),
            says=_("Requests per hour over the last 24 hours"),
        ),
        Figure(
            title=gettext_lazy("Errors"),
            text=count(whole.errors),
            note=_("%(share)s of requests") % {"share": percent(whole.error_rate)}
            if whole.requests
            else "",
            tone="bad" if whole.errors else "",
            values=tuple(totals.errors for _begin, totals in row),
            says=_("Errors per hour over the last 24 hours"),
        ),
        Figure(
            title=gettext_lazy("Cost"),
            text=usd(whole.cost),
            note=_unknown(whole) or _("%(usd)s yesterday by now") % {"usd": usd(last.cost)},
            values=tuple(_dollars(totals.cost) for _begin, totals in row),
            says=_("Known cost per hour over the last 24 hours"),
        ),
        Figure(
            title=gettext_lazy("Tokens"),
            text=tokens(whole.tokens),
            note=_("%(input)s in, %(output)s out")
            % {"input": tokens(whole.prompt_tokens), "output": tokens(whole.output_tokens)},
            values=tuple(totals.tokens for _begin, totals in row),
            says=_("Tokens per hour over the last 24 hours"),
        ),
        Figure(
            title=gettext_lazy("First token"),
            text=ms(quantile(first, 0.5)),
            note=_("half are faster; 95 %% within %(ms)s") % {"ms": ms(quantile(first, 0.95))}
            if first
            else _("half are faster"),
            values=tuple(quantile(pace.get(begin, {}), 0.5) for begin, _totals in row),
            says=_("Median time to the first token per hour over the last 24 hours"),
        ),
    )


def _mark(value: float) -> str:
    return count(int(value)) if value % 1 == 0 else ""  # there is no half request


def _dollars(cost: Decimal | None) -> charts.Value:
    return None if cost is None else float(cost)


def _unknown(totals: Totals) -> str:
    if not totals.unpriced:
        return ""
    words = ngettext(
        "and %(n)s, price unknown",
        "and %(n)s, prices unknown",
        totals.unpriced,
    )
    return words % {"n": count(totals.unpriced)}


def _hour_words(begin: dt.datetime, totals: Totals) -> str:
    values: dict[str, Any] = {
        "hour": f"{timezone.localtime(begin):%H:%M}",
        "n": count(totals.requests),
        "errors": count(totals.errors),
    }
    return _("%(hour)s: %(n)s requests, %(errors)s errors") % values


def _routes(midnight: dt.datetime) -> tuple[RouteShare, ...]:
    found = UsageHour.objects.between(midnight).by("route")
    asked = [item for item in found.items() if item[1].requests]
    ranked = sorted(asked, key=lambda item: -item[1].requests)
    most = ranked[0][1].requests if ranked else 0
    shown = ranked if len(ranked) <= MOST_ROUTES else ranked[: MOST_ROUTES - 1]
    rows = [
        RouteShare(name[0] or _("no route"), totals, charts.percent(totals.requests, most))
        for name, totals in shown
    ]
    if len(ranked) > len(shown):
        others = _("%(n)d others") % {"n": len(ranked) - len(shown)}
        rest = added(totals for _name, totals in ranked[len(shown) :])
        rows.append(RouteShare(others, rest, charts.percent(rest.requests, most)))
    return tuple(rows)
