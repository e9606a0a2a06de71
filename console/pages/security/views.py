"""Views of django-allauth with our access rules, limits of attempts, and the audit log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

from allauth.account import views as account_views
from allauth.account.internal.flows.login import (
    get_authentication_records,
    record_authentication,
)
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from allauth.account.internal.stagekit import get_pending_stage
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.base import views as base_views
from allauth.mfa.recovery_codes import views as recovery_views
from allauth.mfa.totp import views as totp_views
from allauth.mfa.webauthn import views as webauthn_views
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from console.access import View, public, signed_in
from console.accounts import audit_changes
from console.models import Throttle
from console.pages.security.connect_token import connect_token
from console.pages.session.views import sign_in_problem

# Wrong codes, passkeys and passwords of one person in ten minutes.
MAX_ATTEMPTS = 5


@require_POST
@signed_in
def disconnect(request: HttpRequest) -> HttpResponse:
    """Remove the account of the identity provider, if the user can sign in by password."""
    user = cast("User", request.user)
    if user.has_usable_password():
        with audit_changes(user):
            SocialAccount.objects.filter(user=user).delete()
    else:
        messages.error(request, _("You have no password. Ask an admin to set one first."))
    return redirect("mfa_index")


def _signed_in_page(view: Callable[..., Any]) -> View:
    """A page of a signed-in user; what it changes is in the audit log."""

    @sensitive_post_parameters()
    @never_cache
    @signed_in
    def page(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        user = cast("User", request.user)
        is_change = request.method == "POST"
        could_confirm = bool(get_reauthentication_flows(user))
        with audit_changes(user) if is_change else nullcontext():
            response = _render_now(view(request, **kwargs))
        if is_change and not could_confirm and get_reauthentication_flows(user):
            # The first factor of a person without a password: it was used just now.
            record_authentication(request, user, method="mfa", reauthenticated=True)
        return response

    return page


def _require_confirmation(view: Callable[..., Any]) -> View:
    """A page on which a signed-in user confirms who they are, with a limit of attempts."""

    @sensitive_post_parameters()
    @never_cache
    @signed_in
    def page(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        user = cast("User", request.user)
        if request.method == "POST" and not _take_attempt(request, user):
            messages.error(request, _("Too many attempts. Try again in ten minutes."))
            return redirect("mfa_index")
        records = get_authentication_records(request, user)
        response = _render_now(view(request, **kwargs))
        # Not by the status: a wrong passkey is redirected too, and a person without one.
        if get_authentication_records(request, user) != records:
            _forget_attempts(user)
        return response

    return page


def _render_now(response: Any) -> HttpResponse:
    """Render now, inside of the transaction; a form with errors has status 422."""
    if hasattr(response, "render"):
        response.render()
        forms = [(response.context_data or {}).get(name) for name in ("form", "webauthn_form")]
        if response.status_code == 200 and any(form is not None and form.errors for form in forms):
            response.status_code = 422
    return cast("HttpResponse", response)


@sensitive_post_parameters()
@never_cache
@public
def authenticate(request: HttpRequest) -> HttpResponse:
    """The second step of signing in: a code, a recovery code or a passkey."""
    stage = get_pending_stage(request)
    user = stage.login.user if stage is not None else None
    if request.method == "POST" and user is not None and not _take_attempt(request, user):
        message = _("Too many attempts. Try again in ten minutes.")
        return sign_in_problem(request, message, status=429)
    response = _render_now(base_views.authenticate(request))
    if request.user.is_authenticated and user is not None:
        _forget_attempts(user)
    return response


@never_cache
@public
def login_with_passkey(request: HttpRequest) -> HttpResponse:
    """Sign in with a passkey alone; GET with `Accept: application/json` returns its options."""
    return _render_now(webauthn_views.login_webauthn(request))


def _take_attempt(request: HttpRequest, user: User) -> bool:
    """Count an attempt. A code counts once: no one can use it a second time, in any process."""
    limits = [(f"two-factor:{user.pk}", MAX_ATTEMPTS)]
    # As allauth reads it: a code in another form is the same code.
    if code := normalize_user_code(request.POST.get("code", "").strip())[:100]:
        limits.append((f"two-factor:{user.pk}:{code}", 1))
    return Throttle.objects.take(limits) is None


def _forget_attempts(user: User) -> None:
    Throttle.objects.clear([f"two-factor:{user.pk}"])


class _Security(base_views.IndexView):  # type: ignore[misc]
    """The page, with the account of the identity provider."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        connected = SocialAccount.objects.filter(user=self.request.user).exists()
        context: dict[str, Any] = super().get_context_data(**kwargs)
        token = connect_token(self.request)
        return {**context, "oidc": settings.OIDC, "connected": connected, "connect_token": token}


security = _signed_in_page(_Security.as_view())
activate_codes = _signed_in_page(totp_views.activate_totp)
deactivate_codes = _signed_in_page(totp_views.deactivate_totp)
recovery_codes = _signed_in_page(recovery_views.view_recovery_codes)
new_recovery_codes = _signed_in_page(recovery_views.generate_recovery_codes)
download_recovery_codes = _signed_in_page(recovery_views.download_recovery_codes)
add_passkey = _signed_in_page(webauthn_views.add_webauthn)
remove_passkey = _signed_in_page(webauthn_views.remove_webauthn)
confirm_password = _require_confirmation(account_views.reauthenticate)
confirm_code = _require_confirmation(base_views.reauthenticate)
confirm_passkey = _require_confirmation(webauthn_views.reauthenticate_webauthn)
