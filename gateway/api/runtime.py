"""The relay's runtime in views: the ASGI application puts it into the scope of each request."""

from __future__ import annotations

from django.http import HttpRequest

from gateway.relay.runtime import LazyRuntime, Runtime

SCOPE_KEY = "dragoman.runtime"


def lazy_runtime(request: HttpRequest) -> LazyRuntime:
    """The runtime of the server that serves this request, to be started if necessary.

    Raises RuntimeError without such a server: the request came through WSGI.
    """
    runtime: LazyRuntime | None = getattr(request, "scope", request.META).get(SCOPE_KEY)
    if runtime is None:
        raise RuntimeError("this request is not served by gateway.config.asgi")
    return runtime


def runtime_of(request: HttpRequest) -> Runtime | None:
    """The runtime; None before its first request, and without a server that has one."""
    runtime: LazyRuntime | None = getattr(request, "scope", request.META).get(SCOPE_KEY)
    return None if runtime is None else runtime.current
