"""Views with which people score the requests of their personal keys."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.access import member
from console.pages.personal.requests import find_personal_request, personal_request_page
from console.pages.requests.score_views import delete_score, redirect_to_request
from console.pages.requests.scores import save_score


@member
@require_POST
def personal_request_score(request: HttpRequest, request_id: str) -> HttpResponse:
    """Score a request of a personal key."""
    row = find_personal_request(request, request_id)
    form = save_score(request, row)
    if form is not None:
        return personal_request_page(request, row, form)
    return redirect_to_request(request, "personal-request", row)


@member
@require_http_methods(["GET", "HEAD", "POST"])
def personal_request_score_delete(request: HttpRequest, request_id: str, pk: int) -> HttpResponse:
    """Delete an own score of a request of a personal key, after a confirmation."""
    row = find_personal_request(request, request_id)
    list_page = ("personal-requests", _("My requests"))
    return delete_score(request, row, pk, list_page=list_page, url_name="personal-request")
