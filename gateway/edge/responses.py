"""What clients ask of a response by its id: read it, its input, cancel it, delete it.

    GET    /v1/responses/{id}               with stream=true its events, if it is made in the
                                            background and as a stream
    DELETE /v1/responses/{id}
    POST   /v1/responses/{id}/cancel
    GET    /v1/responses/{id}/input_items

A response is there for the key (or the team of the key) that had it made, and for nobody
else: everybody else gets the 404 of an id that never was.
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
from gateway.dialects.openai_responses.kept import (
    MOST_ITEMS,
    broken,
    given_items,
    named_items,
    page,
    read_event,
    with_fields,
)
from gateway.edge.admit import admit
from gateway.edge.endpoints import Endpoint
from gateway.relay import background
from gateway.relay.background import Job
from gateway.relay.call import Call, Client, Header
from gateway.relay.disown import disown
from gateway.relay.keeping import lost, owner_of
from gateway.relay.kept import Kept
from gateway.relay.reply import PING_S, stream_headers
from gateway.relay.responses import SILENT_S
from gateway.relay.runtime import Runtime
from gateway.relay.several import run_each
from gateway.relay.watch import Receive, Watch

Scope = dict[str, Any]
_JSON: Header = (b"content-type", b"application/json")
_DIALECT = DIALECTS["openai_responses"]
_GONE = Error(kind="upstream_error", message="the gateway ended while the response ran")
# How long a request to cancel waits for the response to be over.
_CANCEL_S = 5.0
_POLL_S = 0.5
_SWITCH = {"true": True, "1": True, "false": False, "0": False, "": False}


async def detach(runtime: Runtime, call: Call, client: Client) -> None:
    """Begin a response in the background, and tell the client of it. Raises GatewayError."""
    job = await background.of(runtime).start(call, run)
    headers = [(b"x-request-id", call.id.encode())]
    if not call.stream:
        await client.reply(200, [_JSON, *headers], job.kept.response)
        return
    await _send_events(client, stream_headers(call) + headers, job.follow())


async def run(runtime: Runtime, call: Call, client: Client, watch: Watch) -> None:
    """As `several.run_each`, for requests too that go on from what a provider has forgotten."""
    try:
        await run_each(runtime, call, client, watch)
    except GatewayError as failure:
        if client.started or not lost(call, failure):
            raise
        await run_each(runtime, call, client, watch)


async def answer(
    runtime: Runtime,
    endpoint: Endpoint,
    client: Client,
    scope: Scope,
    receive: Receive,
    request_id: str,
) -> None:
    """Answer one request for a response by its id."""
    named = (b"x-request-id", request_id.encode())
    try:
        asked = _Asked(runtime, endpoint, scope)
        content = await asked.content()
        if isinstance(content, bytes):
            await client.reply(200, [_JSON, named], content)
            return
    except GatewayError as failure:
        reply = _DIALECT.client.render_error(failure.error, request_id)
        if failure.error.kind == "not_found":
            reply.body["error"]["code"] = None  # no model is what is missing
        await client.reply(reply.status, [_JSON, named], msgspec.json.encode(reply.body))
        return
    await _until_gone(receive, _send_events(client, [*_EVENTS, named], content))


_EVENTS: list[Header] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


async def _until_gone(receive: Receive, sending: Any) -> None:
    """Send until the end, or until the client is gone."""
    task = asyncio.ensure_future(sending)

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    listening = asyncio.ensure_future(listen())
    try:
        await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in (task, listening):
            each.cancel()
        await asyncio.gather(task, listening, return_exceptions=True)


async def _send_events(client: Client, headers: list[Header], events: AsyncIterator[bytes]) -> None:
    await client.head(200, headers)
    async with contextlib.aclosing(_with_pings(events)) as pieces:
        async for piece in pieces:
            await client.write(piece)
    await client.end()


async def _with_pings(events: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The events as bytes of a stream, with a comment wherever they are silent for long."""
    waiting = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=PING_S)
            if not done:
                yield _DIALECT.keepalive
                continue
            event = waiting.result()
            if event is None:
                return
            name = read_event(event).type.encode()
            yield b"event: " + name + b"\ndata: " + event + b"\n\n"
            waiting = asyncio.ensure_future(anext(events, None))
    finally:
        waiting.cancel()


class _Asked:
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
        key = admit(runtime, runtime.snapshot, scope["headers"], query)
        self.owner = owner_of(key)

    async def content(self) -> bytes | AsyncIterator[bytes]:
        """The JSON of the answer, or the events of one. Raises GatewayError."""
        match self.endpoint.name.rpartition("/")[2], self.method:
            case "cancel", _:
                return await self._cancel()
            case "input_items", _:
                return await self._items()
            case _, "DELETE":
                return await self._delete()
        return await self._read()

    async def _find(self) -> Kept:
        kept = await self.runtime.responses.find(self.owner, self.endpoint.arg)
        job = self._job()
        if job is not None:
            # Another process may have been told to end it.
            if kept is None or kept.status == "cancelled":
                job.cancel()
            else:
                kept = job.kept
        if kept is None:
            message = f"Response with id {self.endpoint.arg[:100]!r} not found."
            raise GatewayError(Error(kind="not_found", message=message, param="response_id"))
        return kept

    def _job(self) -> Job | None:
        return background.of(self.runtime).job(self.owner, self.endpoint.arg)

    def _said(self, kept: Kept) -> Kept:
        """The same, if its content is kept. Raises GatewayError."""
        if kept.response:
            return kept
        message = f"The content of {kept.id[:100]!r} is not kept here: bodies are switched off."
        raise GatewayError(Error(kind="not_found", message=message, param="response_id"))

    async def _read(self) -> bytes | AsyncIterator[bytes]:
        stream = self._switch("stream")
        after = self._number("starting_after", -1, least=0, most=10**9)
        kept = self._said(await self._find())
        if not stream:
            return _shown(kept)
        job = self._job()
        if job is not None:
            return job.follow(after)
        if not kept.running and not kept.events:
            message = (
                "stream: only a response that was made with background and stream can be "
                "streamed again; leave stream out to read it"
            )
            raise invalid(message, "stream")
        return self._again(kept, after)

    async def _again(self, kept: Kept, after: int) -> AsyncIterator[bytes]:
        """The events of a response that another process has or had; its end is waited for."""
        while kept.running and not _silent(kept):
            await asyncio.sleep(_POLL_S)
            kept = await self._find()
        for event in kept.events:
            if (read_event(event).sequence_number or 0) > after:
                yield event

    async def _items(self) -> bytes:
        limit = self._number("limit", 20, least=1, most=MOST_ITEMS)
        order = self._one("order") or "desc"
        if order not in {"asc", "desc"}:
            raise invalid("order must be asc or desc", "order")
        kept = self._said(await self._find())
        items = named_items(given_items(kept.earlier, kept.input), kept.id)
        shown = page(items, limit=limit, order=order, after=self._one("after"))
        return msgspec.json.encode(shown)

    async def _cancel(self) -> bytes:
        kept = self._said(await self._find())
        told = msgspec.json.decode(kept.response)
        if told.get("background") is not True:
            raise invalid("only a response that was made with background can be cancelled")
        job = self._job()
        if job is not None:
            job.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CANCEL_S):
                    async for _ in job.follow(10**9):
                        pass
            return _shown(job.kept)
        if kept.running and not _silent(kept):
            await self.runtime.responses.cancel(self.owner, kept.id)
            kept = await self._find()
        return _shown(kept)

    async def _delete(self) -> bytes:
        kept = await self._find()
        job = self._job()
        if job is not None:
            job.cancel()
        if kept.provider:
            await disown(self.runtime, kept)
        await self.runtime.responses.forget(kept)
        return msgspec.json.encode({"id": kept.id, "object": "response", "deleted": True})

    def _one(self, name: str) -> str:
        return str(self.query.get(name, [""])[-1])

    def _switch(self, name: str) -> bool:
        value = _SWITCH.get(self._one(name).lower())
        if value is None:
            raise invalid(f"{name} must be true or false", name)
        return value

    def _number(self, name: str, default: int, *, least: int, most: int) -> int:
        given = self._one(name)
        if not given:
            return default
        if not given.isascii() or not given.isdigit() or not least <= int(given[:20]) <= most:
            raise invalid(f"{name} must be a whole number from {least} to {most}", name)
        return int(given)


def _silent(kept: Kept) -> bool:
    """Whether the process in which it runs has not been heard of for too long."""
    return kept.running and time.time() - kept.heard_at > SILENT_S


def _shown(kept: Kept) -> bytes:
    """The response as it stands."""
    if _silent(kept):
        return broken(kept.response, _GONE)
    if kept.status == "cancelled":
        return with_fields(kept.response, status="cancelled")
    return kept.response
