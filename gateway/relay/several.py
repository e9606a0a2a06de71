"""Requests that are no ordinary one: for several answers, or for none at all.

At a target that gives one answer at a time, each of several is a call of its own.
Each has its own row in the log, with its tokens and its cost; the request's own row has
neither, or they would count twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import Failed
from gateway.dialects.base import Exchange, Several
from gateway.relay import shadow
from gateway.relay.call import Call, Client, Header
from gateway.relay.pipeline import run
from gateway.relay.reply import decode
from gateway.relay.settle import settle
from gateway.relay.watch import Watch

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# The codes by which a dialect tells that a request is no ordinary one.
_CODE, _IDLE = "several", "idle"
_IDS = frozenset({b"x-request-id", b"request-id"})


async def run_each(runtime: Runtime, call: Call, client: Client, watch: Watch) -> None:
    """As `pipeline.run`, for requests too that are several in one, or ask for nothing."""
    try:
        await run(runtime, call, client, watch)
        if call.route is not None and call.route.shadow:
            shadow.launch(runtime, call)
    except GatewayError as failure:
        if client.started or failure.error.status is not None:
            raise
        if failure.error.code == _IDLE and call.dialect.idle is not None:
            await _idle(runtime, call, client, call.dialect.idle)
            return
        several = call.dialect.several
        if several is None or failure.error.code != _CODE:
            raise
        bodies = several.split(decode(call.body))
        if not bodies:
            raise
        await _Each(runtime, call, client, watch, several).run(bodies)


async def _idle(
    runtime: Runtime,
    call: Call,
    client: Client,
    answer: Callable[[dict[str, Any], Exchange], dict[str, Any]],
) -> None:
    """Answer a request that asks for nothing; no target has to."""
    call.attempts.clear()
    call.error, call.outcome = None, "ok"
    exchange = Exchange(
        id=call.id, created=int(call.started_at), model=call.model, endpoint=call.endpoint
    )
    out = msgspec.json.encode(answer(decode(call.body), exchange))
    call.recorder.client(out)
    client.status = 200
    client.headers = [(b"content-type", b"application/json"), (b"x-request-id", call.id.encode())]
    settle(runtime, call, client)
    await client.reply(200, client.headers, out)


class _Each:
    """One request on its way as several calls, one after the other."""

    def __init__(
        self, runtime: Runtime, call: Call, client: Client, watch: Watch, several: Several
    ) -> None:
        self.runtime, self.call, self.client, self.watch = runtime, call, client, watch
        self.several = several
        self.stream = several.stream()

    async def run(self, bodies: list[dict[str, Any]]) -> None:
        """Answer all. Raises GatewayError while nothing has been sent to the client."""
        self.call.attempts.clear()
        answers: list[dict[str, Any]] = []
        for place, body in enumerate(bodies):
            got = bytearray()
            try:
                await self._one(place, body, got)
            except GatewayError as failure:
                if not self.client.started:
                    raise
                await self._break(failure.error)
                return
            if not self.call.stream:
                answers.append(decode(bytes(got)))
        await self._end(answers)

    async def _one(self, place: int, body: dict[str, Any], got: bytearray) -> None:
        part = self._part(place, body)
        client = Client(self._sender(place, got))
        try:
            await run(self.runtime, part, client, self.watch)
        except GatewayError as failure:
            part.error, part.outcome = failure.error, "error"
            raise
        finally:
            if not part.settled:
                settle(self.runtime, part, client)
            self.call.attempts += part.attempts
            self.call.adaptations = part.adaptations
            self.call.waited_s += part.waited_s
        if part.outcome != "ok" and part.error is not None:
            raise GatewayError(part.error)
        self.client.headers = self._own(client.headers)

    def _part(self, place: int, body: dict[str, Any]) -> Call:
        """The call of one of them: the same client, key and route."""
        call = self.call
        part = Call(
            request_id=f"{call.id[:56]}-{place + 1}",
            endpoint=call.endpoint,
            verb=call.verb,
            dialect=call.dialect,
            snapshot=call.snapshot,
            headers=call.headers,
            started=call.started,
        )
        part.key, part.route, part.model = call.key, call.route, call.model
        part.stream, part.client_ip = call.stream, call.client_ip
        part.body = msgspec.json.encode(body)
        part.fields = msgspec.json.decode(part.body, type=dict[str, msgspec.Raw])
        return part

    def _own(self, headers: list[Header]) -> list[Header]:
        """The headers of a part's answer, under the id of the whole request."""
        own = self.call.id.encode()
        kept = [header for header in headers if header[0] != b"content-length"]
        return [(name, own if name in _IDS else value) for name, value in kept]

    def _sender(self, place: int, got: bytearray) -> Callable[[dict[str, Any]], Any]:
        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                if self.call.stream and not self.client.started:
                    await self.client.head(message["status"], self._own(message["headers"]))
                return
            data = message.get("body", b"")
            if not self.call.stream:
                got.extend(data)
            elif out := self.stream.feed(place, data):
                self.call.recorder.client(out)
                await self.client.write(out)

        return send

    async def _end(self, answers: list[dict[str, Any]]) -> None:
        call, client = self.call, self.client
        if call.stream:
            out = self.stream.close()
            call.recorder.client(out)
            settle(self.runtime, call, client)
            await client.end(out)
            return
        out = msgspec.json.encode(self.several.joined(answers))
        call.recorder.client(out)
        client.status = 200
        settle(self.runtime, call, client)
        await client.reply(200, client.headers, out)

    async def _break(self, error: Error) -> None:
        """One of them failed when others had gone out: the client is told, and no end follows."""
        call = self.call
        call.error, call.outcome = error, "cut"
        exchange = Exchange(id=call.id, created=int(call.started_at), model=call.model)
        out = call.dialect.client.stream_renderer(exchange).feed(Failed(error))
        call.recorder.client(out)
        settle(self.runtime, call, self.client)
        await self.client.end(out)
