"""`/console/requests`: the list and its live tail."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from console.access import Person, may_read_bodies, viewer
from console.htmx import is_partial
from console.list_filters import DEFAULT_RANGE, RANGE_SECONDS, TIME_RANGES
from console.models import SavedView
from console.numbers import number_in
from console.pages.requests import log_search, sessions
from console.pages.requests.histogram import Histogram, histogram
from console.pages.requests.log_lines import lines
from console.pages.requests.menus import choices_in_log, menus, suggestions
from console.pages.requests.query import (
    FILTERS,
    SORTS,
    Search,
    State,
    parse,
    without_term,
)
from gateway.models import RequestLog


class ListColumn(NamedTuple):
    """A column of the list: its CSS class, its title, and the orders it offers."""

    name: str
    title: Promise
    sorts: tuple[tuple[str, Promise], ...] = ()


LIST_COLUMNS = (
    ListColumn("time", _("Time")),
    ListColumn("state", _("Status")),
    ListColumn("what", _("Key, model")),
    ListColumn("up", _("Upstream")),
    ListColumn("tok", _("Tokens"), (("tokens", _("Tokens")),)),
    ListColumn("dur", _("Total / First"), (("latency", _("Total")), ("ttft", _("First")))),
    ListColumn("cost", _("Cost"), (("cost", _("Cost")),)),
)
# Columns that can be hidden.
OPTIONAL_COLUMNS = ("state", "up", "tok", "dur", "cost")
# Rows of one live tail update; more require a reload.
TAIL_ROWS = 40
# Height of the histogram in the units of its view box.
_CHART_HEIGHT = 28
_TICKS = 4


def state_of(request: HttpRequest) -> State:
    """Return the state in the URL; invalid values are ignored."""
    span = request.GET.get("range", "")
    return State(
        q=request.GET.get("q", "")[:1000].replace("\0", "").strip(),
        span=span if span in RANGE_SECONDS or span == "all" else DEFAULT_RANGE,
        group="session" if request.GET.get("group") == "session" else "",
        sort=sort if (sort := request.GET.get("sort", "")) in SORTS else "",
        cursor=number_in(request.GET.get("cursor", "")),
    )


def state_with(request: HttpRequest, row: RequestLog) -> State:
    """Return the state in the URL; without a range, one that contains the row."""
    state = state_of(request)
    if request.GET.get("range"):
        return state
    age_s = (timezone.now() - row.started_at).total_seconds()
    spans = list(RANGE_SECONDS)[list(RANGE_SECONDS).index(DEFAULT_RANGE) :]
    span = next((name for name in spans if age_s < RANGE_SECONDS[name]), "all")
    return msgspec.structs.replace(state, span=span)


def search_of(state: State, user: Person) -> Search:
    """Return the state as a search by this user, with times relative to now.

    Text is searched in bodies, so text search needs the permission to read them.
    """
    search = parse(state.q, state.span, timezone.now())
    if search.text and not may_read_bodies(user):
        return msgspec.structs.replace(search, text="", text_refused=True)
    return search


@viewer
@require_safe
def requests_list(request: HttpRequest) -> HttpResponse:
    """The list without a detail."""
    state = state_of(request)
    context = list_context(request, state)
    if is_partial(request) and state.cursor:
        return render(request, "console/requests/_more.html", context)
    return render(request, "console/requests/page.html", context)


def list_context(
    request: HttpRequest, state: State, selected_pk: int | None = None
) -> dict[str, Any]:
    """Return the context of the list; `selected_pk` is the row whose detail is next to it."""
    search = search_of(state, request.user)
    path = reverse("requests")
    allowed = may_read_bodies(request.user)
    choices = choices_in_log()
    shared_context = {
        "page": "requests",
        "state": state,
        "search": search,
        "filters": FILTERS,
        "chips": _filter_chips(state, search, path),
        "menus": list(menus(state, search, path, choices)),
        "spans": TIME_RANGES,
        "views": list(SavedView.objects.owned_by(request.user)),
        "suggestions": suggestions(choices),
        "histogram": _histogram_chart(histogram(search, timezone.now())),
        "address": state.address(),
        "newest_id": RequestLog.objects.newest_pk(),
        "dated": _shows_dates(state),
        "may_read_bodies": allowed,
        "selected": selected_pk,
        "empty_log": not (RequestLog.objects.has_client_requests() or search.includes_checks),
    }
    if state.group:
        sessions_page, cursor = sessions.groups(search, state.cursor)
        newest_rows = (group.newest for group in sessions_page)
        group_lines = lines(newest_rows, with_previews=allowed, query=search.text)
        page_context: dict[str, Any] = {
            "groups": list(zip(sessions_page, group_lines, strict=True)),
            "next": cursor,
        }
    else:
        page = (
            log_search.largest(search, state.sort)
            if state.sort
            else log_search.page(search, _first_cursor(search, state, selected_pk))
        )
        shown_lines = lines(page.rows, with_previews=allowed, query=search.text)
        page_context = {
            "lines": shown_lines,
            "next": page.next,
            "searched_until": page.searched_until,
        }
        page_context["columns"] = _columns(state, path)
        page_context["newest_address"] = state.address(sort="")
    return {**shared_context, **page_context}


def _first_cursor(search: Search, state: State, selected_pk: int | None) -> int | None:
    """Return the cursor of the list: a selected row beyond the first page starts its page."""
    if state.cursor is not None or selected_pk is None:
        return state.cursor
    newer_rows = log_search.newer(search, selected_pk, log_search.PAGE_ROWS)
    return selected_pk + 1 if len(newer_rows) >= log_search.PAGE_ROWS else None


def _shows_dates(state: State) -> bool:
    """Whether the rows may span more than one day."""
    return state.span in {"7d", "30d", "all"} or bool(state.cursor or state.sort)


def _columns(state: State, path: str) -> list[dict[str, Any]]:
    """Return the columns of the table, with links that sort by them."""
    return [
        {
            "name": column.name,
            "title": column.title,
            "optional": column.name in OPTIONAL_COLUMNS,
            "sorts": [
                {
                    "label": label,
                    "current": state.sort == sort,
                    "url": f"{path}?{state.address(sort='' if state.sort == sort else sort)}",
                }
                for sort, label in column.sorts
            ],
        }
        for column in LIST_COLUMNS
    ]


def _filter_chips(state: State, search: Search, path: str) -> list[dict[str, Any]]:
    return [
        {"text": str(term), "url": f"{path}?{state.address(q=without_term(state.q, term))}"}
        for term in search.terms
    ]


def _histogram_chart(data: Histogram | None) -> dict[str, Any] | None:
    """Return the histogram as bars: x, y, height, and the failed part; and its time axis."""
    if data is None:
        return None
    max_count = data.max_count or 1
    bars = []
    for index, part in enumerate(data.slices):
        height = 0.0 if not part.count else max(1.5, part.count / max_count * _CHART_HEIGHT)
        failed_height = (
            0.0
            if not part.failed
            else min(max(2.0, part.failed / max_count * _CHART_HEIGHT), _CHART_HEIGHT)
        )
        bars.append(
            {
                "x": index * 4,
                "y": round(_CHART_HEIGHT - height, 2),
                "h": round(height, 2),
                "failed_y": round(_CHART_HEIGHT - failed_height, 2),
                "failed_h": round(failed_height, 2),
                "part": part,
            }
        )
    return {
        "bars": bars,
        "width": len(bars) * 4 - 1,
        "height": _CHART_HEIGHT,
        "data": data,
        "ticks": [data.slices[index].since for index in range(0, len(bars), len(bars) // _TICKS)],
        "until": data.slices[-1].until,
        "dated": data.slices[-1].until - data.slices[0].since > dt.timedelta(days=1),
    }


@viewer
@require_safe
def requests_tail(request: HttpRequest) -> HttpResponse:
    """Rows newer than `after`, for the top of the list; with `peek` only their number."""
    state = state_of(request)
    search = search_of(state, request.user)
    after = number_in(request.GET.get("after", "")) or 0
    rows = log_search.newer(search, after, TAIL_ROWS + 1)
    peek = "peek" in request.GET
    context = {
        "state": state,
        "address": state.address(),
        "dated": _shows_dates(state),
        "lines": []
        if peek
        else lines(
            rows[:TAIL_ROWS], with_previews=may_read_bodies(request.user), query=search.text
        ),
        "waiting": len(rows) if peek else 0,
        "limit": TAIL_ROWS,
        "missed": not peek and len(rows) > TAIL_ROWS,
        "newest_id": after if peek or not rows else rows[0].pk,
    }
    return render(request, "console/requests/_tail.html", context)
