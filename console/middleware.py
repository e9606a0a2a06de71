"""Headers that every page carries, above all the content security policy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.middleware.gzip import GZipMiddleware

from console.hashing import Busy
from gateway import audit

# No inline script or style and no eval: what a model says can not become code. Images
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
# What of our files gets smaller; fonts and pictures are compressed already.
_STATIC = (".css", ".js", ".svg")
# Kinds of answers that nobody keeps, if they do not say otherwise: pages and the API's.
_PRIVATE = ("text/html", "application/json", "application/x-ndjson", "text/csv")
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Compression(GZipMiddleware):
    """Compresses pages and our static files, but no stream: events must not wait."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer; in the loop, as a page takes a millisecond and a thread's turn more."""
        response = await cast("Any", self.get_response)(request)
        if response.streaming and request.path.endswith(_STATIC) and response.status_code == 200:
            response = await _read_stream(response)
        return self.process_response(request, response)

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """The answer, smaller where the browser can read that."""
        if response.streaming:
            return response
        compressed: HttpResponseBase = super().process_response(request, cast("Any", response))
        return compressed


async def _read_stream(response: StreamingHttpResponse) -> HttpResponse:
    """A file's answer that has no more pieces."""
    chunks = [chunk async for chunk in cast("Any", response.streaming_content)]
    headers = dict(response.headers)
    headers.pop("Content-Length", None)
    return HttpResponse(b"".join(chunks), headers=headers)


class _Middleware:
    """Serves both kinds of handlers; what it is for goes into `during` and `after`."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer."""
        if self._is_async:
            return self._later(request)
        with self.during(request):
            return self.after(request, self.get_response(request))

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        with self.during(request):
            return self.after(request, await self.get_response(request))

    def during(self, request: HttpRequest) -> AbstractContextManager[None]:
        """What holds while the request is answered."""
        return nullcontext()

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The answer to send."""
        return response


class SecurityHeaders(_Middleware):
    """Sets them where a view has not set its own."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The answer with the headers."""
        return _with_headers(request, response)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Have somebody come back who sets a password while too many are being checked."""
        if not isinstance(error, Busy):
            return None
        return HttpResponse(
            error.message, status=503, content_type="text/plain", headers={"Retry-After": 5}
        )


def _with_headers(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    kind = response.headers.get("Content-Type", "")
    if kind.startswith(_PRIVATE) or request.path.startswith("/api/"):
        # What is shown is for one person; the back button after signing out shows nothing.
        response.headers.setdefault("Cache-Control", "no-store")
    if request.is_secure():
        for cookie in response.cookies.values():
            cookie["secure"] = True
    return response


class Audited(_Middleware):
    """Has the audit log say who is signed in, or holds the master key, beside each change."""

    def during(self, request: HttpRequest) -> AbstractContextManager[None]:
        """Act as whoever asks."""
        return _audit_actor(request)


def _audit_actor(request: HttpRequest) -> AbstractContextManager[None]:
    # LiteLLM's endpoints for keys stand at the root.
    via: audit.Via = "api" if request.path.startswith(("/api/", "/key/")) else "console"
    return audit.acting(lambda: _who(request), via)


def _who(request: HttpRequest) -> str:
    """The management API puts what let a request in on it."""
    credential = getattr(request, "auth", None)
    return credential if isinstance(credential, str) else request.user.get_username()
