"""Requests of a person's personal keys: the list, and one of them with its conversation."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console.access import member
from console.numbers import number_in
from console.pages.requests import labels
from console.pages.requests.conversation import conversation_context
from console.pages.requests.log_lines import lines
from console.pages.requests.log_search import PAGE_ROWS as PAGE_ROWS
from console.pages.requests.log_search import Page, find_request, missing_request, page
from console.pages.requests.query import Search
from console.pages.requests.scores import ScoreForm, scores_context
from console.pages.traces.matching import traces_of_requests
from gateway import store
from gateway.models import ApiKey, ClientTrace, RequestLog

PAGE = "personal-requests"


def personal_requests(user: Any, cursor: int | None, size: int = PAGE_ROWS) -> Page:
    """A page of the requests of a person's keys, revoked ones included, newest first."""
    keys = tuple(ApiKey.objects.owned_by(user).values_list("pk", flat=True))
    return page(Search(key_ids=keys), cursor, size) if keys else Page([])


def personal_traces_of(user: Any, row: RequestLog) -> list[str]:
    """Ids of the traces of a person's keys that contain a request."""
    keys = tuple(ApiKey.objects.owned_by(user).values_list("pk", flat=True))
    rows = ClientTrace.objects.with_trace_ids(traces_of_requests([row])).of_keys(keys)
    return sorted(rows.values_list("trace_id", flat=True))


@require_safe
@member
def personal_request_list(request: HttpRequest) -> HttpResponse:
    """The list, newest first; `before` is the cursor of a further page."""
    cursor = number_in(request.GET.get("before", ""))
    request_page = personal_requests(request.user, cursor)
    context = {
        "page": PAGE,
        "lines": lines(request_page.rows, with_previews=True),
        "next": request_page.next,
        "continues": cursor is not None,
    }
    return render(request, "console/personal/requests.html", context)


@require_safe
@member
def personal_request(request: HttpRequest, request_id: str) -> HttpResponse:
    """One request of a personal key: its figures, its errors and its conversation."""
    return personal_request_page(request, find_personal_request(request, request_id))


def find_personal_request(request: HttpRequest, request_id: str) -> RequestLog:
    """Return the request of a personal key of this user. Raises Http404 for one of others."""
    row = find_request(request_id)
    if not ApiKey.objects.owns(request.user, row.key_id):
        raise missing_request()
    return row


def personal_request_page(
    request: HttpRequest, row: RequestLog, score_form: ScoreForm | None = None
) -> HttpResponse:
    """The page of a request; `score_form` is a submitted one with its errors."""
    try:
        bodies, damage = store.load_bodies(row.pk), ""
    except ValueError as error:
        bodies, damage = None, str(error)
    context = {
        "page": PAGE,
        "row": row,
        "line": lines([row])[0],
        "attempts": labels.attempt_bars(row),
        "traces": personal_traces_of(request.user, row),
        "not_stored": ""
        if bodies is not None
        else damage or labels.missing_bodies_reason(row, allowed=True),
        **conversation_context(row, bodies),
        **scores_context(request, row, url_name="personal-request-score", form=score_form),
        # It may be a request of someone else.
        "previous": None,
    }
    status = 422 if score_form else 200
    return render(request, "console/personal/request.html", context, status=status)
