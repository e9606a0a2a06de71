"""Redirects to the identity provider, and the callback from it."""

from __future__ import annotations

import logging

from allauth.socialaccount.providers.base.constants import AuthProcess
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from console.access import public
from console.accounts import admin_exists
from console.pages.security.connect_token import connect_token
from console.pages.session.views import sign_in_problem

PROVIDER_ID = "oidc"

log = logging.getLogger(__name__)


@never_cache
@require_safe
@public
def login(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Redirect to the identity provider."""
    if not admin_exists():
        return redirect("setup")
    if request.GET.get("process") == AuthProcess.CONNECT and not _may_connect(request):
        return redirect("mfa_index")
    return _with_provider(request, provider_id, "login")


@never_cache
@require_safe
@public
def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Sign in the user whom the identity provider has redirected back."""
    return _with_provider(request, provider_id, "callback")


def _may_connect(request: HttpRequest) -> bool:
    """Whether the user followed the link on the page of this session."""
    token = connect_token(request)
    return bool(token) and constant_time_compare(request.GET.get("token", ""), token)


def _with_provider(request: HttpRequest, provider_id: str, view_name: str) -> HttpResponse:
    """Run a view of allauth; an unreachable or misconfigured provider gets an error page."""
    if settings.OIDC is None or provider_id != PROVIDER_ID:
        raise Http404
    # Slow to import, and only few installations have a provider.
    import requests
    from allauth.socialaccount.providers.openid_connect import views as allauth_views

    from console.single_sign_on.discovery import find_problem

    try:
        response: HttpResponse = getattr(allauth_views, view_name)(request, provider_id)
        return response
    except (
        requests.RequestException,
        KeyError,
        ValueError,
        ImproperlyConfigured,  # a subject of more than 191 characters
        DataError,  # NUL in a claim
    ) as error:
        reason = find_problem(settings.OIDC) or type(error).__name__
        log.exception("the identity provider cannot be used", extra={"reason": reason})
        message = _(
            "%(name)s cannot be used at the moment. An admin can find the cause in the log."
        )
        return sign_in_problem(request, message % {"name": settings.OIDC.name}, status=502)
