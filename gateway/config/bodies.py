"""Limits requests to Django: the size of bodies, and the number of anonymous requests.

Applies before views, sessions and CSRF protection. Django would spool any body to disk, and
uses a thread for each request: anonymous callers must not occupy all of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from django.conf import settings

from console.middleware import AUTHENTICATED
from gateway.config import capacity

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MIB = 1024 * 1024
# The first matching prefix counts. Paths for uploads have more; each page's own limit is
# lower, with a better message.
LIMITS: tuple[tuple[str, int], ...] = (
    ("/console/playground", settings.MAX_BODY_BYTES),
    ("/console/cost", 9 * _MIB),
    ("/console/import", 4 * _MIB),
    ("/console/sign-in", _MIB),
    ("/console/setup", _MIB),
    ("/console/", 3 * _MIB),
    ("/api/", 2 * _MIB),
)
DEFAULT_LIMIT_BYTES = _MIB
# Concurrent requests without a recently accepted credential, including static files.
MAX_ANONYMOUS = capacity.anonymous_requests()
# How long an accepted credential is remembered, and how many of them.
REMEMBERED_S, MAX_REMEMBERED = 600.0, 10_000
_CREDENTIALS = (b"cookie", b"authorization", b"x-api-key", b"api-key")


def limit_of(path: str) -> int:
    """Return the largest body that this path accepts, in bytes."""
    return next((limit for prefix, limit in LIMITS if path.startswith(prefix)), DEFAULT_LIMIT_BYTES)


class _BodyRefused(Exception):
    """The request is rejected: `status` and the reason."""

    def __init__(self, status: int, reason: str, *, retry_after_s: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after_s = retry_after_s


class AcceptedCredentials:
    """Digests of the credentials that Django accepted recently."""

    def __init__(self) -> None:
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __contains__(self, digest: bytes) -> bool:
        return self._until.get(digest, 0.0) > time.monotonic()

    def add(self, digest: bytes) -> None:
        """Remember a digest, as the newest."""
        self._until[digest] = time.monotonic() + REMEMBERED_S
        self._until.move_to_end(digest)
        if len(self._until) > MAX_REMEMBERED:
            self._until.popitem(last=False)


def credential_digest(headers: Mapping[bytes, bytes]) -> bytes:
    """Return a digest of all credentials of a request; empty if it has none."""
    values = [headers.get(name, b"") for name in _CREDENTIALS]
    return hashlib.sha256(b"\0".join(values)).digest() if any(values) else b""


class BodyLimits:
    """An ASGI application behind limits on bodies and anonymous requests."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._accepted_credentials = AcceptedCredentials()
        self._anonymous = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; 413, 408 and 503 without the application."""
        headers = dict(scope["headers"])
        digest = credential_digest(headers)
        is_accepted = digest in self._accepted_credentials
        if not is_accepted and self._anonymous >= MAX_ANONYMOUS:
            reason = "too many unauthenticated requests are in progress; try again shortly"
            await _send_refusal(scope, send, _BodyRefused(503, reason, retry_after_s=1))
            return
        self._anonymous += not is_accepted
        try:
            await self._respond(scope, headers, receive, send)
        finally:
            self._anonymous -= not is_accepted
            if digest and scope.get(AUTHENTICATED):
                self._accepted_credentials.add(digest)

    async def _respond(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        limit = limit_of(scope["path"])
        declared_length = headers.get(b"content-length", b"")
        try:
            if declared_length.isdigit() and int(declared_length[:20]) > limit:
                raise _too_large(limit)
            if declared_length not in {b"", b"0"} or b"transfer-encoding" in headers:
                receive = _limit_receive(receive, limit)
            await self._application(scope, receive, send)
        except _BodyRefused as refusal:
            await _send_refusal(scope, send, refusal)


def _limit_receive(receive: Receive, limit: int) -> Receive:
    """Wrap `receive` with a limit on the body's size and on its time of arrival."""
    deadline = asyncio.get_running_loop().time() + settings.BODY_TIMEOUT_S
    size = 0
    complete = False

    async def receive_within_limit() -> Message:
        nonlocal size, complete
        if complete:  # messages after the body report that the client disconnected
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            seconds = f"{settings.BODY_TIMEOUT_S:g}"
            raise _BodyRefused(408, f"the body did not arrive within {seconds} seconds") from None
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        complete = not message.get("more_body", False)
        return message

    return receive_within_limit


def _too_large(limit: int) -> _BodyRefused:
    return _BodyRefused(413, f"the body is larger than {limit} bytes")


async def _send_refusal(scope: Scope, send: Send, refusal: _BodyRefused) -> None:
    """Send the error as JSON like the API, or as text to a browser."""
    if scope["path"].startswith("/console/"):
        kind, body = b"text/plain; charset=utf-8", str(refusal).encode()
    else:
        kind, body = b"application/json", msgspec.json.encode({"detail": str(refusal)})
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if refusal.retry_after_s:
        headers.append((b"retry-after", b"%d" % refusal.retry_after_s))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
