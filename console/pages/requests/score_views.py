"""Views that score a logged request: editors any, members those of their personal keys."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.access import editor, member
from console.delete_confirmation import delete_confirmation
from console.htmx import is_partial, redirect_to
from console.pages.requests.detail import detail_context
from console.pages.requests.log_search import find_request
from console.pages.requests.scores import ScoreForm, find_own_score, save_score
from gateway.models import ApiKey, RequestLog


@editor
@require_POST
def request_score(request: HttpRequest, request_id: str) -> HttpResponse:
    """Score a request or comment on it."""
    row = find_request(request_id)
    form = save_score(request, row)
    if is_partial(request):
        context = detail_context(request, row) | ({"score_form": form} if form else {})
        status = 422 if form else 200
        return render(request, "console/requests/_detail.html", context, status=status)
    return _redirect_to_request(request, "request", row, form)


@editor
@require_http_methods(["GET", "HEAD", "POST"])
def request_score_delete(request: HttpRequest, request_id: str, pk: int) -> HttpResponse:
    """Delete a score after a confirmation: one's own, or as admin any."""
    row = find_request(request_id)
    list_page = ("requests", _("Requests"))
    return _delete_score(request, row, pk, list_page=list_page, url_name="request")


@member
@require_POST
def personal_request_score(request: HttpRequest, request_id: str) -> HttpResponse:
    """Score a request of a personal key."""
    row = _personal_request(request, request_id)
    return _redirect_to_request(request, "personal-request", row, save_score(request, row))


@member
@require_http_methods(["GET", "HEAD", "POST"])
def personal_request_score_delete(request: HttpRequest, request_id: str, pk: int) -> HttpResponse:
    """Delete an own score of a request of a personal key, after a confirmation."""
    row = _personal_request(request, request_id)
    list_page = ("personal-requests", _("My requests"))
    return _delete_score(request, row, pk, list_page=list_page, url_name="personal-request")


def _delete_score(
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


def _personal_request(request: HttpRequest, request_id: str) -> RequestLog:
    row = find_request(request_id)
    if not ApiKey.objects.owns(request.user, row.key_id):
        raise Http404(_("This request is not in the log."))
    return row


def _redirect_to_request(
    request: HttpRequest, page: str, row: RequestLog, form: ScoreForm | None
) -> HttpResponse:
    """Redirect to the page of the request, with the first error as a message."""
    if form is not None:
        problems = [problem for errors in form.errors.values() for problem in errors]
        messages.error(request, str(problems[0]))
    query = request.GET.urlencode()
    return redirect_to(request, reverse(page, args=[row.pk]) + (f"?{query}" if query else ""))
