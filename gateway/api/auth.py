"""Who may manage: the holder of the master key, or an admin signed in at the console."""

from __future__ import annotations

import hmac
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from ninja.security.base import AuthBase

from gateway.edge.keys import token_from

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Admin(AuthBase):
    """Bearer, x-api-key or api-key with an admin credential; or a staff session."""

    openapi_type = "http"
    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> Any | None:
        """Something true for an admin, else None (401)."""
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in request.headers.items()
        ]
        # Never from the URL: that ends up in logs.
        token = token_from(headers, b"")
        if token:
            return "master key" if is_admin_credential(token) else None
        user = request.user
        if user.is_authenticated and user.is_active and user.is_staff and _same_site(request):
            return user
        return None


def is_admin_credential(token: str) -> bool:
    """Whether a token is the master key or the generated admin key; constant time."""
    given = token.encode()
    known = [key for key in (settings.MASTER_KEY, settings.ADMIN_KEY) if key]
    return any(hmac.compare_digest(given, key.encode()) for key in known)


def _same_site(request: HttpRequest) -> bool:
    """Whether a session's unsafe request carries its CSRF token."""
    if request.method in _SAFE:
        return True
    check = CsrfViewMiddleware(_nothing)
    check.process_request(request)
    return check.process_view(request, _nothing, (), {}) is None


def _nothing(*_args: Any) -> HttpResponse:
    """The view that the CSRF check is asked for."""
    return HttpResponse()
