"""`/console/traces`: traces that agents sent, each as a waterfall with the gateway's requests."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console.access import may_read_bodies, viewer
from console.list_filters import MAX_CHOICES, TIME_RANGES, distinct_values
from console.numbers import number_in
from console.pages.traces.filters import STATUSES, read_filters
from console.pages.traces.links import ALL, Links
from console.pages.traces.waterfall import trace_waterfall
from gateway import store
from gateway.models import ApiKey, ClientSpan, ClientTrace

PAGE_ROWS = 50
# Row ids of keys whose traces are shown; None is all.
KeyIds = tuple[int, ...] | None


@viewer
@require_safe
def traces(request: HttpRequest) -> HttpResponse:
    """The list, newest first; `before` is the cursor of a further page."""
    return render_list(request, ALL, None)


@viewer
@require_safe
def trace(request: HttpRequest, trace_id: str) -> HttpResponse:
    """One trace: its spans and the gateway's requests as a waterfall."""
    return render_trace(request, ALL, trace_id, None)


@viewer
@require_safe
def span(request: HttpRequest, pk: int) -> HttpResponse:
    """One span: its attributes, and its content for users who may read bodies."""
    return render_span(request, ALL, pk, None)


def render_list(request: HttpRequest, links: Links, key_ids: KeyIds) -> HttpResponse:
    """A page of the traces of these keys."""
    cursor = number_in(request.GET.get("before", ""))
    filters = read_filters(request.GET)
    visible = ClientTrace.objects.of_keys(key_ids)
    rows = list(filters.apply(visible).newest(PAGE_ROWS + 1, cursor))
    page = rows[:PAGE_ROWS]
    counts = ClientSpan.objects.counts([row.trace_id for row in page])
    names = _key_names(page)
    lines = [
        {
            "row": row,
            "key": names.get(row.key_id, row.key_prefix),
            "counts": counts.get((row.trace_id, row.key_id), (0, 0)),
        }
        for row in page
    ]
    context = {
        "page": links.page,
        "links": links,
        "lines": lines,
        "next": page[-1].pk if len(rows) > PAGE_ROWS else None,
        "continues": cursor is not None,
        "filters": filters,
        "services": distinct_values("service", ClientTrace)
        if key_ids is None
        else visible.services(MAX_CHOICES),
        "statuses": STATUSES,
        "ranges": TIME_RANGES,
        "endpoint": request.build_absolute_uri("/v1/traces/ingest"),
    }
    return render(request, "console/traces/list.html", context)


def _key_names(rows: list[ClientTrace]) -> dict[int, str]:
    """The names of the keys that sent these traces, as far as they exist."""
    keys = ApiKey.objects.in_bulk({row.key_id for row in rows if row.key_id})
    return {pk: key.name for pk, key in keys.items()}


def render_trace(
    request: HttpRequest, links: Links, trace_id: str, key_ids: KeyIds
) -> HttpResponse:
    """One trace, with the spans and requests of these keys."""
    rows = list(ClientTrace.objects.with_trace_ids([trace_id]).of_keys(key_ids).newest(10))
    if not rows:
        raise Http404(_("This trace is not stored."))
    names = _key_names(rows)
    context = {
        "page": links.page,
        "links": links,
        "row": rows[0],
        "keys": [
            (names.get(row.key_id, row.key_prefix), row.key_prefix)
            for row in rows
            if row.key_prefix
        ],
        "session": next((row.session for row in rows if row.session), ""),
        "waterfall": trace_waterfall([trace_id], key_ids=key_ids),
    }
    return render(request, "console/traces/trace.html", context)


def render_span(request: HttpRequest, links: Links, pk: int, key_ids: KeyIds) -> HttpResponse:
    """One span of these keys. Content of personal keys is readable without a further permission."""
    row = get_object_or_404(ClientSpan.objects.of_keys(key_ids), pk=pk)
    allowed = key_ids is not None or may_read_bodies(request.user)
    context = {
        "page": links.page,
        "links": links,
        "row": row,
        "duration_ms": _duration_ms(row),
        "attributes": [(name, display_value(value)) for name, value in row.attributes.items()],
        "content": content_texts(row) if allowed else [],
        "not_stored": content_reason(row, allowed=allowed),
    }
    return render(request, "console/traces/span.html", context)


def _duration_ms(row: ClientSpan) -> float | None:
    """The duration in milliseconds; None if the client has not reported the end."""
    if row.ended_at is None:
        return None
    return (row.ended_at - row.started_at) / dt.timedelta(milliseconds=1)


def content_texts(row: ClientSpan) -> list[tuple[str, str]]:
    """Names and texts of the stored content of a span."""
    return [(name, display_value(value)) for name, value in store.span_content(row).items()]


def content_reason(row: ClientSpan, *, allowed: bool) -> str:
    """Why the content of a span is not shown; empty if it is."""
    if not allowed and row.content_omitted != "none":
        return _("Your role may not read content.")
    return {
        "off": _("Content is not stored: the key, the route or the settings disable bodies."),
        "expired": _("Content was deleted after its retention period."),
    }.get(row.content_omitted, "")


def display_value(value: Any) -> str:
    """A value as text: strings as they are, others as JSON."""
    if isinstance(value, str):
        return value
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
