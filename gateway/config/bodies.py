"""Bounds the bodies of requests to Django, which would spool any of them to disk.

Before a view, a session or CSRF protection is asked: by path, and in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from django.conf import settings

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MIB = 1024 * 1024
# The first prefix that fits counts. What uploads files or pictures has more; each page's own
# limit is lower, and says more.
LIMITS: tuple[tuple[str, int], ...] = (
    ("/console/playground", settings.MAX_BODY_BYTES),
    ("/console/cost", 9 * _MIB),
    ("/console/import", 4 * _MIB),
    ("/console/sign-in", _MIB),
    ("/console/setup", _MIB),
    ("/console/", 3 * _MIB),
    ("/api/", 2 * _MIB),
)
OTHERS = _MIB


def limit_of(path: str) -> int:
    """The most bytes of a body that is sent to this path."""
    return next((limit for prefix, limit in LIMITS if path.startswith(prefix)), OTHERS)


class _Refused(Exception):
    """The body is not taken: `status` and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Bounded:
    """An ASGI application that is given bodies of bounded size and time only."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; 413 and 408 without the application."""
        limit = limit_of(scope["path"])
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"")
        try:
            if declared.isdigit() and int(declared[:20]) > limit:
                raise _too_large(limit)
            if declared not in {b"", b"0"} or b"transfer-encoding" in headers:
                receive = _bounded(receive, limit)
            await self._application(scope, receive, send)
        except _Refused as refusal:
            await _tell(scope, send, refusal)


def _bounded(receive: Receive, limit: int) -> Receive:
    """The same messages, until there is too much of the body or it takes too long."""
    due = asyncio.get_running_loop().time() + settings.BODY_TIMEOUT_S
    size = 0
    complete = False

    async def bounded() -> Message:
        nonlocal size, complete
        if complete:  # what follows is that the client leaves
            return await receive()
        try:
            async with asyncio.timeout_at(due):
                message = await receive()
        except TimeoutError:
            seconds = f"{settings.BODY_TIMEOUT_S:g}"
            raise _Refused(408, f"the body did not arrive within {seconds} seconds") from None
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        complete = not message.get("more_body", False)
        return message

    return bounded


def _too_large(limit: int) -> _Refused:
    return _Refused(413, f"the body is larger than {limit} bytes")


async def _tell(scope: Scope, send: Send, refusal: _Refused) -> None:
    """As the API says it, or in words to a browser."""
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
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
