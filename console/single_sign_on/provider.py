"""The identity provider of the settings, for allauth.

Each sign-in has a nonce, which its ID token must contain, so that a code or a token of another
sign-in is of no use; nor is a token that was issued to another client of the provider
(https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation).
"""

from __future__ import annotations

from typing import Any

from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare, get_random_string
from django.utils.translation import gettext as _

from console.single_sign_on.claims import Claims, Denied

_NONCE_CHARS = 32
_NONCE = "nonce"


class OidcProvider(OpenIDConnectProvider):  # type: ignore[misc]
    """The provider; links to the sign-in cannot set the parameters of its requests."""

    def redirect(
        self,
        request: HttpRequest,
        process: str,
        next_url: str | None = None,
        data: Any = None,
        **parameters_of_link: Any,
    ) -> HttpResponse:
        """Redirect to the provider; the nonce is stored with the state of the sign-in."""
        nonce = get_random_string(_NONCE_CHARS)
        auth_params = {**self.get_auth_params(), _NONCE: nonce}
        response: HttpResponse = super().redirect(
            request, process, next_url, data, auth_params=auth_params, **{_NONCE: nonce}
        )
        return response


def check_nonce(id_token: Claims, state: dict[str, Any]) -> None:
    """Raises Denied unless the ID token is one of the sign-in with this state."""
    expected_nonce, nonce = state.get(_NONCE), id_token.get(_NONCE)
    if not (expected_nonce and isinstance(nonce, str)) or not constant_time_compare(
        expected_nonce, nonce
    ):
        raise Denied(_("The identity provider returned no ID token of this sign-in."))


def check_authorized_party(id_token: Claims, client_id: str) -> None:
    """Raises Denied if the ID token was issued to another client; allauth checks the audience."""
    audience = id_token.get("aud")
    default_party = None if isinstance(audience, list) and len(audience) > 1 else client_id
    if id_token.get("azp", default_party) != client_id:
        raise Denied(_("The identity provider returned no ID token of this sign-in."))
