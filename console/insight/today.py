"""Figures of the current day for the overview, compared with yesterday, and hourly values."""

from __future__ import annotations

import datetime as dt

import msgspec
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console import charts
from console.insight.time_ranges import hour_starts
from console.templatetags.ui import count, ms, percent, tokens, usd
from gateway.models import LatencyHour, UsageHour
from gateway.usage_querysets import Totals, quantile, sum_totals

HOURS = 24
MAX_ROUTES = 7


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of the day: formatted text, comparison, and hourly values."""

    title: str | Promise
    text: str
    note: str = ""
    tone: str = ""
    values: tuple[charts.Value, ...] = ()
    description: str = ""


class RouteShare(msgspec.Struct, frozen=True):
    """Share of a route in the requests of the day."""

    name: str
    totals: Totals
    percent: float


class Today(msgspec.Struct, frozen=True):
    """Usage data of the overview."""

    figures: tuple[Figure, ...]
    traffic: charts.Columns
    scale: tuple[str, ...]
    axis: tuple[str, ...]
    rows: tuple[tuple[dt.datetime, Totals], ...]
    routes: tuple[RouteShare, ...]
    total: Totals


def today(now: dt.datetime | None = None) -> Today:
    """Current figures."""
    now = now or timezone.now()
    # Sparklines show complete hours: the current one would always look like a drop.
    *complete_hours, _running = all_hours = hour_starts(HOURS + 1, now)
    starts = all_hours[1:]
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    by_hour, none = UsageHour.objects.between(min(all_hours[0], midnight)).by_hour(), Totals()
    row = [(begin, by_hour.get(begin, none)) for begin in starts]
    complete_row = [(begin, by_hour.get(begin, none)) for begin in complete_hours]
    total = sum_totals(totals for hour, totals in by_hour.items() if hour >= midnight)
    day = dt.timedelta(days=1)
    # Yesterday up to the end of the same hour: there are no sums of less than an hour.
    hour_end = starts[-1] + dt.timedelta(hours=1)
    yesterday_totals = UsageHour.objects.between(midnight - day, hour_end - day).totals()
    until = f"{timezone.localtime(hour_end):%H:%M}".replace("00:00", "24:00")
    chart = charts.columns(
        [totals.requests for _begin, totals in row],
        [totals.errors for _begin, totals in row],
        labels=[_hour_label(begin, totals) for begin, totals in row],
    )
    return Today(
        figures=_today_figures(total, yesterday_totals, until, complete_row, midnight),
        traffic=chart,
        scale=tuple(
            count(int(tick.value)) if tick.value % 1 == 0 else "" for tick in chart.ticks[::-1]
        ),
        axis=tuple(f"{timezone.localtime(begin):%H:%M}" for begin in starts[::6]),
        rows=tuple(row),
        routes=_route_shares(midnight),
        total=total,
    )


def _today_figures(
    total: Totals,
    yesterday_totals: Totals,
    until: str,
    row: list[tuple[dt.datetime, Totals]],
    midnight: dt.datetime,
) -> tuple[Figure, ...]:
    ttft_by_hour = LatencyHour.objects.between(row[0][0]).of_measure("first_token").by_hour()
    ttft_today = LatencyHour.objects.between(midnight).of_measure("first_token").histogram()
    return (
        Figure(
            title=gettext_lazy("Requests"),
            text=count(total.requests),
            note=_("vs %(total)s yesterday until %(time)s")
            % {"total": count(yesterday_totals.requests), "time": until},
            values=tuple(totals.requests for _begin, totals in row),
            description=_("Requests per hour over the last 24 full hours"),
        ),
        Figure(
            title=gettext_lazy("Errors"),
            text=count(total.errors),
            note=_("%(share)s of requests") % {"share": percent(total.error_rate)}
            if total.requests
            else "",
            tone="bad" if total.errors else "",
            values=tuple(totals.errors for _begin, totals in row),
            description=_("Errors per hour over the last 24 full hours"),
        ),
        Figure(
            title=gettext_lazy("Cost"),
            text=usd(total.cost),
            note=_unpriced_note(total)
            or _("vs %(total)s yesterday until %(time)s")
            % {"total": usd(yesterday_totals.cost), "time": until},
            values=tuple(
                None if totals.cost is None else float(totals.cost) for _begin, totals in row
            ),
            description=_("Known cost per hour over the last 24 full hours"),
        ),
        Figure(
            title=gettext_lazy("Tokens"),
            text=tokens(total.tokens),
            note=_("%(input)s in, %(output)s out")
            % {"input": tokens(total.prompt_tokens), "output": tokens(total.output_tokens)},
            values=tuple(totals.tokens for _begin, totals in row),
            description=_("Tokens per hour over the last 24 full hours"),
        ),
        Figure(
            title=gettext_lazy("First token"),
            text=ms(quantile(ttft_today, 0.5)),
            note=_("p50 · p95 %(ms)s") % {"ms": ms(quantile(ttft_today, 0.95))}
            if ttft_today
            else _("p50"),
            values=tuple(quantile(ttft_by_hour.get(begin, {}), 0.5) for begin, _totals in row),
            description=_("Median time to the first token per hour over the last 24 full hours"),
        ),
    )


def _unpriced_note(totals: Totals) -> str:
    if not totals.unpriced_requests:
        return ""
    label = ngettext(
        "%(n)s request with unknown price",
        "%(n)s requests with unknown price",
        totals.unpriced_requests,
    )
    return label % {"n": count(totals.unpriced_requests)}


def _hour_label(begin: dt.datetime, totals: Totals) -> str:
    requests = ngettext("%(n)s request", "%(n)s requests", totals.requests)
    errors = ngettext("%(n)s error", "%(n)s errors", totals.errors)
    parts = (requests % {"n": count(totals.requests)}, errors % {"n": count(totals.errors)})
    return f"{timezone.localtime(begin):%H:%M}: {', '.join(parts)}"


def _route_shares(midnight: dt.datetime) -> tuple[RouteShare, ...]:
    totals_by_route = UsageHour.objects.in_range(midnight).totals_by("route")
    routes_with_requests = [item for item in totals_by_route.items() if item[1].requests]
    ranked_routes = sorted(routes_with_requests, key=lambda item: -item[1].requests)
    max_requests = ranked_routes[0][1].requests if ranked_routes else 0
    displayed_routes = (
        ranked_routes if len(ranked_routes) <= MAX_ROUTES else ranked_routes[: MAX_ROUTES - 1]
    )
    rows = [
        RouteShare(name[0] or _("no route"), totals, charts.percent(totals.requests, max_requests))
        for name, totals in displayed_routes
    ]
    if len(ranked_routes) > len(displayed_routes):
        label = _("%(n)d others") % {"n": len(ranked_routes) - len(displayed_routes)}
        other_totals = sum_totals(
            totals for _name, totals in ranked_routes[len(displayed_routes) :]
        )
        rows.append(
            RouteShare(label, other_totals, charts.percent(other_totals.requests, max_requests))
        )
    return tuple(rows)
