"""Security headers, compression, redirects, the reader's time zone, the actor of the audit log."""

from __future__ import annotations

import gc
import re
import sys
import zoneinfo
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, cast

from django.contrib.auth.base_user import AbstractBaseUser
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.middleware.gzip import GZipMiddleware
from django.middleware.locale import LocaleMiddleware
from django.urls import is_valid_path
from django.utils import timezone

from console.hashing import TooManyHashes
from console.htmx import is_partial
from gateway import audit
from gateway.api.middleware import Middleware

# No inline script or style and no eval: model output cannot become code. Images
# from `data:` are the playground's own uploads; from elsewhere they would be beacons.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
# Static files to compress; fonts and images are compressed already.
_STATIC = (".css", ".js", ".svg")
# Content types that are not cached unless the view says otherwise.
_PRIVATE = ("text/html", "application/json", "application/x-ndjson", "text/csv")
# Set in the scope of a request whose credential was accepted, for the server.
AUTHENTICATED = "dragoman.authenticated"
_CONSOLE = "/console/"
# Such as `America/Argentina/Buenos_Aires`, `Etc/GMT+5`.
_ZONE_NAME = re.compile(r"[A-Za-z][\w+-]{0,31}(/[A-Za-z][\w+-]{0,31}){0,2}", re.ASCII)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Compression(GZipMiddleware):
    """Compresses pages and static files, but not streams, whose events would be delayed."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """Respond; compresses on the event loop, as a thread switch costs more than a page."""
        response = await cast("Any", self.get_response)(request)
        if response.streaming and request.path.endswith(_STATIC) and response.status_code == 200:
            response = await _read_stream(response)
        return self.process_response(request, response)

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Return the response, compressed if the browser accepts that."""
        if response.streaming:
            return response
        compressed: HttpResponseBase = super().process_response(request, cast("Any", response))
        return compressed


async def _read_stream(response: StreamingHttpResponse) -> HttpResponse:
    """Read a streamed file into a response."""
    chunks = [chunk async for chunk in cast("Any", response.streaming_content)]
    headers = dict(response.headers)
    headers.pop("Content-Length", None)
    return HttpResponse(b"".join(chunks), headers=headers)


class SecurityHeaders(Middleware):
    """Sets the headers that a view has not set itself."""

    def after(
        self, request: HttpRequest, response: HttpResponseBase, state: Any
    ) -> HttpResponseBase:
        """Return the response with the headers."""
        return _with_headers(request, response)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Respond 503 when too many passwords are being hashed at once."""
        if not isinstance(error, TooManyHashes):
            return None
        return HttpResponse(
            str(error), status=503, content_type="text/plain", headers={"Retry-After": 5}
        )


def _with_headers(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    kind = response.headers.get("Content-Type", "")
    if kind.startswith(_PRIVATE) or request.path.startswith("/api/"):
        # Pages are personal: after signing out, the back button must not show them.
        response.headers.setdefault("Cache-Control", "no-store")
    if request.is_secure():
        for cookie in response.cookies.values():
            cookie["secure"] = True
    return response


class Language(LocaleMiddleware):
    """Selects the language, and imports the URLs of the path on their first use.

    Django would import them where it resolves the path: in the event loop, instead of a thread.
    """

    def process_request(self, request: HttpRequest) -> None:
        """Called by Django, in a thread."""
        super().process_request(request)
        modules = len(sys.modules)
        is_valid_path(request.path_info)
        if len(sys.modules) > modules and gc.get_freeze_count():
            gc.freeze()  # as the runtime does with what a start imports


class FormActionRedirect(Middleware):
    """Redirects a browser from the address of a form's action to the page that has the form.

    A form with errors is shown at that address, which is then loaded again or kept in a tab.
    """

    def after(
        self, request: HttpRequest, response: HttpResponseBase, state: Any
    ) -> HttpResponseBase:
        """Return the redirect if a page of the console was requested and the view has none."""
        if (
            response.status_code != 405
            or request.method not in {"GET", "HEAD"}
            or not request.path_info.startswith(_CONSOLE)
            or "text/html" not in request.headers.get("Accept", "")  # a script
            or is_partial(request)
        ):
            return response
        query = request.META.get("QUERY_STRING", "")
        page = _parent_page(request.path_info)
        return HttpResponseRedirect(f"{page}?{query}" if query else page)


def _parent_page(path: str) -> str:
    """The nearest address above this one: `/console/keys/7` of `/console/keys/7/revoke`.

    It may be the address of an action too, whose redirect leads further up.
    """
    while (path := path.rpartition("/")[0]) and f"{path}/" != _CONSOLE:
        if is_valid_path(path):
            return path
    return _CONSOLE


class ReaderTimeZone(Middleware):
    """Shows times in the time zone of the browser, which a script puts into a cookie."""

    def during(self, request: HttpRequest) -> AbstractContextManager[None]:
        """Return the context with that time zone; with UTC if the cookie names none."""
        return timezone.override(_time_zone(request.COOKIES.get("timezone", "")))


@lru_cache(maxsize=1024)
def _time_zone(name: str) -> zoneinfo.ZoneInfo | None:
    """The time zone of this IANA name; None if there is none, which keeps the default."""
    if not _ZONE_NAME.fullmatch(name):
        return None
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return None


class AuditMiddleware(Middleware):
    """Records in the audit log who made each change: a user, or the admin key."""

    def during(self, request: HttpRequest) -> AbstractContextManager[None]:
        """Return the context that names the actor of all changes in it."""
        return _audit_actor(request)

    def after(
        self, request: HttpRequest, response: HttpResponseBase, state: Any
    ) -> HttpResponseBase:
        """Mark the request's scope if its credential was accepted."""
        scope = getattr(request, "scope", None)
        # Not `request.user`, which would query the database for any caller.
        user = getattr(request, "_cached_user", None) or getattr(request, "_acached_user", None)
        if scope is not None and (
            getattr(request, "auth", None) or (user is not None and user.is_authenticated)
        ):
            scope[AUTHENTICATED] = True
        return response


def _audit_actor(request: HttpRequest) -> AbstractContextManager[None]:
    # The endpoints of LiteLLM are at the root, those of the management API below /api/.
    via: audit.Via = "console" if request.path.startswith(("/console/", "/admin/")) else "api"
    return audit.acting_as(lambda: _actor_name(request), via)


def _actor_name(request: HttpRequest) -> str:
    """The management API's credential, set by its authentication, or the signed-in user."""
    credential = getattr(request, "auth", None)
    if isinstance(credential, str):
        return credential
    # With a key of their own, people are not signed in.
    user = credential if isinstance(credential, AbstractBaseUser) else request.user
    return user.get_username()
