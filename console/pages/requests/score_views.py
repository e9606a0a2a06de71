"""Views with which editors score a logged request."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.access import editor
from console.delete_confirmation import delete_confirmation
from console.htmx import is_partial, redirect_to
from console.pages.requests.detail import detail_page
from console.pages.requests.log_search import find_request
from console.pages.requests.scores import find_own_score, save_score
from gateway.models import RequestLog


@editor
@require_POST
def request_score(request: HttpRequest, request_id: str) -> HttpResponse:
    """Score a request or comment on it."""
    row = find_request(request_id)
    form = save_score(request, row)
    if form is not None or is_partial(request):
        return detail_page(request, row, form)
    return redirect_to_request(request, "request", row)


@editor
@require_http_methods(["GET", "HEAD", "POST"])
def request_score_delete(request: HttpRequest, request_id: str, pk: int) -> HttpResponse:
    """Delete a score after a confirmation: one's own, or as admin any."""
    row = find_request(request_id)
    list_page = ("requests", _("Requests"))
    return delete_score(request, row, pk, list_page=list_page, url_name="request")


def delete_score(
    request: HttpRequest, row: RequestLog, pk: int, *, list_page: tuple[str, str], url_name: str
) -> HttpResponse:
    """Delete a score after a confirmation, and redirect to the page of the request."""
    score = find_own_score(request, row, pk)
    query = request.GET.urlencode()
    return_url = reverse(url_name, args=[row.pk]) + (f"?{query}" if query else "")
    if request.method != "POST":
        return delete_confirmation(
            request,
            list_page[0],
            crumbs=[(reverse(list_page[0]), list_page[1]), (return_url, row.request_id)],
            title=_("Delete %(name)s by %(author)s")
            % {"name": score.name, "author": score.scored_by},
            consequence=_("The score and its comment will be deleted."),
            label=_("Delete score"),
        )
    score.delete()
    return redirect_to(request, return_url)


def redirect_to_request(request: HttpRequest, page: str, row: RequestLog) -> HttpResponse:
    """Redirect to the page of the request."""
    query = request.GET.urlencode()
    return redirect_to(request, reverse(page, args=[row.pk]) + (f"?{query}" if query else ""))
