"""Reads the provider's discovery document, and says what is wrong with it.

https://openid.net/specs/openid-connect-discovery-1_0.html
"""

from __future__ import annotations

from typing import Any

import requests

from console.single_sign_on.http_session import ProviderSession
from gateway.config.oidc import OidcSettings

TIMEOUT_S = 5
_REQUIRED_FIELDS = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")


def find_problem(oidc: OidcSettings) -> str:
    """Why no one can sign in with these settings, for people who run the server; empty if fine."""
    url = f"{oidc.issuer}/.well-known/openid-configuration"
    try:
        with ProviderSession() as session:
            response = session.get(url, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        return f"{url} cannot be reached: {_innermost_reason(error)}"
    if response.status_code != 200:
        return f"{url} answered with status {response.status_code}"
    try:
        document: Any = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return f"{url} is not a discovery document (a JSON object)"
    missing_fields = [name for name in _REQUIRED_FIELDS if not isinstance(document.get(name), str)]
    if missing_fields:
        return f"{url} has no {', '.join(missing_fields)}"
    if document["issuer"].rstrip("/") != oidc.issuer:
        return f"{url} names another issuer, {document['issuer'][:200]}"
    scopes = document.get("scopes_supported")
    unknown_scopes = [
        name for name in oidc.scopes if isinstance(scopes, list) and name not in scopes
    ]
    if unknown_scopes:
        return f"the provider does not offer the scope {', '.join(unknown_scopes)}"
    return ""


def _innermost_reason(error: BaseException) -> str:
    """The innermost cause, which names what failed without the surrounding objects."""
    text = str(error)
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
        text = str(error) or text
    return text.split(": ", 1)[-1][:200] or type(error).__name__
