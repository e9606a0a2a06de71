"""Adapters of django-allauth: how sessions start, who may sign in, and with which role."""

from __future__ import annotations

import logging
from typing import Any, cast

import requests
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.providers.base import AuthError
from allauth.socialaccount.providers.base.constants import AuthProcess
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from console import accounts
from console.pages.session.views import next_url, sign_in_problem, start_session
from console.single_sign_on.claims import (
    Claims,
    Denied,
    check_domain,
    merge_claims,
    role_for,
    team_for,
    username_for,
)
from console.single_sign_on.http_session import ProviderSession
from console.single_sign_on.provider import (
    OidcProvider,
    check_authorized_party,
    check_nonce,
)
from gateway.config.oidc import OidcSettings
from gateway.models import Team

log = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Starts sessions like a password sign-in; allauth's own pages and messages are not used."""

    def login(self, request: HttpRequest, user: User) -> None:
        """Start a session with our maximum duration."""
        start_session(request, user)

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Where to go after signing in, unless a page asked for it."""
        return next_url(request)

    def is_safe_url(self, url: str) -> bool:
        """Whether a redirect stays on this site."""
        return bool(url) and url.startswith("/") and super().is_safe_url(url)

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Whether a change of the second factors must be confirmed.

        Not that of a person without a password and without a second factor, who signs in with an
        identity provider and can confirm nothing: it adds the first one.
        """
        can_confirm = bool(get_reauthentication_flows(self.request.user))
        return can_confirm and bool(super().is_reauthentication_required(app=app, **kwargs))

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        """Where to go after signing in for the first time."""
        return next_url(request)

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """False: people cannot sign up with a password; `OidcAdapter` creates accounts."""
        return False

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Ways to confirm one's identity, with the labels of the console."""
        labels = {
            "reauthenticate": _("Use your password"),
            "mfa_reauthenticate": _("Use a code"),
            "mfa_reauthenticate:webauthn": _("Use a passkey"),
        }
        methods = super().get_reauthentication_methods(user)
        return [{**method, "description": labels[method["id"]]} for method in methods]

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        """Respond to a deactivated account."""
        return sign_in_problem(request, _("This account is deactivated."), status=403)

    def add_message(self, request: HttpRequest, level: int, *args: Any, **kwargs: Any) -> None:
        """Show errors. Pages show what has succeeded; allauth's messages would repeat it."""
        if level == messages.ERROR and (message := kwargs.get("message")):
            messages.error(request, str(message))


class OidcAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Users of the identity provider: who may sign in, and with which role and team."""

    def get_provider(
        self, request: HttpRequest, provider: str, client_id: str | None = None
    ) -> OidcProvider:
        """The provider of the settings."""
        return OidcProvider(request, app=self.get_app(request, provider, client_id))

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Refuse people who may not sign in; update role and team of an existing account."""
        oidc = _oidc_settings()
        try:
            extra_data = sociallogin.account.extra_data
            id_token = extra_data.get("id_token") or {}
            check_nonce(id_token, sociallogin.state)
            check_authorized_party(id_token, oidc.client_id)
            claims = merge_claims(extra_data)
            check_domain(claims, oidc)
            role = role_for(claims, oidc)
            if sociallogin.state.get("process") == AuthProcess.CONNECT:
                return
            if sociallogin.is_existing:
                _synchronize_account(
                    sociallogin.user, claims, oidc, role if oidc.role_groups else None
                )
            elif not oidc.create_users:
                raise Denied(_("You have no account here. Ask an admin to create one."))
        except Denied as denied:
            response = sign_in_problem(request, str(denied), status=403)
            raise ImmediateHttpResponse(response) from None
        # Addresses are not used to identify accounts, and must not be.
        sociallogin.email_addresses = []

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Whether people without an account get one; `pre_social_login` has decided it."""
        return _oidc_settings().create_users

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        """Create the account of a person who signs in for the first time."""
        oidc = _oidc_settings()
        claims = merge_claims(sociallogin.account.extra_data)
        user = accounts.create_account(
            _free_name(username_for(claims)), None, role=role_for(claims, oidc)
        )
        _synchronize_account(user, claims, oidc, None)
        sociallogin.user = user
        sociallogin.save(request, connect=True)
        return user

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: Any = None,
    ) -> None:
        """Show what failed on the sign-in page; the log has the details."""
        if error == AuthError.CANCELLED:
            message = _("Sign-in was cancelled.")
        else:
            message = _("Signing in with %(name)s failed. Try again.") % {
                "name": _oidc_settings().name
            }
            reason = request.GET.get("error", "")[:200] or type(exception).__name__
            log.warning(
                "sign-in through the identity provider failed",
                extra={"reason": reason, "detail": str(exception or "")[:300]},
            )
        raise ImmediateHttpResponse(sign_in_problem(request, message, status=401))

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        """Where to go after an account was connected."""
        return reverse("mfa_index")

    def get_requests_session(self) -> requests.Session:
        """The client of the identity provider's endpoints."""
        return ProviderSession()


def _oidc_settings() -> OidcSettings:
    return cast("OidcSettings", settings.OIDC)


def _synchronize_account(user: User, claims: Claims, oidc: OidcSettings, role: Any) -> None:
    """Give an account the role (unless None) and the team of its groups."""
    if role is not None and role != accounts.stored_role(user):
        try:
            accounts.set_role(user, role=role, bodies=user.pk in accounts.users_with_body_access())
        except accounts.LastAdmin:
            log.warning("the only admin keeps the role in spite of their groups")
    if not oidc.team_groups:
        return
    name = team_for(claims, oidc)
    team = Team.objects.filter(name=name).first() if name else None
    if name and team is None:
        log.warning("the team of a group does not exist", extra={"team": name})
    accounts.set_limits(user, team=team)


def _free_name(name: str) -> str:
    """The name, with a number if it is taken: an account is never taken over by its name."""
    candidate, number = name, 1
    while User.objects.filter(username__iexact=candidate).exists():
        number += 1
        candidate = f"{name}-{number}"
    return candidate
