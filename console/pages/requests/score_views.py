"""Views that score a logged request: editors any, members those of their personal keys."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.access import editor, member
from console.htmx import is_partial, redirect_to
from console.pages.requests.detail import detail_context
from console.pages.requests.log_search import find_request
from console.pages.requests.scores import ScoreForm, delete_score, save_score
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
@require_POST
def request_score_delete(request: HttpRequest, request_id: str, pk: int) -> HttpResponse:
    """Delete a score: one's own, or as admin any."""
    row = find_request(request_id)
    delete_score(request, row, pk)
    return redirect_to(request, f"{reverse('request', args=[row.pk])}?{request.GET.urlencode()}")


@member
@require_POST
def personal_request_score(request: HttpRequest, request_id: str) -> HttpResponse:
    """Score a request of a personal key."""
    row = _personal_request(request, request_id)
    return _redirect_to_request(request, "personal-request", row, save_score(request, row))


@member
@require_POST
def personal_request_score_delete(request: HttpRequest, request_id: str, pk: int) -> HttpResponse:
    """Delete an own score of a request of a personal key."""
    row = _personal_request(request, request_id)
    delete_score(request, row, pk)
    return redirect_to(request, reverse("personal-request", args=[row.pk]))


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
