"""The base of the project's middleware, and the one that makes a request read its own writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from gateway.querysets import committed_changes
from gateway.relay import runtime


class Middleware:
    """Serves synchronous and asynchronous views; subclasses override the hooks they need."""

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
            return self._acall(request)
        state = self.before(request)
        with self.during(request):
            response: HttpResponseBase = self.get_response(request)
        return self.after(request, response, state)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        state = self.before(request)
        with self.during(request):
            response: HttpResponseBase = await self.get_response(request)
        return await self.aafter(request, response, state)

    def before(self, request: HttpRequest) -> Any:
        """Return what `after` needs to know about the time before the view."""

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
    """Loads the registry in this process and its siblings after a request has changed it."""

    def before(self, request: HttpRequest) -> int:
        """Return the number of changes that were committed_changes before the view."""
        return committed_changes()

    def after(
        self, request: HttpRequest, response: HttpResponseBase, state: Any
    ) -> HttpResponseBase:
        """Return the response once the registry is loaded."""
        live = runtime.current()
        if live is not None and committed_changes() != state:
            live.registry.refresh()
        return response

    async def aafter(
        self, request: HttpRequest, response: HttpResponseBase, state: Any
    ) -> HttpResponseBase:
        """Return the response once a thread has loaded the registry: the loop must go on."""
        if committed_changes() != state:
            return await asyncio.to_thread(self.after, request, response, state)
        return response
