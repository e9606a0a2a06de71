"""What a request has changed in the registry is in use before its answer goes out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from gateway.querysets import committed
from gateway.relay import runtime


class ReadYourWrites:
    """Has this process, and its siblings, load the registry after a change."""

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
        before = committed()
        response: HttpResponseBase = self.get_response(request)
        live = runtime.current()
        if live is not None and committed() != before:
            live.registry.refresh()
        return response

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        before = committed()
        response: HttpResponseBase = await self.get_response(request)
        live = runtime.current()
        if live is not None and committed() != before:
            await asyncio.to_thread(live.registry.refresh)
        return response
