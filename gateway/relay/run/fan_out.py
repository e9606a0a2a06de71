"""Requests that are split into several calls, or that ask for no generation at all.

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
from gateway.dialects.base import PromptSplit, ResponseContext
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call, Client, Header
from gateway.relay.exchange.deadlines import Deadlines
from gateway.relay.run import shadow
from gateway.relay.run.pipeline import run
from gateway.relay.run.reply import decode, id_headers
from gateway.relay.run.settle import settle

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# The codes by which a dialect tells that a request is no ordinary one.
_SPLIT_CODE, _PRELOAD_CODE = "multiple_prompts", "preload"
_REQUEST_ID_HEADERS = frozenset({b"x-request-id", b"request-id", b"x-dragoman-request-id"})


async def run_with_fan_out(
    runtime: Runtime, call: Call, client: Client, deadlines: Deadlines
) -> None:
    """Run the call; split it or answer it directly if its dialect says so."""
    try:
        await run(runtime, call, client, deadlines)
        if call.route is not None and call.route.shadow:
            shadow.launch(runtime, call)
    except GatewayError as failure:
        if client.started or failure.error.status is not None:
            raise
        if failure.error.code == _PRELOAD_CODE and call.dialect.render_preload is not None:
            await _answer_preload(runtime, call, client, call.dialect.render_preload)
            return
        prompt_split = call.dialect.prompt_split
        if prompt_split is None or failure.error.code != _SPLIT_CODE:
            raise
        bodies = await offload.run(
            len(call.body), lambda: prompt_split.split_request(decode(call.body))
        )
        if not bodies:
            raise
        await _FanOut(runtime, call, client, deadlines, prompt_split).run(bodies)


async def _answer_preload(
    runtime: Runtime,
    call: Call,
    client: Client,
    render_preload: Callable[[dict[str, Any], ResponseContext], dict[str, Any]],
) -> None:
    """Answer a preload request, which needs no target."""
    call.attempts.clear()
    call.error, call.outcome = None, "ok"
    context = ResponseContext(
        id=call.id, created=int(call.started_at), model=call.model, endpoint=call.endpoint
    )
    content = msgspec.json.encode(render_preload(decode(call.body), context))
    call.recorder.record_client(content)
    client.status = 200
    client.headers = [(b"content-type", b"application/json"), *id_headers(call)]
    settle(runtime, call, client)
    await client.reply(200, client.headers, content)


class _FanOut:
    """Runs one request as several calls, one after the other."""

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        client: Client,
        deadlines: Deadlines,
        prompt_split: PromptSplit,
    ) -> None:
        self.runtime, self.call, self.client, self.deadlines = runtime, call, client, deadlines
        self.prompt_split = prompt_split
        self.stream = prompt_split.new_stream()

    async def run(self, bodies: list[dict[str, Any]]) -> None:
        """Answer all. Raises GatewayError while nothing has been sent to the client."""
        self.call.attempts.clear()
        answers: list[dict[str, Any]] = []
        for index, body in enumerate(bodies):
            received = bytearray()
            try:
                await self._run_part(index, body, received)
            except GatewayError as failure:
                if not self.client.started:
                    raise
                await self._fail_stream(failure.error)
                return
            if not self.call.stream:
                answers.append(decode(bytes(received)))
        await self._finish(answers)

    async def _run_part(self, index: int, body: dict[str, Any], received: bytearray) -> None:
        part_call = self._part_call(index, body)
        client = Client(self._sender(index, received))
        try:
            await run(self.runtime, part_call, client, self.deadlines)
        except GatewayError as failure:
            part_call.error, part_call.outcome = failure.error, "error"
            raise
        finally:
            if not part_call.settled:
                settle(self.runtime, part_call, client)
            self.call.attempts += part_call.attempts
            self.call.adaptations = part_call.adaptations
            self.call.upstream_wait_s += part_call.upstream_wait_s
        if part_call.outcome != "ok" and part_call.error is not None:
            raise GatewayError(part_call.error)
        self.client.headers = self._part_headers(client.headers)

    def _part_call(self, index: int, body: dict[str, Any]) -> Call:
        """The call of one of them: the same client, key and route."""
        call = self.call
        part_call = Call(
            request_id=f"{call.id[:56]}-{index + 1}",
            endpoint=call.endpoint,
            verb=call.verb,
            dialect=call.dialect,
            snapshot=call.snapshot,
            headers=call.headers,
            started=call.started,
        )
        part_call.key, part_call.route, part_call.model = call.key, call.route, call.model
        part_call.stream, part_call.client_ip = call.stream, call.client_ip
        part_call.body = msgspec.json.encode(body)
        part_call.fields = msgspec.json.decode(part_call.body, type=dict[str, msgspec.Raw])
        return part_call

    def _part_headers(self, headers: list[Header]) -> list[Header]:
        """The headers of a part's answer, under the id of the whole request."""
        other_headers = [
            header
            for header in headers
            if header[0] not in _REQUEST_ID_HEADERS and header[0] != b"content-length"
        ]
        return [*id_headers(self.call), *other_headers]

    def _sender(self, index: int, received: bytearray) -> Callable[[dict[str, Any]], Any]:
        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                if self.call.stream and not self.client.started:
                    await self.client.head(
                        message["status"], self._part_headers(message["headers"])
                    )
                return
            data = message.get("body", b"")
            if not self.call.stream:
                received.extend(data)
            elif out := self.stream.feed(index, data):
                self.call.recorder.record_client(out)
                await self.client.write(out)

        return send

    async def _finish(self, answers: list[dict[str, Any]]) -> None:
        call, client = self.call, self.client
        if call.stream:
            out = self.stream.close()
            call.recorder.record_client(out)
            settle(self.runtime, call, client)
            await client.end(out)
            return
        out = msgspec.json.encode(self.prompt_split.merge_responses(answers))
        call.recorder.record_client(out)
        client.status = 200
        settle(self.runtime, call, client)
        await client.reply(200, client.headers, out)

    async def _fail_stream(self, error: Error) -> None:
        """One of them failed when others had gone out: the client is told, and no end follows."""
        call = self.call
        call.error, call.outcome = error, "cut"
        exchange = ResponseContext(id=call.id, created=int(call.started_at), model=call.model)
        out = call.dialect.client.stream_renderer(exchange).feed(Failed(error))
        call.recorder.record_client(out)
        settle(self.runtime, call, self.client)
        await self.client.end(out)
