"""The token of the link that connects an account to the identity provider.

The link is a GET, since the policy of pages does not let a form lead to another site. Without a
token, a link on another site would connect the account that the browser is signed in with at the
provider, and that account could then sign in here.
"""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.crypto import salted_hmac

_SALT = "console.single_sign_on.connect"


def connect_token(request: HttpRequest) -> str:
    """The token of this session; empty without one."""
    session_key = request.session.session_key
    return salted_hmac(_SALT, session_key, algorithm="sha256").hexdigest() if session_key else ""
