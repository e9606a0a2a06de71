"""Authentication of the management API: the master key, or a staff session of the console.

no credential, a wrong one, a client's API key    401
a session without permission or CSRF token        403
"""

from __future__ import annotations

import hmac
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from ninja.errors import HttpError
from ninja.security.base import AuthBase

from gateway.edge.admission import token_from
from gateway.roles import Permission, has_permission, may_read_bodies

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Admin(AuthBase):
    """An admin credential as Bearer, x-api-key or api-key header; or a staff session."""

    openapi_type = "http"
    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> Any | None:
        """A truthy value if authorized, else None (401).

        Raises:
            HttpError: 403 for a signed-in user without permission.
        """
        token = token_of(request)
        if token:
            return admin_credential(token)
        user = request.user
        if not (user.is_authenticated and user.is_active):
            return None
        if not self.is_authorized(request, user):
            raise HttpError(403, self.reason)
        if not _same_site(request):
            raise HttpError(403, "send the session's CSRF token as X-CSRFToken")
        return user

    permission: Permission = "administer"
    reason = "only admins may do this"

    def is_authorized(self, request: HttpRequest, user: Any) -> bool:
        """Whether a signed-in user is authorized."""
        return has_permission(user, self.permission)


class Editor(Admin):
    """Allows admins (see `Admin`) and editors."""

    permission = "edit"
    reason = "only admins and editors may do this"


class Reader(Admin):
    """Allows admins, editors and viewers: for reading, and for their own presets."""

    permission = "view"
    reason = "your role does not include this"


class BodyReader(Admin):
    """Allows admins, and users with the permission to read request and response bodies."""

    reason = "you may not read request bodies; ask an admin for access"

    def is_authorized(self, request: HttpRequest, user: Any) -> bool:
        """Whether the user is an admin or has the permission to read bodies."""
        return may_read_bodies(user)


def may_read_request_bodies(auth: Any) -> bool:
    """Whether the result of authentication is an admin or a user who may read bodies."""
    return isinstance(auth, str) or may_read_bodies(auth)


def admin_credential(token: str) -> str | None:
    """The name of the credential that a token is: `master key` or the generated `admin key`.

    Compared in constant time.
    """
    keys = {"master key": settings.MASTER_KEY, "admin key": settings.ADMIN_KEY}
    token_bytes = token.encode()
    matches = [
        name for name, key in keys.items() if key and hmac.compare_digest(token_bytes, key.encode())
    ]
    return matches[0] if matches else None


def token_of(request: HttpRequest) -> str:
    """The credential in the headers; never from the URL, which ends up in logs."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in request.headers.items()
    ]
    return token_from(headers, b"")


def _same_site(request: HttpRequest) -> bool:
    """Whether a session's unsafe request has a valid CSRF token."""
    if request.method in _SAFE:
        return True
    check = CsrfViewMiddleware(_dummy_view)
    check.process_request(request)
    return check.process_view(request, _dummy_view, (), {}) is None


def _dummy_view(*_args: Any) -> HttpResponse:
    """A dummy view for the CSRF check."""
    return HttpResponse()
