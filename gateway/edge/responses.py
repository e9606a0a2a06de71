"""Operations on a response by its id: read it, list its input, cancel it, delete it.

    GET    /v1/responses/{id}               with stream=true its events, if it was created
                                            with background and stream
    DELETE /v1/responses/{id}
    POST   /v1/responses/{id}/cancel
    GET    /v1/responses/{id}/input_items

A response is visible only to the key that created it, or that key's team; others get the
404 of an id that does not exist.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.dialects import DIALECTS
from gateway.dialects.openai_responses.stored_responses import (
    MAX_PAGE_ITEMS,
    error_event,
    failed_event,
    failed_response,
    input_items,
    items_with_ids,
    page,
    read_event,
    with_fields,
)
from gateway.edge.admission import authenticate
from gateway.edge.endpoints import Endpoint
from gateway.framing.headers import JSON_HEADER, Header
from gateway.relay.exchange.call import Call, Client, Receive
from gateway.relay.exchange.stored_response import StoredResponse
from gateway.relay.run import background
from gateway.relay.run.background import BackgroundJob
from gateway.relay.run.client_run import run_with_features
from gateway.relay.run.reply import id_headers, stream_headers
from gateway.relay.run.response_state import delete_upstream, owner_of
from gateway.relay.run.stream import PING_S
from gateway.relay.runtime import Runtime
from gateway.relay.state.responses import HEARTBEAT_TIMEOUT_S, MAX_CLOCK_SKEW_S

Scope = dict[str, Any]
_DIALECT = DIALECTS["openai_responses"]
_INTERRUPTED_ERROR = Error(
    kind="upstream_error", message="the gateway stopped while the response was running"
)
# How long a cancel request waits for the response to end.
_CANCEL_WAIT_S = 5.0
_POLL_S = 0.5
_MAX_DIGITS = 20
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False, "": False}


async def start_background_response(runtime: Runtime, call: Call, client: Client) -> None:
    """Start a background response, and reply with its first state. Raises GatewayError."""
    job = await background.background_responses(runtime).start(call, run_with_features)
    headers = id_headers(call)
    if not call.exchange.stream:
        await client.reply(200, [JSON_HEADER, *headers], job.response.response)
        return
    await _send_events(client, stream_headers(call) + headers, job.follow())


async def answer_response(
    runtime: Runtime,
    endpoint: Endpoint,
    client: Client,
    scope: Scope,
    receive: Receive,
    request_id: str,
) -> None:
    """Serve one request for a response by its id."""
    request_id_header = (b"x-request-id", request_id.encode())
    try:
        request = _ResponseRequest(runtime, endpoint, scope)
        content = await request.content()
        if isinstance(content, bytes):
            await client.reply(200, [JSON_HEADER, request_id_header], content)
            return
    except GatewayError as failure:
        reply = _DIALECT.client.render_error(failure.error, request_id)
        await client.reply(
            reply.status, [JSON_HEADER, request_id_header], msgspec.json.encode(reply.body)
        )
        return
    await _send_until_disconnect(
        receive, _send_events(client, [*_EVENT_STREAM_HEADERS, request_id_header], content)
    )


_EVENT_STREAM_HEADERS: list[Header] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


async def _send_until_disconnect(receive: Receive, coroutine: Any) -> None:
    """Run `coroutine` until it ends or the client disconnects."""
    sender = asyncio.ensure_future(coroutine)

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    listener = asyncio.ensure_future(listen())
    try:
        await asyncio.wait({sender, listener}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pending_task in (sender, listener):
            pending_task.cancel()
        await asyncio.gather(sender, listener, return_exceptions=True)


async def _send_events(client: Client, headers: list[Header], events: AsyncIterator[bytes]) -> None:
    await client.head(200, headers)
    async with contextlib.aclosing(_with_pings(events)) as chunks:
        async for chunk in chunks:
            await client.write(chunk)
    await client.end()


async def _with_pings(events: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The events as SSE bytes, with a keep-alive comment after each pause of PING_S."""
    next_event = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            finished_tasks, _ = await asyncio.wait({next_event}, timeout=PING_S)
            if not finished_tasks:
                yield _DIALECT.keepalive
                continue
            event = next_event.result()
            if event is None:
                return
            name = read_event(event).type.encode()
            yield b"event: " + name + b"\ndata: " + event + b"\n\n"
            next_event = asyncio.ensure_future(anext(events, None))
    finally:
        next_event.cancel()


class _ResponseRequest:
    """One request for a response by its id."""

    def __init__(self, runtime: Runtime, endpoint: Endpoint, scope: Scope) -> None:
        self.runtime = runtime
        self.endpoint = endpoint
        self.method = scope["method"]
        if self.method not in endpoint.methods:
            message = f"{self.method} is not allowed here; use {' or '.join(endpoint.methods)}"
            raise GatewayError(Error(kind="method_not_allowed", message=message))
        query = scope.get("query_string", b"")
        self.query = parse_qs(query.decode("latin-1"))
        key = authenticate(runtime, runtime.snapshot, scope["headers"], query)
        self.owner = owner_of(key)

    async def content(self) -> bytes | AsyncIterator[bytes]:
        """The JSON of the response, or its events. Raises GatewayError."""
        match self.endpoint.name.rpartition("/")[2], self.method:
            case "cancel", _:
                return await self._cancel_response()
            case "input_items", _:
                return await self._input_items()
            case _, "DELETE":
                return await self._delete_response()
        return await self._read_response()

    async def _find_response(self) -> StoredResponse:
        stored_response = await self.runtime.responses.find(self.owner, self.endpoint.arg)
        job = self._find_job()
        if job is not None:
            # Another process may have received the request to cancel it.
            if stored_response is None or stored_response.status == "cancelled":
                job.cancel()
            else:
                stored_response = job.response
        if stored_response is None:
            message = f"Response with id {self.endpoint.arg[:100]!r} not found."
            raise GatewayError(Error(kind="not_found", message=message, param="response_id"))
        return stored_response

    def _find_job(self) -> BackgroundJob | None:
        return background.background_responses(self.runtime).job(self.owner, self.endpoint.arg)

    def _require_content(self, stored_response: StoredResponse) -> StoredResponse:
        """Return the response if its content is stored. Raises GatewayError."""
        if stored_response.response:
            return stored_response
        message = (
            f"The content of {stored_response.id[:100]!r} is not stored: logging of bodies is off."
        )
        raise GatewayError(Error(kind="not_found", message=message, param="response_id"))

    async def _read_response(self) -> bytes | AsyncIterator[bytes]:
        stream = self._bool_param("stream")
        after = self._int_param("starting_after", -1, min_value=0, max_value=10**9)
        stored_response = self._require_content(await self._find_response())
        if not stream:
            return _current_response(stored_response)
        job = self._find_job()
        if job is not None:
            return job.follow(after)
        if not stored_response.running and not stored_response.events:
            message = (
                "stream: only a response that was created with background and stream can be "
                "streamed again; omit stream to read it"
            )
            raise invalid(message, "stream")
        return self._replay_events(stored_response, after)

    async def _replay_events(
        self, stored_response: StoredResponse, after: int
    ) -> AsyncIterator[bytes]:
        """The events of a response that runs or ran in another process; waits for its end."""
        try:
            while stored_response.running and not _is_stale(stored_response):
                await asyncio.sleep(_POLL_S)
                stored_response = await self._find_response()
        except GatewayError as failure:  # the database is unavailable, or the response was deleted
            yield error_event(failure.error, after + 1)
            return
        if stored_response.running:
            yield failed_event(stored_response.response, _INTERRUPTED_ERROR, after + 1)
        for event in stored_response.events:
            if (read_event(event).sequence_number or 0) > after:
                yield event

    async def _input_items(self) -> bytes:
        limit = self._int_param("limit", 20, min_value=1, max_value=MAX_PAGE_ITEMS)
        order = self._query_param("order") or "desc"
        if order not in {"asc", "desc"}:
            raise invalid("order must be asc or desc", "order")
        stored_response = self._require_content(await self._find_response())
        items = items_with_ids(
            input_items(stored_response.previous_items, stored_response.input), stored_response.id
        )
        item_page = page(items, limit=limit, order=order, after=self._query_param("after"))
        return msgspec.json.encode(item_page)

    async def _cancel_response(self) -> bytes:
        stored_response = self._require_content(await self._find_response())
        response = msgspec.json.decode(stored_response.response)
        if response.get("background") is not True:
            raise invalid("only a response that was created with background can be cancelled")
        job = self._find_job()
        if job is not None:
            job.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CANCEL_WAIT_S):
                    async for _ in job.follow(10**9):
                        pass
            return _current_response(job.response)
        if stored_response.running and not _is_stale(stored_response):
            await self.runtime.responses.cancel(self.owner, stored_response.id)
            stored_response = await self._find_response()
        return _current_response(stored_response)

    async def _delete_response(self) -> bytes:
        stored_response = await self._find_response()
        job = self._find_job()
        if job is not None:
            job.cancel()
        if stored_response.provider:
            await delete_upstream(self.runtime, stored_response)
        await self.runtime.responses.delete(stored_response)
        return msgspec.json.encode(
            {"id": stored_response.id, "object": "response", "deleted": True}
        )

    def _query_param(self, name: str) -> str:
        return str(self.query.get(name, [""])[-1])

    def _bool_param(self, name: str) -> bool:
        value = _BOOLEANS.get(self._query_param(name).lower())
        if value is None:
            raise invalid(f"{name} must be true or false", name)
        return value

    def _int_param(self, name: str, default: int, *, min_value: int, max_value: int) -> int:
        text = self._query_param(name)
        if not text:
            return default
        is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
        if not is_number or not min_value <= int(text) <= max_value:
            raise invalid(f"{name} must be a whole number from {min_value} to {max_value}", name)
        return int(text)


def _is_stale(stored_response: StoredResponse) -> bool:
    """Whether the process that runs it has sent no heartbeat for too long.

    A heartbeat in the future is from before the clock was set back.
    """
    age_s = time.time() - stored_response.heartbeat_at
    return stored_response.running and not -MAX_CLOCK_SKEW_S <= age_s <= HEARTBEAT_TIMEOUT_S


def _current_response(stored_response: StoredResponse) -> bytes:
    """The response in its current state."""
    if _is_stale(stored_response):
        return failed_response(stored_response.response, _INTERRUPTED_ERROR)
    if stored_response.status == "cancelled":
        return with_fields(stored_response.response, status="cancelled")
    return stored_response.response
