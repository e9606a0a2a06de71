"""Two-factor authentication by django-allauth: the step after the password, and secrets at rest.

Imported only where the extra `sso` is installed (settings.SSO_INSTALLED).
"""

from __future__ import annotations

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from allauth.mfa.adapter import DefaultMFAAdapter
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from gateway.models.sealed import seal_for, unseal_for

# Part of what is encrypted, so that a ciphertext of another purpose does not decrypt.
SEAL_CONTEXT = "two-factor"


def continue_login(request: HttpRequest, user: User, redirect_url: str) -> HttpResponse:
    """Sign in a user whose password is right; with a second factor, redirect to its page first.

    An empty `redirect_url` leads to the start page of the user's role.
    """
    login = Login(user=user, redirect_url=redirect_url or None)
    response: HttpResponse = perform_password_login(
        request, {"username": user.get_username()}, login
    )
    return response


class TwoFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Encrypts secrets at rest, and names passkeys."""

    def encrypt(self, text: str) -> str:
        """Encrypt a secret of an authenticator."""
        return seal_for(SEAL_CONTEXT, text)

    def decrypt(self, encrypted_text: str) -> str:
        """Decrypt a secret of an authenticator."""
        return unseal_for(SEAL_CONTEXT, encrypted_text)

    def generate_authenticator_name(self, user: User, type: str) -> str:  # noqa: A002
        """The suggested name of a new passkey."""
        return _("Passkey")
