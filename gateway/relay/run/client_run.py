"""Runs a client's call with the features that its request or its route adds.

A request that is not a single generation has a plan (`Dialect.plan_request`). For a target that
accepts one prompt at a time, each of several prompts is a call of its own, with its own log
record, tokens and cost; the request's own record has neither, or they would count twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import Failed
from gateway.dialects.base import IdlePlan, RequestPlan, ResponseContext, SplitPlan
from gateway.framing.headers import JSON_HEADER, Header
from gateway.relay.exchange.call import Call, Client, Deadlines, Exchange, stop_error
from gateway.relay.run import shadow
from gateway.relay.run.pipeline import RunResult, run
from gateway.relay.run.reply import decode, id_headers
from gateway.relay.run.response_state import recover_missing_state
from gateway.relay.run.settle import CLIENT_GONE, record_failure, settle

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

_REQUEST_ID_HEADERS = frozenset({b"x-request-id", b"request-id", b"x-dragoman-request-id"})


async def run_with_features(
    runtime: Runtime, call: Call, client: Client, deadlines: Deadlines
) -> RunResult:
    """Run a client's call with its plan, its stored state and the shadow of its route."""
    exchange = call.exchange
    try:
        result = await run(runtime, call, client, deadlines)
    except GatewayError as failure:
        if client.started or not recover_missing_state(call, failure):
            raise
        result = await run(runtime, call, client, deadlines)
    if result == "planned":
        assert exchange.plan is not None
        await execute_plan(runtime, call, client, deadlines, exchange.plan)
    elif result == "answered" and exchange.route is not None and exchange.route.shadow:
        shadow.launch(runtime, call)
    return result


async def execute_plan(
    runtime: Runtime, call: Call, client: Client, deadlines: Deadlines, plan: RequestPlan
) -> None:
    """Execute the plan of a call. Raises GatewayError while nothing has been sent."""
    call.attempts.clear()
    if isinstance(plan, IdlePlan):
        await _respond_idle(runtime, call, client, plan)
    else:
        await _FanOut(runtime, call, client, deadlines, plan).run()


async def _respond_idle(runtime: Runtime, call: Call, client: Client, plan: IdlePlan) -> None:
    """Respond to a request without input, which needs no target."""
    exchange = call.exchange
    context = ResponseContext(
        id=exchange.id,
        created=int(exchange.started_at),
        model=exchange.model,
        endpoint=exchange.endpoint,
    )
    content = msgspec.json.encode(plan.render(context))
    call.recorder.record_client(content)
    client.status = 200
    client.headers = [JSON_HEADER, *id_headers(call)]
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
        plan: SplitPlan,
    ) -> None:
        self.runtime, self.call, self.client, self.deadlines = runtime, call, client, deadlines
        self.plan = plan
        self.stream = plan.new_stream()

    async def run(self) -> None:
        """Run all parts. Raises GatewayError while nothing has been sent to the client."""
        responses: list[dict[str, Any]] = []
        for index, fields in enumerate(self.plan.requests):
            received = bytearray()
            try:
                await self._run_part(index, fields, received)
            except GatewayError as failure:
                if not self.client.started:
                    raise
                await self._fail_stream(failure.error)
                return
            if not self.call.exchange.stream:
                responses.append(decode(bytes(received)))
        await self._finish(responses)

    async def _run_part(
        self, index: int, fields: dict[str, msgspec.Raw], received: bytearray
    ) -> None:
        part_call = self._part_call(index, fields)
        client = Client(self._make_send(index, received))
        try:
            await run(self.runtime, part_call, client, self.deadlines)
        except GatewayError as failure:
            record_failure(part_call, client, failure.error)
            raise
        except asyncio.CancelledError:
            self._record_stop(part_call, client)
            raise
        finally:
            if part_call.record is None:
                settle(self.runtime, part_call, client)
            self.call.attempts += part_call.attempts
            self.call.attempt.adaptations = part_call.attempt.adaptations
            self.call.upstream_wait_s += part_call.upstream_wait_s
        if part_call.outcome != "ok" and part_call.error is not None:
            raise GatewayError(part_call.error)
        self.client.headers = self._part_headers(client.headers)

    def _record_stop(self, part_call: Call, client: Client) -> None:
        """Record that a part was stopped: the client disconnected, or a deadline has passed."""
        reason = self.deadlines.reason
        if reason is not None and reason != "client_gone":
            record_failure(part_call, client, stop_error(reason))
            return
        record_failure(part_call, client, CLIENT_GONE)
        part_call.outcome = "client_closed"

    def _part_call(self, index: int, fields: dict[str, msgspec.Raw]) -> Call:
        """The call of one part: the same client, key and route."""
        exchange = self.call.exchange
        part = Exchange(
            request_id=f"{exchange.id[:56]}-{index + 1}",
            endpoint=exchange.endpoint,
            verb=exchange.verb,
            dialect=exchange.dialect,
            snapshot=exchange.snapshot,
            headers=exchange.headers,
            started=exchange.started,
        )
        part.key, part.route, part.model = (
            exchange.key,
            exchange.route,
            exchange.model,
        )
        part.stream, part.client_ip = (
            exchange.stream,
            exchange.client_ip,
        )
        part.join_trace(exchange)
        part.body, part.fields = msgspec.json.encode(fields), fields
        part_call = Call(part)
        part_call.guard = self.call.guard
        return part_call

    def _part_headers(self, headers: list[Header]) -> list[Header]:
        """The headers of a part's response, with the ids of the whole request."""
        other_headers = [
            header
            for header in headers
            if header[0] not in _REQUEST_ID_HEADERS and header[0] != b"content-length"
        ]
        return [*id_headers(self.call), *other_headers]

    def _make_send(self, index: int, received: bytearray) -> Callable[[dict[str, Any]], Any]:
        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                if self.call.exchange.stream and not self.client.started:
                    await self.client.head(
                        message["status"], self._part_headers(message["headers"])
                    )
                return
            data = message.get("body", b"")
            if not self.call.exchange.stream:
                received.extend(data)
            elif out := self.stream.feed(index, data):
                self.call.recorder.record_client(out)
                await self.client.write(out)

        return send

    async def _finish(self, responses: list[dict[str, Any]]) -> None:
        call, client = self.call, self.client
        if call.exchange.stream:
            out = self.stream.close()
            call.recorder.record_client(out)
            settle(self.runtime, call, client)
            await client.end(out)
            return
        out = msgspec.json.encode(self.plan.merge_responses(responses))
        call.recorder.record_client(out)
        client.status = 200
        settle(self.runtime, call, client)
        await client.reply(200, client.headers, out)

    async def _fail_stream(self, error: Error) -> None:
        """Send the error of a part after others were sent; no normal end follows."""
        call = self.call
        call.error, call.outcome = error, "cut"
        context = ResponseContext(
            id=call.exchange.id, created=int(call.exchange.started_at), model=call.exchange.model
        )
        out = call.exchange.dialect.client.stream_renderer(context).feed(Failed(error))
        call.recorder.record_client(out)
        settle(self.runtime, call, self.client)
        await self.client.end(out)
