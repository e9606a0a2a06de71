"""`/console/requests`: the list, its live tail, and the export of what it shows."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from console.access import may_read_bodies, viewer
from console.pages.requests import find, sessions
from console.pages.requests.histogram import Histogram, histogram
from console.pages.requests.lines import lines
from console.pages.requests.menus import menus
from console.pages.requests.query import DEFAULT_RANGE, RANGES, Search, State, parse, without
from gateway.models import RequestLog

SPANS = (
    ("15m", _("Last 15 minutes")),
    ("1h", _("Last 60 minutes")),
    ("6h", _("Last 6 hours")),
    ("24h", _("Last 24 hours")),
    ("7d", _("Last 7 days")),
    ("30d", _("Last 30 days")),
    ("all", _("All")),
)
# Rows that one tick of the live tail brings; more are a reload away.
TAIL = 40
_ID_DIGITS = 19
# Height of the histogram's picture, in its own units.
_HEIGHT = 28


def state_of(request: HttpRequest) -> State:
    """What the address says; nonsense is as good as nothing."""
    span = request.GET.get("range", "")
    return State(
        q=request.GET.get("q", "")[:1000].replace("\0", "").strip(),
        span=span if span in RANGES or span == "all" else DEFAULT_RANGE,
        group="session" if request.GET.get("group") == "session" else "",
        cursor=_number(request.GET.get("cursor", "")),
    )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and 0 < len(text) < _ID_DIGITS else None


def search_of(state: State) -> Search:
    """The state as a search, its times counted from now."""
    return parse(state.q, state.span, timezone.now())


@viewer
@require_safe
def requests_list(request: HttpRequest) -> HttpResponse:
    """The list, with nothing beside it."""
    state = state_of(request)
    context = list_context(request, state)
    if request.headers.get("HX-Request") and state.cursor:
        return render(request, "console/requests/_more.html", context)
    return render(request, "console/requests.html", context)


def list_context(request: HttpRequest, state: State, selected: int | None = None) -> dict[str, Any]:
    """What the list's template needs; `selected` is the row whose detail is beside it."""
    search = search_of(state)
    path = reverse("requests")
    common = {
        "page": "requests",
        "state": state,
        "search": search,
        "chips": _chips(state, search, path),
        "menus": list(menus(state, search, path)),
        "spans": SPANS,
        "histogram": _picture(histogram(search, timezone.now())),
        "address": state.address(),
        "newest_id": _newest_id(),
        "dated": _dated(state),
        "may_read_bodies": may_read_bodies(request.user),
        "selected": selected,
        "empty_log": not (RequestLog.objects.any_asked() or search.checks),
    }
    if state.group:
        found, cursor = sessions.groups(search, state.cursor)
        group_lines = lines(group.newest for group in found)
        listed: dict[str, Any] = {
            "groups": list(zip(found, group_lines, strict=True)),
            "next": cursor,
        }
    else:
        page = find.page(search, _start(search, state, selected))
        listed = {"lines": lines(page.rows), "next": page.next, "reached": page.reached}
    return {**common, **listed}


def _start(search: Search, state: State, selected: int | None) -> int | None:
    """Where the list begins: a selected row that is not on the first page leads its own."""
    if state.cursor is not None or selected is None:
        return state.cursor
    near = find.newer(search, selected, find.PAGE)
    return selected + 1 if len(near) >= find.PAGE else None


def _dated(state: State) -> bool:
    """Whether the rows may be of more than one day."""
    return state.span in {"7d", "30d", "all"} or bool(state.cursor)


def _newest_id() -> int:
    return RequestLog.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def _chips(state: State, search: Search, path: str) -> list[dict[str, Any]]:
    return [
        {"text": str(term), "url": f"{path}?{state.address(q=without(state.q, term))}"}
        for term in search.terms
    ]


def _picture(found: Histogram | None) -> dict[str, Any] | None:
    """The histogram as bars: x, y, height, and the part of it that failed."""
    if found is None:
        return None
    most = found.most or 1
    bars = []
    for at, part in enumerate(found.slices):
        height = 0.0 if not part.count else max(1.5, part.count / most * _HEIGHT)
        failed = 0.0 if not part.failed else min(max(2.0, part.failed / most * _HEIGHT), _HEIGHT)
        bars.append(
            {
                "x": at * 4,
                "y": round(_HEIGHT - height, 2),
                "h": round(height, 2),
                "failed_y": round(_HEIGHT - failed, 2),
                "failed_h": round(failed, 2),
                "part": part,
            }
        )
    return {"bars": bars, "width": len(bars) * 4 - 1, "height": _HEIGHT, "of": found}


@viewer
@require_safe
def requests_tail(request: HttpRequest) -> HttpResponse:
    """What came since `after`: rows for the top of the list, or with `peek` their number."""
    state = state_of(request)
    search = search_of(state)
    after = _number(request.GET.get("after", "")) or 0
    rows = find.newer(search, after, TAIL + 1)
    peek = "peek" in request.GET
    context = {
        "state": state,
        "address": state.address(),
        "dated": _dated(state),
        "lines": [] if peek else lines(rows[:TAIL]),
        "waiting": len(rows) if peek else 0,
        "most": TAIL,
        "missed": not peek and len(rows) > TAIL,
        "newest_id": after if peek or not rows else rows[0].pk,
    }
    return render(request, "console/requests/_tail.html", context)
