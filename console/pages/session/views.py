"""Sign in, sign out, and change one's own password."""

from __future__ import annotations

import datetime as dt
import math
from importlib import import_module
from typing import cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, login, logout, update_session_auth_hash
from django.contrib.auth.models import User
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from console.access import public, signed_in
from console.accounts import admin_exists, set_password, two_factor_kinds
from console.client_address import client_address, is_shared_address
from console.hashing import TooManyHashes
from console.models import Throttle
from console.pages.session.forms import ChangePasswordForm, SignInForm
from console.setup_progress import is_setup_pending
from gateway.roles import has_permission

# The maximum duration of a session.
SESSION_S = 7 * 24 * 3600
# Attempts in ten minutes. The first two stop guessing from one address; the last one stops
# distributed guessing, and is high because it also locks out the user.
MAX_PER_NAME_AND_ADDRESS, MAX_PER_ADDRESS, MAX_PER_NAME = 5, 20, 50


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@public
def sign_in(request: HttpRequest) -> HttpResponse:
    """Check username and password, then return to the previous page."""
    if request.user.is_authenticated:
        return HttpResponseRedirect(next_url(request))
    if not admin_exists():
        return redirect("setup")
    form = SignInForm(request.POST or None)
    if request.method == "POST":
        if not _password_login():
            message = _("Sign-in with a password is disabled.")
            return sign_in_problem(request, message, status=403)
        if form.is_valid() and (user := _authenticate(request, form)) is not None:
            return _sign_in(request, user)
        refusal_statuses = (("wait", 429), ("busy", 503))
        statuses = (
            status for code, status in refusal_statuses if form.has_error(NON_FIELD_ERRORS, code)
        )
        return _render_form(request, form, status=next(statuses, 422))
    return _render_form(request, form)


def sign_in_problem(request: HttpRequest, message: str, *, status: int) -> HttpResponse:
    """Respond with the sign-in page and why the person was not signed in."""
    return _render_form(request, SignInForm(), status, problem=message)


def _render_form(
    request: HttpRequest, form: SignInForm, status: int = 200, *, problem: str = ""
) -> HttpResponse:
    context = {
        "form": form,
        "problem": problem,
        "oidc": settings.OIDC,
        "password_login": _password_login(),
        "passkeys": settings.SSO_INSTALLED,
        "next": next_url(request) if "next" in request.GET or "next" in request.POST else "",
    }
    return render(request, "console/session/sign_in.html", context, status=status)


def _password_login() -> bool:
    return settings.OIDC is None or settings.OIDC.password_login


def _authenticate(request: HttpRequest, form: SignInForm) -> User | None:
    """The user, if the password is right within the rate limit; errors are added to the form."""
    name, address = form.cleaned_data["username"], client_address(request)
    name_and_address = f"both:{address}:{name.casefold()}"
    limits = [
        (f"name:{name.casefold()}", MAX_PER_NAME),
        (name_and_address, MAX_PER_NAME_AND_ADDRESS),
    ]
    if not is_shared_address(address):
        limits.append((f"address:{address}", MAX_PER_ADDRESS))
    wait = Throttle.objects.take(limits)
    if wait is not None:
        form.add_error(None, ValidationError(_retry_message(wait), code="wait"))
        return None
    try:
        user = authenticate(request, username=name, password=form.cleaned_data["password"])
    except TooManyHashes:
        busy = _("Too many sign-ins right now. Try again in a few seconds.")
        form.add_error(None, ValidationError(busy, code="busy"))
        return None
    if user is None:
        form.add_error(None, _("Incorrect username or password."))
        return None
    Throttle.objects.clear([name_and_address])
    return user


def _sign_in(request: HttpRequest, user: User) -> HttpResponse:
    """Sign the user in, or ask for a second factor first."""
    if settings.SSO_INSTALLED:
        # allauth is an optional package.
        two_factor = import_module("console.two_factor")
        return cast(
            "HttpResponse", two_factor.continue_login(request, user, _requested_url(request))
        )
    if two_factor_kinds(user):
        message = _(
            "This account has a second factor, but the gateway lacks the package that checks it. "
            "Ask an admin to install it."
        )
        return sign_in_problem(request, message, status=403)
    start_session(request, user)
    return HttpResponseRedirect(next_url(request))


def _retry_message(wait: dt.timedelta) -> str:
    minutes = max(1, math.ceil(wait.total_seconds() / 60))
    return ngettext(
        "Too many attempts. Try again in %(count)d minute.",
        "Too many attempts. Try again in %(count)d minutes.",
        minutes,
    ) % {"count": minutes}


def start_session(request: HttpRequest, user: object) -> None:
    """Sign a user in for the maximum duration of a session."""
    assert isinstance(user, User)
    login(request, user)
    # A time, not a duration: a duration would start again with each save.
    request.session.set_expiry(timezone.now() + dt.timedelta(seconds=SESSION_S))


def next_url(request: HttpRequest) -> str:
    """The URL to redirect to, always on this site."""
    if url := _requested_url(request):
        return url
    if is_setup_pending(request.user):
        return reverse("setup")
    return reverse("overview" if has_permission(request.user, "view") else "personal-keys")


def _requested_url(request: HttpRequest) -> str:
    """The URL that the sign-in page was asked to return to; empty if none, or of another site."""
    url = request.POST.get("next") or request.GET.get("next") or ""
    allowed = url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return url if allowed and url.startswith("/") else ""


@require_POST
@public
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("sign-in")


@sensitive_post_parameters()
@never_cache
@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Change one's own password and end all other sessions."""
    user = request.user
    assert isinstance(user, User)
    form = ChangePasswordForm(request.POST or None, user=user)
    if request.method != "POST":
        return render(request, "console/session/password.html", {"form": form, "page": "password"})
    if form.is_valid() and _check_current_password(request, user, form):
        set_password(user, form.cleaned_data["password"])
        update_session_auth_hash(request, user)
        messages.success(
            request, _("Your password has been changed. Your other sessions have ended.")
        )
        return redirect("password")
    context = {"form": form, "page": "password"}
    return render(request, "console/session/password.html", context, status=422)


def _check_current_password(request: HttpRequest, user: User, form: ChangePasswordForm) -> bool:
    """Check the current password, with the rate limit of signing in."""
    throttle_key = f"own:{user.pk}"
    if Throttle.objects.take([(throttle_key, MAX_PER_NAME_AND_ADDRESS)]) is not None:
        form.add_error("current", _("Too many attempts. Try again in ten minutes."))
        return False
    if not user.check_password(form.cleaned_data["current"]):
        form.add_error("current", _("The current password is incorrect."))
        return False
    Throttle.objects.clear([throttle_key])
    return True
