"""Error pages: 400, 403, 404, 500, and a form without a CSRF token."""

from __future__ import annotations

import sys
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from console.access import forbidden_page, to_sign_in
from console.template_context import parent_nav_entry, theme_of
from gateway.api.failures import failure
from gateway.database.outage import database_outage

# Paths with JSON errors, including those of Django itself.
_API = ("/api/", "/key/", "/model/", "/team/", "/user/", "/spend/", "/v1/")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404; with navigation for signed-in users."""
    message = _("There is no page at this address. It may have been moved or deleted.")
    reason = exception.args[0] if exception.args else ""
    # The message of `get_object_or_404` is for developers: "No Team matches the given query."
    written_for_users = (
        isinstance(reason, str) and reason and not reason.endswith("the given query.")
    )
    return _render_page(request, 404, _("Page not found"), reason if written_for_users else message)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400."""
    message = _("The request could not be understood. Go back and try again.")
    return _minimal_page(request, 400, _("Bad request"), message)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403 for a view without the permission."""
    if _wants_json(request):
        return _json_error(request, 403, _("You do not have permission to do this."))
    return forbidden_page(request)


def no_csrf(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 of a form whose token is missing or belongs to another session."""
    user = getattr(request, "user", None)
    session_ended = user is not None and not user.is_authenticated
    if session_ended and request.path != reverse("sign-in") and not _wants_json(request):
        return to_sign_in(request)
    message = _(
        "This form belongs to another session, or cookies are off. "
        "Go back, reload the page and send the form again."
    )
    return _minimal_page(request, 403, _("The form has expired"), message)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 if the database is the cause; without the database, as that has failed."""
    if reason := database_outage(sys.exc_info()[1]):
        if _wants_json(request):
            response = _json_error(request, 503, reason)
            response["Retry-After"] = "1"
            return response
        response = _minimal_page(
            request,
            503,
            _("The database is not available"),
            _(
                "The gateway could not show this page: %(reason)s. Chat requests continue "
                "without the database. Files, batches and stored responses need it."
            )
            % {"reason": reason},
        )
        response["Retry-After"] = "1"
        return response
    message = _(
        "The gateway could not show this page. The error is in its log. "
        "Requests from clients are not affected by errors of the console."
    )
    return _minimal_page(request, 500, _("Something went wrong"), message)


def _render_page(request: HttpRequest, status: int, title: str, message: str) -> HttpResponse:
    if _wants_json(request):
        return _json_error(request, status, message)
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return _minimal_page(request, status, title, message)
    entry = parent_nav_entry(request)
    context = {"title": title, "message": message, "list": entry}
    context["page"] = entry.page if entry else ""
    return render(request, "console/failures/page.html", context, status=status)


def _minimal_page(request: HttpRequest, status: int, title: str, message: str) -> HttpResponse:
    if _wants_json(request):
        return _json_error(request, status, message)
    context: dict[str, Any] = {"title": title, "message": message, "status": status}
    context["theme"] = theme_of(request)
    return HttpResponse(render_to_string("console/failures/plain.html", context), status=status)


def _json_error(request: HttpRequest, status: int, message: str) -> HttpResponse:
    """An error in the format of the API, or of the console's scripts: messages by field."""
    if request.path.startswith(_API):
        return failure(status, message)
    return JsonResponse({"errors": {"": capfirst(message)}}, status=status)


def _wants_json(request: HttpRequest) -> bool:
    """Whether the client expects JSON: an API client, or a script that sends JSON."""
    return request.path.startswith(_API) or request.content_type == "application/json"
