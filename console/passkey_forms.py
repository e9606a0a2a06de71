"""Forms of django-allauth that refuse a passkey whose signature counter did not increase.

A counter that repeats or goes back means that the passkey was copied (Web Authentication, 6.1.1).
Passkeys that are synchronized between devices have no counter: theirs is always 0.

Imported only where the extra `sso` is installed (settings.SSO_INSTALLED).
"""

from __future__ import annotations

import logging
from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn import forms
from allauth.mfa.webauthn.internal.auth import parse_authentication_response
from django.db import transaction

log = logging.getLogger(__name__)

# Where the counter of the last use is in an authenticator's data.
_COUNTER = "sign_count"


class _CounterCheckMixin:
    """Checks the counter after allauth has verified the signature."""

    cleaned_data: dict[str, Any]

    def clean_credential(self) -> Authenticator:
        """The authenticator. Raises ValidationError."""
        response = parse_authentication_response(self.cleaned_data["credential"])
        verified: Authenticator = super().clean_credential()  # type: ignore[misc]
        counter = response.response.authenticator_data.counter
        with transaction.atomic():
            authenticator = Authenticator.objects.select_for_update().get(pk=verified.pk)
            registered_counter = authenticator.wrap().authenticator_data.counter
            last_counter = authenticator.data.get(_COUNTER, registered_counter)
            if (counter or last_counter) and counter <= last_counter:
                log.warning(
                    "a passkey was refused, because its counter did not increase",
                    extra={"user_id": authenticator.user_id},
                )
                raise get_adapter().validation_error("incorrect_code")
            if counter != last_counter:
                authenticator.data[_COUNTER] = counter
                authenticator.save(update_fields=["data"])
        return authenticator


class LoginForm(_CounterCheckMixin, forms.LoginWebAuthnForm):  # type: ignore[misc]
    """Signs in with a passkey alone."""


class SecondStepForm(_CounterCheckMixin, forms.AuthenticateWebAuthnForm):  # type: ignore[misc]
    """Confirms a sign-in by password."""


class ConfirmationForm(_CounterCheckMixin, forms.ReauthenticateWebAuthnForm):  # type: ignore[misc]
    """Confirms who a signed-in user is."""
