"""Signing in and out, and one's own password."""

from __future__ import annotations

import datetime as dt
import math

from django.contrib import messages
from django.contrib.auth import authenticate, login, logout, update_session_auth_hash
from django.contrib.auth.models import User
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from console.access import viewer
from console.accounts import admin_exists, set_password
from console.forms.session import ChangePasswordForm, SignInForm
from console.models import Throttle
from console.progress import pending

# A session ends this long after it began.
SESSION_S = 7 * 24 * 3600
# Attempts in ten minutes. One who guesses from one place is stopped by the first two, many
# places together by the last, which is high: it also keeps out the person with that name.
PER_NAME_AND_ADDRESS, PER_ADDRESS, PER_NAME = 5, 20, 50


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Name and password, then back to where the person was."""
    if request.user.is_authenticated:
        return HttpResponseRedirect(_next(request))
    if not admin_exists():
        return redirect("setup")
    form = SignInForm(request.POST or None)
    if request.method == "POST":
        if form.is_valid() and _signed_in(request, form):
            return HttpResponseRedirect(_next(request))
        return _form(request, form, status=429 if form.has_error(NON_FIELD_ERRORS, "wait") else 422)
    return _form(request, form)


def _form(request: HttpRequest, form: SignInForm, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "next": _next(request) if "next" in request.GET or "next" in request.POST else "",
    }
    return render(request, "console/sign_in.html", context, status=status)


def _signed_in(request: HttpRequest, form: SignInForm) -> bool:
    """Check the password, if this may be tried now; the form says why not."""
    name, address = form.cleaned_data["username"], request.META.get("REMOTE_ADDR", "")
    both = f"both:{address}:{name.casefold()}"
    wait = Throttle.objects.take(
        [
            (f"address:{address}", PER_ADDRESS),
            (f"name:{name.casefold()}", PER_NAME),
            (both, PER_NAME_AND_ADDRESS),
        ]
    )
    if wait is not None:
        form.add_error(None, ValidationError(_when(wait), code="wait"))
        return False
    user = authenticate(request, username=name, password=form.cleaned_data["password"])
    if user is None:
        form.add_error(None, _("There is no account with this name and password."))
        return False
    Throttle.objects.clear([both])
    start_session(request, user)
    return True


def _when(wait: dt.timedelta) -> str:
    minutes = max(1, math.ceil(wait.total_seconds() / 60))
    return ngettext(
        "Too many attempts. Try again in %(count)d minute.",
        "Too many attempts. Try again in %(count)d minutes.",
        minutes,
    ) % {"count": minutes}


def start_session(request: HttpRequest, user: object) -> None:
    """Sign somebody in, for as long as a session may last."""
    assert isinstance(user, User)
    login(request, user)
    request.session.set_expiry(SESSION_S)


def _next(request: HttpRequest) -> str:
    """Where to go now: only ever a page of this site."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    allowed = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    if allowed and wanted.startswith("/"):
        return wanted
    return reverse("setup") if pending(request.user) else reverse("overview")


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("sign-in")


@sensitive_post_parameters()
@never_cache
@viewer
@require_http_methods(["GET", "HEAD", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Change one's own password; one's other sessions end."""
    user = request.user
    assert isinstance(user, User)
    form = ChangePasswordForm(request.POST or None, user=user)
    if request.method != "POST":
        return render(request, "console/password.html", {"form": form, "page": "password"})
    if form.is_valid() and _is_own(request, user, form):
        set_password(user, form.cleaned_data["password"])
        update_session_auth_hash(request, user)
        messages.success(request, _("Your password is changed. Your other sessions have ended."))
        return redirect("password")
    context = {"form": form, "page": "password"}
    return render(request, "console/password.html", context, status=422)


def _is_own(request: HttpRequest, user: User, form: ChangePasswordForm) -> bool:
    """Whether the present password was given; as often as at signing in."""
    mark = f"own:{user.pk}"
    if Throttle.objects.take([(mark, PER_NAME_AND_ADDRESS)]) is not None:
        form.add_error("current", _("Too many attempts. Try again in ten minutes."))
        return False
    if not user.check_password(form.cleaned_data["current"]):
        form.add_error("current", _("This is not your present password."))
        return False
    Throttle.objects.clear([mark])
    return True
