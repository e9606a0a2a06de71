"""The policy that people need a second factor (DRAGOMAN_REQUIRE_TWO_FACTOR).

A person without one is signed in, but sees only the pages that set it up. People who sign in at
an identity provider are exempt: the second factor is the identity provider's. API keys and the
admin credential are not affected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from console.access import is_admin
from console.htmx import is_partial
from gateway.api.failures import failure
from gateway.api.middleware import Middleware

# URL names that work without a second factor, besides those of allauth.
_EXEMPT = frozenset({"sign-in", "sign-out", "password", "account_reauthenticate"})
_MESSAGE = "set up two-factor authentication first; it is required on this gateway"


class TwoFactorRequired(Middleware):
    """Redirects a person without a required second factor to the page that sets it up."""

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Return the redirect, or None to go on."""
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
            return None
        match = request.resolver_match
        name = (match.url_name if match is not None else "") or ""
        if name in _EXEMPT or name.startswith("mfa_") or not _lacks_factor(request):
            return None
        if request.path.startswith("/api/"):
            return failure(403, _MESSAGE)
        url = reverse("mfa_index")
        if is_partial(request):
            return HttpResponse(status=403, headers={"HX-Redirect": url})
        messages.warning(
            request, _("Two-factor authentication is required: set it up to continue.")
        )
        return HttpResponseRedirect(url)


def _lacks_factor(request: HttpRequest) -> bool:
    """Whether the policy applies to the signed-in person, who has no second factor."""
    user = cast("User", request.user)
    if settings.REQUIRE_TWO_FACTOR == "admins" and not is_admin(user):
        return False
    methods = request.session.get("account_authentication_methods", [])
    if any(method.get("method") == "socialaccount" for method in methods):
        return False
    factors = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
    return not Authenticator.objects.filter(user=user, type__in=factors).exists()
