"""The base class of the project's middleware, and read-your-writes for the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from gateway.api.runtime import runtime_of
from gateway.querysets import committed_changes


class Middleware:
    """Base class for synchronous and asynchronous views; subclasses override hooks."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Respond to a request."""
        if self._is_async:
            return self._call_async(request)
        state = self.before(request)
        with self.during(request):
            response: HttpResponseBase = self.get_response(request)
        return self.after(request, response, state)

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        state = self.before(request)
        with self.during(request):
            response: HttpResponseBase = await self.get_response(request)
        return await self.aafter(request, response, state)

    def before(self, request: HttpRequest) -> Any:
        """Return state from before the view, which is passed to `after`."""

    def during(self, request: HttpRequest) -> AbstractContextManager[None]:
        """Return a context manager that is active while the view runs."""
        return nullcontext()

    def after(
        self, request: HttpRequest, response: HttpResponseBase, state: Any
    ) -> HttpResponseBase:
        """Return the response to send; `state` is what `before` returned."""
        return response

    async def aafter(
        self, request: HttpRequest, response: HttpResponseBase, state: Any
    ) -> HttpResponseBase:
        """Return the response to send, from an asynchronous view."""
        return self.after(request, response, state)


class ReadYourWrites(Middleware):
    """Reloads the registry in this process and its siblings after a request changed it."""

    def before(self, request: HttpRequest) -> int:
        """Return the number of changes committed before the view."""
        return committed_changes()

    def after(
        self, request: HttpRequest, response: HttpResponseBase, state: Any
    ) -> HttpResponseBase:
        """Return the response once the registry has reloaded, or the reload timed out."""
        runtime = runtime_of(request)
        if runtime is not None and committed_changes() != state:
            runtime.registry.refresh()
        return response

    async def aafter(
        self, request: HttpRequest, response: HttpResponseBase, state: Any
    ) -> HttpResponseBase:
        """Return the response as `after` does, reloading in a thread to not block the loop."""
        if committed_changes() != state:
            return await asyncio.to_thread(self.after, request, response, state)
        return response
